/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H

/* The tables of limits and refusals to standard output, in Markdown. */
void limits_print(void);

#endif
