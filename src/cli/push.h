/* SPDX-License-Identifier: Apache-2.0 */
/* What a person asks about push: `portico push` and `portico help push-reasons`. */
#ifndef CLI_PUSH_H
#define CLI_PUSH_H

#include "cli/push_watch.h"

/* argv[0]: "push".  return  the exit code */
int push_run(int argc, char **argv);

/* Each returns the exit code: 0; 1 it could not be done; 2 what was asked for is wrong.  data: NULL
 * means the default data directory.  What went wrong is told on standard error. */
struct push_explain {
    const char *url;
    enum watch_as as;
    const char *data;
    const char *authority; /* PEM file; NULL: the local one of the data directory */
    bool as_json;
};
int push_explain(const struct push_explain *e);
int push_stats(const char *data, const char *app, bool as_json);

/* The tables of reasons and fates to standard output, in Markdown: doc/push-reasons.md. */
void push_reasons_print(void);

/* What could be better about a resource that was promised: at most ADVICE_MAX sentences, which live
 * in the arena.  Pure.  return  how many */
#define ADVICE_MAX 4
struct advice {
    const char *code;
    struct slice text;
};
unsigned push_advise(const struct watch_resource *document, const struct watch_resource *r,
                     struct arena *arena, struct advice out[ADVICE_MAX]);

#endif
