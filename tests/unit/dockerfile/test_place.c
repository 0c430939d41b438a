/* test_place.c - where a message points to: the caret of FEATURES 1.7, "Excerpt", is under the word,
 * the value or the character that is to blame, on the line where that stands.
 */
#include "tests/unit/dockerfile/language.h"

struct mistake {
    const char *text;     /* of the file */
    unsigned line;        /* of the caret */
    unsigned column;      /* of the caret in that line, from 1 */
    const char *sentence; /* without "dockerfile parse error on line N: " */
};

/* The caret of an excerpt: "     |     ^" under " %3u | >>> TEXT". */
static struct position caret_of(const char *detail)
{
    const size_t before_text = strlen("   1 | >>> ");
    unsigned number = 0;

    for (const char *line = detail; line; line = strchr(line, '\n'), line += line != NULL) {
        const char *bar = strstr(line, " | ");
        size_t blanks = bar ? strspn(bar + 3, " \t") : 0;

        if (bar && strspn(line, " ") == (size_t)(bar - line) + 1 && bar[3 + blanks] == '^')
            return (struct position){number,
                                     (unsigned)((size_t)(bar - line) + 4 + blanks - before_text)};
        number = bar ? (unsigned)strtoul(line, NULL, 10) : number;
    }
    return (struct position){0};
}

static int expand_all(const struct dockerfile *df, struct error *err)
{
    int r = 0;

    for (size_t i = 0; i < df->stage_count && r == 0; i++) {
        auto_instruction struct instruction *from = NULL;

        r = instruction_expand(df, df->stages[i].from, NULL, NULL, &from, err);
        for (size_t k = 0; k < df->stages[i].body.count && r == 0; k++) {
            auto_instruction struct instruction *out = NULL;

            r = instruction_expand(df, df->stages[i].body.items[k], NULL, NULL, &out, err);
        }
    }
    return r;
}

static void check_mistake(const struct mistake *m)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    auto_free char *actual = NULL;
    auto_free char *expected = NULL;
    struct position at;
    const char *sentence = err.text;
    int r = dockerfile_parse(m->text, strlen(m->text), NULL, &df, &err);

    if (r == 0)
        r = expand_all(df, &err);
    dockerfile_free(df);
    if (text_starts(sentence, "dockerfile parse error on line "))
        sentence = strstr(sentence, ": ") + 2;
    at = caret_of(err.detail);
    actual = str_format("%s\n%u:%u %s", m->text, at.line, at.column, sentence);
    expected = str_format("%s\n%u:%u %s", m->text, m->line, m->column, m->sentence);
    check_text(actual, expected);
    check_fails(r, EINVAL);
}

#define CHECK_ALL(list)                                                                            \
    for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++)                                  \
    check_mistake(&(list)[i])

#define BODY "FROM scratch\n"

TEST(place, what_is_missing_is_missed_behind_the_last_character)
{
    static const struct mistake mistakes[] = {
        {"FROM", 1, 5, "FROM requires either one or three arguments"},
        {BODY "USER  ", 2, 5, "USER requires exactly one argument"},
        {BODY "WORKDIR", 2, 8, "WORKDIR requires exactly one argument"},
        {BODY "ARG", 2, 4, "ARG requires at least one argument"},
        {BODY "ENV", 2, 4, "ENV requires at least one argument"},
        {BODY "ENV a", 2, 6, "ENV must have two arguments"},
        {BODY "LABEL a", 2, 8, "LABEL must have two arguments"},
        {BODY "EXPOSE", 2, 7, "EXPOSE requires at least one argument"},
        {BODY "VOLUME", 2, 7, "VOLUME requires at least one argument"},
        {BODY "ONBUILD", 2, 8, "ONBUILD requires at least one argument"},
        {BODY "SHELL", 2, 6, "SHELL requires at least one argument"},
        {BODY "HEALTHCHECK", 2, 12, "HEALTHCHECK requires at least one argument"},
        {BODY "HEALTHCHECK CMD", 2, 16, "Missing command after HEALTHCHECK CMD"},
        {BODY "COPY", 2, 5,
         "COPY requires at least two arguments, but only one was provided. Destination could not be "
         "determined"},
        {BODY "ADD \\\n  a", 3, 4,
         "ADD requires at least two arguments, but only one was provided. Destination could not be "
         "determined"},
        {BODY "COPY --chown a b", 2, 13, "missing a value on flag: --chown"},
        {BODY "COPY --link= a b", 2, 13, "missing a value on flag: --link"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, a_word_too_many_or_wrong_is_pointed_at)
{
    static const struct mistake mistakes[] = {
        {"FROM a b", 1, 8, "FROM requires either one or three arguments"},
        {"FROM a is b", 1, 8, "FROM requires either one or three arguments"},
        {"FROM a AS b c", 1, 13, "FROM requires either one or three arguments"},
        {"FROM a AS 1b", 1, 11,
         "invalid name for build stage: \"1b\", name can't start with a number or contain symbols"},
        {" RUN true", 1, 2, "no build stage in current context"},
        {BODY "  RNU true", 2, 3, "unknown instruction: RNU (did you mean RUN?)"},
        {BODY "ONBUILD RNU x", 2, 9, "unknown instruction: RNU (did you mean RUN?)"},
        {BODY "ONBUILD  FROM x", 2, 10, "FROM isn't allowed as an ONBUILD trigger"},
        {BODY "ENV a=1 \\\n# comment\n\n  b c=2", 5, 3,
         "Syntax error - can't find = in \"b\". Must be of the form: name=value"},
        {BODY "LABEL a=b =c", 2, 11, "LABEL names can not be blank"},
        {BODY "ARG a ${x}=c", 2, 7, "ARG names can not be blank"},
        {BODY "SHELL /bin/sh -c", 2, 7, "SHELL requires the arguments to be in JSON form"},
        {BODY "HEALTHCHECK  CMDD x", 2, 14, "Unknown type \"CMDD\" in HEALTHCHECK (try CMD)"},
        {BODY "HEALTHCHECK NONE x", 2, 18, "HEALTHCHECK NONE takes no arguments"},
        {BODY "EXPOSE 80 90/foo", 2, 11, "invalid proto: foo"},
        {BODY "EXPOSE 80 \\\n  x", 3, 3, "invalid containerPort: x"},
        {BODY "STOPSIGNAL SIGFOO", 2, 12, "invalid signal: SIGFOO"},
        {BODY "VOLUME /a \"\"", 2, 11, "VOLUME specified can not be an empty string"},
        {BODY "COPY a <<EOF\nEOF", 2, 8, "COPY cannot accept a heredoc as a destination"},
        {BODY "COPY <<A <<B /x\nA\nb", 2, 10, "unterminated heredoc"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, an_element_of_an_array_is_pointed_at)
{
    static const struct mistake mistakes[] = {
        {BODY "RUN [\"a\", 1]", 2, 11,
         "when using JSON array syntax, arrays must be comprised of strings only"},
        {BODY "CMD [ [\"x\", \"]\"], \"b\" ]", 2, 7,
         "when using JSON array syntax, arrays must be comprised of strings only"},
        {BODY "ENTRYPOINT [\"a,]\\\"\", \\\n  \"b\", {\"c\": [1, 2]}, \"d\"]", 3, 8,
         "when using JSON array syntax, arrays must be comprised of strings only"},
        {BODY "VOLUME [\"/a\", \"${x:-}\"]", 2, 16, "VOLUME specified can not be an empty string"},
        {BODY "COPY [\"a\", \"b ${x^}\", \"c\"]", 2, 18,
         "failed to process \"b ${x^}\": unsupported modifier (^) in substitution"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, a_flag_is_pointed_at_by_its_name_or_by_its_value)
{
    static const struct mistake mistakes[] = {
        {BODY "COPY --chwon=1 a b", 2, 6, "unknown flag: --chwon (did you mean chown?)"},
        {BODY "COPY --link --link a b", 2, 13, "duplicate flag specified: --link"},
        {BODY "COPY --link=maybe a b", 2, 13,
         "expecting boolean value for flag --link, not: maybe"},
        {BODY "COPY --from=a$b x y", 2, 13,
         "variable expansion is not supported for --from, define a new stage with FROM using ARG "
         "from global scope as a workaround"},
        {BODY "COPY --chmod=1 --chown=a${b a b", 2, 25,
         "failed to process \"a${b\": syntax error: missing '}'"},
        {BODY "COPY --exclude=a \\\n --exclude=${x^} a b", 3, 15,
         "failed to process \"${x^}\": unsupported modifier (^) in substitution"},
        {BODY "RUN --network=none --security=insceure x", 2, 31,
         "invalid security mode \"insceure\" (did you mean insecure?)"},
        {BODY "RUN --device=a,b,c x", 2, 14, "unexpected field 'b' in the value of --device"},
        {BODY "HEALTHCHECK --interval=1s --timeout=1x CMD x", 2, 37,
         "time: unknown unit \"x\" in duration \"1x\""},
        {BODY "HEALTHCHECK --retries=x CMD x", 2, 23,
         "strconv.ParseInt: parsing \"x\": invalid syntax"},
        {"FROM --platform=$x y", 1, 17, "empty platform value from expression $x"},
        {"FROM ${x}", 1, 6, "base name (${x}) should not be blank"},
        {BODY "RUN --mount='type=cache,target=/x x", 2, 5,
         "unexpected end of statement while looking for the quote that ends a flag"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, a_field_of_a_mount_is_pointed_at_before_and_after_expansion)
{
    static const struct mistake mistakes[] = {
        {BODY "RUN --mount=type=cache,tagret=/x x", 2, 24,
         "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"},
        {BODY "RUN --mount=type=secrte,id=x x", 2, 13,
         "unsupported mount type \"secrte\" (did you mean secret?)"},
        {BODY "RUN --mount=type=tmpfs,target=/ x", 2, 24, "invalid mount target \"/\""},
        {BODY "RUN --mount=type=cache,target=/x,sharing=${s} x", 2, 34,
         "unsupported sharing value \"\""},
        {BODY "RUN --mount=target=/y \\\n  --mount=type=cache,target=/x,uid=${s:-me} x", 3, 32,
         "invalid value me for uid"},
        {BODY "RUN --mount=target=/${x:-},type=tmpfs x", 2, 13, "invalid mount target \"/\""},
        {BODY "RUN --mount=target=/x,source=${x:?say} x", 2, 23,
         "failed to process \"${x:?say}\": x: say"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, the_part_of_a_word_that_cannot_be_expanded_is_pointed_at)
{
    static const struct mistake mistakes[] = {
        {BODY "ENV a=1 b=x${y^}", 2, 15,
         "failed to process \"x${y^}\": unsupported modifier (^) in substitution"},
        {BODY "ENV a=1 b=x${y", 2, 12, "failed to process \"x${y\": syntax error: missing '}'"},
        {BODY "ENV a x ${y:?no}", 2, 9, "failed to process \"x ${y:?no}\": y: no"},
        {BODY "LABEL a=\"b ${}\"", 2, 12,
         "failed to process \"\\\"b ${}\\\"\": syntax error: bad substitution"},
        {BODY "WORKDIR /a/${x:-${y?}}", 2, 17,
         "failed to process \"/a/${x:-${y?}}\": y: is not allowed to be unset"},
        {BODY "WORKDIR /a/${x:-${y}", 2, 12,
         "failed to process \"/a/${x:-${y}\": syntax error: missing '}'"},
        {BODY "USER it's", 2, 8,
         "failed to process \"it's\": unexpected end of statement while looking for matching "
         "single-quote"},
        {BODY "VOLUME a b\"c", 2, 11,
         "failed to process \"b\\\"c\": unexpected end of statement while looking for matching "
         "double-quote"},
        {BODY "EXPOSE 1 ${p/x}", 2, 10,
         "failed to process \"${p/x}\": syntax error: missing '/' in ${}"},
        {"# escape=`\n" BODY "ENV a=b`\n# in between\nc${x^}", 5, 5,
         "failed to process \"bc${x^}\": unsupported modifier (^) in substitution"},
        {BODY "WORKDIR \xC3\xA4\t${x^}", 2, 14,
         "failed to process \"\xC3\xA4\\t${x^}\": unsupported modifier (^) in substitution"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, a_heredoc_is_pointed_at_in_its_own_lines)
{
    static const struct mistake mistakes[] = {
        {BODY "COPY <<A <<-B /x/\none\nA\n\ttwo\n\t\tthree ${y:?no}\n\tB\n", 6, 9,
         "failed to process \"two\\nthree ${y:?no}\\n\": y: no"},
        {BODY "COPY <<A /x\r\n\r\nb ${y?}\r\nA\r\n", 4, 3,
         "failed to process \"\\r\\nb ${y?}\\r\\n\": y: is not allowed to be unset"},
    };

    CHECK_ALL(mistakes);
}

TEST(place, the_value_of_a_directive_is_pointed_at)
{
    static const struct mistake mistakes[] = {
        {"# escape=x\n" BODY, 1, 10, "invalid escape token 'x' does not match ` or \\"},
        {"#syntax = a/b\n" BODY, 1, 11,
         "the frontend 'a/b' cannot be used, only docker/dockerfile is built in"},
        {"# escape=`\n# check=nonsense\n" BODY, 2, 9, "invalid check option \"nonsense\""},
        {"# escape=`\n# escape=`\n" BODY, 2, 1, "only one escape parser directive can be used"},
    };

    CHECK_ALL(mistakes);
}

/* What came with an image stands in no line of this file; its FROM is shown, without a caret. */
TEST(place, a_trigger_of_an_image_has_no_column)
{
    auto_dockerfile struct dockerfile *df = parse("FROM base\n");
    auto_instruction struct instruction *in = NULL;
    auto_instruction struct instruction *out = NULL;
    struct error err = {0};

    check_ok(dockerfile_parse_trigger(df, df->stages[0].from, "WORKDIR /a/${x^}", &in, &err));
    check_fails(instruction_expand(df, in, NULL, NULL, &out, &err), EINVAL);
    check_true(text_starts(err.detail, "Dockerfile:1\n"));
    check_true(strchr(err.detail, '^') == NULL);
}
