/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1.1 request to admin.sock, by our own engine in its client role. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <jansson.h>
#include <stddef.h>

struct ask_answer {
    unsigned status;
    char *body; /* given: free() */
    size_t len;
};

/* The data directory that was named, or this user's default, as monitor chooses it; not created.
 * return  0, or the exit code: told */
int ask_data_directory(const char *data, char *out, size_t cap);
/* body: JSON, or NULL.  return  0, or the exit code; why_out: what to tell, empty when it was */
#define ASK_WHY_OCTETS 1200
int ask_quietly(const char *data, const char *method, const char *path, const char *body,
                struct ask_answer *out, char why_out[ASK_WHY_OCTETS]);
/* The same.  return  0, or the exit code: told */
int ask_portico(const char *data, const char *method, const char *path, const char *body,
                struct ask_answer *out);
/* The same.  json_out: given, of a 2xx answer.  return  0, or the exit code: told */
int ask_json(const char *data, const char *method, const char *path, const char *body,
             json_t **json_out);
/* "/apps/NAME" and what follows.  return  0, or the exit code: told */
int ask_app_path(char *out, size_t cap, const char *app, const char *action);

#endif
