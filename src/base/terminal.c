/* SPDX-License-Identifier: Apache-2.0 */
#include "base/terminal.h"

#include <string.h>

/* return  octets of the control character at p, or 0 */
static size_t control_octets(const char *p, size_t len)
{
    unsigned char c = (unsigned char)p[0];
    if (c < 0x20 || c == 0x7f)
        return 1;
    if (c != 0xc2)
        return 0;
    if (len == 1)
        return 1;
    return (unsigned char)p[1] >= 0x80 && (unsigned char)p[1] < 0xa0 ? 2 : 0;
}

void terminal_mask(char *text, size_t len, const char *kept)
{
    for (size_t i = 0; i < len; i++)
        if (!text[i] || !strchr(kept, text[i]))
            memset(text + i, '?', control_octets(text + i, len - i));
}
