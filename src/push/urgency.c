/* SPDX-License-Identifier: Apache-2.0 */
#include "push/urgency.h"
#include "base/panic.h"

/* Chromium's names, and the urgencies that it sends for them. */
enum { VERY_HIGH = 0, HIGH = 1, LOW = PRIORITY_URGENCY_DEFAULT };

static const struct destination {
    struct slice as;
    struct priority priority;
    uint8_t low; /* urgency with fetchpriority "low" */
} destinations[] = {
    {SLICE("style"), {VERY_HIGH, false}, HIGH},
    {SLICE("font"), {HIGH, false}, LOW}, /* a preload; else VERY_HIGH */
    {SLICE("script"), {HIGH, false}, LOW},
    {SLICE("fetch"), {HIGH, true}, LOW},
    {SLICE("image"), {LOW, true}, LOW},
    {SLICE("track"), {LOW, true}, LOW},
    {SLICE("audio"), {LOW, true}, LOW},
    {SLICE("video"), {LOW, true}, LOW},
};

static const struct destination unknown = {SLICE(""), {LOW, false}, LOW};

static const struct destination *find(struct slice as)
{
    for (size_t i = 0; i < ARRAY_LEN(destinations); i++)
        if (slice_ieq(as, destinations[i].as))
            return &destinations[i];
    return &unknown;
}

struct priority push_urgency(struct slice as, struct slice fetchpriority, bool critical)
{
    const struct destination *d = find(as);
    struct priority p = d->priority;
    if (slice_ieq(fetchpriority, SLICE("low")))
        p.urgency = d->low;
    else if (slice_ieq(fetchpriority, SLICE("high")))
        critical = true;
    if (critical && p.urgency > HIGH)
        p.urgency = HIGH;
    return p;
}

struct priority push_urgency_after(struct priority p, struct priority document)
{
    unsigned urgency = document.urgency + 1u + p.urgency;
    if (urgency > PRIORITY_URGENCY_MAX)
        urgency = PRIORITY_URGENCY_MAX;
    p.urgency = (uint8_t)urgency;
    p.incremental = p.incremental && document.urgency < PRIORITY_URGENCY_MAX;
    return p;
}
