/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_impl.h"
#include "http/octets.h"
#include "http/rules.h"

#include <endian.h>

/* A tchar (RFC 9110 5.6.2) maps to itself in lower case, anything else to 0. */
static const unsigned char lower_tchar[256] = {
#define SAME(c)   [(c)] = (c)
#define LETTER(c) [(c)] = (c), [(c)-0x20] = (c)
    SAME('!'),   SAME('#'),   SAME('$'),   SAME('%'),   SAME('&'),   SAME('\''),  SAME('*'),
    SAME('+'),   SAME('-'),   SAME('.'),   SAME('^'),   SAME('_'),   SAME('`'),   SAME('|'),
    SAME('~'),   SAME('0'),   SAME('1'),   SAME('2'),   SAME('3'),   SAME('4'),   SAME('5'),
    SAME('6'),   SAME('7'),   SAME('8'),   SAME('9'),   LETTER('a'), LETTER('b'), LETTER('c'),
    LETTER('d'), LETTER('e'), LETTER('f'), LETTER('g'), LETTER('h'), LETTER('i'), LETTER('j'),
    LETTER('k'), LETTER('l'), LETTER('m'), LETTER('n'), LETTER('o'), LETTER('p'), LETTER('q'),
    LETTER('r'), LETTER('s'), LETTER('t'), LETTER('u'), LETTER('v'), LETTER('w'), LETTER('x'),
    LETTER('y'), LETTER('z'),
#undef SAME
#undef LETTER
};

bool h1_is_tchar(unsigned char c)
{
    return lower_tchar[c] != 0;
}

#define EACH(octet) (0x0101010101010101u * (octet))

const char *h1_find_control(const char *p, const char *end)
{
#ifdef OCTETS_AT_ONCE
    for (; end - p >= OCTETS_AT_ONCE; p += OCTETS_AT_ONCE) {
        unsigned hits = octets_controls(p) | octets_equal(p, '\t');
        if (hits)
            return p + __builtin_ctz(hits);
    }
#endif
    /* Eight octets at once.  A borrow can only spoil octets above the first true hit, and the
     * lowest hit is the one taken. */
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        w = le64toh(w);
        uint64_t del = w ^ EACH(0x7f);
        uint64_t hits = (((w - EACH(0x20)) & ~w) | ((del - EACH(0x01)) & ~del)) & EACH(0x80);
        if (hits)
            return p + (__builtin_ctzll(hits) >> 3);
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != 0x7f)
        p++;
    return p;
}

/* ---- finding the end ---- */

/* The first LF in [p, end), or NULL.  Lines are short: a call costs more than most of them. */
static inline const char *find_lf(const char *p, const char *end)
{
#ifdef OCTETS_AT_ONCE
    for (; end - p >= OCTETS_AT_ONCE; p += OCTETS_AT_ONCE) {
        unsigned hits = octets_equal(p, '\n');
        if (hits)
            return p + __builtin_ctz(hits);
    }
#endif
    return p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
}

int h1_scan(struct h1_scan *s, const struct h1_limits *limits, struct slice in, size_t *taken_out)
{
    static const int too_long[] = {
        [H1_START_LINE] = ERR_URI_TOO_LONG,
        [H1_FIELD_LINES] = ERR_FIELDS_TOO_LARGE,
        [H1_CHUNK_LINE] = ERR_BAD_CHUNK,
    };
    const size_t most[] = {
        [H1_START_LINE] = (size_t)limits->start_line_octets + 2,
        [H1_FIELD_LINES] = (size_t)limits->field_section_octets + 2,
        [H1_CHUNK_LINE] = (size_t)limits->chunk_line_octets + 2,
    };
    struct h1_scan now = *s;
    const char *p = in.p, *end = in.p + in.len;
    *taken_out = in.len;
    while (p < end) {
        const char *lf = find_lf(p, end);
        size_t n = (size_t)((lf ? lf + 1 : end) - p);
        p += n;
        now.line += n;
        now.octets += n;
        if (now.octets > most[now.part])
            return too_long[now.part];
        if (!lf) {
            now.cr = end[-1] == '\r';
            break;
        }
        /* A line ends with CRLF; a bare LF is where two readers would disagree (RFC 9112 2.2). */
        if (n > 1 ? lf[-1] != '\r' : !now.cr)
            return ERR_BAD_LINE;
        bool empty = now.line == 2;
        now.line = 0;
        now.cr = false;
        if (now.part == H1_CHUNK_LINE || (now.part == H1_FIELD_LINES && empty)) {
            *taken_out = (size_t)(p - in.p);
            return 1;
        }
        if (now.part == H1_START_LINE) {
            now.part = H1_FIELD_LINES;
            now.octets = 0;
        }
    }
    *s = now;
    return 0;
}

/* ---- fields ---- */

/* Which known names a section has, and which of them more than once. */
struct names {
    uint64_t once[2], twice[2];
};
_Static_assert(TOKEN_COUNT <= 128, "struct names needs another word");

static void names_note(struct names *n, enum token t)
{
    uint64_t bit = 1ull << (t & 63);
    n->twice[t >> 6] |= n->once[t >> 6] & bit;
    n->once[t >> 6] |= bit;
}

static bool names_has(const struct names *n, enum token t)
{
    return n->once[t >> 6] >> (t & 63) & 1;
}

static bool names_repeats(const struct names *n, enum token t)
{
    return n->twice[t >> 6] >> (t & 63) & 1;
}

/* The first ":" in [p, end), or end.  Whole words are looked at, the last one into the slack. */
static char *find_colon(char *p, char *end)
{
#ifdef OCTETS_AT_ONCE
    for (; p < end; p += OCTETS_AT_ONCE) {
        unsigned hits = octets_equal(p, ':');
        if (hits)
            return p + __builtin_ctz(hits);
    }
    return end;
#else
    char *colon = memchr(p, ':', (size_t)(end - p));
    return colon ? colon : end;
#endif
}

/* The first control octet but HTAB in a text that holds one. */
static char *find_line_end(char *p)
{
#ifdef OCTETS_AT_ONCE
    for (;; p += OCTETS_AT_ONCE) {
        unsigned hits = octets_controls(p);
        if (hits)
            return p + __builtin_ctz(hits);
    }
#else
    while (((unsigned char)*p >= 0x20 && *p != 0x7f) || *p == '\t')
        p++;
    return p;
#endif
}

/* A name that is not known, to lower case in place.  return  false: it is no token */
static bool lower_name(char *p, const char *end)
{
    if (p == end)
        return false;
    for (; p < end; p++) {
        unsigned char c = lower_tchar[(unsigned char)*p];
        if (!c)
            return false;
        *p = (char)c;
    }
    return true;
}

/* Field lines from p up to the empty line that ends at end.  RFC 9112 5 */
static int parse_fields(char *p, char *end, struct arena *a, struct fields *out,
                        struct names *names)
{
    while (*p != '\r') {
        /* The name ends at the colon: white space before it (5.1) and obs-fold (5.2) are in no
         * name, known or not. */
        char *colon = find_colon(p, end);
        struct slice key = slice_of(p, (size_t)(colon - p));
        enum token token = token_find_any_case(key);
        if (token)
            key = token_rows[token].name;
        else if (colon == end || !lower_name(p, colon))
            return ERR_BAD_NAME;
        const char *value = colon + 1;
        p = find_line_end(colon + 1);
        if (p[0] != '\r' || p[1] != '\n') /* NUL, bare CR or another control octet (5.5) */
            return ERR_BAD_VALUE;
        if (out->count >= FIELDS_MAX)
            return ERR_FIELDS_TOO_LARGE;
        struct slice content = slice_trim(slice_of(value, (size_t)(p - value)));
        int err = fields_add(out, a, token, key, content);
        if (err)
            return err;
        names_note(names, token);
        p += 2;
    }
    /* The scan found an empty line here and nowhere before. */
    return p + 2 == end && p[1] == '\n' ? 0 : ERR_BAD_LINE;
}

static struct field *find(struct fields *f, enum token token)
{
    return (struct field *)fields_find(f, token);
}

/* Why anything but the one word "chunked" is refused.  It must come last and once, or nobody can
 * tell where the content ends; before it another coding would be in order, but there is none that
 * we undo.  RFC 9112 6.1, 6.3 */
static int refuse_codings(const struct fields *f)
{
    bool chunked = false, other = false;
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, coding;
        if (f->at[i].token != TOKEN_TRANSFER_ENCODING)
            continue;
        while (list_next(&rest, &coding)) {
            if (chunked)
                return ERR_BAD_FRAMING;
            chunked = slice_ieq(coding, SLICE("chunked"));
            other |= !chunked;
        }
    }
    return chunked && other ? ERR_BAD_CODING : ERR_BAD_FRAMING;
}

/* Content-Length and Transfer-Encoding.  RFC 9112 6.1 to 6.3 */
static int note_framing(struct http_head *head, const struct names *names, struct arena *a,
                        struct h1_framing *framing)
{
    head->content_length = -1;
    if (names_has(names, TOKEN_CONTENT_LENGTH)) {
        int err = rules_settle_content_length(&head->fields, a, &head->content_length);
        if (err)
            return err;
        framing->length = true;
    }
    if (!names_has(names, TOKEN_TRANSFER_ENCODING))
        return 0;
    if (framing->length || head->version_minor == 0)
        return ERR_BAD_FRAMING;
    if (names_repeats(names, TOKEN_TRANSFER_ENCODING) ||
        !slice_ieq(fields_value(&head->fields, TOKEN_TRANSFER_ENCODING), SLICE("chunked")))
        return refuse_codings(&head->fields);
    framing->coded = true;
    return 0;
}

/* What Connection says.  RFC 9110 7.6.1 */
struct options {
    unsigned count;
    bool close, keep_alive, upgrade;
};

static void note_options(struct options *o, struct slice list)
{
    struct slice option;
    for (; tokens_next(&list, &option); o->count++) {
        o->close |= slice_ieq(option, SLICE("close"));
        o->keep_alive |= slice_ieq(option, SLICE("keep-alive"));
        o->upgrade |= slice_ieq(option, SLICE("upgrade"));
    }
}

/* Whether the connection persists, and the protocol that Upgrade names.  RFC 9112 9.3, RFC 9110 7.8
 */
static int note_connection(struct http_head *head, const struct names *names,
                           struct h1_framing *framing)
{
    struct options options = {0};
    if (names_has(names, TOKEN_CONNECTION))
        for (uint32_t i = 0; i < head->fields.count; i++)
            if (head->fields.at[i].token == TOKEN_CONNECTION)
                note_options(&options, head->fields.at[i].value);
    if (options.count > CONNECTION_OPTIONS)
        return ERR_BAD_OPTIONS;
    framing->keep = !options.close && (head->version_minor == 1 || options.keep_alive);
    /* Upgrade may be ignored at will: it is, unless it names one protocol that could be passed on,
     * in a message without content, so that there is no doubt about where the other protocol
     * begins.
     */
    if (options.upgrade && names_has(names, TOKEN_UPGRADE) &&
        !names_repeats(names, TOKEN_UPGRADE) && head->version_minor == 1 && !framing->coded &&
        head->content_length <= 0) {
        struct slice protocol = fields_value(&head->fields, TOKEN_UPGRADE);
        if (rules_is_upgrade(protocol))
            head->protocol = protocol;
    }
    return 0;
}

/* "HTTP/1.0" or "HTTP/1.1".  RFC 9112 2.3 */
static int parse_version(const char *p, uint8_t *minor_out)
{
    if (memcmp(p, "HTTP/", 5) != 0 || (unsigned)(p[5] - '0') > 9 || p[6] != '.' ||
        (unsigned)(p[7] - '0') > 9)
        return ERR_BAD_START_LINE;
    if (p[5] != '1' || p[7] > '1')
        return ERR_BAD_VERSION;
    *minor_out = (uint8_t)(p[7] - '0');
    return 0;
}

/* ---- requests ---- */

/* absolute-form: http or https, an authority, then what origin-form would have.  RFC 9112 3.2.2 */
static int split_absolute(struct http_head *head, struct slice target, struct arena *a)
{
    size_t scheme = 0;
    if (target.len > 7 && slice_ieq(slice_of(target.p, 7), SLICE("http://")))
        scheme = 7;
    else if (target.len > 8 && slice_ieq(slice_of(target.p, 8), SLICE("https://")))
        scheme = 8;
    else
        return ERR_BAD_TARGET;
    size_t end = scheme;
    while (end < target.len && target.p[end] != '/' && target.p[end] != '?' && target.p[end] != '#')
        end++;
    head->authority = slice_of(target.p + scheme, end - scheme);
    head->path = slice_of(target.p + end, target.len - end);
    if (!rules_is_authority(head->authority))
        return ERR_BAD_TARGET;
    if (head->path.len == 0) {
        head->path = slice_eq(head->method, SLICE("OPTIONS")) ? SLICE("*") : SLICE("/");
        return 0;
    }
    if (head->path.p[0] == '?') {
        head->path = arena_printf(a, "/%.*s", SLICE_FMT(head->path));
        if (!head->path.p)
            return ERR_NOMEM;
    }
    return rules_is_origin_form(head->path) ? 0 : ERR_BAD_TARGET;
}

/* The four forms of a request target.  RFC 9112 3.2 */
static int parse_target(struct http_head *head, struct slice target, struct arena *a)
{
    if (slice_eq(head->method, SLICE("CONNECT"))) {
        struct slice host;
        uint16_t port;
        if (!rules_is_authority(target))
            return ERR_BAD_TARGET;
        rules_split_authority(target, &host, &port);
        head->authority = target;
        return port && host.len ? 0 : ERR_BAD_TARGET;
    }
    if (target.len && target.p[0] == '/') {
        head->path = target;
        return rules_is_origin_form(target) ? 0 : ERR_BAD_TARGET;
    }
    if (slice_eq(target, SLICE("*"))) {
        head->path = target;
        return slice_eq(head->method, SLICE("OPTIONS")) ? 0 : ERR_BAD_TARGET;
    }
    return split_absolute(head, target, a);
}

/* method SP request-target SP HTTP-version CRLF, single spaces.  RFC 9112 3 */
static int parse_request_line(char **at, char *end, struct http_head *head,
                              struct slice *target_out)
{
    char *p = *at;
    while (h1_is_tchar((unsigned char)*p))
        p++;
    head->method = slice_of(*at, (size_t)(p - *at));
    if (head->method.len == 0 || *p++ != ' ')
        return ERR_BAD_START_LINE;
    const char *target = p;
    char *cr = (char *)h1_find_control(p, end);
    char *sp = memchr(p, ' ', (size_t)(cr - p));
    /* Two spaces would leave it to the reader which one ends the target (3.2: it has none). */
    if (!sp || sp == target || cr[0] != '\r' || cr[1] != '\n' || cr - sp != 9)
        return ERR_BAD_START_LINE;
    *target_out = slice_of(target, (size_t)(sp - target));
    *at = cr + 2;
    return parse_version(sp + 1, &head->version_minor);
}

/* Host is there exactly once in HTTP/1.1 and names a place; a target with an authority of its own
 * wins and replaces it.  RFC 9112 3.2, 3.2.2 */
static int note_host(struct http_head *head, const struct names *names)
{
    if (!names_has(names, TOKEN_HOST))
        return head->version_minor == 0 ? 0 : ERR_BAD_HOST;
    struct field *f = find(&head->fields, TOKEN_HOST);
    if (names_repeats(names, TOKEN_HOST) || !rules_is_authority(f->value))
        return ERR_BAD_HOST;
    if (head->authority.len)
        f->value = head->authority;
    else
        head->authority = f->value;
    return 0;
}

int h1_parse_request(char *text, size_t len, struct arena *a, struct http_head *head,
                     struct h1_framing *framing)
{
    char *p = text, *end = text + len;
    struct names names = {{0}, {0}};
    struct slice target;
    *framing = (struct h1_framing){0};
    int err = parse_request_line(&p, end, head, &target);
    if (!err)
        err = parse_target(head, target, a);
    if (!err)
        err = parse_fields(p, end, a, &head->fields, &names);
    if (!err)
        err = note_host(head, &names);
    if (!err)
        err = note_framing(head, &names, a, framing);
    if (!err)
        err = note_connection(head, &names, framing);
    if (err)
        return err;
    if (names_has(&names, TOKEN_EXPECT) && head->version_minor == 1)
        head->expect_continue = fields_list_has(&head->fields, TOKEN_EXPECT, SLICE("100-continue"));
    /* What follows a CONNECT is the tunnel's (RFC 9110 9.3.6); content would be taken for it. */
    if (slice_eq(head->method, SLICE("CONNECT")) && (framing->coded || head->content_length > 0))
        return ERR_BAD_CONTENT;
    return 0;
}

/* ---- responses ---- */

/* HTTP-version SP status-code [SP [reason]] CRLF.  RFC 9112 4 */
static int parse_status_line(char **at, char *end, struct http_head *head)
{
    char *p = *at;
    char *cr = find_line_end(p);
    if (cr[0] != '\r' || cr[1] != '\n' || cr - p < 12 || p[8] != ' ' ||
        (cr - p > 12 && p[12] != ' '))
        return ERR_BAD_START_LINE;
    int err = parse_version(p, &head->version_minor);
    if (err)
        return err;
    uint64_t status;
    if (!slice_u64(slice_of(p + 9, 3), &status) || status < 100 || status > 599)
        return ERR_BAD_START_LINE;
    head->status = (uint16_t)status;
    *at = cr + 2;
    return 0;
}

int h1_parse_response(char *text, size_t len, struct arena *a, struct http_head *head,
                      struct h1_framing *framing)
{
    char *p = text, *end = text + len;
    struct names names = {{0}, {0}};
    *framing = (struct h1_framing){0};
    int err = parse_status_line(&p, end, head);
    if (!err)
        err = parse_fields(p, end, a, &head->fields, &names);
    if (!err)
        err = note_framing(head, &names, a, framing);
    return err ? err : note_connection(head, &names, framing);
}

/* ---- chunked ---- */

int h1_parse_trailers(char *text, size_t len, struct arena *a, struct fields *out)
{
    struct names names = {{0}, {0}};
    int err = parse_fields(text, text + len, a, out, &names);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (rules_is_trailer((enum token)out->at[i].token))
            out->at[kept++] = out->at[i];
    out->count = kept;
    return err;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static const char *skip_token(const char *p)
{
    while (h1_is_tchar((unsigned char)*p))
        p++;
    return p;
}

/* return  after the closing quote, or NULL */
static const char *skip_quoted(const char *p)
{
    for (p++; *p != '"'; p++) {
        if (*p == '\\')
            p++;
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return NULL;
    }
    return p + 1;
}

/* The line ends with CR, which no rule here takes, so nothing runs over its end. */
int h1_parse_chunk_line(struct slice line, uint64_t *size_out)
{
    const char *p = line.p;
    uint64_t size = 0;
    for (;; p++) {
        unsigned char c = (unsigned char)*p;
        unsigned digit;
        if ((unsigned)(c - '0') <= 9)
            digit = c - '0';
        else if ((unsigned)((c | 0x20) - 'a') <= 5)
            digit = (c | 0x20u) - 'a' + 10;
        else
            break;
        if (size > (uint64_t)INT64_MAX >> 4)
            return ERR_BAD_CHUNK;
        size = size << 4 | digit;
    }
    if (p == line.p)
        return ERR_BAD_CHUNK;
    /* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )  RFC 9112 7.1.1.
     * Read in full: a quote left open is one reader's end of line and another's content. */
    while (*p != '\r') {
        p = skip_blanks(p);
        if (*p != ';')
            return ERR_BAD_CHUNK;
        const char *name = skip_blanks(p + 1);
        p = skip_token(name);
        if (p == name)
            return ERR_BAD_CHUNK;
        const char *equals = skip_blanks(p);
        if (*equals != '=')
            continue;
        const char *value = skip_blanks(equals + 1);
        p = *value == '"' ? skip_quoted(value) : skip_token(value);
        if (!p || p == value)
            return ERR_BAD_CHUNK;
    }
    if ((size_t)(p - line.p) + 2 != line.len)
        return ERR_BAD_CHUNK;
    *size_out = size;
    return 0;
}
