/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

/* Linux has grown this struct over time: what an older kernel does not tell is zero. */
bool stream_path(const struct stream *s, struct stream_path *out)
{
    struct tcp_info i = {0};
    socklen_t len = sizeof i;
    *out = (struct stream_path){0};
    loop_calls(s->loop)->other++;
    if (getsockopt(s->source.fd, IPPROTO_TCP, TCP_INFO, &i, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_advmss))
        return false;
    uint64_t mss = i.tcpi_snd_mss;
    out->rtt_us = i.tcpi_rtt;
    out->cwnd_octets = i.tcpi_snd_cwnd * mss;
    out->ssthresh_octets = i.tcpi_snd_ssthresh * mss;
    /* In slow start it is the window that limits, and not the path. */
    bool told = !i.tcpi_delivery_rate_app_limited && i.tcpi_snd_cwnd >= i.tcpi_snd_ssthresh;
    out->octets_per_s = told ? i.tcpi_delivery_rate : 0;
    out->queued_octets = i.tcpi_unacked * mss + i.tcpi_notsent_bytes;
    return true;
}
