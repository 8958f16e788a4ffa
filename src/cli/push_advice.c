/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/push.h"

/* Less than a round trip to most clients: nothing could have been gained. */
#define WORTH_US 50000
/* A hint so close before the response is as good as none. */
#define CLOSE_US 10000
/* About what a promise and a response head cost on the wire, several times over. */
#define SMALL_OCTETS 1024

static unsigned long ms(int64_t us)
{
    return (unsigned long)(us / 1000);
}

unsigned push_advise(const struct watch_resource *document, const struct watch_resource *r,
                     struct arena *arena, struct advice out[ADVICE_MAX])
{
    unsigned n = 0;
    bool is_late = r->promised_us != WATCH_NEVER && r->promised_us >= WORTH_US;
    bool is_hint = r->hinted && !r->pushed && document->head_us != WATCH_NEVER;
    if (r->status >= 400)
        out[n++] = (struct advice){
            "failed", arena_printf(arena, "it was answered with status %u", r->status)};
    if (is_late && is_hint && document->head_us - r->promised_us < CLOSE_US)
        out[n++] = (struct advice){
            "late-hint", arena_printf(arena,
                                      "its 103 came %lu ms after the request and %lu ms before "
                                      "the response: send it before the work begins",
                                      ms(r->promised_us), ms(document->head_us - r->promised_us))};
    else if (is_late && r->pushed)
        out[n++] = (struct advice){
            "earlier", arena_printf(arena,
                                    "it was promised %lu ms after the request: promise it, or send "
                                    "a 103 Early Hints, before the work begins",
                                    ms(r->promised_us))};
    else if (is_late && !r->hinted)
        out[n++] = (struct advice){
            "earlier", arena_printf(arena,
                                    "it was hinted with the response, %lu ms after the request: "
                                    "a 103 Early Hints could have come before the work began",
                                    ms(r->promised_us))};
    if (!r->pushed && (r->hinted || r->linked) && r->as.len == 0)
        out[n++] = (struct advice){
            "no-as", arena_printf(arena, "its Link does not say `as`: browsers pass over it")};
    if (r->status != 200 || n >= ADVICE_MAX - 1)
        return n;
    if (r->no_store)
        out[n++] = (struct advice){
            "not-cacheable",
            arena_printf(arena, "it is not cacheable (no-store): each page sends it again")};
    else if (!r->has_freshness && !r->has_validator)
        out[n++] = (struct advice){"not-cacheable",
                                   arena_printf(arena, "it has no max-age, Expires, ETag or "
                                                       "Last-Modified: each page sends it again")};
    if (r->is_whole && r->octets && r->octets <= SMALL_OCTETS)
        out[n++] = (struct advice){
            "inline", arena_printf(arena, "with %lu octets it costs less inside the page",
                                   (unsigned long)r->octets)};
    return n;
}
