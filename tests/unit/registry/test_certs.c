/* test_certs.c - where certificates are looked for (containers-certs.d(5), SSL_CERT_FILE). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "registry/certs.h"
#include "tests/lib/test.h"

static void put(const char *host, const char *name, const char *text)
{
    auto_free char *dir = str_format("%s/certs.d/%s", test_dir(), host);
    auto_free char *path = str_format("%s/%s", dir, name);

    check_ok(io_make_dirs(dir, 0700, &test_err));
    check_ok(io_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600, &test_err));
}

static struct certs *make_certs(void)
{
    auto_strv struct strv dirs = {0};

    strv_addf(&dirs, "%s/none", test_dir());
    strv_addf(&dirs, "%s/certs.d", test_dir());
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    return certs_new(&dirs, NULL);
}

TEST(certs, the_environment_replaces_the_system)
{
    struct certs *c = make_certs();
    auto_certs_host struct certs_host found = {0};

    setenv("SSL_CERT_FILE", "/some/bundle.pem", 1);
    check_ok(certs_find(c, "h.io", &found, &test_err));
    check_text(found.file, "/some/bundle.pem");
    check_text(found.dir, NULL);
    certs_free(c);
}

TEST(certs, a_host_may_have_authorities_and_a_client_certificate)
{
    struct certs *c = make_certs();
    auto_certs_host struct certs_host found = {0};
    auto_certs_host struct certs_host other = {0};

    put("h.io:5000", "b.crt", "B");
    put("h.io:5000", "a.crt", "A");
    put("h.io:5000", "client.cert", "C");
    put("h.io:5000", "client.key", "K");
    setenv("SSL_CERT_DIR", "/some/dir", 1);
    check_ok(certs_find(c, "h.io:5000", &found, &test_err));
    check_text(str_text(&found.authorities), "A\nB\n");
    check_text(found.dir, "/some/dir");
    check_true(text_ends(found.client_certificate, "/certs.d/h.io:5000/client.cert"));
    check_true(text_ends(found.client_key, "/certs.d/h.io:5000/client.key"));
    check_ok(certs_find(c, "h.io", &other, &test_err));
    check_int(other.authorities.size, 0);
    check_text(other.client_certificate, NULL);
    certs_free(c);
}

/* One text replaces a bundle, so the bundle must be in it. */
TEST(certs, own_authorities_come_beside_the_bundle)
{
    struct certs *c = make_certs();
    auto_certs_host struct certs_host found = {0};
    auto_free char *bundle = str_format("%s/bundle", test_dir());

    put("h.io", "ca.crt", "A");
    check_ok(io_write_file_atomic(test_dir_fd(), "bundle", "SYSTEM", 6, 0600, &test_err));
    setenv("SSL_CERT_FILE", bundle, 1);
    check_ok(certs_find(c, "h.io", &found, &test_err));
    check_text(str_text(&found.authorities), "A\nSYSTEM");
    check_text(found.file, NULL);
    certs_free(c);
}

TEST(certs, a_client_certificate_without_its_key_is_an_error)
{
    struct certs *c = make_certs();
    auto_certs_host struct certs_host found = {0};

    put("h.io", "client.cert", "C");
    check_fails(certs_find(c, "h.io", &found, &test_err), EINVAL);
    check_contains(test_err.text, "has no key 'client.key' beside it");
    certs_free(c);
}

/* buildkitd.toml: beside the directories; a client certificate of theirs wins. */
TEST(certs, what_was_added_for_a_host_is_found_for_it_alone)
{
    struct certs *c = make_certs();
    auto_certs_host struct certs_host found = {0};
    auto_certs_host struct certs_host other = {0};
    auto_strv struct strv files = {0};

    put("x", "extra.pem", "E");
    strv_addf(&files, "%s/certs.d/x/extra.pem", test_dir());
    certs_add(c, "h.io:5000", &files, "/c.pem", "/k.pem");
    check_ok(certs_find(c, "h.io:5000", &found, &test_err));
    check_text(str_text(&found.authorities), "E\n");
    check_text(found.client_certificate, "/c.pem");
    check_text(found.client_key, "/k.pem");
    check_ok(certs_find(c, "h.io", &other, &test_err));
    check_int(other.authorities.size, 0);
    certs_free(c);
}

/* --cert-dir */
TEST(certs, one_directory_may_be_for_every_host)
{
    auto_strv struct strv dirs = {0};
    auto_free char *dir = str_format("%s/certs.d/mine", test_dir());
    auto_free char *missing = str_format("%s/certs.d/none", test_dir());
    auto_certs_host struct certs_host found = {0};
    struct certs *c;

    put("mine", "ca.crt", "A");
    put("h.io", "ca.crt", "B");
    strv_addf(&dirs, "%s/certs.d", test_dir());
    c = certs_new(&dirs, dir);
    check_ok(certs_find(c, "h.io", &found, &test_err));
    check_text(str_text(&found.authorities), "A\n");
    certs_free(c);
    c = certs_new(&dirs, missing);
    check_fails(certs_find(c, "h.io", &found, &test_err), ENOENT);
    certs_free(c);
}
