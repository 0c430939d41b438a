/* test_dockerfile.c - claims about lines, directives, stages and errors (Dockerfile reference,
 * "Format" and "Parser directives"; the sentences are BuildKit's).
 */
#include <stdlib.h>

#include "fs/base/limits.h"
#include "tests/unit/dockerfile/language.h"

static void check_text_of(const char *source, size_t index, const char *text, unsigned first,
                          unsigned last)
{
    auto_dockerfile struct dockerfile *df = parse(source);

    check_text(at(df, index)->text, text);
    check_int(at(df, index)->line_first, first);
    check_int(at(df, index)->line_last, last);
}

static void refuse_sized(const char *text, size_t size, int code, const char *sentence)
{
    struct dockerfile *df = NULL;
    struct error err = {0};

    check_fails(dockerfile_parse(text, size, NULL, &df, &err), code);
    check_text(err.text, sentence);
}

TEST(dockerfile, instructions_stand_in_their_stages)
{
    auto_dockerfile struct dockerfile *df = parse("ARG V=1\n"
                                                  "FROM a AS One\n"
                                                  "RUN x\n"
                                                  "\n"
                                                  "from b\n"
                                                  "copy --from=one /x /y\n");

    check_int(df->globals.count, 1);
    check_int(df->stage_count, 2);
    check_text(df->stages[0].from->from.image.text, "a");
    check_text(df->stages[0].from->from.name.text, "one");
    check_text(df->stages[0].from->from.name_written, "One");
    check_text(df->stages[0].from->from.as_written, "AS");
    check_int(df->stages[0].body.count, 1);
    check_text(df->stages[1].from->keyword, "from");
    check_int(df->stages[1].from->line_first, 5);
    check_int(df->stages[1].body.items[0]->kind, INSTRUCTION_COPY);
    check_text(df->stages[1].from->from.name.text, NULL);
}

TEST(dockerfile, a_line_is_continued_by_the_escape_character_at_its_end)
{
    check_text_of("FROM a\nRUN x \\\n  y\\\nz\n", 0, "RUN x   yz", 2, 4);
    check_text_of("FROM a\nRUN x \\ \t\n  y\n", 0, "RUN x   y", 2, 3);
    check_text_of("# escape=`\nFROM a\nRUN x `\n  y \\\n", 0, "RUN x   y \\", 3, 4);
}

TEST(dockerfile, an_escaped_escape_character_continues_nothing)
{
    check_text_of("FROM a\nRUN x\\\\\nRUN y\n", 0, "RUN x\\\\", 2, 2);
    check_text_of("FROM a\nRUN x\\\\\nRUN y\n", 1, "RUN y", 3, 3);
}

TEST(dockerfile, comments_are_dropped_between_and_inside_instructions)
{
    check_text_of("# c\nFROM a\n  # d\nRUN x \\\n# e\n  # f\n y # z\n", 0, "RUN x  y # z", 4, 7);
}

TEST(dockerfile, empty_continuation_lines_are_passed_over_and_noted)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a\nRUN x \\\n\n  \n  y\n");

    check_text(at(df, 0)->text, "RUN x   y");
    check_int(at(df, 0)->blank_line, 4);
}

TEST(dockerfile, a_continuation_may_end_with_the_file)
{
    check_text_of("FROM a\nRUN x \\", 0, "RUN x", 2, 2);
}

TEST(dockerfile, a_byte_order_mark_and_carriage_returns_are_dropped)
{
    auto_dockerfile struct dockerfile *df =
        parse("\xEF\xBB\xBF"
              "FROM a\r\nRUN x \\\r\n  y\r\nCOPY <<E /x\r\nt\r\nE\r\n");

    check_text(df->stages[0].from->from.image.text, "a");
    check_text(at(df, 0)->text, "RUN x   y");
    check_text(at(df, 1)->copy.contents[0].data, "t\r\n");
}

TEST(dockerfile, keywords_are_known_in_any_case)
{
    auto_dockerfile struct dockerfile *df = parse("FrOm a\nwOrKdIr /x\n");

    check_int(at(df, 0)->kind, INSTRUCTION_WORKDIR);
    check_text(at(df, 0)->keyword, "wOrKdIr");
}

TEST(dockerfile, leading_blanks_and_tabs_after_a_keyword_are_no_matter)
{
    auto_dockerfile struct dockerfile *df = parse(" \tFROM\ta\n   USER\t \tme \t\n");

    check_text(at(df, 0)->value.text, "me");
    check_text(at(df, 0)->text, "USER\t \tme");
}

/* 1.7 "Empty" */
TEST(dockerfile, a_file_without_anything_to_build_is_refused)
{
    refuse("", "the Dockerfile cannot be empty");
    refuse("\n# only this\n", "file with no instructions");
    refuse("# escape=`", "file with no instructions");
    refuse("ARG a\n", "dockerfile contains no stages to build");
    refuse("RUN x\nFROM a\n", "no build stage in current context");
    refuse("ARG a\nENV b=c\n", "no build stage in current context");
}

TEST(dockerfile, a_line_longer_than_the_limit_is_refused)
{
    auto_str struct str text = {0};
    auto_dockerfile struct dockerfile *df = NULL;

    str_add(&text, "FROM a\nRUN ");
    for (unsigned i = 0; i < LIMIT_DOCKERFILE_LINE - 4; i++)
        str_add_char(&text, 'x');
    df = parse(str_text(&text));
    str_add_char(&text, 'x');
    refuse_sized(text.data, text.size, E2BIG,
                 "dockerfile line greater than max allowed size of 65535");
}

TEST(dockerfile, a_file_larger_than_the_limit_is_refused)
{
    auto_free char *text = mem_alloc(LIMIT_DOCKERFILE_SIZE + 1);

    memset(text, '\n', LIMIT_DOCKERFILE_SIZE + 1);
    refuse_sized(text, LIMIT_DOCKERFILE_SIZE + 1, E2BIG,
                 "the Dockerfile is larger than 16777216 bytes");
}

TEST(dockerfile, a_file_that_is_no_text_is_refused)
{
    refuse_sized("FROM a\nRUN \0x\n", 14, EINVAL,
                 "the Dockerfile holds a NUL byte on line 2, it is not a text");
}

TEST(dockerfile, unknown_instructions_get_the_nearest_one_in_the_case_of_the_typo)
{
    refuse("FROM a\n\nRNU x\n",
           "dockerfile parse error on line 3: unknown instruction: RNU (did you mean RUN?)");
    refuse("FROM a\nrnu x\n",
           "dockerfile parse error on line 2: unknown instruction: rnu (did you mean run?)");
    refuse("FROM a\nEXPECT x\n", "dockerfile parse error on line 2: unknown instruction: EXPECT");
    refuse("FRM a\n",
           "dockerfile parse error on line 1: unknown instruction: FRM (did you mean FROM?)");
}

/* 1.7 "Excerpt" */
TEST(dockerfile, an_error_shows_its_lines_and_where_it_is)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "FROM a\nENV x=1\nCOPY --form=b /x /y\nRUN z\nUSER me\nRUN a";

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_text(err.text,
               "dockerfile parse error on line 3: unknown flag: --form (did you mean from?)");
    check_text(err.detail, "Dockerfile:3\n"
                           "--------------------\n"
                           "   1 |     FROM a\n"
                           "   2 |     ENV x=1\n"
                           "   3 | >>> COPY --form=b /x /y\n"
                           "     |          ^\n"
                           "   4 |     RUN z\n"
                           "   5 |     USER me\n"
                           "--------------------\n");
}

TEST(dockerfile, the_caret_finds_its_line_inside_a_continuation)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "FROM a\nENV x=1 \\\n# c\n\ty=2 \\\n    z\nUSER me\n";

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_text(err.text, "Syntax error - can't find = in \"z\". Must be of the form: name=value");
    check_text(err.detail, "Dockerfile:2\n"
                           "--------------------\n"
                           "   1 |     FROM a\n"
                           "   2 | >>> ENV x=1 \\\n"
                           "   3 | >>> # c\n"
                           "   4 | >>> \ty=2 \\\n"
                           "   5 | >>>     z\n"
                           "     |         ^\n"
                           "   6 |     USER me\n"
                           "--------------------\n");
}

TEST(dockerfile, the_caret_finds_a_word_at_the_start_of_a_line)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "FROM a\nENV x=1 \\\nz\n";

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_contains(err.detail, "   3 | >>> z\n"
                               "     |     ^\n");
}

TEST(dockerfile, a_later_error_gets_the_excerpt_of_its_instruction_once)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a\nCOPY x /\n");
    struct error err = {0};

    (void)error_set(&err, ENOENT, "\"/x\": not found");
    check_fails(dockerfile_locate(df, at(df, 0), &at(df, 0)->copy.sources.items[0].at, &err),
                ENOENT);
    check_text(err.detail, "Dockerfile:2\n"
                           "--------------------\n"
                           "   1 |     FROM a\n"
                           "   2 | >>> COPY x /\n"
                           "     |          ^\n"
                           "   3 |     \n"
                           "--------------------\n");
    check_fails(dockerfile_locate(df, df->stages[0].from, NULL, &err), ENOENT);
    check_true(text_starts(err.detail, "Dockerfile:2\n"));
}

TEST(dockerfile, directives_stand_only_at_the_top)
{
    auto_dockerfile struct dockerfile *first = parse("# escape = `\nFROM a\n");
    auto_dockerfile struct dockerfile *comment = parse("# about\n# escape=`\nFROM a\n");
    auto_dockerfile struct dockerfile *blank = parse("\n# escape=`\nFROM a\n");
    auto_dockerfile struct dockerfile *unknown = parse("# color=red\n# escape=`\nFROM a\n");
    auto_dockerfile struct dockerfile *upper = parse("#ESCAPE=`\nFROM a\n");
    auto_dockerfile struct dockerfile *both =
        parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n");

    check_int(first->escape, '`');
    check_int(comment->escape, '\\');
    check_int(blank->escape, '\\');
    check_int(unknown->escape, '\\');
    check_int(upper->escape, '`');
    check_int(both->escape, '`');
}

TEST(dockerfile, a_directive_is_given_once_and_rightly)
{
    refuse("# escape=`\n# escape=\\\nFROM a\n", "only one escape parser directive can be used");
    refuse("# escape=x\nFROM a\n", "invalid escape token 'x' does not match ` or \\");
    refuse("# check=skip=all\n# check=error=true\nFROM a\n",
           "only one check parser directive can be used");
    refuse("# check=foo=bar\nFROM a\n", "invalid check option \"foo=bar\"");
    refuse("# check=error=perhaps\nFROM a\n",
           "failed to parse check option \"error=perhaps\": strconv.ParseBool: parsing "
           "\"perhaps\": invalid syntax");
}

/* SECURITY R51 */
TEST(dockerfile, the_built_in_frontend_stands_for_all_of_docker_dockerfile)
{
    static const char *const good[] = {
        "docker/dockerfile",
        "docker/dockerfile:1",
        "docker/dockerfile:1.7-labs",
        "docker.io/docker/dockerfile:1",
        "docker/dockerfile-upstream:master",
        "mirror.example:5000/docker/dockerfile:1",
        "dockerfile.v0",
        "docker/dockerfile:1@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        auto_free char *text = str_format("# syntax=%s\nFROM a\n", good[i]);
        auto_dockerfile struct dockerfile *df = parse(text);

        check_text(df->syntax, good[i]);
        check_int(df->syntax_line, 1);
    }
}

TEST(dockerfile, a_foreign_frontend_is_refused_however_it_is_written)
{
    static const char sentence[] =
        "the frontend 'evil/x' cannot be used, only docker/dockerfile is built in";

    refuse("# syntax=evil/x\nFROM a\n", sentence);
    refuse("#!/usr/bin/env img\n# syntax = evil/x --flag\nFROM a\n", sentence);
    refuse("// syntax=evil/x\nx\n", sentence);
    refuse("{\"syntax\": \"evil/x\"}", sentence);
    refuse("# syntax=docker/dockerfilex\nFROM a\n",
           "the frontend 'docker/dockerfilex' cannot be used, only docker/dockerfile is built in");
    refuse("# syntax=xdocker/dockerfile\nFROM a\n",
           "the frontend 'xdocker/dockerfile' cannot be used, only docker/dockerfile is built in");
}

TEST(dockerfile, a_build_argument_overrides_the_syntax_directive)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "# syntax=evil/x\nFROM a\n";
    struct dockerfile_options good = {.syntax = "docker/dockerfile:1"};
    struct dockerfile_options bad = {.name = "x/y", .syntax = "other/z"};

    check_ok(dockerfile_parse(text, strlen(text), &good, &df, &err));
    dockerfile_free(df);
    check_fails(dockerfile_parse(text, strlen(text), &bad, &df, &err), EINVAL);
    check_text(err.text,
               "the frontend 'other/z' cannot be used, only docker/dockerfile is built in");
    check_text(err.detail, "");
}

TEST(dockerfile, comments_right_above_describe_stages_and_arguments)
{
    auto_dockerfile struct dockerfile *df = parse("# base the image to start from\n"
                                                  "# other words\n"
                                                  "ARG base=debian\n"
                                                  "# base is not meant here\n"
                                                  "\n"
                                                  "ARG base2\n"
                                                  "# build compiles\n"
                                                  "FROM $base AS build\n");

    check_text(df->globals.items[0]->pairs.items[0].comment, "the image to start from");
    check_text(df->globals.items[1]->pairs.items[0].comment, NULL);
    check_text(df->stages[0].from->from.comment, "compiles");
}

TEST(dockerfile, a_stage_is_found_by_name_or_index)
{
    auto_dockerfile struct dockerfile *df =
        parse("FROM a AS x\nFROM b\nFROM c AS X\nFROM d AS y\n");

    check_int(dockerfile_find_stage(df, "x", 4), 2);
    check_int(dockerfile_find_stage(df, "X", 2), 0);
    check_int(dockerfile_find_stage(df, "1", 4), 1);
    check_int(dockerfile_find_stage(df, "4", 4), -1);
    check_int(dockerfile_find_stage(df, "1", 1), -1);
    check_int(dockerfile_find_stage(df, "y", 3), -1);
    check_int(dockerfile_find_stage(df, "z", 4), -1);
}

TEST(dockerfile, the_target_is_the_last_stage_unless_named)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a AS build\nFROM b AS final\n");
    struct error err = {0};
    size_t stage;

    check_ok(dockerfile_target(df, NULL, &stage, &err));
    check_int(stage, 1);
    check_ok(dockerfile_target(df, "Build", &stage, &err));
    check_int(stage, 0);
    check_fails(dockerfile_target(df, "biuld", &stage, &err), EINVAL);
    check_text(err.text, "target stage \"biuld\" could not be found (did you mean build?)");
    check_fails(dockerfile_target(df, "nothing", &stage, &err), EINVAL);
    check_text(err.text, "target stage \"nothing\" could not be found");
}

TEST(dockerfile, an_image_nobody_has_gets_the_nearest_stage_or_common_image)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a AS build\nFROM b\nFROM c AS later\n");

    check_text(dockerfile_suggest_base(df, 1, "biuld"), "build");
    check_text(dockerfile_suggest_base(df, 1, "debain:12"), "debian");
    check_text(dockerfile_suggest_base(df, 1, "debian:12"), NULL);
    check_text(dockerfile_suggest_base(df, 1, "latre"), NULL);
    check_text(dockerfile_suggest_base(df, 1, "registry.example/x"), NULL);
}

TEST(dockerfile, a_trigger_from_an_image_is_parsed_and_placed_at_its_from)
{
    auto_dockerfile struct dockerfile *df = parse("\nFROM a\n");
    auto_instruction struct instruction *in = NULL;

    check_ok(
        dockerfile_parse_trigger(df, df->stages[0].from, "COPY <<E /x\nhello\nE", &in, &test_err));
    check_int(in->kind, INSTRUCTION_COPY);
    check_text(in->copy.contents[0].data, "hello\n");
    check_true(in->is_trigger);
    check_int(in->line_first, 2);
    check_int(in->copy.destination.at.column, 0);
}

TEST(dockerfile, a_bad_trigger_is_refused_at_its_from)
{
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        {"FROM x", "FROM isn't allowed as an ONBUILD trigger"},
        {"MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"},
        {"ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"},
        {"RUN x\nRUN y", "onbuild trigger should be a single expression"},
        {"", "onbuild trigger should be a single expression"},
        {"RNU x", "dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"},
        {"COPY <<E /x", "unterminated heredoc"},
    };
    auto_dockerfile struct dockerfile *df = parse("\nFROM a\n");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct instruction *in = NULL;
        struct error err = {0};

        check_fails(dockerfile_parse_trigger(df, df->stages[0].from, cases[i].text, &in, &err),
                    EINVAL);
        check_text(err.text, cases[i].sentence);
        check_true(text_starts(err.detail, "Dockerfile:2\n"));
    }
}

/* Hostile input: what is long is refused or read once. */
TEST(dockerfile, a_line_of_ten_megabytes_is_refused_at_once)
{
    auto_free char *text = mem_alloc(10 << 20);

    memset(text, 'x', 10 << 20);
    memcpy(text, "FROM a\nRUN ", 11);
    refuse_sized(text, 10 << 20, E2BIG, "dockerfile line greater than max allowed size of 65535");
}

TEST(dockerfile, an_instruction_longer_than_the_limit_is_refused)
{
    auto_str struct str text = {0};
    auto_dockerfile struct dockerfile *df = NULL;

    str_add(&text, "FROM a\nRUN ");
    while (text.size < LIMIT_INSTRUCTION_SIZE)
        str_add(&text, "x \\\n");
    df = parse(str_text(&text));
    check_int(df->stages[0].body.count, 1);
    while (text.size < 10 << 20)
        str_add(&text, "x \\\n");
    refuse_sized(text.data, text.size, E2BIG,
                 "the instruction of line 2 is longer than 1048576 bytes");
}

TEST(dockerfile, more_instructions_than_the_limit_are_refused)
{
    auto_str struct str text = {0};

    str_add(&text, "FROM a\n");
    for (unsigned i = 0; i < LIMIT_DOCKERFILE_STEPS; i++)
        str_add(&text, "RUN\n");
    refuse_sized(text.data, text.size, E2BIG, "the Dockerfile has more than 200000 instructions");
}

TEST(dockerfile, a_hundred_thousand_instructions_are_read_once)
{
    auto_str struct str text = {0};
    auto_dockerfile struct dockerfile *df = NULL;

    str_add(&text, "FROM a AS s0\n");
    for (int i = 1; i < 50000; i++)
        str_addf(&text, "ENV a%d=\"$a%d\"\nFROM s%d AS s%d\n", i, i - 1, i - 1, i);
    df = parse(str_text(&text));
    check_int(df->stage_count, 50000);
    for (int i = 0; i < 50000; i++) {
        auto_free char *name = str_format("s%d", i);

        check_int(dockerfile_find_stage(df, name, df->stage_count), i);
    }
}

TEST(dockerfile, an_excerpt_of_a_huge_instruction_stays_small)
{
    auto_str struct str text = {0};
    struct dockerfile *df = NULL;
    struct error err = {0};

    str_add(&text, "FROM a\nENV ");
    for (int i = 0; i < 5000; i++)
        str_add(&text, "a=\x1b[31m0123456789012345678901234567890123456789 \\\n");
    str_add(&text, " b\n");
    check_fails(dockerfile_parse(text.data, text.size, NULL, &df, &err), EINVAL);
    check_true(strlen(err.detail) < sizeof(err.detail) - 1);
    check_contains(err.detail, "\n--------------------\n");
    check_true(text_ends(err.detail, "--------------------\n"));
    check_true(strchr(err.detail, '\x1b') == NULL);
    check_contains(err.detail, ">>>  b\n");
}
