/* fuzz_ignore.c - the first line is a path, the rest an ignore file.
 *
 * Promises: a path that is wanted has no parent that a walk would skip; what a directory rule leaves
 * out stays out below it.
 */
#include <assert.h>

#include "builder/dockerfile/ignore.h"
#include "builder/dockerfile/wildcard.h"
#include "tests/fuzz/fuzz.h"

static void check_parents(const struct ignore *ignore, char *path)
{
    bool is_wanted = !ignore_match(ignore, path);

    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = '\0';
        assert(!is_wanted || ignore_may_descend(ignore, path));
    }
}

static void check_pattern(const char *pattern, const char *path)
{
    auto_wildcard struct wildcard *deep = NULL;
    auto_wildcard struct wildcard *flat = NULL;
    struct error err = {0};

    if (wildcard_new(pattern, true, &deep, &err) < 0)
        assert(err.text[0] != '\0');
    else
        (void)wildcard_match(deep, path); /* to have run it */
    if (wildcard_new(pattern, false, &flat, &err) == 0 && wildcard_is_plain(pattern))
        assert((wildcard_match(flat, path) == WILDCARD_YES) ==
               (text_equal(pattern, path) && *path != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t head = newline ? (size_t)(newline - text) : size;
    auto_free char *raw = size > 0 ? mem_strndup(text, head) : mem_strdup("");
    auto_free char *clean = path_clean(raw);
    char *path = clean + strspn(clean, "/");
    auto_ignore struct ignore *ignore = NULL;
    struct error err = {0};

    check_pattern(raw, path);
    if (!newline || strlen(path) > 4000)
        return 0;
    if (ignore_parse(newline + 1, size - head - 1, "rules", &ignore, &err) < 0)
        assert(text_starts(err.text, "rules"));
    else if (*path)
        check_parents(ignore, path);
    return 0;
}
