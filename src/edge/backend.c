/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/backend.h"
#include "edge/worker_h1.h"
#include "edge/worker_h2.h"
#include "base/panic.h"

struct backend *backend_get(struct shard *s, struct slice id, struct slice address, bool h2,
                            uint32_t owner, bool *no_memory_out)
{
    char text[2 * ADDR_TEXT_OCTETS + 8];
    size_t len = 0;
    struct addr addr;
    if (id.len + address.len + 3 > sizeof text || addr_parse(address, &addr) < 0)
        return NULL;
    if (s->root && !addr_enter(&addr, s->root))
        return NULL;
    memcpy(text, id.p, id.len);
    len = id.len;
    text[len++] = h2 ? '>' : ' ';
    memcpy(text + len, address.p, address.len);
    len += address.len;
    struct backend *b = map_get(&s->backends, slice_of(text, len));
    if (b) {
        b->refs++;
        b->owner = owner;
        b->unused_us = 0;
        b->bad_until_us = 0; /* control has seen it accept */
        return b;
    }
    b = pool_zget(s->pool, sizeof *b + len);
    if (!b) {
        *no_memory_out = true;
        return NULL;
    }
    b->magic = BACKEND_MAGIC;
    b->shard = s;
    b->address = addr;
    ration_init(&b->ration, shard_now_us(s));
    b->h2 = h2;
    b->owner = owner;
    b->refs = 1;
    list_init(&b->h1_idle);
    list_init(&b->h1_busy);
    for (int i = 0; i < WORKER_CLASSES; i++)
        list_init(&b->h2_conns[i]);
    memcpy(b->text, text, len);
    b->key = slice_of(b->text, len);
    if (map_put(&s->backends, b->key, b) < 0) {
        pool_put(s->pool, b, sizeof *b + len);
        *no_memory_out = true;
        return NULL;
    }
    return b;
}

void backend_put(struct backend *b)
{
    if (!b)
        return;
    ASSERT(b->refs > 0);
    if (--b->refs == 0)
        b->unused_us = loop_now_us(b->shard->loop);
}

static void backend_free(struct backend *b)
{
    struct shard *s = b->shard;
    map_del(&s->backends, b->key);
    places_unref(b->places);
    b->magic = 0;
    pool_put(s->pool, b, sizeof *b + b->key.len);
}

bool backend_set_limit(struct backend *b, struct slice id, struct slice address, uint32_t limit,
                       uint64_t revision)
{
    char text[2 * ADDR_TEXT_OCTETS + 8];
    if (!b)
        return true;
    if (!b->places && limit && id.len + 1 + address.len <= sizeof text) {
        memcpy(text, id.p, id.len);
        text[id.len] = ' ';
        memcpy(text + id.len + 1, address.p, address.len);
        b->places = places_get(slice_of(text, id.len + 1 + address.len));
    }
    if (b->places)
        places_set_limit(b->places, limit ? limit : UINT32_MAX, revision);
    return b->places || !limit;
}

void backend_failed(struct backend *b)
{
    uint64_t us = (uint64_t)BACKEND_BAD_US << (b->failures < 6 ? b->failures : 6);
    b->failures++;
    b->bad_until_us = shard_now_us(b->shard) + (us < BACKEND_BAD_MAX_US ? us : BACKEND_BAD_MAX_US);
}

bool backend_sweep(struct backend *b, enum sweep how)
{
    worker_h1_sweep(b, how);
    worker_h2_sweep(b, how);
    return b->h1_count == 0 && b->h2_count[WORKER_PUSH] == 0 && b->h2_count[WORKER_NO_PUSH] == 0 &&
           b->in_flight == 0;
}

void backends_tick(struct shard *s)
{
    uint64_t now = loop_now_us(s->loop);
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        CHECK_MAGIC(b, BACKEND_MAGIC);
        bool unused = b->refs == 0 && b->unused_us && now - b->unused_us > BACKEND_LINGER_US;
        if (backend_sweep(b, unused ? SWEEP_UNUSED : SWEEP_OLD) && unused)
            backend_free(b);
    }
}

void backends_fini(struct shard *s)
{
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        backend_sweep(b, SWEEP_ALL);
        loop_turn(s->loop, 0); /* reap what was closed */
        backend_free(b);
    }
}
