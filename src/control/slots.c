/* SPDX-License-Identifier: Apache-2.0 */
#include "control/slots.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

int slots_init(struct slots *s, uint32_t count)
{
    *s = (struct slots){.names = calloc(count, sizeof *s->names), .count = count};
    map_init(&s->by_name);
    return s->names ? 0 : ERR_NOMEM;
}

void slots_fini(struct slots *s)
{
    map_fini(&s->by_name);
    free(s->names);
    s->names = NULL;
}

static int set(struct slots *s, uint32_t i, struct slice name)
{
    ASSERT(name.len < STATS_NAME_OCTETS);
    if (s->names[i][0])
        map_del(&s->by_name, slice_str(s->names[i]));
    memset(s->names[i], 0, STATS_NAME_OCTETS);
    memcpy(s->names[i], name.p, name.len);
    int err = map_put(&s->by_name, slice_str(s->names[i]), s->names[i]);
    if (err < 0)
        s->names[i][0] = '\0';
    return err;
}

int slots_recall(struct slots *s, uint32_t i, const char *name)
{
    struct slice n = slice_of(name, strnlen(name, STATS_NAME_OCTETS - 1));
    return n.len && !map_get(&s->by_name, n) ? set(s, i, n) : 0;
}

int64_t slots_find(struct slots *s, struct slice name,
                   bool (*in_use)(void *user, struct slice name), void *user, bool *reused_out)
{
    const char(*have)[STATS_NAME_OCTETS] = map_get(&s->by_name, name);
    *reused_out = false;
    if (have)
        return have - (const char(*)[STATS_NAME_OCTETS])s->names;
    while (s->fresh < s->count && s->names[s->fresh][0])
        s->fresh++;
    uint32_t i = s->fresh;
    if (i == s->count) {
        for (uint32_t tried = 0; in_use(user, slice_str(s->names[s->old])); tried++) {
            ASSERT(tried < s->count); /* there are more slots than there may be apps */
            s->old = (s->old + 1) % s->count;
        }
        *reused_out = true;
        i = s->old;
    }
    int err = set(s, i, name);
    return err < 0 ? err : (int64_t)i;
}
