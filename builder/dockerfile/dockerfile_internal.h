/* dockerfile_internal.h - how the text of a Dockerfile becomes instructions.
 *
 * lines (dockerfile_line.c) -> words, flags, heredocs (instruction_words.c, instruction_flags.c,
 * heredoc.c) -> instructions (instruction_parse.c) -> stages (dockerfile.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/dockerfile/dockerfile.h"
#include "builder/dockerfile/instruction.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

/* The physical lines, one after the other. */
struct source {
    const char *text; /* borrowed */
    size_t size;
    size_t offset; /* of the line to read next */
    unsigned line; /* the number of the line read last, from 1; 0 before the first */
};

/* The next line without its newline and carriage returns; `*full_size` counts them too. 0 at the
 * end, 1 for a line; -E2BIG when it is longer than LIMIT_DOCKERFILE_LINE. */
int source_next(struct source *source, const char **bytes, size_t *size, size_t *full_size,
                struct error *err);

/* From `offset` of a joined line on, the bytes come from this place. */
struct line_part {
    size_t offset;
    struct position at;
};

/* A line with its continuations joined, without blanks around. */
struct line {
    struct str text;
    struct line_part *items;
    size_t count;
    size_t capacity;
    unsigned first;
    unsigned last;
    unsigned blank;       /* where an empty continuation line was noticed, or 0 */
    struct strv comments; /* the block directly above */
    bool is_placeless;    /* text that stands in no file: positions are only `first` */
};

/* Reads the next line that holds an instruction; comments are gathered on the way, blank lines
 * drop them. Lines up to `directives_end` are directives, no comments. 0 at the end, 1 for a
 * line. `line` is emptied first and released by line_release. */
int line_next(struct source *source, char escape, unsigned directives_end, struct line *line,
              struct error *err);
struct position line_position(const struct line *line, const char *at);
void line_release(struct line *line);
DEFINE_CLEANUP_VALUE(line_release, struct line)
#define auto_line CLEANUP(line_release)

/* Reads `# escape=`, `# syntax=` and `# check=` at the top; `*end` is the last line that belongs to
 * them, `*fault` the place of an error. */
int dockerfile_directives(struct dockerfile *df, const struct dockerfile_options *options,
                          unsigned *end, struct position *fault, struct error *err);

/* Where the byte `offset` bytes behind `at`, a place of the instruction's joined line, stands; `at` when
 * that cannot be told. Reads the lines of the instruction again. */
struct position dockerfile_place(const struct dockerfile *df, const struct instruction *in,
                                 const struct position *at, size_t offset);
/* The same for the text of a heredoc whose first line is `line_first` of the file. */
struct position dockerfile_content_place(const struct dockerfile *df, unsigned line_first,
                                         const char *content, size_t offset);

/* The work on one instruction. */
struct parsing {
    const struct line *line;
    struct source *source; /* where the heredocs are */
    struct instruction *in;
    char escape;
    const char *text; /* the instruction within line->text */
    const char *args; /* what follows the keyword and the flags; ends with the line */
    bool is_json;     /* args are an array; its strings are in `json` */
    struct strv json;
    struct position fault; /* where the error is */
    struct error *err;
};

/* Record an error at `at` (within line->text, or NULL when there is no telling where). The first is
 * about an instruction and names its line, as BuildKit has it, the second about the text as such. */
int parse_fail(struct parsing *p, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int parse_fail_plainly(struct parsing *p, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Parses the instruction at `text` into `*out`; on an error `*fault` is its place. Heredocs are
 * taken from `source`. */
int instruction_parse(const struct line *line, const char *text, char escape, struct source *source,
                      struct instruction **out, struct position *fault, struct error *err);

const char *line_skip_blanks(const char *text);
const char *line_skip_word(const char *text); /* to the next blank or the end */

/* Takes the flags in front of the arguments, checks them against what `kind` knows, and moves
 * `p->args` behind them. */
int flags_parse(struct parsing *p);
char *word_unquote(const char *text); /* without quotes and backslashes; caller frees */
/* Says that the value of `flag` is to blame for the failure `r`, which it returns. */
int fail_at_value(struct parsing *p, const struct flag *flag, int r);

/* Tries to read p->args as a JSON array of strings; p->is_json tells. -EINVAL when it is an array of
 * something else. */
int json_words_parse(struct parsing *p);
void words_split(struct parsing *p, const char *text, struct words *out); /* at blanks */
void words_from_json(struct parsing *p, struct words *out);
/* NAME=VALUE words of ENV, LABEL and ARG; with quotes and escapes kept. */
int pairs_parse(struct parsing *p, struct pairs *out);
void words_add(struct words *words, char *text, struct position at); /* takes text */

/* HEALTHCHECK and the values of its flags. */
int healthcheck_parse(struct parsing *p);

/* The ports of an EXPOSE specification, e.g. 8000-8010/udp, added to `out`. -EINVAL with the reason. */
int expose_ports(const char *spec, struct strv *out, struct error *err);
/* Whether a signal has that name (with or without SIG, any case) or number. */
bool stop_signal_is_valid(const char *text);

/* One word as a heredoc, e.g. 3<<-"EOF"; false when it is none. */
bool heredoc_parse_word(const char *word, struct heredoc *out);
/* Finds the heredocs of the line and reads their text from p->source. */
int heredocs_read(struct parsing *p);

void words_release(struct words *words);
void words_copy(struct words *to, const struct words *from);
