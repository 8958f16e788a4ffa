/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1.1 engine as a client: see h1_play.h. */
#include "h1_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    h1_play(H1_CLIENT, octets, len);
    return 0;
}
