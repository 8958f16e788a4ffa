/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/engine.h"

void engine_free(struct engine *e)
{
    if (e->h1)
        h1_conn_free(e->h1);
    if (e->h2)
        h2_conn_free(e->h2);
    *e = (struct engine){NULL, NULL};
}

int engine_feed(struct engine *e, const void *in, size_t len, uint64_t now_us)
{
    return e->h2 ? h2_conn_feed(e->h2, in, len, now_us) : h1_conn_feed(e->h1, in, len);
}

bool engine_has_output(const struct engine *e)
{
    return e->h2 ? h2_conn_has_output(e->h2) : e->h1 && h1_conn_has_output(e->h1);
}

static size_t output(struct engine *e, char *out, size_t cap, uint64_t now_us)
{
    return e->h2 ? h2_conn_output(e->h2, out, cap, now_us) : h1_conn_output(e->h1, out, cap);
}

int engine_flush(struct engine *e, struct shard *s, struct stream *st, const bool *dead,
                 struct loop_task *again)
{
    char *out = loop_scratch(s->loop, 2);
    size_t budget = SHARD_TURN_OCTETS;
    while (!stream_is_blocked(st)) {
        if (budget == 0) {
            loop_again(s->loop, again);
            return 0;
        }
        size_t n = output(e, out, SHARD_READ_OCTETS, shard_now_us(s));
        if (n == 0 || *dead)
            return 0;
        int err = stream_write(st, out, n);
        if (err < 0)
            return err;
        budget = budget > n ? budget - n : 0;
    }
    return 0;
}

ssize_t engine_read(struct shard *s, struct stream *st, size_t *budget)
{
    ssize_t n = stream_read(st, s->rx->octets, SHARD_RX_OCTETS);
    if (n > 0)
        *budget = *budget > (size_t)n ? *budget - (size_t)n : 0;
    return n;
}

void engine_count(const struct stream *st, struct engine_counted *counted, _Atomic uint64_t *in,
                  _Atomic uint64_t *out)
{
    stats_add(in, st->octets_in - counted->in);
    stats_add(out, st->octets_out - counted->out);
    *counted = (struct engine_counted){st->octets_in, st->octets_out};
}
