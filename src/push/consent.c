/* SPDX-License-Identifier: Apache-2.0 */
#include "push/consent.h"

struct push_consent_kind {
    uint32_t tag;
    uint32_t voted;   /* its place in the order of votes */
    uint32_t refuser; /* whose refusal counted last */
    struct push_trial trial;
};
_Static_assert(sizeof(struct push_consent_kind) == 20, "as the header says");

static const struct push_trial_rule kind_rule = {.least = PUSH_CONSENT_KIND_LEAST,
                                                 .rest_s = PUSH_CONSENT_KIND_REST_S};

static void judge(struct push_consent *c)
{
    unsigned ended = c->completed + c->refused;
    if ((c->completed == 0 && c->refused >= PUSH_CONSENT_FIRST) ||
        (ended >= PUSH_CONSENT_LEAST && 2u * c->refused > ended))
        c->refuses = true;
}

void push_consent_ended(struct push_consent *c, bool refused)
{
    if (c->completed + c->refused == PUSH_TRIAL_MAX) {
        c->completed /= 2;
        c->refused /= 2;
    }
    if (refused)
        c->refused++;
    else
        c->completed++;
    judge(c);
}

void push_consent_refused_late(struct push_consent *c)
{
    if (c->completed) {
        c->completed--;
        c->refused++;
    }
    judge(c);
}

enum push_consent_verdict push_consent_verdict(const struct push_consent *c)
{
    if (c->refuses)
        return PUSH_CONSENT_REFUSED;
    return c->completed ? PUSH_CONSENT_GIVEN : PUSH_CONSENT_UNKNOWN;
}

uint64_t push_consent_kind(const struct hash_key *key, struct slice user_agent)
{
    if (user_agent.len == 0)
        return 0;
    return hash_octets(key, user_agent) | 1;
}

static struct push_consent_kind *find(const struct push_consent_kinds *k, uint64_t kind)
{
    for (unsigned i = 0; k->at && kind && i < PUSH_CONSENT_KINDS; i++)
        if (k->at[i].tag == (uint32_t)kind)
            return &k->at[i];
    return NULL;
}

bool push_consent_kind_refuses(const struct push_consent_kinds *k, uint64_t kind, uint64_t now_us)
{
    const struct push_consent_kind *found = find(k, kind);
    return found && push_trial_is_off(&found->trial, now_us);
}

void push_consent_kind_begin(struct push_consent_kinds *k, uint64_t kind, uint64_t now_us)
{
    struct push_consent_kind *found = find(k, kind);
    if (found)
        push_trial_begin(&found->trial, &kind_rule, now_us);
}

/* Its place, or, made new, that of the kind whose vote is the longest ago. */
static struct push_consent_kind *find_or_replace(struct push_consent_kinds *k, struct pool *pool,
                                                 uint64_t kind)
{
    struct push_consent_kind *found = find(k, kind);
    if (found)
        return found;
    if (!k->at && !(k->at = pool_zget(pool, PUSH_CONSENT_KINDS * sizeof *k->at)))
        return NULL;
    found = k->at;
    for (unsigned i = 1; i < PUSH_CONSENT_KINDS; i++)
        if (k->count - k->at[i].voted > k->count - found->voted)
            found = &k->at[i];
    *found = (struct push_consent_kind){.tag = (uint32_t)kind};
    return found;
}

void push_consent_vote(struct push_consent *c, struct push_consent_kinds *k, struct pool *pool,
                       uint64_t kind, uint32_t voter, bool is_end, uint64_t now_us)
{
    enum push_consent_verdict verdict = push_consent_verdict(c);
    if (c->has_voted || !kind || verdict == PUSH_CONSENT_UNKNOWN ||
        (verdict == PUSH_CONSENT_GIVEN && !is_end))
        return;
    struct push_consent_kind *found = find_or_replace(k, pool, kind);
    if (!found)
        return;
    bool refuses = verdict == PUSH_CONSENT_REFUSED;
    c->has_voted = true;
    found->voted = ++k->count;
    if (refuses && found->trial.failures && found->refuser == voter)
        return;
    if (refuses)
        found->refuser = voter;
    push_trial_end(&found->trial, &kind_rule, refuses, now_us);
}

void push_consent_kinds_fini(struct push_consent_kinds *k, struct pool *pool)
{
    pool_put(pool, k->at, PUSH_CONSENT_KINDS * sizeof *k->at);
    *k = (struct push_consent_kinds){0};
}
