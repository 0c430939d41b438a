/* instruction.h - one Dockerfile instruction: its words, flags, heredocs and where they stand.
 *
 * Made by dockerfile_parse (or dockerfile_parse_trigger) and immutable afterwards. Everything is
 * parsed in full depth, but nothing is expanded: words which may hold variables keep their quotes
 * and escapes until instruction_expand gives a copy with an environment applied. What runs and what
 * is only recorded is the planner's business. The grammar is that of the Dockerfile reference, the
 * semantics are BuildKit's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder/dockerfile/run_mount.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct dockerfile;
struct expand_env;
struct expand_use;

enum instruction_kind {
    INSTRUCTION_ADD,
    INSTRUCTION_ARG,
    INSTRUCTION_CMD,
    INSTRUCTION_COPY,
    INSTRUCTION_ENTRYPOINT,
    INSTRUCTION_ENV,
    INSTRUCTION_EXPOSE,
    INSTRUCTION_FROM,
    INSTRUCTION_HEALTHCHECK,
    INSTRUCTION_LABEL,
    INSTRUCTION_MAINTAINER,
    INSTRUCTION_ONBUILD,
    INSTRUCTION_RUN,
    INSTRUCTION_SHELL,
    INSTRUCTION_STOPSIGNAL,
    INSTRUCTION_USER,
    INSTRUCTION_VOLUME,
    INSTRUCTION_WORKDIR,
    INSTRUCTION_KINDS, /* how many there are */
};

/* A flag which can be absent, and then leaves the decision to its reader. */
enum toggle { TOGGLE_UNSET, TOGGLE_OFF, TOGGLE_ON };

/* A place in the Dockerfile, both counted from 1; column in bytes, 0 when only the line is known,
 * line 0 when nothing is. */
struct position {
    unsigned line;
    unsigned column;
};

struct word {
    char *text; /* NULL when the word is absent */
    struct position at;
};

struct words {
    struct word *items;
    size_t count;
    size_t capacity;
};

/* --name or --name=value as written, quotes included. */
struct flag {
    char *name;  /* without the dashes */
    char *value; /* "" when it has none */
    bool has_value;
    size_t value_offset; /* in the joined line; of use while that is parsed */
    struct position at;
    struct position value_at; /* behind the name when it has none */
};

struct flags {
    struct flag *items;
    size_t count;
    size_t capacity;
};

/* <<NAME: the lines between the instruction and the line NAME. `content` is as written; a heredoc
 * with `chomp` (<<-) is used through heredoc_text, which drops leading tabs. */
struct heredoc {
    char *name;
    char *content; /* every line ends with a newline */
    bool expand;   /* the name was not quoted */
    bool chomp;
    unsigned fd; /* the digits before <<, 0 when there were none */
    struct position at;
    unsigned line_first; /* of the content */
};

struct heredocs {
    struct heredoc *items;
    size_t count;
    size_t capacity;
};

struct pair {
    char *name;
    char *value;   /* NULL for an ARG without a default */
    char *comment; /* ARG: what the comment above says of it, or NULL */
    struct position at;
    struct position value_at;
};

struct pairs {
    struct pair *items;
    size_t count;
    size_t capacity;
};

struct from {
    struct word image;    /* as written; expanded with the global ARGs */
    struct word name;     /* lower case; text NULL when unnamed */
    char *name_written;   /* as written, or NULL */
    char *as_written;     /* the keyword between them ("AS", "as"), or NULL */
    struct word platform; /* --platform, or text NULL */
    char *comment;        /* what the comment above says of the stage, or NULL */
};

/* CMD, ENTRYPOINT, SHELL and the command of HEALTHCHECK and RUN. */
struct command {
    bool is_exec; /* JSON form: words are argv; else one word, a text for the shell (or none) */
    struct strv words;
};

/* --device: a CDI name or class. */
struct run_device {
    char *name;
    bool is_required;
};

enum run_network { RUN_NETWORK_DEFAULT, RUN_NETWORK_NONE, RUN_NETWORK_HOST };
enum run_security { RUN_SECURITY_SANDBOX, RUN_SECURITY_INSECURE };

struct run {
    struct command command;
    struct run_mounts mounts; /* complete after instruction_expand */
    enum run_network network;
    enum run_security security;
    struct run_device *devices;
    size_t device_count;
    size_t device_capacity;
};

/* A source given as a heredoc. */
struct copy_content {
    char *name;
    char *data; /* already chomped; variables replaced after instruction_expand if `expand` */
    bool expand;
    struct position at;
    unsigned line_first; /* of the text */
};

/* ADD and COPY. Flags the instruction does not know are refused when parsing, so a field which
 * belongs to the other one is always absent. */
struct copy {
    struct words sources; /* paths, wildcards; for ADD also URLs and git references */
    struct copy_content *contents;
    size_t content_count;
    size_t content_capacity;
    struct word destination;
    struct word from; /* COPY --from: stage, index, image or context; never expanded */
    struct word chown;
    struct word chmod;
    struct word checksum; /* ADD */
    struct words excludes;
    enum toggle link;
    enum toggle parents;      /* COPY */
    enum toggle keep_git_dir; /* ADD */
    enum toggle unpack;       /* ADD; unset: extract local archives, keep remote ones */
};

struct healthcheck {
    bool is_none;
    struct command command;
    int64_t interval_ns; /* 0: not given */
    int64_t timeout_ns;
    int64_t start_period_ns;
    int64_t start_interval_ns;
    int retries;
};

struct expose {
    struct words specs; /* as written, sorted */
    struct strv ports;  /* after instruction_expand: "8000/tcp", one per port, sorted, distinct */
};

struct onbuild {
    char *expression;            /* what the image config records: text with heredocs */
    struct instruction *trigger; /* the same, parsed */
};

struct instruction {
    enum instruction_kind kind;
    char *keyword;       /* as written, e.g. "run" */
    char *text;          /* the whole instruction on one line, as step names and history show it */
    unsigned line_first; /* counted from 1; of the FROM for a trigger of its image */
    unsigned line_last;  /* including heredocs */
    struct flags flags;
    struct heredocs heredocs;
    struct strv comments; /* the comment lines directly above, without # and blanks */
    uint32_t check_skip;  /* bits of enum check_rule: a comment above says check=skip= */
    bool is_trigger;      /* came out of an ONBUILD */
    unsigned blank_line;  /* a blank line inside a continuation, the last one; 0: there is none */

    union {
        struct from from;          /* FROM */
        struct pairs pairs;        /* ARG, ENV, LABEL */
        struct command command;    /* CMD, ENTRYPOINT, SHELL */
        struct run run;            /* RUN */
        struct copy copy;          /* ADD, COPY */
        struct healthcheck health; /* HEALTHCHECK */
        struct expose expose;      /* EXPOSE */
        struct words volumes;      /* VOLUME */
        struct word value;         /* MAINTAINER, STOPSIGNAL, USER, WORKDIR */
        struct onbuild onbuild;    /* ONBUILD */
    };
    bool is_legacy_pair; /* ENV name value, LABEL name value */
};

const char *instruction_name(enum instruction_kind kind); /* "RUN" */
/* The last flag of that name, or NULL; borrowed. */
const struct flag *instruction_flag(const struct instruction *in, const char *name);
char *heredoc_text(
    const struct heredoc *doc); /* content, chomped if it asks for it; caller frees */

/* A copy with variables replaced where the instruction supports them: words of ADD, COPY, ENV,
 * EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR, names and defaults of ARG, image and
 * platform of FROM, the flags --chown --chmod --checksum --exclude --platform, the values of
 * --mount and the text of COPY's heredocs. Others are copied unchanged. All words of one
 * instruction see `env` as it is, so that ENV a=1 b=$a uses the old a. EXPOSE gets its ports, RUN
 * its complete mounts, and STOPSIGNAL, which is checked, its final text.
 *
 * `df` gives the escape character and the excerpt of an error; NULL means backslash and none.
 * `use` may be NULL; else the names found and not found are added. On success the caller owns
 * `*out`. Errors: -EINVAL, with BuildKit's sentences; -E2BIG when variables would
 * add more than LIMIT_EXPANSION_SIZE to a word. */
int instruction_expand(const struct dockerfile *df, const struct instruction *in,
                       const struct expand_env *env, struct expand_use *use,
                       struct instruction **out, struct error *err);
struct instruction *instruction_copy(const struct instruction *in); /* caller frees */
void instruction_free(struct instruction *in);
DEFINE_CLEANUP(instruction_free, struct instruction *)
#define auto_instruction CLEANUP(instruction_free)

/* What a RUN has the container execute, heredocs taken into account. */
enum run_form {
    RUN_FORM_EXEC,   /* argv as it is */
    RUN_FORM_SHELL,  /* `text` is given to SHELL */
    RUN_FORM_SCRIPT, /* `text` is a file named `name`, mode 0755, in a read-only /dev/pipes/ */
};
struct run_script {
    enum run_form form;
    struct strv argv;
    char *text;
    char *name;
    char *summary; /* " (first line...)" for the step name of a heredoc, else "" */
};
void run_script_make(const struct instruction *run, struct run_script *out);
void run_script_release(struct run_script *script);
DEFINE_CLEANUP_VALUE(run_script_release, struct run_script)
#define auto_run_script CLEANUP(run_script_release)

/* Names of stages, images or contexts that an instruction reads from besides the build context:
 * COPY --from, RUN --mount=from=. Of an ONBUILD nothing, for it does not run here. Stores at most
 * `max` and returns how many there are; borrowed from the instruction. */
struct instruction_ref {
    const char *name;
    struct position at;
    const struct run_mount *mount; /* that has it as `from`, or NULL */
};
size_t instruction_refs(const struct instruction *in, struct instruction_ref *refs, size_t max);
