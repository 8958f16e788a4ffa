/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (jansson) of octets that others chose.  Only who includes this needs the library. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/slice.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* null for an empty slice.  Where the whole is not UTF-8, octets beyond ASCII become "?": else all
 * that it belongs to would be left out.  return  NULL when memory is out */
static inline json_t *json_octets(struct slice s)
{
    json_t *j = s.len ? json_stringn(s.p, s.len) : json_null();
    if (j)
        return j;
    char *copy = strndup(s.p, s.len);
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    j = copy ? json_string(copy) : NULL;
    free(copy);
    return j;
}

#endif
