/* SPDX-License-Identifier: Apache-2.0 */
/* Names of hosts and places: authorities, addresses, prefixes, the text of lists and numbers.
 *
 * Input: one text. */
#include "base/addr.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/head.h"
#include "http/priority.h"
#include "http/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static bool has_any(struct slice s, const char *octets)
{
    for (; *octets; octets++)
        if (s.len && memchr(s.p, *octets, s.len))
            return true;
    return false;
}

static void check_authority(struct slice text)
{
    struct slice host;
    uint16_t port;
    if (!rules_is_authority(text))
        return;
    rules_split_authority(text, &host, &port);
    ASSERT(host.len > 0 && host.p == text.p);
    ASSERT(!has_any(text, "/?#@\\ \t\r\n<>\"") && !memchr(text.p, '\0', text.len));
    bool is_v6 = host.p[0] == '[';
    ASSERT(is_v6 == (host.p[host.len - 1] == ']') && is_v6 == has_any(host, ":"));
    struct slice rest = slice_of(text.p + host.len, text.len - host.len);
    ASSERT(rest.len == 0 || rest.p[0] == ':');
    uint64_t number = 0;
    if (rest.len > 1)
        ASSERT(slice_u64(slice_of(rest.p + 1, rest.len - 1), &number));
    ASSERT(number == port);
    /* A host is an authority by itself, and is then all of it. */
    struct slice again;
    ASSERT(rules_is_authority(host));
    rules_split_authority(host, &again, &port);
    ASSERT(slice_eq(again, host) && port == 0);
}

/* What was parsed is printed so that it parses to the same. */
static void check_address(struct slice text)
{
    struct addr a, b;
    struct addr_prefix prefix;
    char printed[ADDR_TEXT_OCTETS];
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    if (addr_parse(text, &a) == 0) {
        size_t n = addr_format(&a, printed, sizeof printed);
        ASSERT(n < sizeof printed);
        ASSERT(addr_parse(slice_of(printed, n), &b) == 0);
        ASSERT(a.len == b.len && memcmp(&a.u, &b.u, a.len) == 0);
        n = addr_format_host(&a, printed, sizeof printed);
        ASSERT(n < sizeof printed);
    }
    if (addr_prefix_parse(text, &prefix) == 0)
        (void)addr_prefix_has(&prefix, &a);
}

static void check_list(struct slice text)
{
    struct slice rest = text, element;
    size_t octets = 0;
    while (list_next(&rest, &element)) {
        ASSERT(element.len > 0 && element.p >= text.p);
        ASSERT(element.p + element.len <= text.p + text.len);
        octets += element.len;
    }
    ASSERT(octets <= text.len);
}

static void check_length(struct slice text)
{
    struct field field = {SLICE("content-length"), text, TOKEN_CONTENT_LENGTH, 0};
    struct fields fields = {&field, 1, 1};
    int64_t n = -2;
    if (!rules_is_value(text))
        return;
    int err = rules_content_length(&fields, &n);
    ASSERT(err == 0 ? n >= 0 : err == ERR_BAD_LENGTH);
    for (size_t i = 0; err == 0 && i < text.len; i++)
        ASSERT((text.p[i] >= '0' && text.p[i] <= '9') || strchr(", \t", text.p[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct slice text = slice_of(octets, len);
    struct priority p = PRIORITY_DEFAULT;
    check_authority(text);
    check_address(text);
    check_list(text);
    check_length(text);
    if (!priority_parse(text, &p))
        ASSERT(p.urgency == PRIORITY_URGENCY_DEFAULT && !p.incremental);
    ASSERT(p.urgency <= PRIORITY_URGENCY_MAX);
    if (rules_is_origin_form(text))
        ASSERT(text.p[0] == '/' && !has_any(text, " #\t\r\n"));
    return 0;
}
