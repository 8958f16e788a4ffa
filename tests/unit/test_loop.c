/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"
#include "net/loop.h"
#include "net/wheel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- timers, with a clock of our own ---- */

struct test_timer {
    struct loop_timer timer;
    uint64_t want_us, fired_us;
    unsigned fired;
};

static uint64_t fake_now_us;

static void note(struct loop_timer *t)
{
    struct test_timer *x = CONTAINER_OF(t, struct test_timer, timer);
    x->fired++;
    x->fired_us = fake_now_us;
}

static void timer_at(struct wheel *w, struct test_timer *x, uint64_t due_us)
{
    x->want_us = due_us;
    wheel_set(w, &x->timer, due_us);
}

/* Runs the wheel as a loop would, waking only when it asks for it. */
static unsigned run_until(struct wheel *w, uint64_t end_us)
{
    unsigned wakes = 0;
    for (;;) {
        uint64_t next = wheel_next_us(w);
        if (next > end_us)
            break;
        assert_true(next > fake_now_us);
        fake_now_us = next;
        wheel_run(w, fake_now_us);
        wakes++;
    }
    fake_now_us = end_us;
    wheel_run(w, end_us);
    return wakes;
}

static void test_wheel_exact(void **state)
{
    static const uint64_t delays_us[] = {
        0,         1,         8191,       8192,        8193,        100000,      2090000,
        2097151,   2097152,   2100000,    134000000,   134217727,   134217728,   134217729,
        150000000, 600000000, 3600000000, 8589934591u, 8589934592u, 8590000000u, 30000000000u,
    };
    static const uint64_t starts_us[] = {1, 8191, 2097151, 2097152, 134217727, 999999999999};
    for (size_t s = 0; s < ARRAY_LEN(starts_us); s++) {
        static struct wheel w;
        struct test_timer x[ARRAY_LEN(delays_us)] = {0};
        fake_now_us = starts_us[s];
        wheel_init(&w, fake_now_us);
        assert_int_equal(wheel_next_us(&w), UINT64_MAX);
        for (size_t i = 0; i < ARRAY_LEN(x); i++) {
            loop_timer_init(&x[i].timer, note);
            timer_at(&w, &x[i], starts_us[s] + delays_us[i]);
        }
        run_until(&w, starts_us[s] + 40000000000u);
        for (size_t i = 0; i < ARRAY_LEN(x); i++) {
            assert_int_equal(x[i].fired, 1);
            assert_int_equal(x[i].timer.due_us, 0);
            assert_true(x[i].fired_us >= x[i].want_us);
            assert_true(x[i].fired_us <= x[i].want_us + 2 * 8192);
        }
        assert_int_equal(wheel_next_us(&w), UINT64_MAX);
    }
}

static uint32_t rnd_state;
static uint32_t rnd(void)
{
    rnd_state = rnd_state * 1664525 + 1013904223;
    return rnd_state >> 8;
}

static void test_wheel_random(void **state)
{
    static struct wheel w;
    static struct test_timer x[200];
    rnd_state = 7;
    memset(x, 0, sizeof x);
    fake_now_us = 123456789;
    wheel_init(&w, fake_now_us);
    for (size_t i = 0; i < ARRAY_LEN(x); i++)
        loop_timer_init(&x[i].timer, note);
    for (unsigned round = 0; round < 20000; round++) {
        struct test_timer *t = &x[rnd() % ARRAY_LEN(x)];
        uint64_t delay = (uint64_t)rnd() << (rnd() % 12);
        if (rnd() % 8 == 0) {
            loop_timer_clear(&t->timer);
            t->want_us = 0;
        } else {
            timer_at(&w, t, fake_now_us + delay);
        }
        run_until(&w, fake_now_us + (rnd() % 50000) * (rnd() % 64 == 0 ? 1000 : 1));
        for (size_t i = 0; i < ARRAY_LEN(x); i++) {
            if (x[i].fired) {
                assert_int_equal(x[i].fired, 1);
                assert_true(x[i].want_us && x[i].fired_us >= x[i].want_us);
                assert_true(x[i].fired_us <= x[i].want_us + 2 * 8192);
                x[i].fired = 0;
                x[i].want_us = 0;
            }
            /* not fired: not due for longer than a tick or two */
            assert_true(!x[i].want_us || x[i].want_us + 2 * 8192 > fake_now_us);
        }
    }
}

static void test_wheel_late_loop(void **state)
{
    static struct wheel w;
    struct test_timer x[3] = {0};
    fake_now_us = 1000;
    wheel_init(&w, fake_now_us);
    for (size_t i = 0; i < 3; i++)
        loop_timer_init(&x[i].timer, note);
    timer_at(&w, &x[0], 50000);
    timer_at(&w, &x[1], 5000000);
    timer_at(&w, &x[2], 500000000);
    fake_now_us = 600000000; /* the loop was stopped for ten minutes */
    wheel_run(&w, fake_now_us);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(x[i].fired, 1);
}

static void test_wheel_push_back(void **state)
{
    static struct wheel w;
    struct test_timer x = {0};
    fake_now_us = 1000;
    wheel_init(&w, fake_now_us);
    loop_timer_init(&x.timer, note);
    timer_at(&w, &x, fake_now_us + 1000000);
    struct list *in_slot = x.timer.node.next;
    unsigned wakes = 0;
    for (int i = 0; i < 1000; i++) {
        wakes += run_until(&w, fake_now_us + 10000);
        if (i < 90)
            assert_ptr_equal(x.timer.node.next, in_slot); /* nothing moved */
        timer_at(&w, &x, fake_now_us + 1000000);
    }
    assert_int_equal(x.fired, 0);
    assert_in_range(wakes, 1, 30);         /* once a second at most, not once a change */
    timer_at(&w, &x, fake_now_us + 20000); /* and earlier */
    run_until(&w, fake_now_us + 40000);
    assert_int_equal(x.fired, 1);
}

static struct wheel *chain_wheel;
static struct test_timer chain_timers[2];
static unsigned chain_runs;

static void rearm(struct loop_timer *t)
{
    chain_runs++;
    wheel_set(chain_wheel, t, fake_now_us); /* due now: not again in this run */
    loop_timer_clear(&chain_timers[1].timer);
}

static void test_wheel_from_callback(void **state)
{
    static struct wheel w;
    chain_wheel = &w;
    chain_runs = 0;
    fake_now_us = 1000;
    wheel_init(&w, fake_now_us);
    memset(chain_timers, 0, sizeof chain_timers);
    loop_timer_init(&chain_timers[0].timer, rearm);
    loop_timer_init(&chain_timers[1].timer, note);
    timer_at(&w, &chain_timers[0], 20000);
    timer_at(&w, &chain_timers[1], 20000);
    fake_now_us = 100000;
    wheel_run(&w, fake_now_us);
    assert_int_equal(chain_runs, 1);
    assert_int_equal(chain_timers[1].fired, 0); /* cleared by its neighbour */
    fake_now_us += 8192;
    wheel_run(&w, fake_now_us);
    assert_int_equal(chain_runs, 2);
}

/* ---- the loop ---- */

struct test_task {
    struct loop_task task;
    struct loop *loop;
    char mark;
    unsigned runs, again; /* queue itself so often */
    void (*requeue)(struct loop *l, struct loop_task *t);
    struct test_task *also; /* flush this one too */
};

static char trail[256];

static void run_task(struct loop_task *t)
{
    struct test_task *x = CONTAINER_OF(t, struct test_task, task);
    size_t len = strlen(trail);
    x->runs++;
    if (len + 1 < sizeof trail) {
        trail[len] = x->mark;
        trail[len + 1] = 0;
    }
    if (x->again) {
        x->again--;
        x->requeue(x->loop, t);
    }
    if (x->also)
        loop_flush(x->loop, &x->also->task);
}

static void task_init(struct test_task *x, struct loop *l, char mark)
{
    *x = (struct test_task){.loop = l, .mark = mark, .requeue = loop_flush};
    loop_task_init(&x->task, run_task);
}

#define LONG_MS 30000 /* it must not wait for */

static void test_tasks(void **state)
{
    struct loop *l = loop_new();
    struct test_task a, b, r, n, cancelled;
    assert_non_null(l);
    task_init(&a, l, 'a');
    task_init(&b, l, 'b');
    task_init(&r, l, 'r');
    task_init(&n, l, 'n');
    task_init(&cancelled, l, 'x');
    trail[0] = 0;
    a.again = 2; /* queued again during its own run */
    r.also = &b; /* a flush queued by reaping runs in the next turn, which does not wait */
    loop_reap(l, &r.task);
    loop_flush(l, &a.task);
    loop_flush(l, &a.task);
    loop_flush(l, &cancelled.task);
    loop_task_cancel(&cancelled.task);
    loop_again(l, &n.task);
    uint64_t before = clock_mono_us();
    loop_turn(l, LONG_MS);
    assert_string_equal(trail, "naaar");
    loop_turn(l, LONG_MS);
    assert_string_equal(trail, "naaarb");
    assert_true(clock_mono_us() - before < LONG_MS * 1000u);
    /* again: one run a turn */
    n.again = 3;
    n.requeue = loop_again;
    n.runs = 0;
    loop_again(l, &n.task);
    for (unsigned i = 1; i <= 4; i++) {
        loop_turn(l, LONG_MS);
        assert_int_equal(n.runs, i);
    }
    assert_true(clock_mono_us() - before < LONG_MS * 1000u);
    /* a task that never ends its queueing does not stop the loop */
    a.again = UINT32_MAX;
    a.runs = 0;
    loop_flush(l, &a.task);
    loop_turn(l, 0);
    assert_in_range(a.runs, 2, 100000);
    loop_task_cancel(&a.task);
    loop_free(l);
}

struct test_source {
    struct loop_source source;
    struct loop *loop;
    unsigned events, calls;
    struct test_source *forget;
};

static void on_source(struct loop_source *s, unsigned events)
{
    struct test_source *x = CONTAINER_OF(s, struct test_source, source);
    x->calls++;
    x->events |= events;
    if (x->forget && x->forget->source.fd >= 0) {
        loop_forget(x->loop, &x->forget->source);
        close(x->forget->source.fd);
        x->forget->source.fd = -1;
    }
}

static void test_events(void **state)
{
    struct loop *l = loop_new();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct test_source s = {.source = {on_source, fds[0]}, .loop = l};
    assert_int_equal(loop_add(l, &s.source), 0);
    loop_turn(l, 1000);
    assert_int_equal(s.events, LOOP_OUT);
    s.events = s.calls = 0;
    loop_turn(l, 0); /* edge-triggered: nothing new */
    assert_int_equal(s.calls, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_turn(l, 1000);
    assert_true(s.events & LOOP_IN);
    assert_false(s.events & (LOOP_RDHUP | LOOP_HUP));
    shutdown(fds[1], SHUT_WR);
    loop_turn(l, 1000);
    assert_true(s.events & LOOP_RDHUP);
    assert_false(s.events & LOOP_HUP);
    close(fds[1]);
    loop_turn(l, 1000);
    assert_true(s.events & LOOP_HUP);
    loop_remove(l, &s.source);
    close(fds[0]);
    s.source.fd = -1;
    assert_int_equal(loop_add(l, &s.source), ERR_SYS);
    assert_int_equal(loop_calls(l)->waits, 5);
    loop_free(l);
}

/* A peer that reads makes room, which a reader does not hear of. */
static void test_room(void **state)
{
    struct loop *l = loop_new();
    int fds[2];
    char c;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct test_source s = {.source = {on_source, fds[0]}, .loop = l};
    assert_int_equal(loop_add_reader(l, &s.source), 0);
    loop_turn(l, 0);
    assert_int_equal(s.calls, 0);
    for (int watch = 0; watch < 2; watch++) {
        loop_watch_room(l, &s.source, watch);
        loop_turn(l, 0);
        assert_int_equal(s.events, watch ? LOOP_OUT : 0);
        s.events = 0;
        assert_int_equal(write(fds[0], "x", 1), 1);
        assert_int_equal(read(fds[1], &c, 1), 1);
        loop_turn(l, 0);
        assert_int_equal(s.events, watch ? LOOP_OUT : 0);
    }
    loop_remove(l, &s.source);
    close(fds[0]);
    close(fds[1]);
    loop_free(l);
}

static void test_forget_in_batch(void **state)
{
    struct loop *l = loop_new();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct test_source a = {.source = {on_source, fds[0]}, .loop = l};
    struct test_source b = {.source = {on_source, fds[1]}, .loop = l};
    a.forget = &b; /* whichever comes first closes the other, whose event waits */
    b.forget = &a;
    assert_int_equal(loop_add(l, &a.source), 0);
    assert_int_equal(loop_add(l, &b.source), 0);
    loop_turn(l, 1000);
    assert_int_equal(a.calls + b.calls, 1);
    close(a.source.fd >= 0 ? a.source.fd : b.source.fd);
    loop_free(l);
}

static void stop_due(struct loop_timer *t)
{
    struct test_timer *x = CONTAINER_OF(t, struct test_timer, timer);
    x->fired_us = clock_mono_us();
    loop_stop((struct loop *)(uintptr_t)x->want_us);
}

static void test_loop_timer(void **state)
{
    struct loop *l = loop_new();
    struct test_timer x = {.want_us = (uint64_t)(uintptr_t)l};
    loop_timer_init(&x.timer, stop_due);
    uint64_t due = clock_mono_us() + 50000;
    loop_timer_set(l, &x.timer, due);
    loop_run(l);
    assert_true(x.fired_us >= due);
    assert_true(x.fired_us < due + 20000000); /* 17 ms where the machine is idle */
    assert_in_range(loop_calls(l)->waits, 1, 3);
    loop_free(l);
}

/* ---- mailboxes ---- */

#define POSTERS 4
#define POSTS   20000u

struct post_office {
    struct loop *loop;
    struct mailbox *box;
    unsigned next[POSTERS], taken;
    unsigned free_after;
};

static void on_message(void *user, unsigned type, void *message)
{
    struct post_office *o = user;
    assert_true(type < POSTERS);
    assert_int_equal((uintptr_t)message, o->next[type]); /* in order of each poster */
    o->next[type]++;
    if (++o->taken == POSTERS * POSTS)
        loop_stop(o->loop);
}

struct poster {
    pthread_t thread;
    struct mailbox *box;
    unsigned type;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        if (mailbox_post(p->box, p->type, (void *)(uintptr_t)i) != 0)
            abort();
        if (i % 1000 == 0)
            usleep(500); /* let the loop fall asleep now and then */
    }
    return NULL;
}

static void test_mailbox(void **state)
{
    struct post_office o = {.loop = loop_new()};
    struct poster posters[POSTERS];
    o.box = mailbox_new(o.loop, on_message, &o);
    assert_non_null(o.box);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.box = o.box, .type = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    loop_run(o.loop);
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(o.next[i], POSTS);
    }
    mailbox_free(o.box);
    loop_free(o.loop);
}

static void free_box(void *user, unsigned type, void *message)
{
    struct post_office *o = user;
    if (++o->taken == o->free_after)
        mailbox_free(o->box);
}

static void test_mailbox_free(void **state)
{
    struct post_office o = {.loop = loop_new(), .free_after = 2};
    o.box = mailbox_new(o.loop, free_box, &o);
    for (int i = 0; i < 5; i++)
        assert_int_equal(mailbox_post(o.box, 0, NULL), 0);
    loop_turn(o.loop, 1000);
    assert_int_equal(o.taken, 2); /* freed inside its callback: the rest is dropped */
    o.box = mailbox_new(o.loop, free_box, &o);
    assert_int_equal(mailbox_post(o.box, 0, NULL), 0);
    mailbox_free(o.box);
    loop_turn(o.loop, 0);
    assert_int_equal(o.taken, 2);
    loop_free(o.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_exact),
        cmocka_unit_test(test_wheel_random),
        cmocka_unit_test(test_wheel_late_loop),
        cmocka_unit_test(test_wheel_push_back),
        cmocka_unit_test(test_wheel_from_callback),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_forget_in_batch),
        cmocka_unit_test(test_loop_timer),
        cmocka_unit_test(test_mailbox),
        cmocka_unit_test(test_mailbox_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
