/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a document and what is pushed with it leave, octet by octet.  a and b are
 * critical and may be woven into the document, x and y are not. */
#include "h2_weave.h"

static void test_order(void **state)
{
    static const struct {
        const char *priority;
        int32_t id;
    } documents[] = {{"u=3", 1}, {"u=0, i", 1}, {"u=7", 101}, {"u=7, i", 101}};
    static const size_t caps[] = {40, 700, 5000, 16393, 1 << 17};
    for (size_t d = 0; d < ARRAY_LEN(documents); d++)
        for (size_t c = 0; c < ARRAY_LEN(caps); c++) {
            struct world w;
            open_as(&w, WIDE, documents[d].id, documents[d].priority);
            widen(&w, -1, WIDE);
            weave(&w, B, OFFSET);
            weave(&w, A, OFFSET);
            for (int i = Y; i >= D; i--)
                queue_all(&w, i);
            draw(&w, caps[c]);
            expect(&w, "D8192 a5000 b30000 D51808 x4000 y4000");
        }
}

/* The order of the offsets, whatever that of the promises is; one that is 0 needs no octet of the
 * document, one beyond its end is never reached. */
static void test_offsets(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, 20000);
    weave(&w, B, OFFSET);
    weave(&w, X, 0);
    weave(&w, Y, DOCUMENT + 1);
    weave(&w, A, 20001); /* thought better of */
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    draw(&w, 16393);
    expect(&w, "x4000 D8192 b30000 D11809 a5000 D39999 y4000");
}

/* What the connection's window lets through a little at a time is the same. */
static void test_small_conn_window(void **state)
{
    struct world w;
    open_as(&w, WIDE, 1, "u=3");
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    for (draw(&w, 16393); h2_conn_queued(w.conn); draw(&w, 16393))
        widen(&w, -1, 777);
    expect(&w, "D8192 a5000 b30000 D51808 x4000 y4000");
}

/* Streams' windows: who has none does not hold up the others, and takes its turn with the next. */
static void test_small_stream_windows(void **state)
{
    struct world w;
    open_as(&w, 3000, 1, "u=3");
    widen(&w, -1, WIDE);
    weave(&w, A, OFFSET);
    for (int i = D; i < NAMES; i++)
        if (i != B)
            queue_all(&w, i);
    draw(&w, 16393); /* the document has no window: the others fill the time */
    widen(&w, D, 6000);
    widen(&w, A, 1000);
    draw(&w, 16393);
    widen(&w, A, WIDE);
    widen(&w, D, WIDE);
    widen(&w, X, WIDE);
    widen(&w, Y, WIDE);
    draw(&w, 16393);
    expect(&w, "D3000 a3000 x3000 y3000 D5192 a1000 D808 a1000 D51000 x1000 y1000");
}

static void test_blocked_woven(void **state)
{
    struct world w;
    open_as(&w, 10000, 1, "u=3");
    widen(&w, -1, WIDE);
    widen(&w, D, WIDE);
    weave(&w, B, OFFSET);
    queue_all(&w, D);
    queue_all(&w, B);
    draw_once(&w, 2 * HEAD + FRAME + 8192 + FRAME + 10000 + FRAME + 5000);
    widen(&w, B, 12000);
    draw_once(&w, FRAME + 12000 + FRAME + 2000);
    widen(&w, B, WIDE);
    draw(&w, 16393);
    expect(&w, "D8192 b10000 D5000 b12000 D2000 b8000 D44808");
}

/* A worker that is late with what is critical does not delay the document; a piece that comes goes
 * first. */
static void test_late_worker(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    queue_all(&w, D);
    draw_once(&w, HEAD + FRAME + 8192 + FRAME + 10000);
    respond(&w, B, NULL);
    queue(&w, B, 2000, false);
    draw_once(&w, HEAD + FRAME + 2000 + FRAME + 2998);
    queue_all(&w, A);
    queue(&w, B, 1000, true);
    queue_all(&w, X);
    draw(&w, 16393);
    expect(&w, "D18192 b2000 D2998 a5000 b1000 D38810 x4000");
}

/* A document that is late itself leaves the time to what is woven into it. */
static void test_late_document(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    queue_all(&w, A);
    draw(&w, 16393);
    respond(&w, D, NULL);
    queue(&w, D, 3000, false);
    queue_all(&w, X);
    draw(&w, 16393);
    queue_all(&w, B);
    queue(&w, D, DOCUMENT - 3000, true);
    draw(&w, 16393);
    expect(&w, "a5000 D3000 x4000 D5192 b30000 D51808");
}

/* The client's wish counts, before and after. */
static void test_priority_update(void **state)
{
    struct world w;
    open_world(&w);
    tell_priority(&w, A, "u=1");
    assert_false(h2_stream_weave(w.streams[A], w.streams[D], OFFSET));
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    draw_once(&w, 5 * HEAD + FRAME + 5000 + FRAME + 8192 + FRAME + 7000);
    tell_priority(&w, B, "u=6");
    tell_priority(&w, Y, "u=4"); /* now it is as good as asked for, and goes before x */
    draw(&w, 16393);
    expect(&w, "a5000 D8192 b7000 D51808 y4000 x4000 b23000");
}

static void test_set_priority(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    h2_stream_set_priority(w.streams[A], (struct priority){.urgency = 7});
    h2_stream_set_priority(w.streams[D], (struct priority){.urgency = 5}); /* b goes with it */
    draw(&w, 16393);
    expect(&w, "x4000 y4000 D8192 b30000 D51808 a5000");
}

/* RFC 9218 8: the origin overrules what it promised, not the client; and not where it is woven. */
static void test_response_priority(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    tell_priority(&w, X, "u=6");
    queue_all(&w, D);
    respond(&w, A, "u=0");
    respond(&w, B, "u=2");
    respond(&w, X, "u=0");
    respond(&w, Y, "u=5, i");
    for (int i = A; i < NAMES; i++)
        queue(&w, i, octets_of[i], true);
    assert_int_equal(h2_stream_priority(w.streams[Y]).urgency, 5);
    assert_true(h2_stream_priority(w.streams[Y]).incremental);
    draw(&w, 16393);
    expect(&w, "b30000 D8192 a5000 D51808 y4000 x4000");
}

/* When the document is over early, by the client's will or its own, the rest goes by itself. */
static void test_document_ends(void **state)
{
    for (int how = 0; how < 3; how++) {
        struct world w;
        open_world(&w);
        weave(&w, B, OFFSET);
        weave(&w, A, OFFSET);
        respond(&w, D, NULL);
        queue(&w, D, 3000, how == 0);
        for (int i = A; i < NAMES; i++)
            queue_all(&w, i);
        if (how == 1) {
            nghttp2_submit_rst_stream(w.judge, 0, w.ids[D], NGHTTP2_CANCEL);
            judge_to_us(&w);
            assert_null(w.streams[D]);
        } else if (how == 2) {
            h2_stream_reset(w.streams[D], H2_INTERNAL_ERROR);
        }
        if (how) {
            w.queued[D] = 0;
            draw(&w, 16393);
            expect(&w, "a5000 b30000 x4000 y4000");
        } else {
            draw(&w, 16393);
            expect(&w, "D3000 a5000 b30000 x4000 y4000");
        }
    }
}

static void test_woven_ends(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    nghttp2_submit_rst_stream(w.judge, 0, w.ids[A], NGHTTP2_CANCEL);
    judge_to_us(&w);
    h2_stream_reset(w.streams[B], H2_CANCEL);
    w.queued[A] = w.queued[B] = 0;
    draw(&w, 16393);
    expect(&w, "D60000 x4000 y4000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_small_conn_window),
        cmocka_unit_test(test_small_stream_windows),
        cmocka_unit_test(test_blocked_woven),
        cmocka_unit_test(test_late_worker),
        cmocka_unit_test(test_late_document),
        cmocka_unit_test(test_priority_update),
        cmocka_unit_test(test_set_priority),
        cmocka_unit_test(test_response_priority),
        cmocka_unit_test(test_document_ends),
        cmocka_unit_test(test_woven_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
