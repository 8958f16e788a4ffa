/* SPDX-License-Identifier: Apache-2.0 */
/* The local authority: what it issues is judged by OpenSSL's own chain verification, and it issues
 * anew exactly when it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authority/authority.h"
#include "base/err.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

static char directory[64];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/portico-authority-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static char *file(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int teardown(void **state)
{
    static const char *const names[] = {"ca.crt", "ca.key", "7.crt", "7.key",
                                        "8.crt",  "8.key",  "in"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(file(names[i]));
    return rmdir(directory); /* nothing else was left */
}

static X509 *load(const char *name)
{
    FILE *f = fopen(file(name), "r");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(cert);
    return cert;
}

/* As a client would: chain, dates, purpose, name.  return 1 when it is trusted */
static int verify(const char *leaf, const char *host, const char *address, int64_t now_s)
{
    X509 *ca = load("ca.crt"), *cert = load(leaf);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(p, (time_t)now_s);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    if (host)
        X509_VERIFY_PARAM_set1_host(p, host, 0);
    if (address)
        X509_VERIFY_PARAM_set1_ip_asc(p, address);
    int ok = X509_verify_cert(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(cert);
    return ok == 1;
}

static void test_issue(void **state)
{
    struct stat st;
    (void)state;
    umask(0); /* modes must not depend on it */
    struct authority *a = authority_open(directory, NOW);
    assert_non_null(a);
    assert_int_equal(authority_issue(a, 7, "One.localhost *.two.localhost 127.0.0.1 ::1"), 1);
    authority_close(a);
    assert_true(verify("7.crt", "one.localhost", NULL, NOW));
    assert_true(verify("7.crt", "x.two.localhost", NULL, NOW));
    assert_true(verify("7.crt", NULL, "127.0.0.1", NOW));
    assert_true(verify("7.crt", NULL, "::1", NOW));
    assert_false(verify("7.crt", "two.localhost", NULL, NOW));
    assert_true(verify("7.crt", "one.localhost", NULL, NOW + 396 * DAY));
    assert_false(verify("7.crt", "one.localhost", NULL, NOW + 398 * DAY));
    assert_int_equal(stat(file("ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(file("7.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(file("ca.crt"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    X509 *ca = load("ca.crt");
    char name[64];
    X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, name, sizeof name);
    assert_string_equal(name, AUTHORITY_NAME);
    X509_free(ca);
}

static int issue_at(int64_t now_s, const char *hosts)
{
    struct authority *a = authority_open(directory, now_s);
    assert_non_null(a);
    int r = authority_issue(a, 7, hosts);
    authority_close(a);
    return r;
}

static void test_issue_anew(void **state)
{
    (void)state;
    assert_int_equal(issue_at(NOW, "a b"), 1);
    assert_int_equal(issue_at(NOW, "a b"), 0);
    assert_int_equal(issue_at(NOW, "a"), 1); /* other hosts */
    assert_int_equal(issue_at(NOW, "A"), 0); /* the same, but for case */
    assert_int_equal(issue_at(NOW + 366 * DAY, "a"), 0);
    assert_int_equal(issue_at(NOW + 368 * DAY, "a"), 1); /* less than 30 days left */
    assert_true(verify("7.crt", "a", NULL, NOW + 368 * DAY));

    FILE *f = fopen(file("7.crt"), "w"); /* damaged */
    fputs("rubbish", f);
    fclose(f);
    assert_int_equal(issue_at(NOW, "a"), 1);
    assert_int_equal(unlink(file("7.key")), 0);
    assert_int_equal(issue_at(NOW, "a"), 1);
    assert_int_equal(unlink(file("ca.key")), 0); /* a new authority: everything is issued anew */
    assert_int_equal(issue_at(NOW, "a"), 1);
    assert_true(verify("7.crt", "a", NULL, NOW));
    assert_int_equal(issue_at(NOW, "a"), 0);
    /* near the authority's own end: a new one, not leaves that outlive it */
    assert_int_equal(issue_at(NOW + 3640 * DAY, "a"), 1);
    assert_true(verify("7.crt", "a", NULL, NOW + 3640 * DAY));
}

/* What was made then is not valid yet, and would not be for years. */
static void test_a_clock_that_was_ahead(void **state)
{
    (void)state;
    assert_int_equal(issue_at(NOW + 1000 * DAY, "a"), 1);
    assert_int_equal(issue_at(NOW, "a"), 1);
    assert_true(verify("7.crt", "a", NULL, NOW));
    assert_int_equal(issue_at(NOW, "a"), 0);
    assert_int_equal(issue_at(NOW - DAY / 48, "a"), 0); /* clocks may be a little late */
}

static void test_leaf_ends_with_its_authority(void **state)
{
    (void)state;
    assert_int_equal(issue_at(NOW, "a"), 1);
    assert_int_equal(issue_at(NOW + 3600 * DAY, "a"), 1);
    X509 *ca = load("ca.crt"), *leaf = load("7.crt");
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(ca)), 0);
    X509_free(ca);
    X509_free(leaf);
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {"", " a", "a ", "a  b", "*", "*.", "a\nb", "a,DNS:b", "a*b"};
    char many[3 * AUTHORITY_MAX_HOSTS], longest[300];
    (void)state;
    struct authority *a = authority_open(directory, NOW);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(authority_issue(a, 7, bad[i]), ERR_USAGE);
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = "a "[i % 2];
    many[2 * AUTHORITY_MAX_HOSTS + 1] = 0;
    assert_int_equal(authority_issue(a, 7, many), ERR_USAGE);
    many[2 * AUTHORITY_MAX_HOSTS - 1] = 0;
    assert_int_equal(authority_issue(a, 7, many), 1);
    memset(longest, 'a', sizeof longest);
    longest[256] = 0;
    assert_int_equal(authority_issue(a, 7, longest), ERR_USAGE);
    longest[255] = 0;
    assert_int_equal(authority_issue(a, 7, longest), 1);
    authority_close(a);
    assert_null(authority_open("/nonexistent/portico", NOW));
}

static int run(const char *request)
{
    int fd = open(file("in"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    lseek(fd, 0, SEEK_SET);
    return authority_main(directory, fd);
}

static void test_role(void **state)
{
    (void)state;
    assert_int_equal(run("7 a.localhost\n8 b.localhost ::1\n"), 0);
    assert_int_equal(access(file("8.key"), R_OK), 0);
    assert_int_equal(run(""), 0);
    assert_int_equal(run("a b\n"), 2);
    assert_int_equal(run("7\n"), 2);
    assert_int_equal(run("99999999999 a\n"), 2);
    assert_int_equal(run("7 a b,c\n"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_issue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issue_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_was_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaf_ends_with_its_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
