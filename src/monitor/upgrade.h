/* SPDX-License-Identifier: Apache-2.0 */
/* SIGUSR2: the binary that now lies where ours was started takes over, in this very process, so
 * that workers stay its children and whoever watches our pid notices nothing.
 *
 * First a child runs the new binary and has it read what would be handed over.  Only when it can,
 * monitor executes it: from then on a new control and a new edge are started from it, and the old
 * edge is told to drain when the new one serves (edges.c). */
#ifndef MONITOR_UPGRADE_H
#define MONITOR_UPGRADE_H

struct monitor;

void upgrade_init(struct monitor *m);
/* Note by which path we were started: where a new binary will lie. */
void upgrade_find_program(struct monitor *m);
/* Does nothing but tell when it cannot be done now. */
void upgrade_begin(struct monitor *m);
/* The newest edge serves. */
void upgrade_served(struct monitor *m);
/* The newest edge ended before it served, while the one before it still does. */
void upgrade_stumbled(struct monitor *m, int code, int signal);
/* What became of it, in a file for `portico upgrade` to read: RUN/upgrade in the data directory. */
void upgrade_forget_result(struct monitor *m);

#endif
