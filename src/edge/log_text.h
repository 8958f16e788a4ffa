/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a line of JSON, written where there is room for them.  What is not printable ASCII is
 * escaped, so that a line is always valid UTF-8. */
#ifndef EDGE_LOG_TEXT_H
#define EDGE_LOG_TEXT_H

#include "base/slice.h"

#define LOG_VALUE_OCTETS  1024 /* a longer value is cut */
#define LOG_NUMBER_OCTETS 20
/* What is behind a piece may be written on. */
#define LOG_SLACK_OCTETS 16

/* How many octets log_put_string writes at most. */
size_t log_string_bound(struct slice s);
/* A JSON string.  return  the end */
char *log_put_string(char *to, struct slice s);
/* In decimal digits.  return  the end */
char *log_put_number(char *to, uint64_t n);

#endif
