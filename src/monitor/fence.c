/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/fence.h"
#include "base/err.h"
#include "base/panic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* libnftables would do: but it keeps its socket to itself and opens it without close-on-exec, and
 * it would bring a parser into a process that is root. */

#define LOOPBACK_INDEX  1u /* of every network namespace */
#define TCP_PORT_OFFSET 2u
#define TCP_FLAGS       13u
#define TCP_SYN         0x02
#define TCP_ACK         0x10
/* How `nft list` is to print a set's elements; the kernel does not look. */
#define SHOWN_AS_PORT 13u
#define SHOWN_AS_USER 24u

static const char guarded[] = "guarded"; /* ports */
static const char allowed[] = "allowed"; /* a port and a user that may connect to it */
static const char chain[] = "output";

/* A key of `allowed`, as two registers hold it. */
struct key {
    uint16_t port, zero; /* network order */
    uint32_t uid;        /* the machine's order */
};

/* ---- messages ---- */

struct batch {
    _Alignas(NLMSG_ALIGNTO) char octets[4096]; /* the table takes some 1,700, a gate 500 */
    size_t len, message;                       /* message: where the last one begins */
    uint32_t first, count;                     /* sequence numbers */
};

static void *grow(struct batch *b, size_t octets)
{
    void *at = b->octets + b->len;
    ASSERT(NLMSG_ALIGN(octets) <= sizeof b->octets - b->len);
    memset(at, 0, NLMSG_ALIGN(octets));
    b->len += NLMSG_ALIGN(octets);
    return at;
}

static void message(struct batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t id)
{
    b->message = b->len;
    struct nlmsghdr *head = grow(b, sizeof *head);
    head->nlmsg_type = type;
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    head->nlmsg_seq = b->first + b->count++;
    struct nfgenmsg *more = grow(b, sizeof *more);
    more->nfgen_family = family;
    more->version = NFNETLINK_V0;
    more->res_id = htons(id);
}

static void message_end(struct batch *b)
{
    struct nlmsghdr *head = (struct nlmsghdr *)(void *)(b->octets + b->message);
    head->nlmsg_len = (uint32_t)(b->len - b->message);
}

static void begin(struct batch *b, uint32_t sequence)
{
    b->len = 0;
    b->first = sequence;
    b->count = 0;
    message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    message_end(b);
}

/* Each is acknowledged. */
static void command(struct batch *b, uint16_t type, uint16_t flags)
{
    message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), (uint16_t)(NLM_F_ACK | flags),
            NFPROTO_INET, 0);
}

static void attribute(struct batch *b, uint16_t type, const void *value, size_t octets)
{
    struct nlattr *a = grow(b, sizeof *a + octets);
    a->nla_type = type;
    a->nla_len = (uint16_t)(sizeof *a + octets);
    memcpy(a + 1, value, octets);
}

static void text(struct batch *b, uint16_t type, const char *s)
{
    attribute(b, type, s, strlen(s) + 1);
}

static void number(struct batch *b, uint16_t type, uint32_t n)
{
    uint32_t v = htonl(n);
    attribute(b, type, &v, sizeof v);
}

/* return  what nest_end wants */
static size_t nest(struct batch *b, uint16_t type)
{
    size_t at = b->len;
    struct nlattr *a = grow(b, sizeof *a);
    a->nla_type = (uint16_t)(type | NLA_F_NESTED);
    return at;
}

static void nest_end(struct batch *b, size_t at)
{
    ((struct nlattr *)(void *)(b->octets + at))->nla_len = (uint16_t)(b->len - at);
}

static void nested_value(struct batch *b, uint16_t type, const void *value, size_t octets)
{
    size_t at = nest(b, type);
    attribute(b, NFTA_DATA_VALUE, value, octets);
    nest_end(b, at);
}

/* The kernel answers before sendto() returns, each message that asked for it by one datagram. */
static int finish(struct fence *f, struct batch *b)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    uint32_t asked = b->count - 1;
    message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    message_end(b);
    f->sequence = b->first + b->count;
    if (sendto(f->fd, b->octets, b->len, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        return ERR_SYS;
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer;
    int error = 0;
    ssize_t n;
    while ((n = recv(f->fd, &answer, sizeof answer, MSG_DONTWAIT)) > 0) {
        if ((size_t)n < sizeof answer || answer.head.nlmsg_type != NLMSG_ERROR)
            continue;
        if (answer.error.error)
            error = error ? error : -answer.error.error;
        else
            asked--;
    }
    if (error == 0 && asked)
        error = n < 0 && errno != EAGAIN ? errno : EPROTO;
    errno = error;
    return error ? ERR_SYS : 0;
}

/* ---- the table ---- */

static void add_set(struct batch *b, const struct fence *f, const char *name, uint32_t id,
                    uint32_t shown_as, uint32_t key_octets)
{
    command(b, NFT_MSG_NEWSET, NLM_F_CREATE);
    text(b, NFTA_SET_TABLE, f->table);
    text(b, NFTA_SET_NAME, name);
    number(b, NFTA_SET_ID, id);
    number(b, NFTA_SET_FLAGS, 0);
    number(b, NFTA_SET_KEY_TYPE, shown_as);
    number(b, NFTA_SET_KEY_LEN, key_octets);
    message_end(b);
}

static void add_chain(struct batch *b, const struct fence *f)
{
    command(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    text(b, NFTA_CHAIN_TABLE, f->table);
    text(b, NFTA_CHAIN_NAME, chain);
    size_t hook = nest(b, NFTA_CHAIN_HOOK);
    number(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
    number(b, NFTA_HOOK_PRIORITY, 0); /* "filter": after the port was translated, if it is */
    nest_end(b, hook);
    text(b, NFTA_CHAIN_TYPE, "filter");
    message_end(b);
}

struct expression {
    size_t element, attributes;
};

static struct expression expression(struct batch *b, const char *name)
{
    struct expression e;
    e.element = nest(b, NFTA_LIST_ELEM);
    text(b, NFTA_EXPR_NAME, name);
    e.attributes = nest(b, NFTA_EXPR_DATA);
    return e;
}

static void expression_end(struct batch *b, struct expression e)
{
    nest_end(b, e.attributes);
    nest_end(b, e.element);
}

static void load_meta(struct batch *b, uint32_t what, uint32_t into)
{
    struct expression e = expression(b, "meta");
    number(b, NFTA_META_KEY, what);
    number(b, NFTA_META_DREG, into);
    expression_end(b, e);
}

static void load_tcp(struct batch *b, uint32_t offset, uint32_t octets)
{
    struct expression e = expression(b, "payload");
    number(b, NFTA_PAYLOAD_DREG, NFT_REG32_00);
    number(b, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    number(b, NFTA_PAYLOAD_OFFSET, offset);
    number(b, NFTA_PAYLOAD_LEN, octets);
    expression_end(b, e);
}

static void mask(struct batch *b, uint8_t bits)
{
    const uint8_t none = 0;
    struct expression e = expression(b, "bitwise");
    number(b, NFTA_BITWISE_SREG, NFT_REG32_00);
    number(b, NFTA_BITWISE_DREG, NFT_REG32_00);
    number(b, NFTA_BITWISE_LEN, sizeof bits);
    nested_value(b, NFTA_BITWISE_MASK, &bits, sizeof bits);
    nested_value(b, NFTA_BITWISE_XOR, &none, sizeof none);
    expression_end(b, e);
}

static void compare(struct batch *b, enum nft_cmp_ops how, const void *value, size_t octets)
{
    struct expression e = expression(b, "cmp");
    number(b, NFTA_CMP_SREG, NFT_REG32_00);
    number(b, NFTA_CMP_OP, how);
    nested_value(b, NFTA_CMP_DATA, value, octets);
    expression_end(b, e);
}

static void must_be_in(struct batch *b, const char *set)
{
    struct expression e = expression(b, "lookup");
    text(b, NFTA_LOOKUP_SET, set);
    number(b, NFTA_LOOKUP_SREG, NFT_REG32_00);
    expression_end(b, e);
}

static void accept_it(struct batch *b)
{
    struct expression e = expression(b, "immediate");
    number(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t value = nest(b, NFTA_IMMEDIATE_DATA), verdict = nest(b, NFTA_DATA_VERDICT);
    number(b, NFTA_VERDICT_CODE, NF_ACCEPT);
    nest_end(b, verdict);
    nest_end(b, value);
    expression_end(b, e);
}

static void reset_it(struct batch *b)
{
    struct expression e = expression(b, "reject");
    number(b, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
    expression_end(b, e);
}

/* return  what rule_end wants */
static size_t rule(struct batch *b, const struct fence *f)
{
    command(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    text(b, NFTA_RULE_TABLE, f->table);
    text(b, NFTA_RULE_CHAIN, chain);
    return nest(b, NFTA_RULE_EXPRESSIONS);
}

static void rule_end(struct batch *b, size_t at)
{
    nest_end(b, at);
    message_end(b);
}

static void match_tcp(struct batch *b)
{
    const uint8_t tcp = IPPROTO_TCP;
    load_meta(b, NFT_META_L4PROTO, NFT_REG32_00);
    compare(b, NFT_CMP_EQ, &tcp, sizeof tcp);
}

/* tcp flags & (syn | ack) != syn */
static void match_opened(struct batch *b)
{
    const uint8_t syn = TCP_SYN;
    match_tcp(b);
    load_tcp(b, TCP_FLAGS, 1);
    mask(b, TCP_SYN | TCP_ACK);
    compare(b, NFT_CMP_NEQ, &syn, sizeof syn);
}

/* oif "lo" meta l4proto tcp, and the port is loaded */
static void match_connect(struct batch *b)
{
    const uint32_t lo = LOOPBACK_INDEX;
    load_meta(b, NFT_META_OIF, NFT_REG32_00);
    compare(b, NFT_CMP_EQ, &lo, sizeof lo);
    match_tcp(b);
    load_tcp(b, TCP_PORT_OFFSET, sizeof(uint16_t));
}

/* Every packet that the machine sends comes by, so the first rule says of nearly all that they do
 * not open a connection.  Of one that does no user may be known: it does not match the second
 * rule, and so meets the third. */
static void add_rules(struct batch *b, const struct fence *f)
{
    size_t at = rule(b, f);
    match_opened(b);
    accept_it(b);
    rule_end(b, at);
    at = rule(b, f);
    match_connect(b);
    load_meta(b, NFT_META_SKUID, NFT_REG32_01);
    must_be_in(b, allowed);
    accept_it(b);
    rule_end(b, at);
    at = rule(b, f);
    match_connect(b);
    must_be_in(b, guarded);
    reset_it(b);
    rule_end(b, at);
}

static void name_chain(struct batch *b, uint16_t type, uint16_t table, uint16_t name,
                       const struct fence *f)
{
    command(b, type, 0);
    text(b, table, f->table);
    text(b, name, chain);
    message_end(b);
}

/* Whether an earlier program in our place has done so is not known: its rules go. */
static void lay_rules(struct batch *b, const struct fence *f)
{
    add_chain(b, f);
    name_chain(b, NFT_MSG_DELRULE, NFTA_RULE_TABLE, NFTA_RULE_CHAIN, f);
    add_rules(b, f);
}

/* Whether the kernel can is tried; then what all packets would come by goes, until there is a port
 * to guard. */
static int make_table(struct fence *f)
{
    struct batch b;
    begin(&b, f->sequence);
    command(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    text(&b, NFTA_TABLE_NAME, f->table);
    number(&b, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
    message_end(&b);
    add_set(&b, f, guarded, 1, SHOWN_AS_PORT, sizeof(uint16_t));
    add_set(&b, f, allowed, 2, SHOWN_AS_PORT << 6 | SHOWN_AS_USER, sizeof(struct key));
    lay_rules(&b, f);
    if (finish(f, &b) < 0)
        return ERR_SYS;
    begin(&b, f->sequence);
    name_chain(&b, NFT_MSG_DELCHAIN, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, f);
    return finish(f, &b);
}

/* ---- gates ---- */

/* return  what elements_end wants */
static size_t elements(struct batch *b, const struct fence *f, uint16_t type, const char *set)
{
    command(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
    text(b, NFTA_SET_ELEM_LIST_TABLE, f->table);
    text(b, NFTA_SET_ELEM_LIST_SET, set);
    return nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
}

static void elements_end(struct batch *b, size_t at)
{
    nest_end(b, at);
    message_end(b);
}

static void element(struct batch *b, const void *key, size_t octets)
{
    size_t at = nest(b, NFTA_LIST_ELEM);
    nested_value(b, NFTA_SET_ELEM_KEY, key, octets);
    nest_end(b, at);
}

static int change(struct fence *f, const struct fence_gate *g, uint16_t type)
{
    struct batch b;
    ASSERT(f->fd >= 0 && g->user_count <= FENCE_MAX_USERS);
    begin(&b, f->sequence);
    if (!f->has_rules)
        lay_rules(&b, f);
    size_t at = elements(&b, f, type, guarded);
    for (unsigned p = 0; p < FENCE_MAX_PORTS; p++) {
        uint16_t port = htons(g->ports[p]);
        if (port)
            element(&b, &port, sizeof port);
    }
    elements_end(&b, at);
    at = elements(&b, f, type, allowed);
    for (unsigned p = 0; p < FENCE_MAX_PORTS; p++)
        for (unsigned u = 0; g->ports[p] && u < g->user_count; u++) {
            const struct key key = {.port = htons(g->ports[p]), .uid = g->users[u]};
            element(&b, &key, sizeof key);
        }
    elements_end(&b, at);
    if (finish(f, &b) < 0)
        return ERR_SYS;
    f->has_rules = true;
    return 0;
}

int fence_guard(struct fence *f, const struct fence_gate *g)
{
    return change(f, g, NFT_MSG_NEWSETELEM);
}

int fence_release(struct fence *f, const struct fence_gate *g)
{
    return change(f, g, NFT_MSG_DELSETELEM);
}

/* ---- the socket ---- */

void fence_close(struct fence *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* The kernel gives a socket's number to no other one of the network namespace. */
static bool name_table(struct fence *f)
{
    struct sockaddr_nl self;
    socklen_t len = sizeof self;
    if (getsockname(f->fd, (struct sockaddr *)&self, &len) < 0)
        return false;
    snprintf(f->table, sizeof f->table, "portico-%u", self.nl_pid);
    return true;
}

int fence_adopt(struct fence *f, int fd)
{
    *f = (struct fence){.fd = fd};
    if (name_table(f))
        return 0;
    fence_close(f);
    return ERR_SYS;
}

int fence_open(struct fence *f)
{
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    *f = (struct fence){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)};
    if (f->fd < 0)
        return ERR_SYS;
    if (bind(f->fd, (const struct sockaddr *)&any, sizeof any) == 0 && name_table(f) &&
        make_table(f) == 0)
        return 0;
    int error = errno;
    fence_close(f);
    errno = error;
    return ERR_SYS;
}
