/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker writes: into its log file as it is, to the console line by line with a tag, and the
 * last lines kept for the case that it fails. */
#ifndef MONITOR_OUTPUT_H
#define MONITOR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_LINE_OCTETS  2000 /* of one line on the console; the rest of it is left out */
#define OUTPUT_TAIL_OCTETS  4096 /* as ipc_output's text, with NUL */
#define OUTPUT_TAIL_LINES   20
#define OUTPUT_FILE_OCTETS  (10u << 20) /* then it becomes FILE.1, and a new one begins */
#define OUTPUT_LINE_IN_TAIL 512

struct output {
    char tag[80];
    char *path; /* of the log file */
    int file;   /* -1: cannot be written */
    uint64_t file_octets;
    char line[OUTPUT_LINE_OCTETS];
    size_t line_len;
    bool in_excess;                /* of a line that is too long */
    char tail[OUTPUT_TAIL_OCTETS]; /* whole lines, ends with NUL */
    size_t tail_len;
    unsigned tail_lines;
    uint64_t dropped; /* lines that the console had no room for */
};

/* path  given (free()), NULL: no file; it is opened when the first octet comes */
void output_init(struct output *o, const char *app, unsigned index, char *path);
void output_fini(struct output *o);
void output_feed(struct output *o, const char *octets, size_t len);
/* The process ended: an unfinished line is finished. */
void output_end(struct output *o);
/* A new process: its tail begins empty. */
void output_begin(struct output *o);
/* The file was moved away: open it anew. */
void output_reopen(struct output *o);

/* Write to a descriptor shared with others without ever waiting for it.
 * return  false when there was no room */
bool output_console(int fd, const char *octets, size_t len);

#endif
