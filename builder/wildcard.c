/* wildcard.c - a pattern as a list of operations, matched by following all its states at once.
 *
 * State i means that operation i comes next, the state behind the last one that the pattern is
 * satisfied. A path is read once, whatever the pattern, so a hostile one costs no more than its length
 * times the path's.
 */
#include <errno.h>
#include <stdint.h>

#include "builder/wildcard.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define STATES_MAX (LIMIT_PATH_SIZE + 1)
#define WORD_BITS 64u

enum op_kind {
    OP_CHARACTER,
    OP_ANY,   /* ? */
    OP_CLASS, /* [a-z] */
    OP_STAR,  /* * */
    OP_DEEP,  /* ** with something behind: nothing, or anything that ends with a slash */
    OP_REST,  /* ** at the end: anything */
};

struct range {
    uint32_t first;
    uint32_t last;
};

struct op {
    enum op_kind kind;
    uint32_t character;
    bool is_negated;
    size_t range_first; /* of a class, in wildcard.ranges */
    size_t range_count;
};

struct wildcard {
    char *plain; /* the path meant by a pattern without wildcards, else NULL */
    size_t plain_size;
    struct op *items;
    size_t count;
    size_t capacity;
    struct {
        struct range *items;
        size_t count;
        size_t capacity;
    } ranges;
};

struct states {
    uint64_t words[STATES_MAX / WORD_BITS + 1];
    size_t used; /* words in use */
};

void wildcard_free(struct wildcard *w)
{
    if (!w)
        return;
    free(w->plain);
    free(w->items);
    free(w->ranges.items);
    free(w);
}

bool wildcard_is_plain(const char *pattern)
{
    return strpbrk(pattern, "*?[\\") == NULL;
}

/* The next character; bytes that are not UTF-8 count one each, above all code points. */
static uint32_t take(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    size_t length = p[0] < 0xC2 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 1;
    uint32_t value = p[0];

    if (p[0] < 0x80) {
        *at += 1;
        return value;
    }
    if (length > 1)
        value &= 0xFFu >> (length + 1);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            length = 1;
            break;
        }
        value = value << 6 | (p[i] & 0x3F);
    }
    *at += length;
    return length > 1 ? value : 0x110000u + p[0];
}

/* One end of a range; false when there is none. */
static bool take_end(const char **at, uint32_t *out)
{
    if (**at == '\0' || **at == '-' || **at == ']')
        return false;
    if (**at == '\\' && *++*at == '\0')
        return false;
    *out = take(at);
    return true;
}

/* `*at` stands behind the bracket. */
static bool add_class(struct wildcard *w, const char **at)
{
    struct op *op = array_add(w);

    op->kind = OP_CLASS;
    op->is_negated = **at == '^';
    *at += op->is_negated;
    op->range_first = w->ranges.count;
    do {
        struct range *range = array_add(&w->ranges);

        if (!take_end(at, &range->first))
            return false;
        range->last = range->first;
        if (**at == '-') {
            ++*at;
            if (!take_end(at, &range->last))
                return false;
        }
        op->range_count++;
    } while (**at != ']');
    ++*at;
    return true;
}

/* `*at` stands behind the first star. Repeating a star adds nothing. */
static void add_star(struct wildcard *w, bool deep, const char **at)
{
    enum op_kind last = w->count > 0 ? w->items[w->count - 1].kind : OP_CHARACTER;
    enum op_kind kind = OP_STAR;

    if (deep && **at == '*') {
        ++*at;
        *at += **at == '/';
        kind = **at == '\0' ? OP_REST : OP_DEEP;
    }
    if (last != kind)
        ((struct op *)array_add(w))->kind = kind;
}

static bool add_character(struct wildcard *w, const char **at)
{
    struct op *op;

    *at += **at == '\\';
    if (**at == '\0')
        return false;
    op = array_add(w);
    op->kind = OP_CHARACTER;
    op->character = take(at);
    return true;
}

static bool compile(struct wildcard *w, const char *pattern, bool deep)
{
    bool ok = true;

    for (const char *at = pattern; ok && *at;) {
        if (*at == '*') {
            at++;
            add_star(w, deep, &at);
        } else if (*at == '?') {
            at++;
            ((struct op *)array_add(w))->kind = OP_ANY;
        } else if (*at == '[') {
            at++;
            ok = add_class(w, &at);
        } else {
            ok = add_character(w, &at);
        }
    }
    return ok;
}

int wildcard_new(const char *pattern, bool deep, struct wildcard **out, struct error *err)
{
    auto_wildcard struct wildcard *w = mem_new(struct wildcard);

    if (strnlen(pattern, LIMIT_PATH_SIZE) >= LIMIT_PATH_SIZE)
        return error_set(err, E2BIG, "pattern is longer than %u bytes", LIMIT_PATH_SIZE - 1);
    if (wildcard_is_plain(pattern)) {
        w->plain = mem_strdup(pattern);
        w->plain_size = strlen(pattern);
    } else if (!compile(w, pattern, deep)) {
        return error_set(err, EINVAL, "syntax error in pattern");
    }
    *out = STEAL(&w);
    return 0;
}

static void set(struct states *s, size_t state)
{
    s->words[state / WORD_BITS] |= UINT64_C(1) << (state % WORD_BITS);
}

static bool has(const struct states *s, size_t state)
{
    return s->words[state / WORD_BITS] >> (state % WORD_BITS) & 1;
}

/* Enters a state, and the ones behind operations that may match nothing. */
static void enter(const struct wildcard *w, struct states *s, size_t state)
{
    for (;; state++) {
        set(s, state);
        if (state == w->count || w->items[state].kind < OP_STAR)
            return;
    }
}

static bool is_in_class(const struct wildcard *w, const struct op *op, uint32_t c)
{
    for (size_t i = 0; i < op->range_count; i++) {
        const struct range *range = &w->ranges.items[op->range_first + i];

        if (c >= range->first && c <= range->last)
            return !op->is_negated;
    }
    return op->is_negated;
}

static void advance(const struct wildcard *w, size_t state, uint32_t c, struct states *next)
{
    const struct op *op = &w->items[state];

    switch (op->kind) {
    case OP_CHARACTER:
        if (c == op->character)
            enter(w, next, state + 1);
        break;
    case OP_ANY:
        if (c != '/')
            enter(w, next, state + 1);
        break;
    case OP_CLASS:
        if (c != '/' && is_in_class(w, op, c))
            enter(w, next, state + 1);
        break;
    case OP_STAR:
        if (c != '/')
            enter(w, next, state);
        break;
    case OP_DEEP:
        set(next, state);
        if (c == '/')
            enter(w, next, state + 1);
        break;
    case OP_REST:
        enter(w, next, state);
        break;
    }
}

/* Reads `c` in all states; false when none is left. */
static bool step(const struct wildcard *w, struct states *s, uint32_t c)
{
    struct states next = {.used = s->used};
    bool any = false;

    for (size_t i = 0; i < s->used; i++) {
        for (uint64_t left = s->words[i]; left; left &= left - 1) {
            size_t state = i * WORD_BITS + (size_t)__builtin_ctzll(left);

            if (state < w->count)
                advance(w, state, c, &next);
        }
    }
    for (size_t i = 0; i < s->used; i++) {
        s->words[i] = next.words[i];
        any = any || next.words[i] != 0;
    }
    return any;
}

static enum wildcard_result match_plain(const struct wildcard *w, const char *path)
{
    size_t size = strlen(path);

    if (size >= w->plain_size) {
        if (memcmp(path, w->plain, w->plain_size) != 0)
            return WILDCARD_NO;
        if (size == w->plain_size)
            return WILDCARD_YES;
        return path[w->plain_size] == '/' ? WILDCARD_PARENT : WILDCARD_NO;
    }
    if (w->plain[size] == '/' && memcmp(path, w->plain, size) == 0)
        return WILDCARD_BELOW;
    return WILDCARD_NO;
}

enum wildcard_result wildcard_match(const struct wildcard *w, const char *path)
{
    struct states s;
    bool has_parent = false;
    bool any = true;

    if (*path == '\0')
        return WILDCARD_BELOW;
    if (w->plain)
        return match_plain(w, path);
    s.used = w->count / WORD_BITS + 1;
    memset(s.words, 0, s.used * sizeof(s.words[0]));
    enter(w, &s, 0);
    while (any && *path) {
        has_parent = has_parent || (*path == '/' && has(&s, w->count));
        any = step(w, &s, take(&path));
    }
    if (any && has(&s, w->count))
        return WILDCARD_YES;
    if (has_parent)
        return WILDCARD_PARENT;
    return any && step(w, &s, '/') ? WILDCARD_BELOW : WILDCARD_NO;
}
