/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "http/h2_internal.h"

struct row {
    const char *name;
    /* id, even if it is promised, urgency, incremental; in the order in which they become ready */
    struct {
        uint32_t id;
        uint8_t urgency;
        bool incremental;
        unsigned frames; /* that it has to send */
    } streams[6];
    const char *order;
};

static const struct row rows[] = {
    {"ids in order, one after the other",
     {{5, 3, false, 2}, {1, 3, false, 2}, {3, 3, false, 1}},
     "1 1 3 5 5 "},
    {"the more urgent first", {{1, 5, false, 2}, {3, 0, false, 1}, {5, 3, true, 1}}, "3 5 1 1 "},
    {"incremental ones share", {{1, 3, true, 3}, {3, 3, true, 2}, {5, 3, true, 1}}, "1 3 5 1 3 1 "},
    {"both kinds alternate",
     {{1, 3, false, 2}, {3, 3, true, 2}, {5, 3, true, 1}, {7, 3, false, 1}},
     "1 3 1 5 7 3 "},
    {"the last urgency", {{1, 7, true, 1}, {3, 6, false, 1}}, "3 1 "},
    {"what was asked for before what was promised",
     {{2, 7, false, 1}, {4, 7, false, 1}, {101, 7, false, 2}, {99, 7, false, 1}},
     "99 101 101 2 4 "},
    {"and before it what is incremental",
     {{2, 7, false, 1}, {101, 7, true, 2}, {103, 7, true, 1}},
     "101 103 101 2 "},
    {"but not what was promised and is incremental",
     {{2, 4, false, 2}, {4, 4, true, 2}},
     "2 4 2 4 "},
};

static void test_order(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct h2_stream streams[6] = {0};
        unsigned left[6];
        struct h2_sched q;
        char order[64] = "";
        size_t n = 0;
        h2_sched_init(&q);
        assert_null(h2_sched_pick(&q));
        for (; n < 6 && row->streams[n].id; n++) {
            streams[n].id = row->streams[n].id;
            streams[n].priority = (struct priority){.urgency = row->streams[n].urgency,
                                                    .incremental = row->streams[n].incremental};
            streams[n].promised = streams[n].id % 2 == 0;
            left[n] = row->streams[n].frames;
            h2_sched_add(&q, &streams[n]);
        }
        for (struct h2_stream *s; (s = h2_sched_pick(&q));) {
            size_t len = strlen(order);
            snprintf(order + len, sizeof order - len, "%u ", s->id);
            h2_sched_served(&q, s);
            if (--left[s - streams] == 0)
                h2_sched_remove(&q, s);
        }
        assert_true(h2_sched_is_empty(&q));
        if (strcmp(order, row->order) != 0)
            fail_msg("%s: %s, not %s", row->name, order, row->order);
    }
}

/* A stream that becomes ready while others are served takes its place by id and urgency. */
static void test_late(void **state)
{
    struct h2_stream a = {.id = 3, .priority = PRIORITY_DEFAULT};
    struct h2_stream b = {.id = 1, .priority = PRIORITY_DEFAULT};
    struct h2_stream c = {.id = 5, .priority = {.urgency = 1}};
    struct h2_sched q;
    h2_sched_init(&q);
    h2_sched_add(&q, &a);
    assert_ptr_equal(h2_sched_pick(&q), &a);
    h2_sched_served(&q, &a);
    h2_sched_add(&q, &b);
    assert_ptr_equal(h2_sched_pick(&q), &b);
    h2_sched_add(&q, &c);
    assert_ptr_equal(h2_sched_pick(&q), &c);
    h2_sched_remove(&q, &c);
    h2_sched_remove(&q, &b);
    assert_ptr_equal(h2_sched_pick(&q), &a);
    h2_sched_remove(&q, &a);
    assert_null(h2_sched_pick(&q));
}

/* A promised stream is as good as one that was asked for once the client told its priority. */
static void test_told(void **state)
{
    struct h2_stream promised = {.id = 2, .priority = PRIORITY_DEFAULT, .promised = true};
    struct h2_stream asked = {.id = 1, .priority = {.urgency = 3, .incremental = true}};
    struct h2_sched q;
    h2_sched_init(&q);
    h2_sched_add(&q, &asked);
    h2_sched_add(&q, &promised);
    assert_ptr_equal(h2_sched_pick(&q), &asked);
    h2_sched_served(&q, &asked);
    assert_ptr_equal(h2_sched_pick(&q), &asked);
    promised.told = true;
    h2_sched_set_priority(&q, &promised, PRIORITY_DEFAULT);
    assert_ptr_equal(h2_sched_pick(&q), &promised);
    h2_sched_served(&q, &promised);
    assert_ptr_equal(h2_sched_pick(&q), &asked);
}

/* A parent and what is woven into it have one place, whoever of them has something to send, and
 * share with others as one. */
static void test_woven(void **state)
{
    struct h2_stream parent = {.id = 1, .priority = {.urgency = 3, .incremental = true}};
    struct h2_stream other = {.id = 3, .priority = {.urgency = 3, .incremental = true}};
    struct h2_stream w = {.id = 2, .priority = {.urgency = 4}, .promised = true};
    struct h2_stream v = {.id = 4, .priority = {.urgency = 0}, .promised = true};
    struct h2_sched q;
    h2_sched_init(&q);
    h2_sched_add(&q, &v);
    h2_sched_weave(&q, &v, &parent, 20);
    h2_sched_weave(&q, &w, &parent, 10);
    assert_ptr_equal(h2_sched_pick(&q), &v); /* nobody else has anything */
    h2_sched_add(&q, &other);
    h2_sched_add(&q, &parent);
    h2_sched_add(&q, &w);
    assert_ptr_equal(h2_sched_pick(&q), &parent);
    assert_int_equal(h2_sched_cut(&parent, 100), 10);
    assert_int_equal(h2_sched_cut(&parent, 9), 9);
    h2_sched_served(&q, &parent);
    assert_ptr_equal(h2_sched_pick(&q), &other);
    h2_sched_served(&q, &other);
    parent.content_sent = 10;
    assert_int_equal(h2_sched_cut(&parent, 100), 10);
    assert_ptr_equal(h2_sched_pick(&q), &w);
    h2_sched_served(&q, &w);
    assert_ptr_equal(h2_sched_pick(&q), &other);
    h2_sched_served(&q, &other);
    h2_sched_remove(&q, &w); /* late */
    assert_ptr_equal(h2_sched_pick(&q), &parent);
    parent.content_sent = 20;
    assert_int_equal(h2_sched_cut(&parent, 100), 100);
    assert_ptr_equal(h2_sched_pick(&q), &v);
    h2_sched_add(&q, &w);
    assert_ptr_equal(h2_sched_pick(&q), &w);

    /* The place moves with the parent's priority, and is left to nobody when all are apart. */
    h2_sched_set_priority(&q, &parent, (struct priority){.urgency = 5});
    assert_ptr_equal(h2_sched_pick(&q), &other);
    h2_sched_remove(&q, &parent);
    h2_sched_unweave(&q, &parent);
    assert_null(parent.woven);
    assert_ptr_equal(h2_sched_pick(&q), &v);
    h2_sched_remove(&q, &v);
    assert_ptr_equal(h2_sched_pick(&q), &other);
    h2_sched_remove(&q, &other);
    assert_ptr_equal(h2_sched_pick(&q), &w);
    h2_sched_remove(&q, &w);
    assert_true(h2_sched_is_empty(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_woven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
