/* SPDX-License-Identifier: Apache-2.0 */
#include "soak.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* splitmix64: the whole plan of a run follows from its seed. */
uint64_t soak_random(struct soak *s)
{
    uint64_t z = s->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t soak_below(struct soak *s, uint32_t n)
{
    return n ? (uint32_t)((soak_random(s) >> 32) * n >> 32) : 0;
}

bool soak_chance(struct soak *s, unsigned per_mille)
{
    return soak_below(s, 1000) < per_mille;
}

/* Mostly small, sometimes nothing, now and then up to 5 MiB. */
static uint32_t draw_size(struct soak *s)
{
    uint32_t k = soak_below(s, 1000);
    if (k < 50)
        return 0;
    if (k < 700)
        return soak_below(s, 4096);
    if (k < 1000 - 5 * s->opt.large)
        return soak_below(s, 65536);
    if (k < 1000 - s->opt.large)
        return soak_below(s, 512u << 10);
    return soak_below(s, BODY_MAX + 1);
}

bool request_has_upload(const struct request *r)
{
    return r->method == METHOD_POST;
}

struct request *request_new(struct soak *s)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    uint32_t k = soak_below(s, 100);
    r->id = s->next_id++;
    r->app = soak_below(s, s->app_count);
    r->method = k < 62 ? METHOD_GET : k < 65 ? METHOD_HEAD : METHOD_POST;
    r->down = draw_size(s);
    r->chunked = soak_chance(s, 300);
    r->length = -1;
    if (request_has_upload(r)) {
        r->up = draw_size(s);
        r->up_chunked = soak_chance(s, 300);
        r->early = soak_chance(s, 150);
        if (r->early)
            r->chunked = true;
        r->up_sum = EVP_MD_CTX_new();
        if (!r->up_sum || EVP_DigestInit_ex(r->up_sum, EVP_sha256(), NULL) != 1) {
            EVP_MD_CTX_free(r->up_sum);
            free(r);
            return NULL;
        }
    }
    if (soak_chance(s, 60))
        r->wait_ms = 20 + soak_below(s, 400);
    if (soak_chance(s, 60))
        r->drip = 1 + soak_below(s, 8);
    r->slow = soak_chance(s, s->opt.slow);
    if (soak_chance(s, s->opt.aborts)) {
        r->abort_when = (enum abort_when)(1 + soak_below(s, 3));
        r->abort_at = r->abort_when == ABORT_AFTER_TIME   ? soak_below(s, 300000)
                      : r->abort_when == ABORT_AFTER_DOWN ? soak_below(s, r->down + 1)
                                                          : soak_below(s, r->up + 1);
    } else if (soak_chance(s, s->opt.faults) && r->method != METHOD_HEAD && r->down >= 2) {
        r->fault = FAULT_CUT;
        r->early = false;
    }
    r->next = &s->requests;
    r->prev = s->requests.prev;
    r->next->prev = r->prev->next = r;
    if (++s->under_way > s->under_way_top)
        s->under_way_top = s->under_way;
    return r;
}

void request_free(struct soak *s, struct request *r)
{
    r->prev->next = r->next;
    r->next->prev = r->prev;
    s->under_way--;
    EVP_MD_CTX_free(r->up_sum);
    free(r);
}

const char *request_method(const struct request *r)
{
    static const char *const names[] = {
        [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST"};
    return names[r->method];
}

size_t request_path(const struct soak *s, const struct request *r, char *to, size_t cap)
{
    int n = snprintf(to, cap, "/soak?id=%llu-%llu&n=%u&at=%u%s%s%s", (unsigned long long)s->opt.run,
                     (unsigned long long)r->id, r->down,
                     (unsigned)(r->id * 2654435761u % PATTERN_OCTETS), r->chunked ? "&chunked" : "",
                     r->early ? "&early" : "", r->fault == FAULT_CUT ? "&cut" : "");
    if (r->wait_ms)
        n += snprintf(to + n, cap - (size_t)n, "&wait=%u", r->wait_ms);
    if (r->drip)
        n += snprintf(to + n, cap - (size_t)n, "&drip=%u", r->drip);
    return (size_t)n;
}

static uint32_t place_of(const struct request *r)
{
    return (uint32_t)(r->id * 2654435761u % PATTERN_OCTETS);
}

size_t request_upload(struct request *r, uint8_t *to, size_t cap)
{
    size_t len = r->up - r->up_sent < cap ? r->up - r->up_sent : cap;
    const uint8_t *pattern = r->conn->soak->apps[r->app].up;
    size_t done = 0;
    while (done < len) {
        size_t at = ((size_t)place_of(r) + r->up_sent + done) % PATTERN_OCTETS;
        size_t n = PATTERN_OCTETS - at < len - done ? PATTERN_OCTETS - at : len - done;
        memcpy(to + done, pattern + at, n);
        done += n;
    }
    EVP_DigestUpdate(r->up_sum, to, len);
    r->up_sent += (uint32_t)len;
    r->conn->soak->octets_up += len;
    return len;
}

bool request_wants_abort(const struct request *r)
{
    switch (r->abort_when) {
    case ABORT_NEVER:
        return false;
    case ABORT_AFTER_TIME:
        return r->began_us && r->conn->soak->now_us - r->began_us >= r->abort_at;
    case ABORT_AFTER_DOWN:
        return r->head_us && r->got >= r->abort_at;
    case ABORT_AFTER_UP:
        return r->sent_any && r->up_sent >= r->abort_at;
    }
    return false;
}

/* ---- the answer ---- */

static bool is_name(const char *name, size_t len, const char *want)
{
    return len == strlen(want) && strncasecmp(name, want, len) == 0;
}

static bool is_text(const char *value, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(value, want, len) == 0;
}

/* The octets and the sum of the upload as the worker saw it: "OCTETS SHA256". */
static const char *check_sum(struct request *r, const char *value, size_t len)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned sum_len = 0;
    char want[32 + 2 * EVP_MAX_MD_SIZE];
    r->sum_seen = true;
    if (r->up_sent != r->up)
        return "the worker tells the sum of an upload that was not sent whole";
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (!copy || EVP_MD_CTX_copy_ex(copy, r->up_sum) != 1)
        abort();
    EVP_DigestFinal_ex(copy, sum, &sum_len);
    EVP_MD_CTX_free(copy);
    int n = snprintf(want, sizeof want, "%u ", r->up);
    for (unsigned i = 0; i < sum_len; i++)
        n += snprintf(want + n, sizeof want - (size_t)n, "%02x", sum[i]);
    return is_text(value, len, want) ? NULL : "the worker got other octets than we sent";
}

const char *request_on_field(struct request *r, const char *name, size_t name_len,
                             const char *value, size_t value_len, bool trailer)
{
    const struct soak *s = r->conn->soak;
    char want[64];
    if (is_name(name, name_len, "x-soak-sum"))
        return trailer == r->early ? check_sum(r, value, value_len)
                                   : "X-Soak-Sum is in the wrong section";
    if (trailer)
        return NULL;
    if (is_name(name, name_len, "x-soak-app")) {
        r->from_app = true;
        return is_text(value, value_len, s->apps[r->app].name) ? NULL : "another app answered";
    }
    if (is_name(name, name_len, "x-soak-id")) {
        snprintf(want, sizeof want, "%llu-%llu", (unsigned long long)s->opt.run,
                 (unsigned long long)r->id);
        return is_text(value, value_len, want) ? NULL : "the answer to another request";
    }
    if (is_name(name, name_len, "x-soak-pid")) {
        r->pid = atoi(value);
    } else if (is_name(name, name_len, "x-request-id") && value_len < sizeof r->request_id) {
        memcpy(r->request_id, value, value_len);
        r->request_id[value_len] = 0;
    } else if (is_name(name, name_len, "content-length")) {
        if (r->length_seen)
            return "two Content-Lengths";
        r->length_seen = true;
        r->length = 0;
        for (size_t i = 0; i < value_len; i++) {
            if (value[i] < '0' || value[i] > '9' || r->length > INT32_MAX)
                return "Content-Length is no number";
            r->length = r->length * 10 + (value[i] - '0');
        }
        if (value_len == 0)
            return "Content-Length is empty";
    }
    return NULL;
}

const char *request_on_head(struct request *r)
{
    if (!r->from_app)
        return NULL;
    if (r->status != 200)
        return "the status is not the worker's";
    if (!r->chunked && r->length != r->down)
        return "Content-Length is not the worker's";
    if (r->chunked && r->length_seen && r->method != METHOD_HEAD && r->length != r->down)
        return "a Content-Length that nobody gave";
    if (request_has_upload(r) && !r->early && !r->sum_seen)
        return "the sum of the upload is missing";
    return NULL;
}

const char *request_on_octets(struct request *r, const uint8_t *p, size_t len)
{
    r->conn->soak->octets_down += len;
    if (!r->from_app) {
        size_t n = len < NOTE_OCTETS - r->note_len ? len : NOTE_OCTETS - r->note_len;
        memcpy(r->note + r->note_len, p, n);
        r->note_len += n;
        r->got += (uint32_t)len;
        return NULL;
    }
    if (r->method == METHOD_HEAD)
        return "content in an answer to HEAD";
    if (len > r->down - r->got)
        return "more content than the worker made";
    const uint8_t *pattern = r->conn->soak->apps[r->app].down;
    while (len) {
        size_t at = ((size_t)place_of(r) + r->got) % PATTERN_OCTETS;
        size_t n = PATTERN_OCTETS - at < len ? PATTERN_OCTETS - at : len;
        if (memcmp(p, pattern + at, n) != 0)
            return "wrong octets";
        r->got += (uint32_t)n;
        p += n;
        len -= n;
    }
    return NULL;
}

const char *request_on_end(struct request *r)
{
    if (!r->from_app) {
        if (r->length_seen && r->method != METHOD_HEAD && r->got != r->length)
            return "the front end's own answer is not as long as it says";
        return NULL;
    }
    if (r->fault == FAULT_CUT)
        return "an answer that the worker cut ended as if it were whole";
    if (r->method != METHOD_HEAD && r->got != r->down)
        return "a short answer ended as if it were whole";
    if (r->early && !r->sum_seen)
        return "the trailer with the sum of the upload is missing";
    return NULL;
}

enum outcome request_outcome(const struct request *r)
{
    if (r->from_app)
        return OUT_OK;
    if (r->fault == FAULT_CUT && r->status == 502)
        return OUT_EXPECTED_CUT; /* cut before the front end had sent anything of it */
    return r->status >= 400 ? OUT_FAILED : OUT_WRONG;
}
