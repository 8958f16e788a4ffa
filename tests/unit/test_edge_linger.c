/* SPDX-License-Identifier: Apache-2.0 */
/* A client that is answered while it is still sending: a shard and clients over socket pairs, all
 * in this thread.  To close at once would have its kernel throw the answer away. */
#include "edge_shard.h"

static struct client *only_client(void)
{
    assert_false(list_empty(&shard.clients));
    return LIST_ENTRY(shard.clients.next, struct client, node);
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    edge_turns();
}

/* An upload to a host that no app has, of which some has come.  return  its end, which has read the
 * answer */
static int come_with_upload(void)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: b.test\r\nContent-Length: 9999999\r\n\r\nx";
    char answer[1024] = "";
    int fd = edge_come(head, sizeof head - 1);
    edge_turns();
    assert_true(read(fd, answer, sizeof answer - 1) > 0);
    assert_int_equal(strncmp(answer, "HTTP/1.1 404 ", 13), 0);
    assert_non_null(strstr(answer, "connection: close"));
    assert_true(only_client()->closing);
    return fd;
}

/* As if so much of its time were left. */
static void let_be_left(uint64_t us)
{
    loop_timer_set(shard.loop, &only_client()->timer, shard_now_us(&shard) + us);
}

static uint64_t left_us(void)
{
    return only_client()->timer.due_us - shard_now_us(&shard);
}

static void who_goes_on_sending_has_time(void **state)
{
    (void)state;
    int fd = come_with_upload();
    assert_true(left_us() <= CLIENT_LINGER_US);
    let_be_left(CLIENT_LINGER_US / 2);
    edge_turns();
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    say(fd, "more");
    assert_true(left_us() > CLIENT_LINGER_US / 2);
    close(fd);
    edge_turns();
    assert_true(list_empty(&shard.clients));
}

static void but_not_for_ever(void **state)
{
    (void)state;
    int fd = come_with_upload();
    say(fd, "more");
    only_client()->linger_until_us -= CLIENT_LINGER_MOST_US;
    let_be_left(CLIENT_LINGER_US / 2);
    say(fd, "and more");
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    close(fd);
}

/* What an HTTP/2 client sends behind a GOAWAY may be the flood that it was for. */
static void who_speaks_http2_has_none(void **state)
{
    (void)state;
    int fd = edge_come("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    assert_int_equal(write(fd, "\0\0\0\0\0\0\0\0\0", 9), 9); /* no SETTINGS */
    edge_turns();
    assert_true(only_client()->closing);
    let_be_left(CLIENT_LINGER_US / 2);
    say(fd, "more");
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    close(fd);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, edge_setup_case, edge_teardown_case)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(who_goes_on_sending_has_time),
        WITH(but_not_for_ever),
        WITH(who_speaks_http2_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
