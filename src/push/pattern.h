/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of paths: which responses of an app a rule in its manifest is for.  Pure. */
#ifndef PUSH_PATTERN_H
#define PUSH_PATTERN_H

#include "base/slice.h"

#define PUSH_PATTERN_OCTETS_MAX 256

/* Starts with "/" and has only octets that a path may have (RFC 3986 3.3, whole percent-encodings),
 * at most PUSH_PATTERN_OCTETS_MAX of them.  "*" is one of these octets. */
bool push_pattern_is_valid(struct slice pattern);

/* Whether a path (origin-form, RFC 9112 3.2.1; its query does not count) has the form of a valid
 * pattern.  "*" stands for any octets, none and "/" included; every other octet for itself, as it
 * is written: nothing is decoded, so "%41" is not "A".
 * No star is tried twice: the time is that of finding the pieces between them one after another,
 * linear in the path for a pattern that is bounded. */
bool push_pattern_matches(struct slice pattern, struct slice path);

#endif
