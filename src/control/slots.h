/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the counters' slots is which app's.  An app keeps its slot over reloads, and over the
 * death of control, since the names stand beside the counters, too. */
#ifndef CONTROL_SLOTS_H
#define CONTROL_SLOTS_H

#include "base/map.h"
#include "stats/stats.h"

struct slots {
    char (*names)[STATS_NAME_OCTETS]; /* "": nobody has had it yet */
    uint32_t count;
    struct map by_name; /* to its element of names */
    uint32_t fresh;     /* all before it have names */
    uint32_t old;       /* where the search for a name that is used no more goes on */
};

/* count: more than there may be apps.  return  0 or ERR_NOMEM */
int slots_init(struct slots *s, uint32_t count);
void slots_fini(struct slots *s);
/* An earlier life gave slot i this name, which may be "".  Of one that stands twice, as only who
 * has broken into edge could write it, the first counts.  return  0 or ERR_NOMEM */
int slots_recall(struct slots *s, uint32_t i, const char *name);
/* The slot of an app's name: the one it has; a fresh one; else one whose app is not named any more.
 * in_use(user, name) tells whether an app of that name is named
 * return  its index, and *reused_out tells whether another app had it; or ERR_NOMEM */
int64_t slots_find(struct slots *s, struct slice name,
                   bool (*in_use)(void *user, struct slice name), void *user, bool *reused_out);

#endif
