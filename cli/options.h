/* options.h - one table per command drives parsing, --help, completions and the checks of the manual.
 *
 * Options may stand before and after operands; "--" ends them. `--name=value` and `--name value` are
 * the same, short letters may be joined (-qt NAME). A single dash in front of a known long name is
 * accepted as early versions had it. An option that nobody knows is an error with a suggestion; none
 * is ever parsed and ignored: those of other builders that mean nothing here carry `ignored`, which
 * is printed as a warning, or `refused`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/error.h"
#include "fs/base/str.h"

enum option_kind {
    OPTION_FLAG, /* bool; --name=false switches it off */
    OPTION_TEXT, /* const char *, the last one wins */
    OPTION_LIST, /* struct strv */
};

struct option {
    const char *name; /* long, without dashes */
    char letter;      /* or 0 */
    enum option_kind kind;
    const char *argument; /* what --help calls the value; NULL for flags */
    const char
        *fallback;    /* value of a TEXT option given without `=value`; NULL: a value is needed */
    size_t offset;    /* of the field in the command's options */
    const char *help; /* one line; NULL hides it (an alias) */
    const char *ignored; /* accepted without effect: why, as a warning */
    const char *refused; /* not possible here: why, as an error */
};

struct program; /* main.h */

/* A command of the user's among the operands, whose options are not ours. */
enum command_words {
    COMMAND_NONE,
    COMMAND_AFTER_FIRST,  /* img shell IMAGE ls -l */
    COMMAND_AFTER_DASHES, /* img mount IMAGE --rw -- ls -l */
};

struct subcommand {
    const char *name;
    const char *aliases;  /* blank separated, or NULL */
    const char *operands; /* "IMAGE [DIR]", "" */
    size_t operands_min;
    size_t operands_max; /* SIZE_MAX: any number; words of a command do not count */
    enum command_words command;
    const char *summary;
    const char *details; /* paragraph under --help, or NULL */
    const struct option *options;
    size_t option_count;
    /* Options of other programs, all of them ignored or refused, never shown; NULL: none. */
    const struct option *(*foreign)(size_t *count);
    size_t options_size; /* of the struct the offsets point into */
    /* Fails with an empty error text when standard output has told why already. */
    int (*run)(struct program *p, const void *options, const struct strv *operands,
               struct error *err);
};

/* A table and the struct that its offsets point into. */
struct option_set {
    const struct option *options;
    size_t count;
    void *values; /* zeroed before the parse; its lists are released by options_release */
    const struct option *(*foreign)(size_t *count); /* or NULL */
};

/* What is to be read, and what was. */
struct command_line {
    const char *command;           /* named in refusals; "" for what stands before a command */
    const struct option_set *sets; /* borrowed; of two that know a name the first takes it */
    size_t set_count;
    int argc;
    char **argv; /* without the program's name; borrowed, and so are the values of options */
    struct strv *operands; /* appended to; NULL: the first operand ends the parse */
    int position;          /* out: words read */
    bool help;             /* out: --help was among them */
};
/* -EINVAL: a usage error, with a suggestion where one is near. */
int options_parse(struct command_line *line, struct error *err);
void options_release(const struct option_set *set); /* frees the lists */
/* Filled to the width of the terminal that standard output is, else to 80 columns. */
void options_help(const struct subcommand *c, struct str *out);
void options_help_line(const struct option *o, struct str *out);
size_t options_help_columns(void);
