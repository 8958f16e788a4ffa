/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"
#include "base/err.h"

#define FIELDS_FIRST 24

int fields_reserve(struct fields *f, struct arena *a, uint32_t n)
{
    if (n <= f->cap)
        return 0;
    struct field *at = arena_alloc(a, n * sizeof *at);
    if (!at)
        return ERR_NOMEM;
    if (f->count)
        memcpy(at, f->at, f->count * sizeof *at);
    f->at = at;
    f->cap = n;
    return 0;
}

int fields_grow(struct fields *f, struct arena *a)
{
    if (f->count >= FIELDS_MAX)
        return ERR_FIELDS_TOO_LARGE;
    uint32_t n = f->cap ? f->cap * 2 : FIELDS_FIRST;
    return fields_reserve(f, a, n < FIELDS_MAX ? n : FIELDS_MAX);
}

int fields_copy(struct arena *a, const struct fields *from, struct fields *to)
{
    *to = (struct fields){.count = from->count, .cap = from->count};
    to->at = arena_alloc(a, from->count * sizeof *to->at);
    if (!to->at)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < from->count; i++) {
        to->at[i] = from->at[i];
        to->at[i].name =
            from->at[i].token ? token_rows[from->at[i].token].name : arena_dup(a, from->at[i].name);
        to->at[i].value = arena_dup(a, from->at[i].value);
        if (!to->at[i].name.p || !to->at[i].value.p)
            return ERR_NOMEM;
    }
    return 0;
}

const struct field *fields_find(const struct fields *f, enum token token)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token == token)
            return &f->at[i];
    return NULL;
}

const struct field *fields_find_name(const struct fields *f, struct slice lower_name)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (slice_eq(f->at[i].name, lower_name))
            return &f->at[i];
    return NULL;
}

struct slice fields_value(const struct fields *f, enum token token)
{
    const struct field *found = fields_find(f, token);
    return found ? found->value : (struct slice){"", 0};
}

/* return  octets of the first element, up to its comma or the end */
static size_t element_octets(struct slice list)
{
    bool quoted = false;
    for (size_t i = 0; i < list.len; i++) {
        char c = list.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            return i;
    }
    return list.len;
}

static size_t token_octets(struct slice list)
{
    const char *comma = memchr(list.p, ',', list.len);
    return comma ? (size_t)(comma - list.p) : list.len;
}

static bool next_in_list(struct slice *rest, size_t octets(struct slice list),
                         struct slice *element_out)
{
    /* Empty ones first, by the thousand even. */
    while (rest->len && (*rest->p == ',' || *rest->p == ' ' || *rest->p == '\t')) {
        rest->p++;
        rest->len--;
    }
    if (!rest->len)
        return false;
    size_t n = octets(*rest), taken = n < rest->len ? n + 1 : n;
    *element_out = slice_trim(slice_of(rest->p, n));
    rest->p += taken;
    rest->len -= taken;
    return true;
}

bool list_next(struct slice *rest, struct slice *element_out)
{
    return next_in_list(rest, element_octets, element_out);
}

bool tokens_next(struct slice *rest, struct slice *token_out)
{
    return next_in_list(rest, token_octets, token_out);
}

bool connection_options_add(struct connection_options *o, struct slice line)
{
    struct slice option;
    while (tokens_next(&line, &option)) {
        if (o->count == CONNECTION_OPTIONS)
            return false;
        o->at[o->count++] = option;
    }
    return true;
}

bool connection_options_have(const struct connection_options *o, struct slice name)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (slice_ieq(o->at[i], name))
            return true;
    return false;
}

bool fields_list_has(const struct fields *f, enum token token, struct slice element)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, found;
        if (f->at[i].token != token)
            continue;
        while (list_next(&rest, &found))
            if (slice_ieq(found, element))
                return true;
    }
    return false;
}

bool method_is_safe(struct slice m)
{
    return slice_eq(m, SLICE("GET")) || slice_eq(m, SLICE("HEAD")) ||
           slice_eq(m, SLICE("OPTIONS")) || slice_eq(m, SLICE("TRACE"));
}

bool method_is_idempotent(struct slice m)
{
    return method_is_safe(m) || slice_eq(m, SLICE("PUT")) || slice_eq(m, SLICE("DELETE"));
}

bool response_has_content(struct slice request_method, unsigned status)
{
    if (status < 200 || status == 204 || status == 304)
        return false;
    return !slice_eq(request_method, SLICE("HEAD"));
}

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *status_phrase(unsigned status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}
