/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic microseconds, never 0. */
uint64_t clock_mono_us(void);
/* Microseconds since 1970, UTC; it may jump. */
uint64_t clock_wall_us(void);
#define CLOCK_HTTP_DATE_OCTETS 29
/* IMF-fixdate, RFC 9110 5.6.7: writes exactly 29 octets and no NUL. */
void clock_http_date(uint64_t wall_us, char *out);
#define CLOCK_ISO_OCTETS 27
/* "2026-11-23T10:00:00.123456Z": writes exactly 27 octets and no NUL. */
void clock_iso(uint64_t wall_us, char *out);

#endif
