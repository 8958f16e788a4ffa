/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns, as wide as their widest cell. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS 10

struct table {
    char *(*cells)[TABLE_COLUMNS];
    size_t rows, room, columns;
};

/* cells: as many as there are columns, copied. */
void table_add(struct table *t, const char *const *cells);
/* To standard output; the table is empty then. */
void table_print(struct table *t);

#endif
