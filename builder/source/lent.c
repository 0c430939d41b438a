/* lent.c - finding what was lent. */
#include <string.h>

#include "builder/source/lent.h"

#include "fs/base/banned.h"

const struct build_secret *build_secret_find(const struct build_secret *secrets, size_t count,
                                             const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(secrets[i].id, id) == 0)
            return &secrets[i];
    return NULL;
}
