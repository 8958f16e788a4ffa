/* SPDX-License-Identifier: Apache-2.0 */
#include "soak.h"

#include <stdlib.h>

/* The content of an answer is a run of its app's pattern, beginning at a place that its id says
 * (plan.c); a block that is lost, doubled, moved or of another app does not fit. */
static uint8_t *shake(const char *key, size_t len)
{
    uint8_t *p = malloc(PATTERN_OCTETS);
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    bool ok = p && m && EVP_DigestInit_ex(m, EVP_shake128(), NULL) == 1 &&
              EVP_DigestUpdate(m, key, len) == 1 && EVP_DigestFinalXOF(m, p, PATTERN_OCTETS) == 1;
    EVP_MD_CTX_free(m);
    if (!ok) {
        free(p);
        return NULL;
    }
    return p;
}

bool pattern_make(struct app *a, uint64_t seed)
{
    char key[128];
    int n = snprintf(key, sizeof key, "down/%s/%llu", a->name, (unsigned long long)seed);
    a->down = shake(key, (size_t)n);
    n = snprintf(key, sizeof key, "up/%s/%llu", a->name, (unsigned long long)seed);
    a->up = shake(key, (size_t)n);
    return a->down && a->up;
}
