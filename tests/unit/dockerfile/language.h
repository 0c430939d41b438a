/* language.h - what the tests of the Dockerfile language share: parsing a text, and looking at it. */
#pragma once

#include <errno.h>
#include <string.h>

#include "builder/dockerfile/dockerfile.h"
#include "tests/lib/test.h"

static inline struct dockerfile *parse(const char *text)
{
    struct dockerfile *df = NULL;

    check_ok(dockerfile_parse(text, strlen(text), NULL, &df, &test_err));
    return df;
}

/* The text is refused with this sentence. */
static inline void refuse(const char *text, const char *sentence)
{
    struct dockerfile *df = NULL;
    struct error err = {0};

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_text(err.text, sentence);
    check_true(df == NULL);
}

/* The `index`th instruction of the last stage. */
static inline const struct instruction *at(const struct dockerfile *df, size_t index)
{
    const struct stage *stage = &df->stages[df->stage_count - 1];

    check_true(index < stage->body.count);
    return stage->body.items[index];
}

/* "a|b|c" */
static inline char *words_text(const struct words *words)
{
    struct str out = {0};

    for (size_t i = 0; i < words->count; i++)
        str_addf(&out, "%s%s", i ? "|" : "", words->items[i].text);
    return str_take(&out);
}

/* "a=1|b|c=2" */
static inline char *pairs_text(const struct pairs *pairs)
{
    struct str out = {0};

    for (size_t i = 0; i < pairs->count; i++)
        str_addf(&out, "%s%s%s%s", i ? "|" : "", pairs->items[i].name,
                 pairs->items[i].value ? "=" : "",
                 pairs->items[i].value ? pairs->items[i].value : "");
    return str_take(&out);
}

static inline void check_words(const struct words *words, const char *expected)
{
    auto_free char *text = words_text(words);

    check_text(text, expected);
}

static inline void check_pairs(const struct pairs *pairs, const char *expected)
{
    auto_free char *text = pairs_text(pairs);

    check_text(text, expected);
}

static inline void check_strv(const struct strv *v, const char *expected)
{
    auto_free char *text = strv_join(v, "|");

    check_text(text, expected);
}

/* "a=1 b=2" */
static inline struct variables variables_of(const char *text)
{
    struct variables v = {0};

    while (*text) {
        size_t size = strcspn(text, " ");
        auto_free char *pair = mem_strndup(text, size);
        char *equals = strchr(pair, '=');

        *equals = '\0';
        variables_set(&v, pair, equals + 1);
        text += size + (text[size] == ' ');
    }
    return v;
}

/* The first instruction of the text behind "FROM scratch", expanded; caller frees. */
static inline struct instruction *expanded(const char *text, const char *variables)
{
    auto_free char *whole = str_format("FROM scratch\n%s\n", text);
    auto_dockerfile struct dockerfile *df = parse(whole);
    auto_variables struct variables v = variables_of(variables);
    struct expand_env env = variables_env(&v);
    struct instruction *out = NULL;

    check_ok(instruction_expand(df, at(df, 0), &env, NULL, &out, &test_err));
    return out;
}

static inline void refuse_expansion(const char *text, const char *variables, const char *sentence)
{
    auto_free char *whole = str_format("FROM scratch\n%s\n", text);
    auto_dockerfile struct dockerfile *df = parse(whole);
    auto_variables struct variables v = variables_of(variables);
    struct expand_env env = variables_env(&v);
    struct instruction *out = NULL;
    struct error err = {0};

    check_fails(instruction_expand(df, at(df, 0), &env, NULL, &out, &err), EINVAL);
    check_text(err.text, sentence);
    check_true(text_starts(err.detail, "Dockerfile:2\n"));
}
