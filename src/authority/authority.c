/* SPDX-License-Identifier: Apache-2.0 */
#include "authority/authority.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/print.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define DAY_S       86400
#define CLOCK_OFF_S 3600 /* clocks, clients' and ours, may be late by as much */
#define HOST_OCTETS 256

struct authority {
    char directory[PATH_MAX];
    int64_t now_s;
    struct pair {
        X509 *cert;
        EVP_PKEY *key;
    } ca;
};

static int tell(const char *what, const char *about)
{
    unsigned long e = ERR_peek_last_error();
    char text[256] = "";
    if (e)
        ERR_error_string_n(e, text, sizeof text);
    print_fmt(STDERR_FILENO, "portico: the local authority %s %s: %s\n", what, about,
              e ? text : strerror(errno));
    ERR_clear_error();
    return ERR_SYS;
}

/* Files. */

static bool path_of(const struct authority *a, const char *name, const char *suffix,
                    char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s%s", a->directory, name, suffix);
    return n > 0 && n < PATH_MAX;
}

static FILE *open_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f && fd >= 0)
        close(fd);
    return f;
}

static void pair_fini(struct pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    p->cert = NULL;
    p->key = NULL;
}

static int no_password(char *buf, int size, int for_write, void *arg)
{
    (void)buf, (void)size, (void)for_write, (void)arg;
    return -1; /* an encrypted key is not ours; never ask the terminal */
}

/* return  false: not there, or not a pair; p is empty then */
static bool pair_load(const struct authority *a, const char *name, struct pair *p)
{
    char path[PATH_MAX];
    p->cert = NULL;
    p->key = NULL;
    FILE *f = path_of(a, name, ".crt", path) ? open_read(path) : NULL;
    if (f) {
        p->cert = PEM_read_X509(f, NULL, no_password, NULL);
        fclose(f);
    }
    f = path_of(a, name, ".key", path) ? open_read(path) : NULL;
    if (f) {
        p->key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
        fclose(f);
    }
    bool ok = p->cert && p->key && X509_check_private_key(p->cert, p->key) == 1;
    ERR_clear_error();
    if (!ok)
        pair_fini(p);
    return ok;
}

/* Write beside, then rename: a reader sees the old file or the new one. */
static int write_file(const struct authority *a, const char *name, const char *suffix, mode_t mode,
                      const struct pair *p, bool is_key)
{
    char path[PATH_MAX], temporary[PATH_MAX + 8];
    if (!path_of(a, name, suffix, path))
        return ERR_SYS;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        if (fd >= 0)
            close(fd);
        return tell("cannot write", temporary);
    }
    bool ok = fchmod(fd, mode) == 0; /* whatever the umask is */
    ok = ok && (is_key ? PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL)
                       : PEM_write_X509(f, p->cert)) == 1;
    ok = ok && fflush(f) == 0 && fsync(fd) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(temporary, path) < 0) {
        int r = tell("cannot write", path);
        unlink(temporary);
        return r;
    }
    return 0;
}

static int pair_save(const struct authority *a, const char *name, const struct pair *p)
{
    int r = write_file(a, name, ".key", 0600, p, true);
    return r < 0 ? r : write_file(a, name, ".crt", 0644, p, false);
}

/* Certificates. */

/* return  seconds from now on, below 0 for what has been; -1: it is no time */
static int64_t seconds_until(const struct authority *a, const ASN1_TIME *then)
{
    int days, seconds;
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)a->now_s);
    bool ok = now && ASN1_TIME_diff(&days, &seconds, now, then) == 1;
    ASN1_TIME_free(now);
    return ok ? (int64_t)days * DAY_S + seconds : -1;
}

static int64_t seconds_left(const struct authority *a, const X509 *cert)
{
    return seconds_until(a, X509_get0_notAfter(cert));
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_serial(X509 *cert)
{
    unsigned char octets[16];
    if (RAND_bytes(octets, sizeof octets) != 1)
        return false;
    octets[0] = (unsigned char)((octets[0] & 0x7f) | 0x40); /* positive, and never shorter */
    BIGNUM *n = BN_bin2bn(octets, sizeof octets, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

/* A certificate with a new key, all but its extensions and signature.
 * name: of the subject; NULL: none */
static bool begin(const struct authority *a, struct pair *p, const char *name, int64_t from_s,
                  int64_t until_s)
{
    p->key = EVP_EC_gen("P-256");
    p->cert = X509_new();
    if (!p->key || !p->cert)
        return false;
    X509_NAME *subject = X509_get_subject_name(p->cert);
    return X509_set_version(p->cert, X509_VERSION_3) == 1 && set_serial(p->cert) &&
           ASN1_TIME_set(X509_getm_notBefore(p->cert), (time_t)from_s) &&
           ASN1_TIME_set(X509_getm_notAfter(p->cert), (time_t)until_s) &&
           X509_set_pubkey(p->cert, p->key) == 1 &&
           (!name || X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)name, -1, -1, 0) == 1);
}

/* Our clock may be years ahead: people trust it once, so it is not replaced when that is set right,
 * but valid then. */
static int make_ca(struct authority *a)
{
    struct pair *ca = &a->ca;
    const int64_t valid_s = AUTHORITY_CA_DAYS * (int64_t)DAY_S;
    bool ok =
        begin(a, ca, AUTHORITY_NAME, a->now_s - valid_s, a->now_s + valid_s) &&
        X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1 &&
        add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") &&
        X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
    if (!ok)
        return tell("cannot make", "its own certificate");
    return pair_save(a, "ca", ca);
}

/* Hosts. */

struct host {
    bool is_address;
    unsigned char octets[16]; /* of an address */
    int len;
    char text[HOST_OCTETS]; /* of a name, lower case */
};

static bool host_parse(struct slice text, struct host *out)
{
    char copy[HOST_OCTETS];
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.len; i++)
        copy[i] = (char)ascii_lower((unsigned char)text.p[i]);
    copy[text.len] = 0;
    memset(out, 0, sizeof *out);
    out->is_address = true;
    if (inet_pton(AF_INET, copy, out->octets) == 1) {
        out->len = 4;
        return true;
    }
    if (inet_pton(AF_INET6, copy, out->octets) == 1) {
        out->len = 16;
        return true;
    }
    out->is_address = false;
    memcpy(out->text, copy, text.len + 1);
    out->len = (int)text.len;
    size_t first = copy[0] == '*' && copy[1] == '.' ? 2 : 0;
    return copy[first] &&
           strspn(copy + first, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == text.len - first;
}

/* return  how many, or ERR_USAGE */
static int hosts_parse(const char *hosts, struct host *out)
{
    int count = 0;
    for (const char *at = hosts;; at++) {
        size_t n = strcspn(at, " ");
        if (count == AUTHORITY_MAX_HOSTS || !host_parse(slice_of(at, n), &out[count]))
            return ERR_USAGE;
        count++;
        at += n;
        if (!*at)
            return count;
    }
}

static bool host_eq(const GENERAL_NAME *n, const struct host *h)
{
    int type;
    const void *value = GENERAL_NAME_get0_value(n, &type);
    if (type != (h->is_address ? GEN_IPADD : GEN_DNS))
        return false;
    const ASN1_STRING *s = value;
    return ASN1_STRING_length(s) == h->len &&
           memcmp(ASN1_STRING_get0_data(s), h->is_address ? (const void *)h->octets : h->text,
                  (size_t)h->len) == 0;
}

static bool has_hosts(const X509 *cert, const struct host *hosts, int count)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool same = names && sk_GENERAL_NAME_num(names) == count;
    for (int i = 0; same && i < count; i++)
        same = host_eq(sk_GENERAL_NAME_value(names, i), &hosts[i]);
    GENERAL_NAMES_free(names);
    return same;
}

static bool add_hosts(X509 *cert, const struct host *hosts, int count, bool critical)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool ok = names != NULL;
    for (int i = 0; ok && i < count; i++) {
        const struct host *h = &hosts[i];
        GENERAL_NAME *n = GENERAL_NAME_new();
        ASN1_STRING *s = h->is_address ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
        ok = n && s &&
             ASN1_STRING_set(s, h->is_address ? (const void *)h->octets : h->text, h->len) == 1;
        if (ok)
            GENERAL_NAME_set0_value(n, h->is_address ? GEN_IPADD : GEN_DNS, s);
        else
            ASN1_STRING_free(s);
        if (!ok || sk_GENERAL_NAME_push(names, n) <= 0) {
            GENERAL_NAME_free(n);
            ok = false;
        }
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, critical, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

/* The authority. */

struct authority *authority_open(const char *directory, int64_t now_s)
{
    struct authority *a = calloc(1, sizeof *a);
    if (!a || strlen(directory) >= sizeof a->directory - 64) {
        print_fmt(STDERR_FILENO,
                  "portico: the local authority has no memory, or too long a name\n");
        free(a);
        return NULL;
    }
    memcpy(a->directory, directory, strlen(directory) + 1);
    a->now_s = now_s;
    if (pair_load(a, "ca", &a->ca)) {
        if (X509_check_ca(a->ca.cert) == 1 &&
            seconds_left(a, a->ca.cert) >= AUTHORITY_RENEW_DAYS * (int64_t)DAY_S)
            return a;
        pair_fini(&a->ca);
    }
    if (make_ca(a) < 0) {
        authority_close(a);
        return NULL;
    }
    log_event(LOG_INFO, "authority.made", "file=%s/ca.crt days=%d", directory, AUTHORITY_CA_DAYS);
    return a;
}

void authority_close(struct authority *a)
{
    if (!a)
        return;
    pair_fini(&a->ca);
    free(a);
}

/* Not one that is not valid yet, as our clock was ahead when it was issued. */
static bool is_good(const struct authority *a, const struct pair *p, const struct host *hosts,
                    int count)
{
    bool ok = X509_verify(p->cert, a->ca.key) == 1 && has_hosts(p->cert, hosts, count) &&
              seconds_until(a, X509_get0_notBefore(p->cert)) <= 0 &&
              seconds_left(a, p->cert) >= AUTHORITY_RENEW_DAYS * (int64_t)DAY_S;
    ERR_clear_error(); /* a signature by another authority is no error of ours */
    return ok;
}

static int issue(const struct authority *a, const char *name, const struct host *hosts, int count)
{
    struct pair p = {NULL, NULL};
    X509 *ca = a->ca.cert;
    /* Only for people to read, and at most 64 octets; without a subject the names become critical.
     * RFC 5280 4.2.1.6. */
    const char *subject = hosts[0].is_address || hosts[0].len > 64 ? NULL : hosts[0].text;
    int64_t until_s = a->now_s + AUTHORITY_LEAF_DAYS * (int64_t)DAY_S;
    int64_t ca_until_s = a->now_s + seconds_left(a, ca);
    bool ok = begin(a, &p, subject, a->now_s - CLOCK_OFF_S,
                    until_s < ca_until_s ? until_s : ca_until_s) &&
              X509_set_issuer_name(p.cert, X509_get_subject_name(ca)) == 1 &&
              add_extension(p.cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(p.cert, ca, NID_key_usage, "critical,digitalSignature") &&
              add_extension(p.cert, ca, NID_ext_key_usage, "serverAuth") &&
              add_extension(p.cert, ca, NID_subject_key_identifier, "hash") &&
              add_extension(p.cert, ca, NID_authority_key_identifier, "keyid:always") &&
              add_hosts(p.cert, hosts, count, !subject) &&
              X509_sign(p.cert, a->ca.key, EVP_sha256()) > 0;
    int r = ok ? pair_save(a, name, &p) : tell("cannot issue", "a certificate");
    pair_fini(&p);
    return r < 0 ? r : 1;
}

int authority_issue(struct authority *a, unsigned id, const char *hosts_text)
{
    static struct host hosts[AUTHORITY_MAX_HOSTS]; /* large; this role has one thread */
    char name[16];
    struct pair p;
    int count = hosts_parse(hosts_text, hosts);
    if (count < 0) {
        print_fmt(STDERR_FILENO, "portico: the local authority cannot issue for \"%s\"\n",
                  hosts_text);
        return ERR_USAGE;
    }
    snprintf(name, sizeof name, "%u", id);
    bool good = pair_load(a, name, &p) && is_good(a, &p, hosts, count);
    pair_fini(&p);
    if (good)
        return 0;
    int r = issue(a, name, hosts, count);
    if (r == 1)
        log_event(LOG_INFO, "authority.issued", "id=%u hosts=\"%s\"", id, hosts_text);
    return r;
}

int authority_main(const char *directory, int in)
{
    struct authority *a = authority_open(directory, (int64_t)(clock_wall_us() / 1000000u));
    FILE *f = a ? fdopen(in, "r") : NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int code = f ? 0 : 1;
    while (code == 0 && (n = getline(&line, &cap, f)) > 0) {
        char *hosts;
        errno = 0;
        unsigned long id = strtoul(line, &hosts, 10);
        if (line[n - 1] == '\n')
            line[n - 1] = 0;
        if (errno || hosts == line || *hosts != ' ' || id > UINT_MAX) {
            print_fmt(STDERR_FILENO, "portico: the local authority was asked for nonsense\n");
            code = 2;
            break;
        }
        int r = authority_issue(a, (unsigned)id, hosts + 1);
        code = r == ERR_USAGE ? 2 : r < 0 ? 1 : 0;
    }
    free(line);
    if (f)
        fclose(f);
    authority_close(a);
    return code;
}
