/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/manifest.h"

#include <stdio.h>
#include <unistd.h>

int control_check(const char *manifest_path)
{
    struct manifest *m = manifest_load(manifest_path, -1, false);
    if (!m) {
        dprintf(STDERR_FILENO, "%s: out of memory\n", manifest_path);
        return 2;
    }
    bool good = m->faults.count == 0;
    faults_print(&m->faults, STDERR_FILENO);
    manifest_free(m);
    return good ? 0 : 2;
}

bool control_is_named(const char *manifest_path, const char *app, const char *directory)
{
    struct manifest *m = manifest_load(manifest_path, -1, true);
    bool found = false;
    for (uint32_t i = 0; m && i < m->app_count; i++)
        found |= slice_eq(m->apps[i].name, slice_str(app)) &&
                 slice_eq(m->apps[i].directory, slice_str(directory));
    manifest_free(m);
    if (!found)
        dprintf(STDERR_FILENO, "%s does not name the directory %s for %s; has it changed?\n",
                manifest_path, directory, app);
    return found;
}
