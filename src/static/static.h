/* SPDX-License-Identifier: Apache-2.0 */
/* `portico static`: serves the files of a directory, as a worker behind edge or by itself.  One
 * thread, one loop; files are read by it, so a disk that is slow is felt by all. */
#ifndef STATIC_STATIC_H
#define STATIC_STATIC_H

#include <stdbool.h>
#include <stdint.h>

struct static_options {
    const char *directory;
    const char *socket;  /* NULL with listen NULL: what PORTICO_SOCKET and PORT say */
    const char *listen;  /* ADDRESS:PORT or PORT */
    const char *max_age; /* seconds, NULL: every use is checked with us */
    bool is_listed;
};

/* Runs until SIGTERM or SIGINT, then serves what is under way to its end; a second signal ends it
 * at once.
 * return  the process' exit code */
int static_main(const struct static_options *o);

#endif
