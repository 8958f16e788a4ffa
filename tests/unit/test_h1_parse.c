/* SPDX-License-Identifier: Apache-2.0 */
/* Heads, chunk lines and trailer sections, good and bad; each fed whole, cut at every octet, and
 * one octet at a time. */
#include "h1_recorder.h"

#include "base/panic.h"
#include "http/h1_impl.h"
#include "http/rules.h"

#define HOST "Host: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST

struct good {
    const char *in;
    const char *seen;
};

static const struct good requests[] = {
    {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / @a.example end\nhost: a.example\n"},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a end\nhost: a\n"},
    {"GET /a?b=c%20d HTTP/1.1\r\nHOST:a:8080\r\n\r\n",
     "GET /a?b=c%20d @a:8080 end\nhost: a:8080\n"},
    {"GET //x/../y HTTP/1.1\r\nhoSt:\ta\t \r\nempty:\r\nspaces:  \t \r\n\r\n",
     "GET //x/../y @a end\nhost: a\nempty: \nspaces: \n"},
    {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 end\n"},
    {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
     "GET / @a 1.0 end\nhost: a\nconnection: keep-alive\n"},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / @[::1]:80 end\nhost: [::1]:80\n"},
    {"M!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n", "M!#$%&'*+-.^_`|~9 / @a end\nhost: a\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\nX-a: two \t three\r\nQ: \"a:b, c\"\r\n\r\n",
     "GET / @a end\nhost: a\nx-a: one\nx-a: two \t three\nq: \"a:b, c\"\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\x80\r\n\r\n",
     "GET / @a end\nhost: a\nx: \xc3\xa9\xff\x80\n"},
    /* absolute-form: its authority wins, for everybody */
    {"GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /x?y @b.example end\nhost: b.example\n"},
    {"GET HTTPS://b:444 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @b:444 end\nhost: b:444\n"},
    {"GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?q @b end\nhost: b\n"},
    {"OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * @b end\nhost: b\n"},
    {"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * @b end\nhost: b\n"},
    {"CONNECT c:443 HTTP/1.1\r\nHost: c:443\r\n\r\n", "CONNECT  @c:443 end\nhost: c:443\n"},
    {"CONNECT [::1]:443 HTTP/1.1\r\nHost: d\r\n\r\n", "CONNECT  @[::1]:443 end\nhost: [::1]:443\n"},
    /* content with a length */
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
     "POST / @a #5\nhost: a\ncontent-length: 5\n[hello] end\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 1\r\n\r\n\n",
     "GET / @a #1\nhost: a\ncontent-length: 1\n[\n] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
     "POST / @a #0 end\nhost: a\ncontent-length: 0\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y\r\nContent-Length: 3 , 3\r\n\r\nabc",
     "POST / @a #3\nhost: a\ncontent-length: 3\nx: y\n[abc] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok",
     "POST / @a #2 expect\nhost: a\nexpect: 100-Continue\ncontent-length: 2\n[ok] end\n"},
    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
     "POST / 1.0 #2\nexpect: 100-continue\ncontent-length: 2\n[ok] end\n"},
    /* chunked */
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nHellO "
     "world1\r\n0\r\n\r\n",
     "POST / @a\nhost: a\ntransfer-encoding: chunked\n[HellO world1] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tChunkeD \r\n\r\n0\r\n\r\n",
     "POST / @a\nhost: a\ntransfer-encoding: ChunkeD\n[] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1;a\r\nx\r\n2 ; b = \"q;\\\"\\\\\t\" ; c=d\r\nyz\r\n0000A;e=f\r\n0123456789\r\n000;g\r\n\r\n",
     "POST / @a\nhost: a\ntransfer-encoding: chunked\n[xyz0123456789] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\n\r\n\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n"
     "Cookie: c\r\nX-Forwarded-For: me\r\nsum2:\t2\r\n\r\n",
     "POST / @a\nhost: a\ntransfer-encoding: chunked\n[\r\n] trailers\nx-sum: 1\nsum2: 2\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
     "POST / @a\nhost: a\ntransfer-encoding: chunked\n[] end\n"},
    /* upgrades that can be passed on, and those that are ignored */
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
     "GET / @a ^websocket end\nhost: a\nupgrade: websocket\nconnection: keep-alive, Upgrade\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
     "GET / @a end\nhost: a\nupgrade: websocket\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: H2c\r\nConnection: upgrade\r\n\r\n",
     "GET / @a end\nhost: a\nupgrade: H2c\nconnection: upgrade\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket, h2c\r\nConnection: upgrade\r\n\r\n",
     "GET / @a end\nhost: a\nupgrade: websocket, h2c\nconnection: upgrade\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.2\r\nConnection: upgrade\r\n\r\n",
     "GET / @a end\nhost: a\nupgrade: TLS/1.2\nconnection: upgrade\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: Foo/1.2\r\nConnection: upgrade\r\n"
     "Content-Length: 0\r\n\r\n",
     "POST / @a ^Foo/1.2 #0 end\nhost: a\nupgrade: Foo/1.2\nconnection: upgrade\n"
     "content-length: 0\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade\r\n"
     "Content-Length: 1\r\n\r\nx",
     "POST / @a #1\nhost: a\nupgrade: foo\nconnection: upgrade\ncontent-length: 1\n[x] end\n"},
    {"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "POST / @a\nhost: a\nupgrade: foo\nconnection: upgrade\ntransfer-encoding: chunked\n"
     "[] end\n"},
    {"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
     "GET / @a 1.0 end\nhost: a\nupgrade: websocket\nconnection: upgrade\n"},
};

struct bad {
    const char *in;
    int err;
};

static const struct bad bad_requests[] = {
    /* start lines */
    {" GET / HTTP/1.1\r\n", ERR_BAD_START_LINE},
    {"\x16\x03\x01", ERR_BAD_START_LINE},
    {"\nGET / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"\rGET / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_LINE},
    {"GET / HTTP/1.1\n", ERR_BAD_LINE},
    {"GET /\r\n\r\n", ERR_BAD_START_LINE},
    {"GET / \r\n\r\n", ERR_BAD_START_LINE},
    {"GET\r\n\r\n", ERR_BAD_START_LINE},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /\tHTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /a\rb HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /a\x7f HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET: / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"Extra lineGET / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http:// HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http://a#f HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http://a/?x#f HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"GET http://a:99999/ HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"CONNECT a HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"CONNECT http://a:1/ HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_TARGET},
    {"CONNECT a:1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", ERR_BAD_CONTENT},
    {"CONNECT a:1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", ERR_BAD_CONTENT},
    /* versions */
    {"GET / HTTP/2.0\r\n" HOST "\r\n", ERR_BAD_VERSION},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_BAD_VERSION},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", ERR_BAD_VERSION},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", ERR_BAD_VERSION},
    {"GET / HTTP/9.9\r\n" HOST "\r\n", ERR_BAD_VERSION},
    {"GET / http/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTP/01.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTP/1,1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTP/1.x\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / HTTPS/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    {"GET / ICAP/1.1\r\n" HOST "\r\n", ERR_BAD_START_LINE},
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", ERR_BAD_HOST},
    {"GET http://a/ HTTP/1.1\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", ERR_BAD_HOST},
    {"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", ERR_BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ERR_BAD_HOST},
    {"GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_BAD_HOST},
    /* fields */
    {GET "X : y\r\n\r\n", ERR_BAD_NAME},
    {GET "X\t: y\r\n\r\n", ERR_BAD_NAME},
    {GET "X: y\r\n z\r\n\r\n", ERR_BAD_NAME},
    {GET "X: y\r\n\tz\r\n\r\n", ERR_BAD_NAME},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERR_BAD_NAME},
    {GET "X\r\n\r\n", ERR_BAD_NAME},
    {GET ": y\r\n\r\n", ERR_BAD_NAME},
    {GET "X[]: y\r\n\r\n", ERR_BAD_NAME},
    {GET "X\x80: y\r\n\r\n", ERR_BAD_NAME},
    {GET "X: y\n\r\n", ERR_BAD_LINE},
    {GET "X: y\r\n\n", ERR_BAD_LINE},
    {GET "X: y\rZ: w\r\n\r\n", ERR_BAD_VALUE},
    {GET "X: y\r\r\n\r\n", ERR_BAD_VALUE},
    {GET "\rX: y\r\n\r\n", ERR_BAD_LINE},
    {GET "X: a\x01\r\n\r\n", ERR_BAD_VALUE},
    {GET "X: a\x07 test\r\n\r\n", ERR_BAD_VALUE},
    {GET "X: a\x7f\r\n\r\n", ERR_BAD_VALUE},
    {GET "X: a\x0b\r\n\r\n", ERR_BAD_VALUE},
    {GET "X: 0123456789abcdef\x1f"
         "0\r\n\r\n",
     ERR_BAD_VALUE},
    {GET ":authority: a\r\n\r\n", ERR_BAD_NAME},
    {GET "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n", ERR_BAD_OPTIONS},
};

#define RESPONSE_OK "HTTP/1.1 200 OK\r\n"

static const struct good responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "200 #2\ncontent-length: 2\n[hi] end\ndone\n"},
    {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 #0 end\ncontent-length: 0\ndone\n"},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 #0 end\ncontent-length: 0\ndone\n"},
    {"HTTP/1.1 599 a\tb \xe9 c\r\nContent-Length: 0\r\n\r\n",
     "599 #0 end\ncontent-length: 0\ndone\n"},
    {"HTTP/1.1 204 No Content\r\n\r\n", "204 end\ndone\n"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 end\ncontent-length: 0\ndone\n"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
     "204 end\ncontent-length: 2\ndone close\n"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
     "204 end\ncontent-length: 2\ndone close\n"},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "204 end\ntransfer-encoding: chunked\ndone close\n"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "304 #5 end\ncontent-length: 5\ndone\n"},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
     "304 end\ntransfer-encoding: chunked\ndone\n"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n",
     "200\ntransfer-encoding: chunked\n[abcd] trailers\nt: u\ndone\n"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "100\n103\nlink: </a>\n200 #1\ncontent-length: 1\n[x] end\ndone\n"},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
     "200 #1\nconnection: close\ncontent-length: 1\n[x] end\ndone close\n"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "200 1.0 #1\ncontent-length: 1\n[x] end\ndone close\n"},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
     "200 1.0 #1\nconnection: Keep-Alive\ncontent-length: 1\n[x] end\ndone\n"},
    {"HTTP/1.1 426 Upgrade\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: "
     "0\r\n\r\n",
     "426 #0 end\nupgrade: websocket\nconnection: upgrade\ncontent-length: 0\ndone\n"},
};

static const struct bad bad_responses[] = {
    {"\r\n" RESPONSE_OK "\r\n", ERR_BAD_START_LINE},
    {"http/1.1 200 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1  200 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 20 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 2000 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 099 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 600 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 +20 OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 200OK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 200 O\rK\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1\r\n\r\n", ERR_BAD_START_LINE},
    {"HTTP/2.0 200 OK\r\n\r\n", ERR_BAD_VERSION},
    {"HTTP/1.2 200 OK\r\n\r\n", ERR_BAD_VERSION},
    {"HELO there\r\n\r\n", ERR_BAD_START_LINE},
    {"SSH-2.0-x\r\n", ERR_BAD_START_LINE},
    {"HTTP/1.1 200 OK\n\n", ERR_BAD_LINE},
    {RESPONSE_OK "X: a\r\n b\r\n\r\n", ERR_BAD_NAME},
    {RESPONSE_OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", ERR_BAD_LENGTH},
    {RESPONSE_OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_FRAMING},
    {RESPONSE_OK "Transfer-Encoding: gzip\r\n\r\n", ERR_BAD_FRAMING},
    {RESPONSE_OK "Transfer-Encoding: chunked, gzip\r\n\r\n", ERR_BAD_FRAMING},
    {RESPONSE_OK "Transfer-Encoding: chunked, chunked\r\n\r\n", ERR_BAD_FRAMING},
    {RESPONSE_OK "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_BAD_CODING},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_FRAMING},
    {"HTTP/1.1 204 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_FRAMING},
    {"HTTP/1.1 103 Early\r\nContent-Length: 1\r\n\r\n", ERR_BAD_CONTENT},
    {"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_CONTENT},
    {"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
     ERR_BAD_INFORMATIONAL},
};

/* ---- how it is fed ---- */

static void open_role(struct recorder *r, enum h1_role role)
{
    rec_open(r, role);
    if (role == H1_CLIENT) {
        struct http_head head = {.method = SLICE("GET"),
                                 .authority = SLICE("a"),
                                 .path = SLICE("/"),
                                 .content_length = -1};
        assert_int_equal(h1_conn_send_head(r->conn, &head, true, false), 0);
        rec_output(r);
    }
}

static int feed_step(struct recorder *r, const char *in, size_t len, size_t step)
{
    int err = 0;
    for (size_t at = 0; at < len && !err; at += step)
        err = rec_feed(r, in + at, len - at < step ? len - at : step);
    return err;
}

static int feed_cut(struct recorder *r, const char *in, size_t len, size_t cut)
{
    int err = rec_feed(r, in, cut);
    return err ? err : rec_feed(r, in + cut, len - cut);
}

static void check(enum h1_role role, const char *in, const char *seen, int want)
{
    static struct recorder r;
    size_t len = strlen(in);
    for (size_t cut = 0; cut <= len + 2; cut++) {
        open_role(&r, role);
        int err = cut <= len       ? feed_cut(&r, in, len, cut)
                  : cut == len + 1 ? feed_step(&r, in, len, 1)
                                   : feed_step(&r, in, len, 3);
        if (err != want)
            fail_msg("cut at %zu: %s, not %s:\n%s", cut, err_text(err), err_text(want), in);
        if (seen && strcmp(r.text, seen) != 0)
            fail_msg("cut at %zu:\n%s\nwas seen as\n%s\nnot\n%s", cut, in, r.text, seen);
        if (!seen && (r.len || r.dones))
            fail_msg("cut at %zu: bad, but seen as\n%s", cut, r.text);
        if (want)
            assert_int_equal(h1_conn_feed(r.conn, "GET ", 4), want);
        rec_close(&r);
    }
}

static void good_requests_are_read(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        check(H1_SERVER, requests[i].in, requests[i].seen, 0);
}

static void bad_requests_are_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++)
        check(H1_SERVER, bad_requests[i].in, NULL, bad_requests[i].err);
}

static void good_responses_are_read(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(responses); i++)
        check(H1_CLIENT, responses[i].in, responses[i].seen, 0);
}

static void bad_responses_are_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_responses); i++)
        check(H1_CLIENT, bad_responses[i].in, NULL, bad_responses[i].err);
}

static void nul_is_refused_everywhere(void **state)
{
    static struct recorder r;
    const char in[] = GET "X: y\r\n\r\n";
    for (size_t at = 0; at < sizeof in - 1; at++) {
        char copy[sizeof in];
        memcpy(copy, in, sizeof in);
        copy[at] = '\0';
        open_role(&r, H1_SERVER);
        assert_false(rec_feed(&r, copy, sizeof in - 1) == 0 && r.len);
        rec_close(&r);
    }
}

/* Our fast search and the rule that both engines share must agree. */
static void control_octets_are_those_of_the_rules(void **state)
{
    for (unsigned octet = 0; octet < 256; octet++) {
        for (size_t at = 0; at < 24; at++) {
            char text[32];
            memset(text, 'a', sizeof text);
            text[at] = (char)octet;
            bool control = h1_find_control(text, text + 24) != text + 24;
            assert_true(h1_find_control(text, text + 24) == (control ? text + at : text + 24));
            text[at + 1] = 'a';
            bool ok = rules_is_value(slice_of(text, 24)) || octet == ' ' || octet == '\t';
            assert_int_equal(ok, !control || octet == '\t');
        }
        char one = (char)octet;
        assert_int_equal(rules_is_token(slice_of(&one, 1)), h1_is_tchar((unsigned char)octet));
    }
}

struct chunk_line {
    const char *in;
    int64_t size; /* -1: refused */
};

static const struct chunk_line chunk_lines[] = {
    {"0", 0},
    {"a", 10},
    {"FfFf", 65535},
    {"7fffffffffffffff", INT64_MAX},
    {"0000000000000000000000000000001", 1},
    {"1;a", 1},
    {"1;a;b;c", 1},
    {"1 ;a", 1},
    {"1\t;\ta\t=\tb", 1},
    {"1;a=\"\"", 1},
    {"1;a=\"b\\\"c\"", 1},
    {"8000000000000000", -1},
    {"ffffffffffffffff", -1},
    {"10000000000000000", -1},
    {"100000000000000000000001", -1},
    {"", -1},
    {" 1", -1},
    {"1 ", -1},
    {"1\t", -1},
    {"0x1", -1},
    {"-1", -1},
    {"+1", -1},
    {"g", -1},
    {"1g", -1},
    {"1 2", -1},
    {"1,", -1},
    {"1;", -1},
    {"1; ", -1},
    {"1;;", -1},
    {"1;a ", -1},
    {"1;a=", -1},
    {"1;a=\"b", -1},
    {"1;a=\"b\\\"", -1},
    {"1;a=\"b\"c", -1},
    {"1;a=b c", -1},
    {"1;=b", -1},
    {"1;a\rb", -1},
    {"1\r", -1},
    {"1;a=\"\r\"", -1},
    {"1;a=\"\x01\"", -1},
    {"1;a=\x80", -1},
    {";a", -1},
};

static void chunk_lines_are_strict(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(chunk_lines); i++) {
        char *line = malloc(strlen(chunk_lines[i].in) + 3);
        uint64_t size = 0;
        assert_non_null(line);
        size_t len = strlen(chunk_lines[i].in) + 2;
        memcpy(line, chunk_lines[i].in, len - 2);
        memcpy(line + len - 2, "\r\n", 2);
        int err = h1_parse_chunk_line(slice_of(line, len), &size);
        if (err != (chunk_lines[i].size < 0 ? ERR_BAD_CHUNK : 0) ||
            (!err && size != (uint64_t)chunk_lines[i].size))
            fail_msg("chunk line '%s': %s, %llu", chunk_lines[i].in, err_text(err),
                     (unsigned long long)size);
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_octets_are_those_of_the_rules),
        cmocka_unit_test(chunk_lines_are_strict),
        cmocka_unit_test(good_requests_are_read),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(nul_is_refused_everywhere),
        cmocka_unit_test(good_responses_are_read),
        cmocka_unit_test(bad_responses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
