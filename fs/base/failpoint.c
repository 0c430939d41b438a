/* failpoint.c - looks a place up in the armed specification. Empty unless built with tests. */
#include "fs/base/failpoint.h"

#ifdef IMG_FAILPOINTS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/cleanup.h"

#include "fs/base/banned.h"

struct failpoint {
    const char *name; /* within the copied specification, not NUL-terminated */
    size_t name_size;
    const char *action;
    size_t action_size;
    atomic_ulong hits_left; /* acts when it falls to 0 */
};

#define FAILPOINTS_MAX 8

static struct failpoint failpoints[FAILPOINTS_MAX];
static atomic_size_t failpoint_count;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;
static atomic_bool is_set; /* by a test in this process: the environment does not count */
static char *spec_copy;

static void arm_one(const char *text, size_t size)
{
    size_t count = atomic_load(&failpoint_count);
    const char *equals = memchr(text, '=', size);
    struct failpoint *point = &failpoints[count];
    const char *at;

    if (!equals || count == FAILPOINTS_MAX)
        abort(); /* a test that arms nothing must not pass */
    at = memchr(text, '@', (size_t)(equals - text));
    point->name = text;
    point->name_size = (size_t)((at ? at : equals) - text);
    point->action = equals + 1;
    point->action_size = size - (size_t)(point->action - text);
    atomic_store(&point->hits_left, at ? strtoul(at + 1, NULL, 10) : 1);
    atomic_store(&failpoint_count, count + 1);
}

static void arm(const char *spec)
{
    char *copy = spec ? mem_strdup(spec) : NULL;

    atomic_store(&failpoint_count, 0);
    free(spec_copy);
    spec_copy = copy;
    for (const char *item = copy; item && *item;) {
        size_t size = strcspn(item, ",");

        arm_one(item, size);
        item += size + (item[size] == ',');
    }
}

static void read_environment(void)
{
    if (!atomic_load(&is_set))
        arm(getenv("IMG_FAILPOINT"));
}

void failpoint_set(const char *spec)
{
    atomic_store(&is_set, true);
    arm(spec);
}

static bool text_is(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static int act(const struct failpoint *point)
{
    if (text_is(point->action, point->action_size, "kill")) {
        (void)raise(SIGKILL);
    } else if (text_is(point->action, point->action_size, "stop")) {
        (void)raise(SIGSTOP);
        return 0;
    }
    for (int code = 1; code < 4096; code++) {
        const char *name = strerrorname_np(code);

        if (name && text_is(point->action, point->action_size, name)) {
            errno = code;
            return -1;
        }
    }
    abort();
}

int failpoint_hit(const char *name)
{
    size_t count;

    (void)pthread_once(&environment_once, read_environment);
    count = atomic_load(&failpoint_count);
    for (size_t i = 0; i < count; i++) {
        struct failpoint *point = &failpoints[i];

        if (text_is(point->name, point->name_size, name) &&
            atomic_fetch_sub(&point->hits_left, 1) == 1)
            return act(point);
    }
    return 0;
}
#else
typedef int failpoint_is_empty; /* ISO C wants a declaration in every file */
#endif
