/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target on files: the seeds as an ordinary test, or one crash under a debugger.
 * usage: replay_<target> FILE-OR-FOLDER... */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static unsigned replayed;

static void die(const char *path)
{
    perror(path);
    exit(1);
}

/* In a block of exactly its size, so that a sanitizer finds one octet too far. */
static void replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) < 0)
        die(path);
    size_t len = (size_t)st.st_size;
    uint8_t *octets = malloc(len ? len : 1);
    if (!octets || fread(octets, 1, len, f) != len)
        die(path);
    fclose(f);
    LLVMFuzzerTestOneInput(octets, len);
    free(octets);
    replayed++;
}

static void replay(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir && errno == ENOTDIR) {
        replay_file(path);
        return;
    }
    if (!dir)
        die(path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char file[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        replay_file(file);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs\n", replayed);
    return replayed ? 0 : 1;
}
