/* fuzz_users.c - a specification, passwd and group, separated by NUL bytes.
 *
 * Promises: a refusal has a sentence; ids are below the reserved one; groups are sorted and distinct.
 */
#include <assert.h>

#include "builder/users.h"
#include "fs/base/str.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *first = size > 0 ? memchr(text, '\0', size) : NULL;
    const char *end = text + size;
    const char *second = first ? memchr(first + 1, '\0', (size_t)(end - first) - 1) : NULL;
    struct users_files files = {0};
    struct user user = {0};
    struct error err = {0};
    uint32_t uid;
    uint32_t gid;

    if (!second)
        return 0;
    files.passwd = first + 1;
    files.passwd_size = (size_t)(second - first) - 1;
    files.group = second + 1;
    files.group_size = (size_t)(end - second) - 1;
    if (user_resolve(&files, text, &user, &err) < 0) {
        assert(err.text[0] != '\0' && !user.home);
    } else {
        assert(user.uid < UINT32_MAX && user.gid < UINT32_MAX && user.home[0] != '\0');
        for (size_t i = 0; i < user.group_count; i++)
            assert(user.groups[i] != user.gid && (i == 0 || user.groups[i - 1] < user.groups[i]));
    }
    user_release(&user);
    if (owner_resolve(&files, text, &uid, &gid, &err) == 0)
        assert(uid < UINT32_MAX && gid < UINT32_MAX);
    (void)owner_is_numeric(text);
    return 0;
}
