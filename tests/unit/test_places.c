/* SPDX-License-Identifier: Apache-2.0 */
/* Places between threads that have nothing but them to wait by: no timer helps when a place gets
 * lost, so a lost one is a test that does not end (and then the alarm ends it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/places.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define SHARDS 6
#define LIMIT  2
#define ROUNDS 20000

static struct shard {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t handed; /* places in the mail */
    uint32_t waited;
    uint32_t index;
} shards[SHARDS];

static struct places *p;
static atomic_uint inside, most, above, finished;

static void post(struct shard *s)
{
    pthread_mutex_lock(&s->lock);
    s->handed++;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool take_mail(struct shard *s, bool wait)
{
    pthread_mutex_lock(&s->lock);
    while (wait && !s->handed)
        pthread_cond_wait(&s->changed, &s->lock);
    bool came = s->handed > 0;
    s->handed -= came;
    pthread_mutex_unlock(&s->lock);
    return came;
}

/* Nobody waits in s. */
static void give(struct shard *s)
{
    int to;
    while ((to = places_give(p, s->index, ~UINT64_C(0))) >= 0) {
        if ((uint32_t)to != s->index) {
            post(&shards[to]);
            return;
        }
        places_forgo(p, s->index);
    }
}

static void refuse_mail(struct shard *s)
{
    while (take_mail(s, false)) {
        places_forgo(p, s->index);
        give(s);
    }
}

static void work(void)
{
    uint32_t n = atomic_fetch_add(&inside, 1) + 1, max = atomic_load(&most);
    if (n > LIMIT)
        atomic_fetch_add(&above, 1);
    while (n > max && !atomic_compare_exchange_weak(&most, &max, n))
        ;
    sched_yield(); /* others shall come meanwhile */
    atomic_fetch_sub(&inside, 1);
}

static void *run(void *arg)
{
    struct shard *s = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        refuse_mail(s);
        while (!places_take(p)) {
            places_await(p, s->index);
            if (!places_are_full(p))
                continue;
            s->waited++;
            take_mail(s, true);
            break;
        }
        work();
        give(s);
    }
    places_forgo(p, s->index);
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < SHARDS) {
        refuse_mail(s);
        sched_yield();
    }
    return NULL;
}

static void test_no_place_is_lost_or_made(void **state)
{
    uint32_t waited = 0;
    (void)state;
    alarm(120);
    p = places_get(SLICE("app/0 unix:/run/app"));
    assert_non_null(p);
    places_set_limit(p, LIMIT, 1);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(pthread_create(&shards[i].thread, NULL, run, &shards[i]), 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_join(shards[i].thread, NULL);
        waited += shards[i].waited;
    }
    for (uint32_t i = 0; i < SHARDS; i++) /* sent to one that had ended */
        refuse_mail(&shards[i]);
    assert_int_equal(above, 0);
    assert_int_equal(most, LIMIT);
    assert_int_equal(places_taken(p), 0);
    assert_true(waited > 0);
    places_unref(p);
    alarm(0);
}

/* One place, one that gives it back and then rests, one that comes at that very moment.  Nothing
 * that happens later can make up for a wake-up that is lost. */

#define EPISODES 100000

static atomic_uint episode, served;

/* return  whether a place was got; where none is in the mail */
static bool take_or_wait(struct shard *s)
{
    while (!places_take(p)) {
        places_await(p, s->index);
        if (places_are_full(p))
            return false;
    }
    return true;
}

static void *come(void *arg)
{
    struct shard *s = arg;
    for (uint32_t e = 1; e <= EPISODES; e++) {
        for (uint32_t tries = 0; atomic_load(&episode) != e; tries++)
            if (tries > 1000)
                sched_yield();
        if (!take_or_wait(s))
            while (!take_mail(s, false))
                sched_yield();
        places_forgo(p, s->index);
        give(s);
        refuse_mail(s);
        atomic_store(&served, e);
    }
    return NULL;
}

static void test_no_wake_up_is_lost(void **state)
{
    struct shard *s = &shards[1];
    (void)state;
    alarm(120);
    p = places_get(SLICE("one"));
    assert_non_null(p);
    places_set_limit(p, 1, 1);
    assert_int_equal(pthread_create(&s->thread, NULL, come, s), 0);
    for (uint32_t e = 1; e <= EPISODES; e++) {
        assert_true(places_take(p));
        atomic_store(&episode, e);
        for (volatile uint32_t spin = e % 256; spin; spin--)
            ;
        give(&shards[0]);
        while (atomic_load(&served) != e)
            sched_yield();
    }
    pthread_join(s->thread, NULL);
    assert_int_equal(places_taken(p), 0);
    places_unref(p);
    alarm(0);
}

static int init_shards(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i].index = i;
        pthread_mutex_init(&shards[i].lock, NULL);
        pthread_cond_init(&shards[i].changed, NULL);
    }
    return 0;
}

static void test_turns_and_limits(void **state)
{
    (void)state;
    struct places *q = places_get(SLICE("q"));
    assert_ptr_equal(places_get(SLICE("q")), q);
    places_unref(q);
    assert_false(places_take(q)); /* no routes have given it a limit */
    places_set_limit(q, 2, 5);
    places_set_limit(q, 9, 4); /* of older routes */
    assert_true(places_take(q));
    assert_true(places_take(q));
    assert_false(places_take(q));
    assert_true(places_are_full(q));
    places_await(q, 3);
    places_await(q, 63);
    /* In turn, after the one that gives; only those that can be reached; and it stays taken. */
    assert_int_equal(places_give(q, 0, ~UINT64_C(0)), 3);
    assert_int_equal(places_give(q, 3, ~UINT64_C(0)), 63);
    assert_int_equal(places_give(q, 63, ~UINT64_C(0)), 3);
    assert_int_equal(places_taken(q), 2);
    assert_int_equal(places_give(q, 0, 1), -1);
    assert_int_equal(places_taken(q), 1);
    /* Above the limit one that is given back is nobody's. */
    places_add(q);
    places_add(q);
    assert_int_equal(places_taken(q), 3);
    assert_int_equal(places_give(q, 0, ~UINT64_C(0)), -1);
    assert_int_equal(places_taken(q), 2);
    places_forgo(q, 3);
    places_forgo(q, 63);
    assert_int_equal(places_give(q, 0, ~UINT64_C(0)), -1);
    places_drop(q);
    assert_int_equal(places_taken(q), 0);
    places_unref(q);
    /* The last reference took it away: the name leads to a fresh one. */
    q = places_get(SLICE("q"));
    assert_false(places_take(q));
    places_unref(q);
    places_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_and_limits),
        cmocka_unit_test(test_no_place_is_lost_or_made),
        cmocka_unit_test(test_no_wake_up_is_lost),
    };
    return cmocka_run_group_tests(tests, init_shards, NULL);
}
