/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 engine as a client: see h2_play.h. */
#include "h2_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    h2_play(H2_CLIENT, octets, len);
    return 0;
}
