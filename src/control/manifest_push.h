/* SPDX-License-Identifier: Apache-2.0 */
/* An app's `push:`.  Internal to the manifest. */
#ifndef CONTROL_MANIFEST_PUSH_H
#define CONTROL_MANIFEST_PUSH_H

#include "control/manifest_value.h"

extern const struct key push_keys[]; /* of struct manifest_app */
bool read_push(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);

#endif
