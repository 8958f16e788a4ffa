/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"
#include "base/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void table_add(struct table *t, const char *const *cells)
{
    if (t->rows == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        void *grown = realloc(t->cells, room * sizeof *t->cells);
        if (!grown) {
            fprintf(stderr, "portico: out of memory\n");
            exit(1);
        }
        t->cells = grown;
        t->room = room;
    }
    for (size_t i = 0; i < t->columns; i++) {
        char *cell = strdup(cells[i]);
        if (cell) /* a path, say, that a worker has promised */
            terminal_mask(cell, strlen(cell), "");
        t->cells[t->rows][i] = cell;
    }
    t->rows++;
}

void table_print(struct table *t)
{
    size_t width[TABLE_COLUMNS] = {0};
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->columns; c++)
            if (t->cells[r][c] && strlen(t->cells[r][c]) > width[c])
                width[c] = strlen(t->cells[r][c]);
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->columns; c++) {
            const char *text = t->cells[r][c] ? t->cells[r][c] : "";
            if (c + 1 < t->columns)
                printf("%-*s  ", (int)width[c], text);
            else
                printf("%s\n", text);
            free(t->cells[r][c]);
        }
    free(t->cells);
    t->cells = NULL;
    t->rows = t->room = 0;
}
