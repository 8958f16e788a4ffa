/* SPDX-License-Identifier: Apache-2.0 */
#include "push/answers.h"
#include "push/trial.h"

#define SECOND         UINT64_C(1000000)
#define TENTH_MS_US    100
#define OCTETS_UNKNOWN UINT32_MAX

struct push_answers_entry {
    uint32_t tag;       /* 0: free */
    uint32_t heard_s;   /* when it was last touched */
    uint32_t believe_s; /* until when status, octets and validator hold */
    uint32_t validator;
    uint32_t octets; /* what is larger than fits is as large as fits */
    struct push_trial waste;
    uint16_t think_tenth_ms;
    uint16_t status : 10;
    uint16_t storable : 2; /* enum push_storable */
    uint16_t sends_103 : 1;
};
_Static_assert(sizeof(struct push_answers_entry) == 32, "as the header says");
_Static_assert(PUSH_STORABLE_COUNT <= 4, "storable has two bits");

static const struct push_trial_rule waste_rule = {.least = PUSH_WASTE_LEAST,
                                                  .rest_s = PUSH_WASTE_REST_S};

static uint32_t seconds(uint64_t us)
{
    return (uint32_t)(us / SECOND);
}

static uint32_t tag_of(uint64_t resource)
{
    return (uint32_t)(resource >> 32) | 1;
}

static struct push_answers_entry *set_of(const struct push_answers *m, uint64_t resource)
{
    return m->at + resource % (PUSH_ANSWERS_MAX / PUSH_ANSWERS_WAYS) * PUSH_ANSWERS_WAYS;
}

static struct push_answers_entry *find(const struct push_answers *m, uint64_t resource)
{
    struct push_answers_entry *set = m->at ? set_of(m, resource) : NULL;
    for (unsigned i = 0; set && i < PUSH_ANSWERS_WAYS; i++)
        if (set[i].tag == tag_of(resource))
            return &set[i];
    return NULL;
}

/* A free place, one of which nothing was heard for long, or the last one. */
static struct push_answers_entry *victim(struct push_answers_entry *set, uint32_t now_s)
{
    for (unsigned i = 0; i < PUSH_ANSWERS_WAYS; i++)
        if (!set[i].tag || now_s - set[i].heard_s > PUSH_ANSWERS_FORGET_S)
            return &set[i];
    return &set[PUSH_ANSWERS_WAYS - 1];
}

static struct push_answers_entry *forward(struct push_answers_entry *set,
                                          struct push_answers_entry *e)
{
    if (e == set)
        return e;
    struct push_answers_entry before = e[-1];
    e[-1] = *e;
    *e = before;
    return e - 1;
}

/* return  the resource's entry, made if there is none; NULL: out of memory */
static struct push_answers_entry *touch(struct push_answers *m, struct pool *pool,
                                        uint64_t resource, uint64_t now_us)
{
    if (!m->at && !(m->at = pool_zget(pool, PUSH_ANSWERS_MAX * sizeof *m->at)))
        return NULL;
    struct push_answers_entry *set = set_of(m, resource), *e = find(m, resource);
    if (e) {
        e = forward(set, e);
    } else {
        e = victim(set, seconds(now_us));
        *e = (struct push_answers_entry){.tag = tag_of(resource), .octets = OCTETS_UNKNOWN};
    }
    e->heard_s = seconds(now_us);
    return e;
}

bool push_answers_find(const struct push_answers *m, uint64_t resource, uint64_t now_us,
                       struct push_answer *out)
{
    const struct push_answers_entry *e = find(m, resource);
    *out = (struct push_answer){.octets = PUSH_OCTETS_UNKNOWN};
    if (!e)
        return false;
    out->storable = (enum push_storable)e->storable;
    out->think_us = (uint64_t)e->think_tenth_ms * TENTH_MS_US;
    out->sends_103 = e->sends_103;
    out->is_wasteful = push_trial_is_off(&e->waste, now_us);
    if (e->storable == PUSH_STORABLE_PUBLIC && seconds(now_us) < e->believe_s) {
        out->status = e->status;
        out->validator = e->validator;
        if (e->octets != OCTETS_UNKNOWN)
            out->octets = e->octets;
    }
    return true;
}

uint32_t push_answers_validator(const struct hash_key *key, struct slice value)
{
    if (value.len == 0)
        return 0;
    if (slice_starts(value, SLICE("W/")))
        value = slice_of(value.p + 2, value.len - 2);
    return (uint32_t)hash_octets(key, value) | 1;
}

static uint32_t validator_of(const struct hash_key *key, const struct http_head *response)
{
    const struct field *etag = fields_find(&response->fields, TOKEN_ETAG);
    return push_answers_validator(key, etag ? etag->value
                                            : fields_value(&response->fields, TOKEN_LAST_MODIFIED));
}

static void confirm(struct push_answers *m, const struct hash_key *key, uint64_t resource,
                    const struct http_head *response, uint64_t now_us)
{
    struct push_answers_entry *e = find(m, resource);
    uint32_t validator = validator_of(key, response);
    if (e && e->validator && e->validator == validator) {
        e->heard_s = seconds(now_us);
        e->believe_s = seconds(now_us) + push_believed_s(response);
    }
}

/* A part, a condition that does not hold, or a client that wants nothing kept (RFC 9111 5.2.1.5):
 * another one's answer would be another. */
static bool is_for_one(const struct http_head *request, const struct http_head *response)
{
    return response->status == 206 || response->status == 412 || response->status == 416 ||
           fields_list_has(&request->fields, TOKEN_CACHE_CONTROL, SLICE("no-store"));
}

void push_answers_learn(struct push_answers *m, struct pool *pool, const struct hash_key *key,
                        uint64_t resource, const struct http_head *request,
                        const struct http_head *response, uint32_t copied, uint64_t octets,
                        uint64_t now_us)
{
    if (response->status == 304) {
        confirm(m, key, resource, response, now_us);
        return;
    }
    if (is_for_one(request, response))
        return;
    struct push_answers_entry *e = touch(m, pool, resource, now_us);
    if (!e)
        return;
    e->storable = (unsigned)push_storable(request, response, copied) & 3u;
    e->status = response->status & 1023u;
    e->validator = validator_of(key, response);
    e->believe_s = seconds(now_us) + push_believed_s(response);
    if (octets == PUSH_OCTETS_UNKNOWN)
        e->octets = OCTETS_UNKNOWN;
    else
        e->octets = octets < OCTETS_UNKNOWN ? (uint32_t)octets : OCTETS_UNKNOWN - 1;
}

void push_answers_learn_thinking(struct push_answers *m, struct pool *pool, uint64_t resource,
                                 uint64_t think_us, bool sent_103, uint64_t now_us)
{
    struct push_answers_entry *e = touch(m, pool, resource, now_us);
    if (!e)
        return;
    uint64_t tenths = think_us / TENTH_MS_US + 1; /* 0 is unknown */
    uint32_t thought = tenths < UINT16_MAX ? (uint32_t)tenths : UINT16_MAX;
    uint32_t before = e->think_tenth_ms ? e->think_tenth_ms : thought;
    e->think_tenth_ms = (uint16_t)((3 * before + thought + 2) / 4);
    e->sends_103 = sent_103;
}

void push_answers_push_begin(struct push_answers *m, uint64_t resource, uint64_t now_us)
{
    struct push_answers_entry *e = find(m, resource);
    if (e)
        push_trial_begin(&e->waste, &waste_rule, now_us);
}

void push_answers_push_end(struct push_answers *m, struct pool *pool, uint64_t resource,
                           bool is_wasted, uint64_t now_us)
{
    struct push_answers_entry *e = touch(m, pool, resource, now_us);
    if (e)
        push_trial_end(&e->waste, &waste_rule, is_wasted, now_us);
}

void push_answers_push_revise(struct push_answers *m, uint64_t resource, uint64_t now_us)
{
    struct push_answers_entry *e = find(m, resource);
    if (e)
        push_trial_revise(&e->waste, &waste_rule, now_us);
}

void push_answers_fini(struct push_answers *m, struct pool *pool)
{
    pool_put(pool, m->at, PUSH_ANSWERS_MAX * sizeof *m->at);
    *m = (struct push_answers){0};
}
