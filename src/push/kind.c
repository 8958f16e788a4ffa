/* SPDX-License-Identifier: Apache-2.0 */
#include "push/kind.h"
#include "base/panic.h"

static const char *const names[PUSH_KIND_COUNT] = {
#define X(name, text) [PUSH_KIND_##name] = text,
    PUSH_KIND_TABLE(X)
#undef X
};

const char *push_kind_name(enum push_kind k)
{
    ASSERT((unsigned)k < PUSH_KIND_COUNT);
    return names[k];
}

struct mark {
    const char *text;
    enum push_kind kind;
};

/* The product that comes first. */
static const struct mark products[] = {
    {"node", PUSH_KIND_NODE},
    {"undici", PUSH_KIND_NODE},
    {"Java-http-client/", PUSH_KIND_JAVA},
    {"Java/", PUSH_KIND_JAVA},
    {"Apache-Http", PUSH_KIND_JAVA},
    {"Jetty/", PUSH_KIND_JAVA},
    {"Go-http-client/", PUSH_KIND_GO},
    {"nghttp2/", PUSH_KIND_NGHTTP},
    {"h2load", PUSH_KIND_NGHTTP},
    {"curl/", PUSH_KIND_CURL},
    {"libcurl", PUSH_KIND_CURL},
    {"okhttp/", PUSH_KIND_OKHTTP},
};

/* Each browser names those that it wants to be taken for, too: the most particular first. */
static const struct mark engines[] = {
    {" Chrome/", PUSH_KIND_CHROMIUM},   {" HeadlessChrome/", PUSH_KIND_CHROMIUM},
    {" Chromium/", PUSH_KIND_CHROMIUM}, {" AppleWebKit/", PUSH_KIND_SAFARI},
    {" Firefox/", PUSH_KIND_FIREFOX},
};

enum push_kind push_kind(struct slice user_agent)
{
    if (user_agent.len > PUSH_KIND_AGENT_OCTETS)
        user_agent.len = PUSH_KIND_AGENT_OCTETS;
    if (user_agent.len == 0)
        return PUSH_KIND_NONE;
    if (!slice_starts(user_agent, SLICE("Mozilla/"))) {
        for (size_t i = 0; i < ARRAY_LEN(products); i++)
            if (slice_starts(user_agent, slice_str(products[i].text)))
                return products[i].kind;
        return PUSH_KIND_OTHER;
    }
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (memmem(user_agent.p, user_agent.len, engines[i].text, strlen(engines[i].text)))
            return engines[i].kind;
    return PUSH_KIND_OTHER;
}

enum push_navigation push_navigation(const struct http_head *request)
{
    static const char *const nested[] = {"iframe", "frame", "embed", "object", "fencedframe"};
    struct slice mode = fields_value(&request->fields, TOKEN_SEC_FETCH_MODE);
    struct slice dest = fields_value(&request->fields, TOKEN_SEC_FETCH_DEST);
    if (!slice_eq(mode, SLICE("navigate")))
        return PUSH_NAVIGATION_NOT;
    if (slice_eq(dest, SLICE("document")))
        return PUSH_NAVIGATION_TOP;
    for (size_t i = 0; i < ARRAY_LEN(nested); i++)
        if (slice_eq(dest, slice_str(nested[i])))
            return PUSH_NAVIGATION_NESTED;
    return PUSH_NAVIGATION_NOT;
}

bool push_is_revalidation(const struct http_head *request)
{
    return fields_find(&request->fields, TOKEN_IF_NONE_MATCH) ||
           fields_find(&request->fields, TOKEN_IF_MODIFIED_SINCE);
}

bool push_is_reload(const struct http_head *request)
{
    const struct fields *f = &request->fields;
    if (!fields_find(f, TOKEN_CACHE_CONTROL))
        return fields_list_has(f, TOKEN_PRAGMA, SLICE("no-cache"));
    return fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("no-cache")) ||
           fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("no-store")) ||
           fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("max-age=0"));
}
