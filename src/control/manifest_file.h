/* SPDX-License-Identifier: Apache-2.0 */
/* What of a manifest is looked for in the file system: itself, and what its values name.  Internal
 * to the manifest. */
#ifndef CONTROL_MANIFEST_FILE_H
#define CONTROL_MANIFEST_FILE_H

#include "control/manifest_value.h"

bool read_directory(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
/* k->name "key": a private key; else a certificate. */
bool read_pem(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
/* chain, key: paths.  return  whether edge can use them; else a fault at n */
bool file_pair_fits(struct manifest *m, const struct tree_node *n, struct slice chain,
                    struct slice key);

#endif
