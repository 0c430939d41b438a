/* chmod.h - the value of --chmod: octal, or symbolic as in chmod(1).
 *
 * POSIX chmod, "EXTENDED DESCRIPTION", without the umask: u=rwX,go=rX  +x  g=u  a-s,+t
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/base/error.h"

#define CHMOD_CLAUSES_MAX 32

struct chmod {
    bool is_octal;
    mode_t octal;
    struct {
        mode_t who;     /* S_IRWXU | S_ISUID and so on */
        char op;        /* + - = */
        mode_t bits;    /* of 0777 pattern and 07000, before `who` is applied */
        bool x_if_any;  /* X */
        char copy_from; /* u g o, or 0 */
    } clauses[CHMOD_CLAUSES_MAX];
    size_t count;
};

/* -EINVAL: neither an octal number up to 07777 nor a symbolic mode; the sentence names it. */
int chmod_parse(const char *text, struct chmod *out, struct error *err);
mode_t chmod_apply(const struct chmod *c, mode_t mode, bool is_dir); /* 07777 bits in and out */
