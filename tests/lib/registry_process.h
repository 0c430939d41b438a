/* registry_process.h - a real docker-registry for the length of a test, on a free loopback port.
 *
 * Its storage, configuration and keys live in the test's scratch directory; it is killed with the
 * test. Whoever starts one asks registry_process_available() first (test_need).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

struct registry_process;

struct registry_process_options {
    const char *user; /* with password: htpasswd authentication (bcrypt) */
    const char *password;
    const char *token_realm; /* token authentication by this service, which signs with token.key */
    bool has_tls;            /* a server certificate from the test's own authority, ca.crt */
    const char *certificate; /* or with this one and its key */
    const char *key;
    bool allows_delete;
    const char *name; /* of its files in the scratch directory; NULL: "registry" */
};

bool registry_process_available(void);
/* Waits until it listens. NULL options: none. */
struct registry_process *registry_process_start(const struct registry_process_options *options);
void registry_process_stop(struct registry_process *p);
DEFINE_CLEANUP(registry_process_stop, struct registry_process *)
#define auto_registry_process CLEANUP(registry_process_stop)

const char *registry_process_host(const struct registry_process *p); /* "127.0.0.1:PORT" */
uint16_t registry_process_port(const struct registry_process *p);
const char *registry_process_storage(const struct registry_process *p); /* directory */

/* Makes <dir>/ca.crt, and NAME.crt with NAME.key signed by it for `subject_alternatives`
 * ("IP:127.0.0.1,DNS:localhost"); `days` may be 0 for a certificate that has expired. */
void make_certificate(const char *name, const char *subject_alternatives, int days);
/* Runs a program found on PATH to its end and takes its standard output; fails the test unless it
 * succeeds. */
void run_program(const char *const argv[], struct str *output);
