/* SPDX-License-Identifier: Apache-2.0 */
/* soak_checker --ca FILE --https PORT --http PORT [options] NAME=HOST...
 *
 * Asks the apps at a steady rate and checks every octet of every answer.  Each request that did not
 * go as it should is one line of JSON on standard output, the sums are the last one.  It does not
 * know who was killed when: tests/soak/run.py does, and judges.  The exit status is 1 when
 * something was wrong, whatever had been killed. */
#include "soak.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 10

static volatile sig_atomic_t told_to_stop;

static void on_signal(int number)
{
    (void)number;
    told_to_stop = 1;
}

/* The same clock as Python's time.monotonic. */
static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool read_options(struct soak *s, int argc, char **argv)
{
    static const struct option names[] = {{"ca", required_argument, NULL, 'c'},
                                          {"https", required_argument, NULL, 't'},
                                          {"http", required_argument, NULL, 'p'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"run", required_argument, NULL, 'u'},
                                          {"seconds", required_argument, NULL, 'd'},
                                          {"requests", required_argument, NULL, 'n'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"conns", required_argument, NULL, 'o'},
                                          {"aborts", required_argument, NULL, 'a'},
                                          {"slow", required_argument, NULL, 'l'},
                                          {"faults", required_argument, NULL, 'f'},
                                          {"large", required_argument, NULL, 'g'},
                                          {"kinds", required_argument, NULL, 'k'},
                                          {NULL, 0, NULL, 0}};
    struct options *o = &s->opt;
    *o = (struct options){
        .seed = 1, .rate = 200, .conns = 160, .aborts = 40, .slow = 20, .large = 8};
    for (int k; (k = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        unsigned long long v = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (k) {
        case 'c':
            o->ca = optarg;
            break;
        case 't':
            o->https_port = (unsigned)v;
            break;
        case 'p':
            o->http_port = (unsigned)v;
            break;
        case 's':
            o->seed = v;
            break;
        case 'u':
            o->run = v;
            break;
        case 'd':
            o->seconds = (unsigned)v;
            break;
        case 'n':
            o->requests = v;
            break;
        case 'r':
            o->rate = v;
            break;
        case 'o':
            o->conns = (unsigned)v;
            break;
        case 'a':
            o->aborts = (unsigned)v;
            break;
        case 'l':
            o->slow = (unsigned)v;
            break;
        case 'f':
            o->faults = (unsigned)v;
            break;
        case 'g':
            o->large = (unsigned)v;
            break;
        case 'k':
            for (int i = 0; i < KINDS; i++) {
                char list[64], name[16];
                snprintf(list, sizeof list, ",%s,", optarg);
                snprintf(name, sizeof name, ",%s,", kind_names[i]);
                if (strstr(list, name))
                    o->kinds |= 1u << i;
            }
            break;
        default:
            return false;
        }
    }
    if (!o->kinds)
        o->kinds = (1u << KINDS) - 1;
    for (; optind < argc && s->app_count < APPS_MAX; optind++) {
        struct app *a = &s->apps[s->app_count];
        if (sscanf(argv[optind], "%31[^=]=%63s", a->name, a->host) != 2)
            return false;
        s->app_count++;
    }
    return o->ca && o->https_port && o->http_port && o->conns && o->conns <= CONNS_MAX && o->rate &&
           s->app_count && (o->seconds || o->requests);
}

static bool is_done(const struct soak *s)
{
    return told_to_stop || (s->opt.requests && s->begun >= s->opt.requests) ||
           (s->opt.seconds && s->now_us - s->began_us >= s->opt.seconds * 1000000ull);
}

/* As many requests as the rate makes due; those that find no connection are late. */
static void begin_requests(struct soak *s)
{
    uint64_t due = (s->now_us - s->began_us) * s->opt.rate / 1000000u;
    for (int i = 0; s->begun < due && i < 64 && !is_done(s); i++) {
        struct request *r = request_new(s);
        if (!r)
            return;
        r->due_us = s->began_us + s->begun * 1000000u / s->opt.rate;
        s->begun++;
        if (conn_take(s, r))
            continue;
        s->late++; /* it waits in the list without a connection */
        return;
    }
}

static bool is_h2(const struct conn *c)
{
    return c->kind == KIND_H2_TLS || c->kind == KIND_H2C;
}

/* r hangs, or its time to be given up has come. */
static void give_up(struct soak *s, struct request *r, bool hangs)
{
    struct conn *c = r->conn;
    enum outcome o = hangs ? OUT_FAILED : OUT_ABORTED;
    if (is_h2(c) && r->stream) {
        h2_give_up(r, o, "hangs");
        return;
    }
    c->current = NULL;
    request_over(s, r, o, "hangs");
    conn_close(c, "the connection of a request that hangs", soak_chance(s, 500));
}

/* Requests that wait for a connection, are to be given up, read slowly, or hang. */
static void tick(struct soak *s)
{
    for (struct request *r = s->requests.next, *next; r != &s->requests; r = next) {
        struct conn *c = r->conn;
        next = r->next;
        if (!c) {
            conn_take(s, r);
            if (r->conn && r->conn->ready)
                return; /* others may have ended with its connection: look again next time */
            continue;
        }
        bool hangs = s->now_us - r->began_us > REQUEST_LIMIT_US;
        if (hangs || (r->sent_any && request_wants_abort(r))) {
            give_up(s, r, hangs);
            return;
        }
        if (is_h2(c) && r->slow && r->unread)
            h2_read_slowly(r);
    }
}

static void tick_conns(struct soak *s)
{
    for (unsigned i = s->conn_count; i-- > 0;)
        if (i < s->conn_count)
            conn_tick(s->conns[i]);
}

static void run(struct soak *s)
{
    struct epoll_event events[256];
    uint64_t last_tick = 0;
    s->now_us = s->began_us = clock_us();
    for (;;) {
        /* One event a turn of a connection, and a connection goes only in its own event: no stale
         * pointer is in the rest of the list, because what else ends one happens in the ticks. */
        int n = epoll_wait(s->epoll, events, 256, TICK_MS / 2);
        s->now_us = clock_us();
        for (int i = 0; i < n; i++)
            conn_event(events[i].data.ptr, events[i].events);
        if (!is_done(s))
            begin_requests(s);
        else if (s->under_way == 0)
            break;
        if (s->now_us - last_tick >= TICK_MS * 1000) {
            last_tick = s->now_us;
            tick(s);
            tick_conns(s);
        }
    }
}

int main(int argc, char **argv)
{
    static struct soak s;
    if (!read_options(&s, argc, argv)) {
        fprintf(stderr, "usage: soak_checker --ca FILE --https PORT --http PORT "
                        "(--seconds N | --requests N) [--rate N] [--conns N] [--seed N] [--run N]\n"
                        "       [--aborts PER_MILLE] [--slow PER_MILLE] [--faults PER_MILLE] "
                        "[--large PER_MILLE] [--kinds h2,h1s,h1,h2c] NAME=HOST...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    s.requests.next = s.requests.prev = &s.requests;
    s.next_id = 1;
    s.rng = s.opt.seed;
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    bool ok = s.epoll >= 0 && tls_init(&s);
    for (unsigned i = 0; i < s.app_count; i++)
        ok = ok && pattern_make(&s.apps[i], s.opt.seed);
    if (!ok) {
        fprintf(stderr, "soak_checker: cannot start\n");
        return 2;
    }
    run(&s);
    report_end(&s);
    uint64_t wrong = 0;
    for (int k = 0; k < KINDS; k++)
        wrong += s.counts[k][OUT_WRONG];
    while (s.conn_count)
        conn_close(s.conns[0], "", false);
    for (unsigned i = 0; i < s.app_count; i++) {
        free(s.apps[i].down);
        free(s.apps[i].up);
        SSL_SESSION_free(s.apps[i].session);
    }
    SSL_CTX_free(s.tls);
    free(s.latencies_us);
    close(s.epoll);
    return wrong ? 1 : 0;
}
