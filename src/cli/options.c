/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

int options_refuse(const char *verb, const char *what, const char *which)
{
    fprintf(stderr, "portico: %s %s; see: portico help%s%s\n", what, which, *verb ? " " : "", verb);
    return CLI_EXIT_USAGE;
}

int options_value(int argc, char **argv, int *at, const char *name, const char **out)
{
    size_t len = strlen(name);
    if (strncmp(argv[*at], name, len) != 0)
        return 0;
    if (argv[*at][len] == '=') {
        *out = argv[*at] + len + 1;
        return **out ? 1 : -1;
    }
    if (argv[*at][len] != 0)
        return 0;
    if (*at + 1 >= argc)
        return -1;
    *out = argv[++*at];
    return **out ? 1 : -1;
}
