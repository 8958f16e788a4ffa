/* SPDX-License-Identifier: Apache-2.0 */
/* The local certificate authority, for machines where nobody else issues certificates: names such
 * as app.localhost.  It runs as a role of its own, for a moment, and reads nothing from the
 * network.
 *
 * Files of its directory: ca.crt, ca.key, and ID.crt, ID.key for each certificate.  Keys are P-256
 * and readable by their owner only.  A pair is replaced by renaming complete files, the key first;
 * a crash between the two leaves a pair that does not match, which the next run notices. */
#ifndef AUTHORITY_AUTHORITY_H
#define AUTHORITY_AUTHORITY_H

#include "base/slice.h"

#define AUTHORITY_NAME       "Portico local authority"
#define AUTHORITY_CA_DAYS    3650
#define AUTHORITY_LEAF_DAYS  397 /* the most that browsers accept */
#define AUTHORITY_RENEW_DAYS 30  /* with less left it is issued anew */
#define AUTHORITY_MAX_HOSTS  256

struct authority;

/* Load the authority of a directory that exists, or make one: nothing is issued yet.
 * now_s   seconds since 1970
 * return  NULL after telling why on standard error */
struct authority *authority_open(const char *directory, int64_t now_s);
void authority_close(struct authority *a);
/* Make sure that a certificate of this id exists, is for exactly these hosts, of this authority,
 * and has days enough left.
 * hosts   names, "*.names" and IP addresses, separated by one space
 * return  1 issued, 0 was good already, ERR_USAGE or ERR_SYS: told */
int authority_issue(struct authority *a, unsigned id, const char *hosts);

/* The role: for each line "ID HOST HOST..." of descriptor in, a certificate.
 * return  the exit code: 0; 2 for a malformed line; 1 */
int authority_main(const char *directory, int in);

#endif
