/* certs.h - which certificate authorities and client certificates go with which host.
 *
 * Authorities are the system's (SSL_CERT_FILE and SSL_CERT_DIR replace them), plus those in the
 * directory certs.d/<host:port> where docker and containers look (containers-certs.d(5)): every
 * *.crt is an authority, X.cert with X.key a client certificate. Reads files only when asked.
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct certs;

/* `dirs`: certs.d directories, the first that has <host:port> wins; NULL: ~/.config/containers,
 * /etc/containers and /etc/docker. `only_dir`: holds such files itself, for every host, and nothing
 * else is looked at; or NULL. Does no I/O. */
struct certs *certs_new(const struct strv *dirs, const char *only_dir);
void certs_free(struct certs *c);

/* For this host also trust the authorities in these files, and show this certificate (or NULL) with
 * its key. Copied; files are read when the host is asked for. */
void certs_add(struct certs *c, const char *host_port, const struct strv *authorities,
               const char *certificate, const char *key);

struct certs_host {
    char *file;               /* bundle, or NULL */
    char *dir;                /* directory of hashed names, or NULL */
    struct str authorities;   /* PEM text to be trusted as well; may be empty */
    char *client_certificate; /* path, or NULL */
    char *client_key;         /* path, or NULL */
};
/* -ENOENT: there is no `only_dir`. `host_port` has a port unless it is 443 ("h.io", "h.io:5000"). -EINVAL a client certificate
 * without key or the reverse; -EACCES and others from reading. Thread-safe. */
int certs_find(struct certs *c, const char *host_port, struct certs_host *out, struct error *err);
void certs_host_release(struct certs_host *h);
DEFINE_CLEANUP_VALUE(certs_host_release, struct certs_host)
#define auto_certs_host CLEANUP(certs_host_release)
