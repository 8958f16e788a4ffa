/* SPDX-License-Identifier: Apache-2.0 */
#include "static/type.h"

#define T(ending, type)                             \
    {                                               \
        ending, SLICE(type "; charset=utf-8"), true \
    }
#define Z(ending, type)           \
    {                             \
        ending, SLICE(type), true \
    }
#define RAW(ending, type)          \
    {                              \
        ending, SLICE(type), false \
    }

/* In the order of strcmp, for a binary search; a test sees to it.  JSON and XML of the application
 * tree say their encoding themselves (RFC 8259 8.1, RFC 7303 3.2). */
static const struct static_type types[] = {
    RAW("7z", "application/x-7z-compressed"),
    RAW("aac", "audio/aac"),
    RAW("apk", "application/vnd.android.package-archive"),
    RAW("apng", "image/apng"),
    Z("atom", "application/atom+xml"),
    RAW("avif", "image/avif"),
    RAW("avifs", "image/avif"),
    Z("bmp", "image/bmp"),
    RAW("br", "application/x-brotli"),
    RAW("bz2", "application/x-bzip2"),
    T("c", "text/plain"),
    T("cfg", "text/plain"),
    T("cjs", "text/javascript"),
    T("conf", "text/plain"),
    T("css", "text/css"),
    T("csv", "text/csv"),
    RAW("deb", "application/vnd.debian.binary-package"),
    RAW("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    Z("eot", "application/vnd.ms-fontobject"),
    RAW("epub", "application/epub+zip"),
    RAW("flac", "audio/flac"),
    Z("geojson", "application/geo+json"),
    RAW("gif", "image/gif"),
    RAW("gz", "application/gzip"),
    T("h", "text/plain"),
    T("htm", "text/html"),
    T("html", "text/html"),
    Z("ico", "image/vnd.microsoft.icon"),
    T("ics", "text/calendar"),
    T("ini", "text/plain"),
    RAW("iso", "application/x-iso9660-image"),
    RAW("jar", "application/java-archive"),
    RAW("jpeg", "image/jpeg"),
    RAW("jpg", "image/jpeg"),
    T("js", "text/javascript"),
    Z("json", "application/json"),
    Z("jsonld", "application/ld+json"),
    RAW("jxl", "image/jxl"),
    T("log", "text/plain"),
    RAW("m3u8", "application/vnd.apple.mpegurl"),
    RAW("m4a", "audio/mp4"),
    RAW("m4v", "video/mp4"),
    Z("map", "application/json"),
    T("markdown", "text/markdown"),
    T("md", "text/markdown"),
    T("mjs", "text/javascript"),
    RAW("mov", "video/quicktime"),
    RAW("mp3", "audio/mpeg"),
    RAW("mp4", "video/mp4"),
    RAW("mpd", "application/dash+xml"),
    RAW("oga", "audio/ogg"),
    RAW("ogg", "audio/ogg"),
    RAW("ogv", "video/ogg"),
    RAW("opus", "audio/ogg"),
    Z("otf", "font/otf"),
    RAW("pdf", "application/pdf"),
    RAW("png", "image/png"),
    RAW("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    Z("ps", "application/postscript"),
    T("py", "text/plain"),
    RAW("rar", "application/vnd.rar"),
    Z("rss", "application/rss+xml"),
    Z("rtf", "application/rtf"),
    T("sh", "text/plain"),
    Z("svg", "image/svg+xml"),
    RAW("tar", "application/x-tar"),
    RAW("tgz", "application/gzip"),
    RAW("tif", "image/tiff"),
    RAW("tiff", "image/tiff"),
    RAW("ts", "video/mp2t"),
    Z("ttf", "font/ttf"),
    T("txt", "text/plain"),
    T("vcf", "text/vcard"),
    T("vtt", "text/vtt"),
    Z("wasm", "application/wasm"),
    RAW("wav", "audio/wav"),
    RAW("weba", "audio/webm"),
    RAW("webm", "video/webm"),
    Z("webmanifest", "application/manifest+json"),
    RAW("webp", "image/webp"),
    RAW("woff", "font/woff"),
    RAW("woff2", "font/woff2"),
    Z("xhtml", "application/xhtml+xml"),
    RAW("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    Z("xml", "application/xml"),
    Z("xsl", "application/xslt+xml"),
    RAW("xz", "application/x-xz"),
    Z("yaml", "application/yaml"),
    Z("yml", "application/yaml"),
    RAW("zip", "application/zip"),
    RAW("zst", "application/zstd"),
};

static const struct static_type unknown = RAW("", "application/octet-stream");

#define ENDING_MAX 11 /* "webmanifest" */

const struct static_type *static_type_of(struct slice path)
{
    char ending[ENDING_MAX + 1];
    size_t n = 0;
    while (n < path.len && path.p[path.len - 1 - n] != '.' && path.p[path.len - 1 - n] != '/')
        n++;
    if (n == 0 || n == path.len || n > ENDING_MAX || path.p[path.len - 1 - n] != '.')
        return &unknown;
    for (size_t i = 0; i < n; i++)
        ending[i] = (char)ascii_lower((unsigned char)path.p[path.len - n + i]);
    ending[n] = '\0';
    for (size_t low = 0, high = sizeof types / sizeof types[0]; low < high;) {
        size_t at = low + (high - low) / 2;
        int order = strcmp(ending, types[at].ending);
        if (order == 0)
            return &types[at];
        if (order < 0)
            high = at;
        else
            low = at + 1;
    }
    return &unknown;
}
