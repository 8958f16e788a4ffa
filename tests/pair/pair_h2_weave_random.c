/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens to a document and what is pushed with it, and when, each frame of DATA is one
 * that may go now: see the watch_ functions.  In the end all octets are there. */
#include "h2_weave.h"

struct random {
    struct world w;
    struct rng rng;
    bool responded[NAMES], finished[NAMES], is_woven[NAMES], told[NAMES], cut[NAMES];
    uint32_t at[NAMES];
    unsigned interleaved; /* frames that went before what is left of the document */
};

/* ---- what must be true of a frame ---- */

static bool can_send(const struct random *r, int i)
{
    const struct h2_stream *s = r->w.streams[i];
    return s && h2_stream_queued(s) > 0 && s->send_window > 0;
}

/* Whether i goes before j, both woven. */
static bool is_first(const struct random *r, int i, int j)
{
    return r->at[i] < r->at[j] || (r->at[i] == r->at[j] && r->w.ids[i] < r->w.ids[j]);
}

/* Not beyond an offset, unless what is woven in there cannot go. */
static void watch_document(const struct random *r, size_t before)
{
    for (int i = A; i < NAMES; i++)
        if (r->is_woven[i]) {
            assert_false(r->at[i] <= before && can_send(r, i));
            assert_true(r->at[i] <= before || r->w.sent[D] <= r->at[i]);
        }
}

/* Not before the offset, unless the document cannot go; and in order. */
static void watch_woven(struct random *r, int i)
{
    assert_false(r->w.sent[D] < r->at[i] && can_send(r, D));
    for (int j = A; j < NAMES; j++)
        assert_false(r->is_woven[j] && can_send(r, j) && is_first(r, j, i));
    r->interleaved += can_send(r, D);
}

/* Not before the document, nor before what is woven into it. */
static void watch_other(const struct random *r, int i)
{
    assert_false(can_send(r, D));
    for (int j = A; j < NAMES; j++)
        assert_false(r->is_woven[j] && can_send(r, j));
}

/* The document, or one that is woven into it, has ended. */
static void unweave(struct random *r, int ended)
{
    for (int i = A; i < NAMES; i++)
        if (ended == D || ended == i)
            r->is_woven[i] = false;
}

static void watch(struct world *w, int i, size_t before)
{
    struct random *r = (struct random *)w;
    if (i == D)
        watch_document(r, before);
    else if (r->is_woven[i])
        watch_woven(r, i);
    else if (!r->told[i])
        watch_other(r, i);
    if (r->finished[i] && w->sent[i] == w->queued[i])
        unweave(r, i);
}

/* ---- what happens ---- */

static void random_piece(struct random *r, int i)
{
    size_t left = octets_of[i] - r->w.queued[i], n = 1 + rng_below(&r->rng, 6000);
    if (!r->w.streams[i] || r->finished[i])
        return;
    if (!r->responded[i])
        respond(&r->w, i, NULL);
    r->responded[i] = true;
    r->finished[i] = n >= left;
    queue(&r->w, i, n < left ? n : left, n >= left);
}

static void random_weave(struct random *r)
{
    int i = A + (int)rng_below(&r->rng, NAMES - A);
    bool is_over = !r->w.streams[D] || (r->finished[D] && r->w.sent[D] == r->w.queued[D]);
    if (!r->w.streams[i] || !r->w.streams[D])
        return;
    uint32_t at = rng_one_in(&r->rng, 3) ? OFFSET : rng_below(&r->rng, DOCUMENT);
    bool is_woven = h2_stream_weave(r->w.streams[i], r->w.streams[D], at);
    assert_true(is_woven == !(is_over || r->told[i]));
    r->is_woven[i] = is_woven;
    r->at[i] = at;
}

static void random_priority(struct random *r)
{
    static const char *const values[] = {"u=1", "u=6", "u=3, i"};
    int i = A + (int)rng_below(&r->rng, NAMES - A);
    if (rng_one_in(&r->rng, 3)) {
        tell_priority(&r->w, D, rng_one_in(&r->rng, 2) ? "u=2, i" : "u=0");
    } else if (rng_one_in(&r->rng, 2) || !r->w.streams[i]) {
        tell_priority(&r->w, i, values[rng_below(&r->rng, 3)]);
        r->told[i] = true;
        r->is_woven[i] = false;
    } else {
        h2_stream_set_priority(r->w.streams[i], (struct priority){.urgency = 7});
        r->is_woven[i] = false;
    }
}

static void random_reset(struct random *r)
{
    int i = (int)rng_below(&r->rng, NAMES);
    if (!r->w.streams[i])
        return;
    r->cut[i] = true;
    unweave(r, i);
    if (rng_one_in(&r->rng, 2)) {
        nghttp2_submit_rst_stream(r->w.judge, 0, r->w.ids[i], NGHTTP2_CANCEL);
        judge_to_us(&r->w);
    } else {
        h2_stream_reset(r->w.streams[i], H2_CANCEL);
        r->w.streams[i] = NULL;
    }
}

static void random_step(struct random *r, bool resets)
{
    uint32_t dice = rng_below(&r->rng, 100);
    if (dice < 40)
        random_piece(r, (int)rng_below(&r->rng, NAMES));
    else if (dice < 50)
        random_piece(r, D);
    else if (dice < 58)
        random_weave(r);
    else if (dice < 60)
        random_priority(r);
    else if (dice < 75)
        widen(&r->w, (int)rng_below(&r->rng, NAMES + 1) - 1, 1 + rng_below(&r->rng, 8000));
    else if (dice == 75 && resets)
        random_reset(r);
    else
        draw_once(&r->w, 1 + rng_below(&r->rng, rng_one_in(&r->rng, 4) ? 40 : 20000));
}

/* return  frames that went before what was left of the document */
static unsigned run(uint64_t seed, bool resets)
{
    static const uint32_t windows[] = {1, 700, 9000, WIDE};
    static struct random random;
    struct random *r = &random;
    *r = (struct random){0};
    rng_seed(&r->rng, seed);
    open_as(&r->w, windows[rng_below(&r->rng, 4)], 1 + 2 * (int32_t)rng_below(&r->rng, 50), "u=3");
    r->w.watch = watch;
    for (unsigned step = 0; step < 200; step++)
        random_step(r, resets);
    for (int i = -1; i < NAMES; i++)
        if (i < 0 || r->w.streams[i])
            widen(&r->w, i, WIDE);
    for (int i = D; i < NAMES; i++)
        while (r->w.streams[i] && !r->finished[i])
            random_piece(r, i);
    draw(&r->w, 16393);
    for (int i = D; i < NAMES; i++)
        if (!r->cut[i])
            assert_true(r->w.ended[i] && r->w.received[i] == octets_of[i]);
    close_world(&r->w);
    return r->interleaved;
}

static void test_random(void **state)
{
    unsigned interleaved = 0;
    for (uint64_t seed = 1; seed <= 600; seed++)
        interleaved += run(seed, seed % 2);
    assert_true(interleaved > 600); /* that it was worth while */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
