/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at sixteen octets at once, where the machine can: bit i of an answer is octet i's.  Whoever
 * includes this has a way of its own for machines without OCTETS_AT_ONCE, with the same outcome. */
#ifndef HTTP_OCTETS_H
#define HTTP_OCTETS_H

#ifdef __SSE2__
#include <emmintrin.h>

#define OCTETS_AT_ONCE 16

static inline __m128i octets_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Those that are c. */
static inline unsigned octets_equal(const char *p, char c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(octets_load(p), _mm_set1_epi8(c)));
}

/* Those that no field's value has: below 0x20 but HTAB, and 0x7f.  RFC 9110 5.5 */
static inline unsigned octets_controls(const char *p)
{
    __m128i v = octets_load(p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), low),
                               _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    return (unsigned)_mm_movemask_epi8(bad);
}

/* Those that are no printable ASCII. */
static inline unsigned octets_unprintable(const char *p)
{
    __m128i v = octets_load(p); /* from 0x80 on they are negative */
    __m128i bad = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                               _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    return (unsigned)_mm_movemask_epi8(bad);
}
#endif

#endif
