/* SPDX-License-Identifier: Apache-2.0 */
/* What some requests and responses of fuzz_exchange.c have beside what all have. */
#ifndef FUZZ_EXCHANGE_EXTRAS_H
#define FUZZ_EXCHANGE_EXTRAS_H

#include "base/panic.h"
#include "base/slice.h"

/* Whoever sends it in Portico-Push-Token is told what was decided. */
#define EXCHANGE_TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define PORTICOS_5 "1.1 portico, 1.1 portico, 1.1 portico, 1.1 portico, 1.1 portico"
#define CHROME     "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/105.0.0.0 Safari/537.36"
#define FIREFOX    "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"

struct exchange_extra {
    const char *name, *value;
    const char *method; /* NULL: as it is */
    const char *tail;   /* of the path, NULL: none */
    bool is_ten;        /* HTTP/1.0, from a client of HTTP/1.1 */
};

static const struct exchange_extra exchange_ask_extras[] = {
    {"expect", "100-continue", NULL, NULL, false},
    {"max-forwards", "0", "OPTIONS", NULL, false},
    {"max-forwards", "3", "OPTIONS", NULL, false},
    {"max-forwards", "1", "TRACE", NULL, false},
    {"via", "1.0 fred, 1.1 p.test (a, \"b\")", NULL, NULL, false},
    {"via", PORTICOS_5 ", " PORTICOS_5, NULL, NULL, false},
    {"x-forwarded-for", "192.0.2.1, unknown", NULL, NULL, false},
    {"x-forwarded-for", "", NULL, NULL, false},
    {"x-forwarded-proto", "https", NULL, NULL, false},
    {"x-forwarded-host", "b.test", NULL, NULL, false},
    {"te", "trailers", NULL, NULL, false},
    {"trailer", "x", NULL, NULL, false},
    {"cache-control", "max-age=0", NULL, NULL, false},
    {"if-none-match", "W/\"1\"", NULL, NULL, false},
    {"priority", "u=1, i", NULL, NULL, false},
    {"user-agent", CHROME, NULL, NULL, false},
    {"user-agent", FIREFOX, NULL, NULL, false},
    {"user-agent", "curl/8", NULL, NULL, false},
    {"portico-push-token", EXCHANGE_TOKEN, NULL, NULL, false},
    {"portico-push-token", "0", NULL, NULL, false},
    {"authorization", "secret", NULL, NULL, false},
    {"accept-language", "en", NULL, NULL, false},
    {"sec-fetch-dest", "iframe", NULL, NULL, false},
    {"origin", "http://b.test", NULL, NULL, false},
    {"x", "", NULL, NULL, true},
    {"connection", "keep-alive", NULL, NULL, true},
    {"x", "", NULL, "\"\\\x80\xff?", false},
    {"x", "", "OPTIONS", "?", false},
};

static const struct exchange_extra exchange_answer_extras[] = {
    {.name = "cache-control", .value = "max-age=60"},
    {.name = "cache-control", .value = "private, max-age=\"9\""},
    {.name = "cache-control", .value = "public, s-maxage=99999999999, must-revalidate"},
    {.name = "cache-control", .value = "no-store"},
    {.name = "vary", .value = "accept-encoding, origin"},
    {.name = "vary", .value = "*"},
    {.name = "etag", .value = "W/\"1\""},
    {.name = "expires", .value = "0"},
    {.name = "age", .value = "100"},
    {.name = "content-encoding", .value = "gzip"},
    {.name = "set-cookie", .value = "a=b; secure"},
    {.name = "via", .value = "1.1 x"},
    {.name = "server", .value = "x"},
    {.name = "trailer", .value = "x-t"},
    {.name = "portico-push", .value = "x"},
    {.name = "date", .value = "Thu, 01 Jan 1970 00:00:00 GMT"},
};

/* By the octet that also gives the size of the content. */
static inline const struct exchange_extra *exchange_answer_extra(unsigned size)
{
    return &exchange_answer_extras[size >> 3 & 15];
}
_Static_assert(ARRAY_LEN(exchange_answer_extras) == 16, "four bits choose one");

#endif
