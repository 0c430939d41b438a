/* chmod.c - symbolic and octal file modes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/tree/chmod.h"

#include "fs/base/banned.h"

#define WHO_USER (S_IRWXU | S_ISUID)
#define WHO_GROUP (S_IRWXG | S_ISGID)
#define WHO_OTHER (S_IRWXO | S_ISVTX) /* as chmod(1) of GNU has it: "o+t" is "+t" */
#define WHO_ALL (WHO_USER | WHO_GROUP | WHO_OTHER)

static int refuse(const char *text, struct error *err)
{
    return error_set(err, EINVAL,
                     "invalid chmod parameter: '%s'. it should be octal string and between 0 and "
                     "07777, or a symbolic mode such as u=rwX,go=rX",
                     text);
}

static bool parse_octal(const char *text, mode_t *out)
{
    mode_t mode = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '7')
            return false;
        mode = mode * 8 + (mode_t)(*text - '0');
        if (mode > 07777)
            return false;
    }
    *out = mode;
    return true;
}

static mode_t parse_who(const char **text)
{
    mode_t who = 0;

    for (;; (*text)++) {
        if (**text == 'u')
            who |= WHO_USER;
        else if (**text == 'g')
            who |= WHO_GROUP;
        else if (**text == 'o')
            who |= WHO_OTHER;
        else if (**text == 'a')
            who |= WHO_ALL;
        else
            return who == 0 ? WHO_ALL : who;
    }
}

/* One "+rwX" behind the who; false when it is malformed or there are too many. */
static bool parse_action(const char **text, mode_t who, struct chmod *out)
{
    size_t n = out->count;

    if (n == CHMOD_CLAUSES_MAX || **text == '\0' || strchr("+-=", **text) == NULL)
        return false;
    out->clauses[n].who = who;
    out->clauses[n].op = *(*text)++;
    if (**text != '\0' && strchr("ugo", **text) != NULL)
        out->clauses[n].copy_from = *(*text)++;
    for (; **text != '\0' && strchr("rwxXst", **text) != NULL; (*text)++) {
        static const struct {
            char letter;
            mode_t bits;
        } letters[] = {{'r', 0444}, {'w', 0222}, {'x', 0111}, {'s', 06000}, {'t', 01000}};

        if (out->clauses[n].copy_from != 0)
            return false;
        if (**text == 'X')
            out->clauses[n].x_if_any = true;
        for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
            if (letters[i].letter == **text)
                out->clauses[n].bits |= letters[i].bits;
    }
    out->count++;
    return true;
}

int chmod_parse(const char *text, struct chmod *out, struct error *err)
{
    const char *rest = text;

    *out = (struct chmod){0};
    if (parse_octal(text, &out->octal)) {
        out->is_octal = true;
        return 0;
    }
    for (;;) {
        mode_t who = parse_who(&rest);

        do {
            if (!parse_action(&rest, who, out))
                return refuse(text, err);
        } while (*rest != '\0' && *rest != ',');
        if (*rest == '\0')
            return 0;
        rest++;
    }
}

/* The permission bits of u, g or o, spread over all three. */
static mode_t spread(mode_t mode, char from)
{
    mode_t three = from == 'u' ? mode >> 6 : from == 'g' ? mode >> 3 : mode;

    three &= 07;
    return three << 6 | three << 3 | three;
}

mode_t chmod_apply(const struct chmod *c, mode_t mode, bool is_dir)
{
    if (c->is_octal)
        return c->octal;
    for (size_t i = 0; i < c->count; i++) {
        mode_t who = c->clauses[i].who;
        mode_t bits = c->clauses[i].bits;

        if (c->clauses[i].copy_from != 0)
            bits |= spread(mode, c->clauses[i].copy_from);
        if (c->clauses[i].x_if_any && (is_dir || (mode & 0111) != 0))
            bits |= 0111;
        bits &= who;
        if (c->clauses[i].op == '+')
            mode |= bits;
        else if (c->clauses[i].op == '-')
            mode &= ~bits;
        else
            mode = (mode & ~(who & ~(mode_t)(is_dir ? 06000 : 0))) | bits;
    }
    return mode & 07777;
}
