/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS 1.3 connection after its handshake.  OpenSSL's object for a connection holds 13 KiB to the
 * end, and copies each octet twice more than encrypting it takes; after the handshake little of it
 * is of use: what may still come is content, alerts and KeyUpdate (RFC 8446 4.6.3, 5, 6). */
#include "base/err.h"
#include "base/panic.h"
#include "net/tls_internal.h"

/* In a row; they are allowed, to hide how much is sent, and cost us as much as others. */
#define EMPTY_MAX 32
/* user_canceled, which says nothing. */
#define WARNINGS_MAX 5

#define KEY_UPDATE_OCTETS 5 /* head of 4, update_requested */

static bool append(struct tls_conn *t, uint8_t type, const void *in, size_t len, struct buf *wire)
{
    char *to = buf_reserve(wire, len + TLS_RECORD_EXTRA_OCTETS);
    ssize_t n = to ? tls_record_seal(t->ciphers, t->suite, &t->sends, type, in, len, to) : ERR_TLS;
    if (n < 0)
        return false;
    buf_added(wire, (size_t)n);
    return true;
}

/* The peer's fault, of which it is told; or ours, if alert is internal_error. */
static int blame(struct tls_conn *t, uint8_t alert, const char *why, struct buf *wire)
{
    const uint8_t text[] = {SSL3_AL_FATAL, alert};
    append(t, SSL3_RT_ALERT, text, sizeof text, wire);
    t->failed = t->refused = true;
    t->reason = why;
    return ERR_TLS;
}

static ssize_t on_alert(struct tls_conn *t, const uint8_t *p, size_t len, struct buf *wire)
{
    if (len == 0) /* RFC 8446 5.4 */
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "empty alert", wire);
    if (len != 2)
        return blame(t, SSL_AD_DECODE_ERROR, "bad alert", wire);
    if (p[1] == SSL_AD_CLOSE_NOTIFY) {
        t->peer_closed = true;
        return ERR_CLOSED;
    }
    if (p[1] == SSL_AD_USER_CANCELLED && ++t->warnings < WARNINGS_MAX)
        return 0;
    t->failed = t->refused = true;
    t->reason = SSL_alert_desc_string_long(p[1]);
    return ERR_TLS;
}

static int on_key_update(struct tls_conn *t, uint8_t wants_ours, struct buf *wire)
{
    if (wants_ours > 1)
        return blame(t, SSL_AD_ILLEGAL_PARAMETER, "bad key update", wire);
    t->key_updates++;
    if (t->key_updates_max && t->key_updates > t->key_updates_max)
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "too many key updates", wire);
    t->update_due |= wants_ours == 1; /* several in one flight are answered by one */
    if (tls_traffic_update(t->ciphers, t->suite, &t->takes) < 0)
        return blame(t, SSL_AD_INTERNAL_ERROR, "key update failed", wire);
    return 0;
}

/* A message may come in several records, but the one that changes the keys ends its record. */
static int on_handshake(struct tls_conn *t, const uint8_t *p, size_t len, struct buf *wire)
{
    static const uint8_t key_update[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1};
    if (len == 0)
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "empty handshake record", wire);
    while (t->message_octets < sizeof key_update && len) {
        if (*p++ != key_update[t->message_octets++])
            return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message", wire);
        len--;
    }
    if (len == 0)
        return 0;
    if (len > 1)
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "not on record boundary", wire);
    t->message_octets = 0;
    return on_key_update(t, *p, wire);
}

/* One whole record, content to `to`.
 * return  octets of content; ERR_CLOSED, ERR_TLS */
static ssize_t take_record(struct tls_conn *t, const void *record, size_t len, void *to,
                           struct buf *wire)
{
    uint8_t type;
    ssize_t n = tls_record_open(t->ciphers, t->suite, &t->takes, record, len, to, &type);
    if (n < 0)
        return blame(t, SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac", wire);
    if (n > TLS_RECORD_PLAIN_OCTETS)
        return blame(t, SSL_AD_RECORD_OVERFLOW, "data length too long", wire);
    if (t->message_octets && type != SSL3_RT_HANDSHAKE) /* RFC 8446 5.1 */
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "unexpected record", wire);
    t->empty = n == 0 ? (uint8_t)(t->empty + 1) : 0;
    switch (type) {
    case SSL3_RT_APPLICATION_DATA:
        if (t->empty > EMPTY_MAX)
            return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "too many empty records", wire);
        return n;
    case SSL3_RT_ALERT:
        return on_alert(t, to, (size_t)n, wire);
    case SSL3_RT_HANDSHAKE:
        return on_handshake(t, to, (size_t)n, wire);
    default:
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "bad record type", wire);
    }
}

/* How many octets the record at p has, of which len are there.
 * return  0: not known yet; or ERR_TLS */
static ssize_t measure(struct tls_conn *t, const void *at, size_t len, struct buf *wire)
{
    const uint8_t *p = at;
    if (len < TLS_RECORD_HEAD_OCTETS)
        return 0;
    size_t whole = TLS_RECORD_HEAD_OCTETS + (size_t)(p[3] << 8 | p[4]);
    if (p[0] != SSL3_RT_APPLICATION_DATA)
        return blame(t, SSL_AD_UNEXPECTED_MESSAGE, "bad record type", wire);
    if (p[1] != SSL3_VERSION_MAJOR)
        return blame(t, SSL_AD_PROTOCOL_VERSION, "wrong version number", wire);
    if (whole > TLS_RECORD_HEAD_OCTETS + TLS_RECORD_SEALED_OCTETS)
        return blame(t, SSL_AD_RECORD_OVERFLOW, "encrypted length too long", wire);
    if (whole < TLS_RECORD_EXTRA_OCTETS)
        return blame(t, SSL_AD_BAD_RECORD_MAC, "length too short", wire);
    return (ssize_t)whole;
}

/* Takes what completes the record in t->kept, or all.  return  1: it is whole; 0; ERR_TLS */
static int complete(struct tls_conn *t, const char *in, size_t len, size_t *at, struct buf *wire)
{
    for (;;) {
        size_t have = buf_len(&t->kept);
        ssize_t whole = measure(t, have ? buf_at(&t->kept) : "", have, wire);
        if (whole < 0)
            return ERR_TLS;
        if (whole && have == (size_t)whole)
            return 1;
        size_t missing = (whole ? (size_t)whole : TLS_RECORD_HEAD_OCTETS) - have;
        size_t n = missing < len - *at ? missing : len - *at;
        if (n == 0)
            return 0;
        if (buf_add(&t->kept, in + *at, n) < 0)
            return blame(t, SSL_AD_INTERNAL_ERROR, "out of memory", wire);
        *at += n;
    }
}

/* The record in t->kept is decrypted where it lies, and its content stays there. */
static int take_kept(struct tls_conn *t, struct buf *wire)
{
    char *record = buf_at(&t->kept), *content = record + TLS_RECORD_HEAD_OCTETS;
    ssize_t n = take_record(t, record, buf_len(&t->kept), content, wire);
    if (n <= 0) {
        buf_fini(&t->kept);
        return (int)n;
    }
    buf_consume(&t->kept, TLS_RECORD_HEAD_OCTETS);
    t->kept.end = t->kept.start + (size_t)n;
    t->pending = true;
    return 0;
}

static size_t give_kept(struct tls_conn *t, char *out, size_t cap)
{
    size_t n = buf_len(&t->kept) < cap ? buf_len(&t->kept) : cap;
    memcpy(out, buf_at(&t->kept), n);
    buf_consume(&t->kept, n);
    t->pending = buf_len(&t->kept) != 0;
    return n;
}

/* One record that lies whole in the input, if one does and its content has room.
 * return  octets of content; ERR_AGAIN: there is none; ERR_CLOSED, ERR_TLS */
static ssize_t take_direct(struct tls_conn *t, const char *in, size_t len, size_t *at, char *out,
                           size_t cap, struct buf *wire)
{
    ssize_t whole = measure(t, in + *at, len - *at, wire);
    if (whole < 0)
        return whole;
    size_t octets = (size_t)whole;
    if (octets == 0 || octets > len - *at ||
        cap < octets - TLS_RECORD_HEAD_OCTETS - TLS_RECORD_TAG_OCTETS)
        return ERR_AGAIN;
    const char *record = in + *at;
    *at += octets;
    return take_record(t, record, octets, out, wire);
}

ssize_t tls_traffic_take(struct tls_conn *t, const char *in, size_t len, size_t *at, char *out,
                         size_t cap, struct buf *wire)
{
    size_t total = 0;
    ssize_t n = 0;
    while ((t->pending || *at < len) && total < cap) {
        if (t->pending) {
            total += give_kept(t, out + total, cap - total);
            continue;
        }
        n = ERR_AGAIN;
        if (buf_len(&t->kept) == 0)
            n = take_direct(t, in, len, at, out + total, cap - total, wire);
        if (n == ERR_AGAIN) {
            n = complete(t, in, len, at, wire);
            if (n == 1)
                n = take_kept(t, wire);
        }
        if (n < 0)
            break;
        total += (size_t)n;
    }
    if (n < 0) {
        t->pending = total > 0; /* the end is told by the next call */
        *at = len;              /* what follows the end does not count */
    }
    return n < 0 && total == 0 ? n : (ssize_t)total;
}

/* Our next records come under new keys. */
static bool change_keys(struct tls_conn *t, char *out, size_t *n_out)
{
    static const uint8_t text[KEY_UPDATE_OCTETS] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, 0};
    ssize_t n =
        tls_record_seal(t->ciphers, t->suite, &t->sends, SSL3_RT_HANDSHAKE, text, sizeof text, out);
    t->update_due = false;
    *n_out = n < 0 ? 0 : (size_t)n;
    return n > 0 && tls_traffic_update(t->ciphers, t->suite, &t->sends) == 0;
}

ssize_t tls_traffic_put(struct tls_conn *t, const char *in, size_t len, char *out, size_t cap)
{
    size_t total = 0;
    ASSERT(cap >= TLS_WIRE_BOUND(len));
    if ((t->update_due || t->sends.seq >= TLS_RECORDS_A_KEY) && !change_keys(t, out, &total))
        return ERR_TLS;
    while (len) {
        size_t piece = tls_next_record(t, len);
        ssize_t n = tls_record_seal(t->ciphers, t->suite, &t->sends, SSL3_RT_APPLICATION_DATA, in,
                                    piece, out + total);
        if (n < 0)
            return ERR_TLS;
        in += piece;
        len -= piece;
        total += (size_t)n;
    }
    return (ssize_t)total;
}

void tls_traffic_close(struct tls_conn *t, struct buf *wire)
{
    static const uint8_t text[] = {SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY};
    append(t, SSL3_RT_ALERT, text, sizeof text, wire);
}
