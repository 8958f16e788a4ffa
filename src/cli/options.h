/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs' readers of their arguments share. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

/* "portico: WHAT WHICH; see: portico help VERB".  return  the exit code */
int options_refuse(const char *verb, const char *what, const char *which);
/* An option with a value: "--name VALUE" or "--name=VALUE".
 * return  1 taken, 0 another option, -1 the value is missing */
int options_value(int argc, char **argv, int *at, const char *name, const char **out);

#endif
