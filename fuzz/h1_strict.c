/* SPDX-License-Identifier: Apache-2.0 */
#include "h1_strict.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct reader {
    struct slice in;
    size_t at;
    struct strict_message *m;
};

static enum strict_verdict bad(struct reader *r, const char *why)
{
    r->m->why = why;
    return STRICT_BAD;
}

/* ---- characters: RFC 5234 B.1, RFC 9110 5.5, 5.6.2, RFC 3986 2 ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_tchar(char c)
{
    return is_digit(c) || is_alpha(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_obs_text(char c)
{
    return (unsigned char)c >= 0x80;
}

static bool is_vchar(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_tchar(s.p[i]))
            return false;
    return s.len > 0;
}

/* The line at r->at without its CRLF.  RFC 9112 2.2 lets a recipient take a lone LF for a line's
 * end; here it is an error, as a lone CR is. */
static enum strict_verdict take_line(struct reader *r, struct slice *line_out)
{
    for (size_t i = r->at; i < r->in.len; i++) {
        if (r->in.p[i] == '\n')
            return bad(r, "LF without CR");
        if (r->in.p[i] != '\r')
            continue;
        if (i + 1 == r->in.len)
            return STRICT_MORE;
        if (r->in.p[i + 1] != '\n')
            return bad(r, "CR without LF");
        *line_out = slice_of(r->in.p + r->at, i - r->at);
        r->at = i + 2;
        return STRICT_WHOLE;
    }
    return STRICT_MORE;
}

/* Cuts s at the first c: what stands before it goes to *first.  False: there is none. */
static bool cut(struct slice *s, char c, struct slice *first)
{
    const char *at = s->len ? memchr(s->p, c, s->len) : NULL;
    if (!at)
        return false;
    *first = slice_of(s->p, (size_t)(at - s->p));
    *s = slice_of(at + 1, s->len - first->len - 1);
    return true;
}

/* ---- field sections: RFC 9112 5 ---- */

static bool is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_vchar(s.p[i]) && !is_obs_text(s.p[i]) && !is_blank(s.p[i]))
            return false;
    return true;
}

static enum strict_verdict take_fields(struct reader *r, struct strict_fields *out)
{
    size_t from = r->at;
    for (;;) {
        struct slice line, name;
        if (r->m->longest_section < r->at - from)
            r->m->longest_section = r->at - from;
        enum strict_verdict v = take_line(r, &line);
        if (v != STRICT_WHOLE || line.len == 0)
            return v;
        if (is_blank(line.p[0]))
            return bad(r, "obs-fold");
        if (!cut(&line, ':', &name) || !is_token(name))
            return bad(r, "field name");
        if (!is_field_value(line))
            return bad(r, "field value");
        out->at = realloc(out->at, (out->count + 1) * sizeof *out->at);
        if (!out->at)
            abort();
        out->at[out->count++] = (struct strict_field){name, slice_trim(line)};
    }
}

/* The nth line of that name, or NULL. */
static const struct slice *find(const struct strict_fields *f, const char *name, size_t nth)
{
    for (size_t i = 0; i < f->count; i++)
        if (slice_ieq(f->at[i].name, slice_str(name)) && nth-- == 0)
            return &f->at[i].value;
    return NULL;
}

/* Whether a list field names this member; enough for Connection, whose members are tokens. */
static bool lists(const struct strict_fields *f, const char *name, const char *member)
{
    const struct slice *line;
    for (size_t n = 0; (line = find(f, name, n)) != NULL; n++) {
        struct slice rest = *line, one;
        while (cut(&rest, ',', &one))
            if (slice_ieq(slice_trim(one), slice_str(member)))
                return true;
        if (slice_ieq(slice_trim(rest), slice_str(member)))
            return true;
    }
    return false;
}

/* ---- request target and Host: RFC 9112 3.2, RFC 3986 3.2 ---- */

static bool is_host_octet(const char *p, size_t left)
{
    if (*p == '%')
        return left >= 3 && is_hex(p[1]) && is_hex(p[2]);
    return is_alpha(*p) || is_digit(*p) || (*p && strchr("-._~!$&'()*+,;=", *p));
}

/* uri-host [ ":" port ], the host not empty: http and https have no such URIs (RFC 9110 4.2.1). */
static bool is_authority(struct slice s)
{
    size_t at = 0;
    unsigned port = 0;
    if (s.len && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.len);
        char text[64] = "";
        struct in6_addr address;
        if (!end || (size_t)(end - s.p) > sizeof text)
            return false;
        memcpy(text, s.p + 1, (size_t)(end - s.p) - 1);
        if (strlen(text) != (size_t)(end - s.p) - 1 || inet_pton(AF_INET6, text, &address) != 1)
            return false;
        at = (size_t)(end - s.p) + 1;
    } else {
        while (at < s.len && s.p[at] != ':') {
            if (!is_host_octet(s.p + at, s.len - at))
                return false;
            at++;
        }
        if (at == 0)
            return false;
    }
    if (at == s.len)
        return true;
    if (s.p[at] != ':')
        return false;
    while (++at < s.len) {
        if (!is_digit(s.p[at]))
            return false;
        port = port * 10 + (unsigned)(s.p[at] - '0');
        if (port > 65535)
            return false;
    }
    return true;
}

/* Path and query.  RFC 3986 knows fewer octets than clients send and servers take; what counts here
 * is that none of them ends the target or begins a fragment. */
static bool is_path(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((!is_vchar(s.p[i]) && !is_obs_text(s.p[i])) || s.p[i] == '#')
            return false;
    return true;
}

static bool starts_with(struct slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && slice_ieq(slice_of(s.p, n), slice_str(prefix));
}

static bool read_absolute(struct strict_message *m, size_t scheme_len)
{
    struct slice rest = slice_of(m->target.p + scheme_len, m->target.len - scheme_len);
    size_t n = 0;
    while (n < rest.len && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    m->host = slice_of(rest.p, n);
    m->path = slice_of(rest.p + n, rest.len - n);
    return is_authority(m->host) && is_path(m->path);
}

static enum strict_verdict check_target(struct reader *r)
{
    struct strict_message *m = r->m;
    const struct slice *host = find(&m->fields, "host", 0);
    if (find(&m->fields, "host", 1))
        return bad(r, "two Host fields");
    if (!host && m->minor > 0)
        return bad(r, "no Host field");
    if (host && !is_authority(*host))
        return bad(r, "Host");
    if (host)
        m->host = *host;
    m->path = m->target;
    if (slice_eq(m->method, SLICE("CONNECT"))) {
        size_t digits = 0, zeros = 0, len = m->target.len;
        while (digits < len && is_digit(m->target.p[len - 1 - digits]))
            zeros += m->target.p[len - 1 - digits++] == '0';
        /* The port is there, and valid: RFC 9110 9.3.6. */
        if (!is_authority(m->target) || digits == len || m->target.p[len - 1 - digits] != ':' ||
            digits == zeros)
            return bad(r, "authority-form");
        m->host = m->target;
        m->path = SLICE("");
        return STRICT_WHOLE;
    }
    if (slice_eq(m->target, SLICE("*")))
        return slice_eq(m->method, SLICE("OPTIONS")) ? STRICT_WHOLE : bad(r, "asterisk-form");
    if (m->target.len && m->target.p[0] == '/')
        return is_path(m->target) ? STRICT_WHOLE : bad(r, "origin-form");
    if (starts_with(m->target, "http://"))
        return read_absolute(m, 7) ? STRICT_WHOLE : bad(r, "absolute-form");
    if (starts_with(m->target, "https://"))
        return read_absolute(m, 8) ? STRICT_WHOLE : bad(r, "absolute-form");
    return bad(r, "request target");
}

/* ---- content: RFC 9112 6, 7 ---- */

static void add_content(struct strict_message *m, struct slice s)
{
    if (s.len == 0)
        return;
    m->content = realloc(m->content, m->content_len + s.len);
    if (!m->content)
        abort();
    memcpy(m->content + m->content_len, s.p, s.len);
    m->content_len += s.len;
}

static enum strict_verdict take_content(struct reader *r, uint64_t octets)
{
    uint64_t left = r->in.len - r->at;
    size_t n = (size_t)(left < octets ? left : octets);
    add_content(r->m, slice_of(r->in.p + r->at, n));
    r->at += n;
    return left < octets ? STRICT_MORE : STRICT_WHOLE;
}

static size_t skip_blanks(struct slice s, size_t at)
{
    while (at < s.len && is_blank(s.p[at]))
        at++;
    return at;
}

static size_t skip_token(struct slice s, size_t at)
{
    while (at < s.len && is_tchar(s.p[at]))
        at++;
    return at;
}

/* RFC 9110 5.6.4.  return  where it ends, or 0 */
static size_t skip_quoted(struct slice s, size_t at)
{
    for (at++; at < s.len; at++) {
        if (s.p[at] == '"')
            return at + 1;
        if (s.p[at] == '\\')
            at++;
        if (at == s.len || (!is_vchar(s.p[at]) && !is_obs_text(s.p[at]) && !is_blank(s.p[at])))
            return 0;
    }
    return 0;
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ).  RFC 9112 7.1.1 */
static bool is_chunk_ext(struct slice s)
{
    size_t at = 0;
    while (at < s.len) {
        size_t from, name_end;
        at = skip_blanks(s, at);
        if (at == s.len || s.p[at] != ';')
            return false;
        from = skip_blanks(s, at + 1);
        name_end = at = skip_token(s, from);
        if (at == from)
            return false;
        at = skip_blanks(s, at);
        if (at == s.len || s.p[at] != '=') {
            at = name_end;
            continue;
        }
        from = skip_blanks(s, at + 1);
        if (from < s.len && s.p[from] == '"')
            at = skip_quoted(s, from);
        else
            at = skip_token(s, from);
        if (at <= from)
            return false;
    }
    return true;
}

static enum strict_verdict take_chunks(struct reader *r)
{
    for (;;) {
        struct slice line, nothing;
        size_t digits = 0;
        uint64_t octets = 0;
        enum strict_verdict v = take_line(r, &line);
        if (v != STRICT_WHOLE)
            return v;
        if (r->m->longest_chunk_line < line.len)
            r->m->longest_chunk_line = line.len;
        for (; digits < line.len && is_hex(line.p[digits]); digits++) {
            char c = line.p[digits];
            if (octets >> 59)
                return bad(r, "chunk size");
            octets = octets * 16 + (unsigned)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        if (digits == 0 || !is_chunk_ext(slice_of(line.p + digits, line.len - digits)))
            return bad(r, "chunk line");
        if (octets == 0)
            return take_fields(r, &r->m->trailers);
        v = take_content(r, octets);
        if (v != STRICT_WHOLE)
            return v;
        if (r->at < r->in.len && r->in.p[r->at] != '\r')
            return bad(r, "chunk longer than said");
        v = take_line(r, &nothing);
        if (v != STRICT_WHOLE)
            return v;
    }
}

/* return  false when it is malformed; *octets -1 when there is none.  RFC 9112 6.3 lets a list of
 * the same number pass for that number. */
static bool content_length(const struct strict_message *m, int64_t *octets)
{
    const struct slice *line;
    *octets = -1;
    for (size_t n = 0; (line = find(&m->fields, "content-length", n)) != NULL; n++) {
        struct slice rest = *line, one;
        bool more = true;
        while (more) {
            uint64_t number = 0;
            more = cut(&rest, ',', &one);
            if (!more)
                one = rest;
            one = slice_trim(one);
            if (one.len == 0)
                return false;
            for (size_t i = 0; i < one.len; i++) {
                if (!is_digit(one.p[i]) || number > INT64_MAX / 10)
                    return false;
                number = number * 10 + (unsigned)(one.p[i] - '0');
                if (number > INT64_MAX)
                    return false;
            }
            if (*octets >= 0 && (uint64_t)*octets != number)
                return false;
            *octets = (int64_t)number;
        }
    }
    return true;
}

/* What the message says of its content.  Transfer codings but chunked are beyond this reader; both
 * fields at once, and a coding in a message of HTTP/1.0, are faults (RFC 9112 6.1). */
static enum strict_verdict read_framing(struct reader *r, bool *is_chunked, int64_t *octets)
{
    const struct slice *coding = find(&r->m->fields, "transfer-encoding", 0);
    *is_chunked = r->m->is_coded = coding != NULL;
    if (!content_length(r->m, octets))
        return bad(r, "Content-Length");
    if (!coding)
        return STRICT_WHOLE;
    if (*octets >= 0)
        return bad(r, "two framings");
    if (r->m->minor == 0)
        return bad(r, "coding in HTTP/1.0");
    if (find(&r->m->fields, "transfer-encoding", 1) || !slice_ieq(*coding, SLICE("chunked")))
        return bad(r, "transfer coding");
    return STRICT_WHOLE;
}

static bool is_last(const struct strict_message *m)
{
    if (lists(&m->fields, "connection", "close"))
        return true;
    if (slice_eq(m->method, SLICE("CONNECT"))) /* granted or not: RFC 9110 9.3.6, RFC 9931 */
        return true;
    return m->minor == 0 && !lists(&m->fields, "connection", "keep-alive");
}

static enum strict_verdict end(struct reader *r, enum strict_verdict v)
{
    r->m->next = r->at;
    return v;
}

/* ---- messages ---- */

/* HTTP/1.x; other versions are beyond this reader. */
static bool read_version(struct strict_message *m, struct slice s)
{
    if (s.len != 8 || memcmp(s.p, "HTTP/1.", 7) != 0 || !is_digit(s.p[7]))
        return false;
    m->minor = (unsigned)(s.p[7] - '0');
    return true;
}

enum strict_verdict strict_request(struct slice in, struct strict_message *m)
{
    struct reader r = {in, 0, m};
    struct slice line;
    bool is_chunked;
    int64_t octets;
    enum strict_verdict v;
    memset(m, 0, sizeof *m);
    /* empty lines before a request are skipped: RFC 9112 2.2 */
    while ((v = take_line(&r, &line)) == STRICT_WHOLE && line.len == 0)
        m->empty_lines++;
    if (v != STRICT_WHOLE)
        return v;
    m->start_line_octets = line.len;
    if (!cut(&line, ' ', &m->method) || !cut(&line, ' ', &m->target) || !is_token(m->method) ||
        !read_version(m, line))
        return bad(&r, "request line");
    if ((v = take_fields(&r, &m->fields)) != STRICT_WHOLE ||
        (v = check_target(&r)) != STRICT_WHOLE ||
        (v = read_framing(&r, &is_chunked, &octets)) != STRICT_WHOLE)
        return v;
    m->has_head = true;
    m->is_last = is_last(m);
    if (is_chunked)
        return end(&r, take_chunks(&r));
    return end(&r, take_content(&r, octets > 0 ? (uint64_t)octets : 0));
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ].  RFC 9112 4.  The one leniency of
 * this reader: the second space may be left out with the phrase, as many servers do. */
static bool read_status_line(struct strict_message *m, struct slice line)
{
    struct slice version, code;
    if (!cut(&line, ' ', &version))
        return false;
    if (!cut(&line, ' ', &code)) {
        code = line;
        line.len = 0;
    }
    if (!read_version(m, version) || code.len != 3 || !is_field_value(line))
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (!is_digit(code.p[i]))
            return false;
        m->status = m->status * 10 + (unsigned)(code.p[i] - '0');
    }
    return m->status >= 100 && m->status <= 599; /* RFC 9110 15 */
}

enum strict_verdict strict_response(struct slice in, struct slice request_method, bool at_eof,
                                    struct strict_message *m)
{
    struct reader r = {in, 0, m};
    struct slice line;
    bool is_chunked;
    int64_t octets;
    enum strict_verdict v;
    memset(m, 0, sizeof *m);
    if ((v = take_line(&r, &line)) != STRICT_WHOLE)
        return v;
    m->start_line_octets = line.len;
    if (!read_status_line(m, line))
        return bad(&r, "status line");
    if ((v = take_fields(&r, &m->fields)) != STRICT_WHOLE)
        return v;
    bool is_connected = slice_eq(request_method, SLICE("CONNECT")) && m->status / 100 == 2;
    m->is_switched = m->status == 101 || is_connected;
    m->is_last = is_last(m);
    if ((v = read_framing(&r, &is_chunked, &octets)) != STRICT_WHOLE)
        return v;
    /* These must not speak of content: RFC 9112 6.1, RFC 9110 8.6.  A length of 0 is no harm, and
     * behind a 204 nothing is read. */
    m->is_empty_framed = (m->status / 100 == 1 || m->status == 204) && (is_chunked || octets > 0);
    if (m->is_empty_framed && m->status != 204)
        return bad(&r, "content where there is none");
    m->is_last |= m->is_empty_framed;
    m->has_head = true;
    if (m->is_switched || m->status / 100 == 1 || m->status == 204 || m->status == 304 ||
        slice_eq(request_method, SLICE("HEAD")))
        return end(&r, STRICT_WHOLE);
    if (is_chunked)
        return end(&r, take_chunks(&r));
    if (octets >= 0)
        return end(&r, take_content(&r, (uint64_t)octets));
    m->is_last = true; /* until the connection ends */
    v = take_content(&r, UINT64_MAX);
    return end(&r, at_eof ? STRICT_WHOLE : v);
}

void strict_free(struct strict_message *m)
{
    free(m->fields.at);
    free(m->trailers.at);
    free(m->content);
}
