/* SPDX-License-Identifier: Apache-2.0 */
#include "static/path.h"
#include "base/err.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)ascii_lower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hidden are "." and ".." and all that begins like them, save the place that RFC 8615 gives a
 * meaning at the root.  An empty segment is refused for the redirect's sake: a Location that begins
 * with "//" leads to another host. */
static bool is_segment_open(struct slice s, bool is_first)
{
    if (s.len == 0)
        return false;
    return s.p[0] != '.' || (is_first && slice_eq(s, SLICE(".well-known")));
}

static bool are_segments_open(struct slice path)
{
    bool is_first = true;
    for (;;) {
        const char *slash = memchr(path.p, '/', path.len);
        size_t n = slash ? (size_t)(slash - path.p) : path.len;
        if (!is_segment_open(slice_of(path.p, n), is_first))
            return false;
        if (!slash)
            return true;
        path = slice_of(slash + 1, path.len - n - 1);
        is_first = false;
    }
}

/* return  octets written, or an error */
static int decode(struct slice raw, char *out, size_t *len_out)
{
    size_t n = 0;
    int err = 0; /* the worse of the two wins: broken encoding before what is not there */
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];
        if (c == '\\')
            return ERR_BAD_TARGET; /* no URI has it (RFC 3986 2), and browsers read it as a slash
                                    */
        if (c == '%') {
            int high = raw.len - i > 2 ? hex(raw.p[i + 1]) : -1;
            int low = raw.len - i > 2 ? hex(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return ERR_BAD_TARGET;
            c = (char)(high << 4 | low);
            i += 2;
            if (c == '/')
                err = ERR_NOTFOUND; /* no file name has a slash */
        } else if (c == '\0') {
            return ERR_BAD_TARGET;
        }
        out[n++] = c;
    }
    *len_out = n;
    return err;
}

int static_path_read(struct slice target, struct arena *a, struct static_path *out)
{
    const char *mark = target.len ? memchr(target.p, '?', target.len) : NULL;
    size_t len = mark ? (size_t)(mark - target.p) : target.len;
    size_t n = 0;
    if (len == 0 || target.p[0] != '/')
        return ERR_BAD_TARGET;
    *out = (struct static_path){.raw = slice_of(target.p, len),
                                .query = slice_of(target.p + len, target.len - len)};
    char *text = arena_alloc(a, len + 1);
    if (!text)
        return ERR_NOMEM;
    int err = decode(slice_of(target.p + 1, len - 1), text, &n);
    if (err < 0)
        return err;
    out->is_directory = n == 0 || text[n - 1] == '/';
    if (n == 0) {
        out->relative = ".";
        return 0;
    }
    if (out->is_directory)
        n--;
    if (!are_segments_open(slice_of(text, n)))
        return ERR_NOTFOUND;
    text[n] = '\0';
    out->relative = text;
    return 0;
}
