/* SPDX-License-Identifier: Apache-2.0 */
/* What a person asks about push: `portico push` and `portico help push-reasons`. */
#ifndef CLI_PUSH_H
#define CLI_PUSH_H

/* The tables of reasons and fates to standard output, in Markdown: doc/push-reasons.md. */
void push_reasons_print(void);

#endif
