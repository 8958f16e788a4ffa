/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: verbs, their options, and what `portico help` says about them.  It knows no
 * role; what a verb does comes from the mains. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#define CLI_EXIT_USAGE 2

struct cli_up {
    const char *manifest;
    const char *data; /* NULL: the default */
    bool check;       /* validate the manifest, and that is all */
    int resume_fd;    /* see monitor/resume.h; -1: start anew */
};

struct cli_static {
    const char *directory;
    const char *socket, *listen, *max_age; /* NULL: not said */
    bool list;
};

struct cli_actions {
    int (*up)(const struct cli_up *up);
    int (*upgrade)(const char *data); /* NULL: the default */
    int (*serve_static)(const struct cli_static *static_);
    /* `portico role NAME ...`: what monitor starts.  argv[0] is the name. */
    int (*role)(int argc, char **argv);
};

/* return  the process' exit code */
int cli_main(int argc, char **argv, const struct cli_actions *actions);

#endif
