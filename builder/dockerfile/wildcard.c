/* wildcard.c - a pattern as a list of operations, matched by following all its states at once.
 *
 * State i means that operation i comes next, the state behind the last one that the pattern is
 * satisfied. A path is read once, whatever the pattern, so a hostile one costs no more than its length
 * times the path's.
 */
#include <errno.h>
#include <stdint.h>

#include "builder/dockerfile/wildcard.h"
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
    char *needle; /* the longest plain piece: what matches holds it */
    struct op *items;
    size_t count;
    size_t capacity;
    struct {
        struct range *items;
        size_t count;
        size_t capacity;
    } ranges;
};

/* Sets of states; nearly every pattern has less than 64 of them, which is one word. */
struct states {
    uint64_t *now;
    uint64_t *next;
    size_t count; /* words of each */
};

void wildcard_free(struct wildcard *w)
{
    if (!w)
        return;
    free(w->plain);
    free(w->needle);
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

/* Appends the bytes of a code point, or the byte that was none. */
static void add_utf8(struct str *out, uint32_t c)
{
    if (c > 0x10FFFF)
        str_add_char(out, (char)(c - 0x110000));
    else if (c < 0x80)
        str_add_char(out, (char)c);
    else if (c < 0x800)
        str_addf(out, "%c%c", (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)));
    else if (c < 0x10000)
        str_addf(out, "%c%c%c", (char)(0xE0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3F)),
                 (char)(0x80 | (c & 0x3F)));
    else
        str_addf(out, "%c%c%c%c", (char)(0xF0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3F)),
                 (char)(0x80 | (c >> 6 & 0x3F)), (char)(0x80 | (c & 0x3F)));
}

/* Keeps the longest run of characters that stand for themselves. */
static char *find_needle(const struct wildcard *w)
{
    struct str longest = {0};
    struct str run = {0};

    for (size_t i = 0; i <= w->count; i++) {
        if (i < w->count && w->items[i].kind == OP_CHARACTER) {
            add_utf8(&run, w->items[i].character);
            continue;
        }
        if (run.size > longest.size) {
            str_truncate(&longest, 0);
            str_add_bytes(&longest, run.data, run.size);
        }
        str_truncate(&run, 0);
    }
    str_release(&run);
    return str_take(&longest);
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
    w->needle = find_needle(w);
    *out = STEAL(&w);
    return 0;
}

static void set(uint64_t *states, size_t state)
{
    states[state / WORD_BITS] |= UINT64_C(1) << (state % WORD_BITS);
}

static bool is_satisfied(const struct wildcard *w, const struct states *s)
{
    return s->now[w->count / WORD_BITS] >> (w->count % WORD_BITS) & 1;
}

/* Enters a state, and the ones behind operations that may match nothing. */
static void enter(const struct wildcard *w, uint64_t *states, size_t state)
{
    for (;; state++) {
        set(states, state);
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

static void advance(const struct wildcard *w, size_t state, uint32_t c, uint64_t *next)
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
    uint64_t *read = s->now;
    uint64_t any = 0;

    for (size_t i = 0; i < s->count; i++)
        s->next[i] = 0;
    for (size_t i = 0; i < s->count; i++) {
        for (uint64_t left = read[i]; left; left &= left - 1) {
            size_t state = i * WORD_BITS + (size_t)__builtin_ctzll(left);

            if (state < w->count)
                advance(w, state, c, s->next);
        }
    }
    for (size_t i = 0; i < s->count; i++)
        any |= s->next[i];
    s->now = s->next;
    s->next = read;
    return any != 0;
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

static enum wildcard_result follow(const struct wildcard *w, const char *path, struct states *s)
{
    bool has_parent = false;
    bool any = true;

    enter(w, s->now, 0);
    while (any && *path) {
        has_parent = has_parent || (*path == '/' && is_satisfied(w, s));
        any = step(w, s, take(&path));
    }
    if (any && is_satisfied(w, s))
        return WILDCARD_YES;
    if (has_parent)
        return WILDCARD_PARENT;
    return any && step(w, s, '/') ? WILDCARD_BELOW : WILDCARD_NO;
}

/* Apart from the ordinary case, which is spared the large arrays. */
static __attribute__((noinline)) enum wildcard_result follow_many(const struct wildcard *w,
                                                                  const char *path)
{
    uint64_t now[STATES_MAX / WORD_BITS + 1] = {0};
    uint64_t next[STATES_MAX / WORD_BITS + 1] = {0};
    struct states s = {now, next, w->count / WORD_BITS + 1};

    return follow(w, path, &s);
}

enum wildcard_result wildcard_match(const struct wildcard *w, const char *path)
{
    uint64_t now = 0;
    uint64_t next = 0;
    struct states s = {&now, &next, 1};

    if (*path == '\0')
        return WILDCARD_BELOW;
    if (w->plain)
        return match_plain(w, path);
    return w->count < WORD_BITS ? follow(w, path, &s) : follow_many(w, path);
}

bool wildcard_covers(const struct wildcard *w, const char *path)
{
    if (!w->plain && !strstr(path, w->needle))
        return false;
    return wildcard_match(w, path) >= WILDCARD_PARENT;
}
