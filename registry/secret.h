/* secret.h - releases text after wiping it: passwords and tokens do not stay in freed memory. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

static inline void secret_free(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}
DEFINE_CLEANUP(secret_free, char *)
#define auto_secret CLEANUP(secret_free)

static inline void secret_release(struct str *text)
{
    if (text->data)
        explicit_bzero(text->data, text->capacity);
    str_release(text);
}
DEFINE_CLEANUP_VALUE(secret_release, struct str)
#define auto_secret_str CLEANUP(secret_release)
