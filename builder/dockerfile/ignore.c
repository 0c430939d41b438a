/* ignore.c - an ordered list of patterns. The patterns themselves: see wildcard.c. */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/ignore.h"
#include "builder/dockerfile/quote.h"
#include "builder/dockerfile/wildcard.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

struct rule {
    struct wildcard *pattern;
    bool is_negated;
};

struct ignore {
    struct rule *items;
    size_t count;
    size_t capacity;
    bool has_negation;
    bool has_everything; /* a rule leaves out all of the root */
};

void ignore_free(struct ignore *ignore)
{
    if (!ignore)
        return;
    for (size_t i = 0; i < ignore->count; i++)
        wildcard_free(ignore->items[i].pattern);
    free(ignore->items);
    free(ignore);
}

static bool is_everything(const char *pattern)
{
    return text_equal(pattern, "*") || text_equal(pattern, "**") || text_equal(pattern, "**/*");
}

static const char *skip_blanks(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* Adds one line, which may be blank. */
static int add_rule(struct ignore *ignore, const char *line, size_t size, struct error *err)
{
    auto_free char *text = text_trim(line, size);
    bool is_negated = *text == '!';
    auto_free char *clean = NULL;
    auto_wildcard struct wildcard *pattern = NULL;
    struct rule *rule;
    const char *relative;
    int r;

    if (*text == '\0')
        return 0;
    relative = skip_blanks(text + is_negated);
    if (*relative == '\0')
        return error_set(err, EINVAL, "illegal exclusion pattern: \"!\"");
    clean = path_clean(relative);
    relative = clean[0] == '/' && clean[1] ? clean + 1 : clean;
    r = wildcard_new(relative, true, &pattern, err);
    if (r < 0) {
        auto_free char *shown = quote_word(relative);

        return error_wrap(err, "%s", shown);
    }
    rule = array_add(ignore);
    rule->is_negated = is_negated;
    rule->pattern = STEAL(&pattern);
    ignore->has_negation = ignore->has_negation || is_negated;
    ignore->has_everything = ignore->has_everything || (!is_negated && is_everything(relative));
    return 0;
}

int ignore_parse(const char *text, size_t size, const char *what, struct ignore **out,
                 struct error *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    auto_ignore struct ignore *ignore = mem_new(struct ignore);
    unsigned line = 1;

    if (size > LIMIT_IGNORE_SIZE)
        return error_set(err, E2BIG, "'%s' is larger than %u bytes", what, LIMIT_IGNORE_SIZE);
    if (size >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    for (; size > 0; line++) {
        const char *newline = memchr(text, '\n', size);
        size_t length = newline ? (size_t)(newline - text) : size;
        int r = *text == '#' ? 0 : add_rule(ignore, text, length, err);

        if (r < 0)
            return error_wrap(err, "%s:%u", what, line);
        length += newline != NULL;
        text += length;
        size -= length;
    }
    *out = STEAL(&ignore);
    return 0;
}

int ignore_new(const struct strv *patterns, struct ignore **out, struct error *err)
{
    auto_ignore struct ignore *ignore = mem_new(struct ignore);

    for (size_t i = 0; i < patterns->count; i++) {
        int r = add_rule(ignore, patterns->items[i], strlen(patterns->items[i]), err);

        if (r < 0)
            return r;
    }
    *out = STEAL(&ignore);
    return 0;
}

/* The place + 1 of the rule which decides about `path`, 0 when it is not left out. */
static size_t deciding_rule(const struct ignore *ignore, const char *path)
{
    size_t decided = 0;

    for (size_t i = 0; ignore && i < ignore->count; i++) {
        const struct rule *rule = &ignore->items[i];

        if (rule->is_negated == (decided == 0)) /* it could not change anything */
            continue;
        if (wildcard_covers(rule->pattern, path))
            decided = rule->is_negated ? 0 : i + 1;
    }
    return decided;
}

bool ignore_match(const struct ignore *ignore, const char *path)
{
    return deciding_rule(ignore, path) > 0;
}

bool ignore_may_descend(const struct ignore *ignore, const char *dir)
{
    size_t decided = deciding_rule(ignore, dir);

    if (decided == 0)
        return true;
    for (size_t i = decided; i < ignore->count; i++)
        if (ignore->items[i].is_negated &&
            wildcard_match(ignore->items[i].pattern, dir) != WILDCARD_NO)
            return true;
    return false;
}

bool ignore_has_negation(const struct ignore *ignore)
{
    return ignore && ignore->has_negation;
}

bool ignore_has_everything(const struct ignore *ignore)
{
    return ignore && ignore->has_everything;
}
