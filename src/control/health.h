/* SPDX-License-Identifier: Apache-2.0 */
/* Asks an instance from time to time for a path, in the protocol that it speaks: 2xx and 3xx are
 * well, all else and silence are not, nor is another's listener in its place, which is not asked.
 * It knows loop and engines, nothing of manifests or routes. */
#ifndef CONTROL_HEALTH_H
#define CONTROL_HEALTH_H

#include "base/addr.h"
#include "control/owner.h"
#include "net/loop.h"
#include "net/stream.h"

#include <stdbool.h>

#define HEALTH_LIMIT_MS 10000u /* for an answer, if the interval is not shorter */

struct h1_conn;
struct h2_conn;
struct health;
/* is_sick has changed.  Never called from within health_start or health_stop. */
typedef void (*health_fn)(struct health *h);

struct health_settings {
    struct slice path, authority; /* kept by who starts it */
    uint32_t interval_ms, failures;
};

struct health {
    struct loop *loop; /* NULL: not started */
    struct health_settings settings;
    struct addr address;
    struct owner owner; /* group 0: anybody */
    bool is_h2c;
    health_fn on_change;
    struct loop_timer timer; /* the next question, or the limit for an answer */
    struct loop_task end;    /* of a question, outside of the engines' callbacks */
    struct stream stream;
    struct h1_conn *h1;
    struct h2_conn *h2;
    bool is_asking, is_good;
    unsigned status;   /* of the last answer; 0: there was none */
    uint32_t failures; /* in a row */
    bool is_sick;
};

/* What is known of it from before.  UNKNOWN: it served, but another control knew how; it is asked at
 * once, and to answer badly once is enough. */
enum health_before { HEALTH_NEW, HEALTH_SICK, HEALTH_UNKNOWN };

/* owner  whose the listener must be; NULL: anybody's */
void health_start(struct health *h, struct loop *loop, const struct addr *address,
                  const struct owner *owner, bool is_h2c, const struct health_settings *settings,
                  enum health_before before, health_fn on_change);
/* Also when it was never started (zeroed). */
void health_stop(struct health *h);

#endif
