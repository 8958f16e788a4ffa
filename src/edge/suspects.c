/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/suspects.h"

int suspects_enter(struct client *c)
{
    struct shard *s = c->shard;
    if (!s->addresses || (s->routes && route_trusts(&s->routes->route, &c->peer)))
        return 0;
    int err = addresses_enter(s->addresses, &c->peer, shard_limits(s)->connections_per_address);
    c->in_addresses = err == 0;
    return err;
}

void suspects_leave(struct client *c)
{
    if (c->in_addresses)
        addresses_leave(c->shard->addresses, &c->peer);
}

uint64_t suspects_delay_us(struct client *c)
{
    struct shard *s = c->shard;
    if (!c->in_addresses)
        return 0;
    uint32_t excess = addresses_excess(s->addresses, &c->peer, shard_limits(s)->abuses_per_address,
                                       shard_now_us(s));
    uint64_t us = (uint64_t)SUSPECTS_WAIT_US * excess;
    stats_add(&s->stats->connections_suspect, excess > 0);
    return us < SUSPECTS_WAIT_MAX_US ? us : SUSPECTS_WAIT_MAX_US;
}

static void blame(struct client *c, uint32_t micro)
{
    struct shard *s = c->shard;
    if (c->in_addresses && micro)
        addresses_blame(s->addresses, &c->peer, micro, shard_limits(s)->abuses_per_address,
                        shard_now_us(s));
}

void suspects_blame(struct client *c)
{
    blame(c, ADDRESSES_ABUSE);
}

void suspects_no_handshake(struct client *c)
{
    if (c->stream.octets_in)
        blame(c, ADDRESSES_ABUSE / SUSPECTS_HANDSHAKES);
}

void suspects_left(struct client *c)
{
    if (!c->http.h2 || c->closing)
        return;
    uint64_t burst = shard_limits(c->shard)->h2_resets.burst;
    uint64_t left = c->open + h2_conn_resets(c->http.h2, shard_now_us(c->shard));
    blame(c, (uint32_t)(ADDRESSES_ABUSE * (left < burst ? left : burst) / burst));
}
