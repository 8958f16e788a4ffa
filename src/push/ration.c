/* SPDX-License-Identifier: Apache-2.0 */
#include "push/ration.h"

#define TOKEN_MILLI  1000u
#define US_PER_MILLI (1000u / RATION_PER_SECOND)
_Static_assert(1000 % RATION_PER_SECOND == 0, "a thousandth comes after whole microseconds");

void ration_init(struct ration *r, uint64_t now_us)
{
    r->updated_us = now_us;
    r->milli = RATION_BURST * TOKEN_MILLI;
}

/* updated_us moves only by what was turned into tokens, so nothing is lost by asking often.  A
 * clock that went back gives nothing and is counted from there on. */
static void refill(struct ration *r, uint64_t now_us)
{
    if (now_us < r->updated_us) {
        r->updated_us = now_us;
        return;
    }
    uint64_t gained = (now_us - r->updated_us) / US_PER_MILLI;
    uint32_t room = RATION_BURST * TOKEN_MILLI - r->milli;
    if (gained >= room) {
        r->milli += room;
        r->updated_us = now_us;
    } else {
        r->milli += (uint32_t)gained;
        r->updated_us += gained * US_PER_MILLI;
    }
}

bool ration_take(struct ration *r, uint64_t now_us)
{
    refill(r, now_us);
    if (r->milli < TOKEN_MILLI)
        return false;
    r->milli -= TOKEN_MILLI;
    return true;
}
