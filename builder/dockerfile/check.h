/* check.h - the 22 build checks: what is legal in a Dockerfile but likely not meant.
 *
 * Names and messages are those of the Dockerfile reference, "Build checks". Most are
 * decided from the text alone (dockerfile_check); those that need the base image, the expanded
 * words or the ignore file are offered to the planner one by one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/hash.h"
#include "fs/base/str.h"

struct dockerfile;
struct expand_use;
struct ignore;
struct instruction;
struct variables;

enum check_rule {
    CHECK_STAGE_NAME_CASING,
    CHECK_FROM_AS_CASING,
    CHECK_NO_EMPTY_CONTINUATION,
    CHECK_CONSISTENT_INSTRUCTION_CASING,
    CHECK_DUPLICATE_STAGE_NAME,
    CHECK_RESERVED_STAGE_NAME,
    CHECK_JSON_ARGS_RECOMMENDED,
    CHECK_MAINTAINER_DEPRECATED,
    CHECK_UNDEFINED_ARG_IN_FROM,
    CHECK_WORKDIR_RELATIVE_PATH,
    CHECK_UNDEFINED_VAR,
    CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED,
    CHECK_LEGACY_KEY_VALUE_FORMAT,
    CHECK_INVALID_BASE_IMAGE_PLATFORM,
    CHECK_REDUNDANT_TARGET_PLATFORM,
    CHECK_SECRETS_USED_IN_ARG_OR_ENV,
    CHECK_INVALID_DEFAULT_ARG_IN_FROM,
    CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    CHECK_COPY_IGNORED_FILE,
    CHECK_INVALID_DEFINITION_DESCRIPTION, /* experimental: off unless asked for */
    CHECK_EXPOSE_PROTO_CASING,
    CHECK_EXPOSE_INVALID_FORMAT,
    CHECK_RULES, /* how many there are */
};

const char *check_rule_name(enum check_rule rule);        /* "StageNameCasing" */
const char *check_rule_description(enum check_rule rule); /* one sentence */
char *check_rule_url(enum check_rule rule);               /* of its documentation; caller frees */

/* `# check=skip=A,B;error=true;experimental=C`, or its override by BUILDKIT_DOCKERFILE_CHECK. */
struct check_config {
    uint32_t skip;         /* bit per rule */
    uint32_t experimental; /* bit per rule */
    bool is_error;         /* findings fail the build */
};
/* Errors: -EINVAL, naming the part that is not understood. */
int check_config_parse(const char *text, struct check_config *out, struct error *err);

struct check_finding {
    enum check_rule rule;
    unsigned line_first; /* counted from 1 */
    unsigned line_last;
    char *text; /* the message, without the rule's name */
};

/* What was found, in order of finding. */
struct checks {
    struct check_config config;
    struct check_finding *items;
    size_t count;
    size_t capacity;
    struct table seen; /* to keep each once */
};
void checks_release(struct checks *checks);
DEFINE_CLEANUP_VALUE(checks_release, struct checks)
#define auto_checks CLEANUP(checks_release)

/* Adds a finding unless the rule is skipped, globally or above `in` (NULL allowed). The same one
 * is not added twice. */
void checks_add(struct checks *checks, enum check_rule rule, const struct instruction *in,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* All rules decidable from the text; sets checks->config from the file. `args` are the arguments in
 * effect before any ARG: --build-arg, platform and built-in ones; NULL means none. */
void dockerfile_check(const struct dockerfile *df, const struct variables *args,
                      struct checks *checks);

/* UndefinedVar, after instruction_expand with `use`: the names it did not find. `known` is what
 * could have been meant. */
void check_undefined(struct checks *checks, const struct instruction *in,
                     const struct expand_use *use, const struct variables *known);
/* ExposeProtoCasing and ExposeInvalidFormat, for an expanded EXPOSE. */
void check_expose(struct checks *checks, const struct instruction *expose);
/* InvalidBaseImagePlatform: `image` turned out to be `actual` instead of `expected`. */
void check_base_platform(struct checks *checks, const struct instruction *from, const char *image,
                         const char *actual, const char *expected);
/* CopyIgnoredFile, for an expanded COPY or ADD from the build context. */
void check_copy_ignored(struct checks *checks, const struct instruction *copy,
                        const struct ignore *ignore);

/* 0, or -EINVAL "lint violation found for rules: A, B" when the file says error=true. */
int checks_verdict(const struct checks *checks, struct error *err);
/* Puts the findings in order of their lines. */
void checks_sort(struct checks *checks);
/* Appends the report of --check: an empty line before each finding, then its rule, message and
 * excerpt. Sorts them. */
void checks_report(struct checks *checks, const struct dockerfile *df, struct str *out);
