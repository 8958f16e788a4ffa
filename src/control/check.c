/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/manifest.h"
#include "base/print.h"

#include <stdio.h>
#include <unistd.h>

int control_check(const char *manifest_path, bool certificates)
{
    struct manifest *m = manifest_load(manifest_path, -1,
                                       certificates ? MANIFEST_FILES_FIT : MANIFEST_FILES_PRESENT);
    if (!m) {
        print_fmt(STDERR_FILENO, "%s: out of memory\n", manifest_path);
        return 2;
    }
    bool good = m->faults.count == 0;
    faults_print(&m->faults, STDERR_FILENO);
    manifest_free(m);
    return good ? 0 : 2;
}
