/* test_check.c - claims of the Dockerfile reference, "Build checks": each rule fires with its
 * message, and does not fire where it should not.
 */
#include "builder/dockerfile/check.h"
#include "builder/dockerfile/ignore.h"
#include "tests/unit/dockerfile/language.h"

/* "Rule (line 2): message" per finding, in order of the lines. */
static char *findings(struct checks *checks)
{
    struct str out = {0};

    checks_sort(checks);
    str_add(&out, "");
    for (size_t i = 0; i < checks->count; i++)
        str_addf(&out, "%s (line %u): %s\n", check_rule_name(checks->items[i].rule),
                 checks->items[i].line_first, checks->items[i].text);
    return str_take(&out);
}

static void check_with(const char *text, const char *args, const char *expected)
{
    auto_dockerfile struct dockerfile *df = parse(text);
    auto_variables struct variables v = variables_of(args);
    auto_checks struct checks checks = {0};
    auto_free char *found = NULL;

    dockerfile_check(df, &v, &checks);
    found = findings(&checks);
    check_text(found, expected);
}

static void check_finds(const char *text, const char *expected)
{
    check_with(text, "TARGETPLATFORM=linux/amd64 BUILDPLATFORM=linux/amd64", expected);
}

TEST(check, a_clean_file_has_no_findings)
{
    check_finds("# syntax=docker/dockerfile:1\n"
                "ARG TAG=12\n"
                "FROM --platform=$BUILDPLATFORM debian:$TAG AS build\n"
                "ARG TAG\n"
                "ENV PATH=/x:$PATH KEY_FILE=/k PUBLIC_KEY=a\n"
                "WORKDIR /src\n"
                "WORKDIR sub\n"
                "COPY . .\n"
                "RUN make \\\n"
                "  # comment\n"
                "  install\n"
                "FROM scratch\n"
                "COPY --from=build /a /a\n"
                "EXPOSE 80/tcp\n"
                "HEALTHCHECK CMD x\n"
                "ENTRYPOINT [\"/a\"]\n"
                "CMD [\"b\"]\n",
                "");
}

TEST(check, stage_names)
{
    check_finds(
        "FROM a AS Build\nFROM b AS build\nFROM c AS scratch\nFROM d AS context\n",
        "StageNameCasing (line 1): Stage name 'Build' should be lowercase\n"
        "DuplicateStageName (line 2): Duplicate stage name \"build\", stage names should be "
        "unique\n"
        "ReservedStageName (line 3): Stage name should not use the same name as reserved "
        "stage \"scratch\"\n"
        "ReservedStageName (line 4): Stage name should not use the same name as reserved "
        "stage \"context\"\n");
}

TEST(check, casing_of_as_follows_from)
{
    check_finds("FROM a as b\nFROM c AS d\n",
                "FromAsCasing (line 1): 'as' and 'FROM' keywords' casing do not match\n");
    check_finds("from a AS b\nfrom c as d\n",
                "FromAsCasing (line 1): 'AS' and 'from' keywords' casing do not match\n");
}

TEST(check, casing_of_instructions_follows_the_majority)
{
    check_finds("FROM a\nRUN x\nrun y\nRun z\n",
                "ConsistentInstructionCasing (line 3): Command 'run' should match the case of the "
                "command majority (uppercase)\n"
                "ConsistentInstructionCasing (line 4): Command 'Run' should match the case of the "
                "command majority (uppercase)\n");
    check_finds("from a\nrun x\nRUN y\n",
                "ConsistentInstructionCasing (line 3): Command 'RUN' should match the case of the "
                "command majority (lowercase)\n");
}

TEST(check, empty_continuation_lines)
{
    check_finds("FROM a\nRUN x \\\n\n  y\n",
                "NoEmptyContinuation (line 3): Empty continuation line\n");
}

TEST(check, shell_forms_of_cmd_and_entrypoint)
{
    check_finds("FROM a\nENTRYPOINT x\nCMD y\n",
                "JSONArgsRecommended (line 2): JSON arguments recommended for ENTRYPOINT to "
                "prevent unintended behavior related to OS signals\n"
                "JSONArgsRecommended (line 3): JSON arguments recommended for CMD to prevent "
                "unintended behavior related to OS signals\n");
    check_finds("FROM a AS b\nSHELL [\"/bin/bash\", \"-c\"]\nCMD y\nFROM b\nCMD z\n", "");
}

TEST(check, maintainer)
{
    check_finds("FROM a\nMAINTAINER me\n",
                "MaintainerDeprecated (line 2): Maintainer instruction is deprecated in favor of "
                "using label\n");
}

TEST(check, arguments_in_from)
{
    check_finds(
        "ARG VERSION=1\nFROM a:${VERSOIN:-2}\nFROM --platform=${X:-linux/arm64} b\n",
        "UndefinedArgInFrom (line 2): FROM argument 'VERSOIN' is not declared (did you mean "
        "VERSION?)\n"
        "UndefinedArgInFrom (line 3): FROM argument 'X' is not declared\n");
    check_finds("ARG a\nFROM x${a:-}\n", "");
}

TEST(check, defaults_of_arguments_in_from)
{
    check_with("ARG T\nFROM a:$T\n", "T=1",
               "InvalidDefaultArgInFrom (line 2): Default value for ARG a:$T results in empty or "
               "invalid base image name\n");
    check_with("ARG I\nFROM ${I}\n", "I=a",
               "InvalidDefaultArgInFrom (line 2): Default value for ARG ${I} results in empty or "
               "invalid base image name\n");
    check_with("ARG T=1\nFROM a:$T\n", "T=2", "");
    check_with("ARG TARGETARCH\nFROM $TARGETARCH\n", "TARGETARCH=amd64", "");
}

TEST(check, workdir_is_relative_before_any_other)
{
    check_finds("FROM a\nWORKDIR x\nWORKDIR y\n",
                "WorkdirRelativePath (line 2): Relative workdir \"x\" can have unexpected results "
                "if the base image changes\n");
    check_finds("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y\n", "");
    check_finds(
        "FROM a\nARG d=x\nENV e=$d/y\nWORKDIR $e\n",
        "WorkdirRelativePath (line 4): Relative workdir \"x/y\" can have unexpected results "
        "if the base image changes\n");
    check_finds("FROM a\nWORKDIR $FROM_THE_BASE\nWORKDIR x\n", "");
    check_finds("FROM a\nENV d=/x\nWORKDIR $d\n", "");
    check_with("FROM a\nARG d=/x\nWORKDIR $d\n", "d=y",
               "WorkdirRelativePath (line 3): Relative workdir \"y\" can have unexpected results "
               "if the base image changes\n");
}

TEST(check, instructions_of_which_the_last_counts)
{
    check_finds("FROM a\nCMD [\"x\"]\nHEALTHCHECK NONE\nCMD [\"y\"]\nENTRYPOINT [\"a\"]\n"
                "ENTRYPOINT [\"b\"]\nFROM c\nCMD [\"z\"]\n",
                "MultipleInstructionsDisallowed (line 2): Multiple CMD instructions should not be "
                "used in the same stage because only the last one will be used\n"
                "MultipleInstructionsDisallowed (line 5): Multiple ENTRYPOINT instructions should "
                "not be used in the same stage because only the last one will be used\n");
}

TEST(check, legacy_pairs)
{
    check_finds(
        "FROM a\nENV b c\nLABEL d e\n",
        "LegacyKeyValueFormat (line 2): \"ENV key=value\" should be used instead of legacy "
        "\"ENV key value\" format\n"
        "LegacyKeyValueFormat (line 3): \"LABEL key=value\" should be used instead of legacy "
        "\"LABEL key value\" format\n");
}

TEST(check, platforms_of_from)
{
    check_finds("FROM --platform=$TARGETPLATFORM a\n"
                "FROM --platform=${TARGETPLATFORM} a\n"
                "FROM --platform=linux/arm64 a\n"
                "FROM --platform=linux/arm64 a AS build-arm64\n"
                "FROM --platform=x86_64 a AS amd64\n",
                "RedundantTargetPlatform (line 1): Setting platform to predefined $TARGETPLATFORM "
                "in FROM is redundant as this is the default behavior\n"
                "RedundantTargetPlatform (line 2): Setting platform to predefined "
                "${TARGETPLATFORM} in FROM is redundant as this is the default behavior\n"
                "FromPlatformFlagConstDisallowed (line 3): FROM --platform flag should not use "
                "constant value \"linux/arm64\"\n");
}

TEST(check, names_that_tell_of_a_secret)
{
    check_finds("FROM a\nARG token db_Password=x passwordless\nENV API_KEY=a KEYBOARD=b\n"
                "ENV SECRET_VERSION=1\n",
                "SecretsUsedInArgOrEnv (line 2): Do not use ARG or ENV instructions for sensitive "
                "data (ARG \"db_Password\")\n"
                "SecretsUsedInArgOrEnv (line 2): Do not use ARG or ENV instructions for sensitive "
                "data (ARG \"token\")\n"
                "SecretsUsedInArgOrEnv (line 3): Do not use ARG or ENV instructions for sensitive "
                "data (ENV \"API_KEY\")\n");
}

TEST(check, ports_of_expose)
{
    check_finds(
        "FROM a\nEXPOSE 80/TCP 127.0.0.1:81:82 1:2 3 $p/UDP\n",
        "ExposeProtoCasing (line 2): Defined protocol '80/TCP' in EXPOSE instruction should "
        "be lowercase\n"
        "ExposeInvalidFormat (line 2): EXPOSE instruction should not define an IP address "
        "or host-port mapping, found '127.0.0.1:81:82'\n"
        "ExposeInvalidFormat (line 2): EXPOSE instruction should not define an IP address "
        "or host-port mapping, found '1:2'\n");
}

TEST(check, descriptions_are_checked_when_asked_for)
{
    static const char file[] = "# check=experimental=InvalidDefinitionDescription\n"
                               "# foo\n"
                               "ARG bar\n"
                               "# bar is fine\n"
                               "ARG bar=1 baz\n"
                               "# other\n"
                               "ARG bar baz\n"
                               "# x\n"
                               "FROM a AS base\n"
                               "# comment\n"
                               "\n"
                               "ARG apart\n";

    check_finds(file,
                "InvalidDefinitionDescription (line 3): Comment for ARG should follow the format: "
                "`# bar <description>`\n"
                "InvalidDefinitionDescription (line 7): Comment for ARG should follow the format: "
                "`# <arg_key> <description>`\n"
                "InvalidDefinitionDescription (line 9): Comment for FROM should follow the format: "
                "`# base <description>`\n");
    check_finds(strchr(file, '\n') + 1, "");
}

TEST(check, rules_are_skipped_for_the_file_or_for_one_instruction)
{
    check_finds("# check=skip=MaintainerDeprecated, FromAsCasing\nFROM a as b\nMAINTAINER x\n"
                "ENV c d\n",
                "LegacyKeyValueFormat (line 4): \"ENV key=value\" should be used instead of legacy "
                "\"ENV key value\" format\n");
    check_finds("# check=skip=all\nFROM a as b\nMAINTAINER x\n", "");
    check_finds("FROM a\n# check=skip=LegacyKeyValueFormat\n# why\nENV c d\nENV e f\n",
                "LegacyKeyValueFormat (line 5): \"ENV key=value\" should be used instead of legacy "
                "\"ENV key value\" format\n");
    check_finds("FROM a\n# check the next line\nENV c=d\n", "");
}

TEST(check, an_argument_overrides_the_directive)
{
    struct dockerfile_options options = {.check = "error=true"};
    struct dockerfile *df = NULL;
    auto_checks struct checks checks = {0};
    const char *text = "# check=skip=all\nFROM a as b\nMAINTAINER x\nMAINTAINER y\n";
    struct error err = {0};

    check_ok(dockerfile_parse(text, strlen(text), &options, &df, &err));
    dockerfile_check(df, NULL, &checks);
    check_int(checks.count, 3);
    check_fails(checks_verdict(&checks, &err), EINVAL);
    check_text(err.text, "lint violation found for rules: FromAsCasing, MaintainerDeprecated");
    dockerfile_free(df);
}

TEST(check, findings_are_no_error_unless_asked_for)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a as b\n");
    auto_dockerfile struct dockerfile *clean = parse("# check=error=true\nFROM a\n");
    auto_checks struct checks checks = {0};
    auto_checks struct checks none = {0};

    dockerfile_check(df, NULL, &checks);
    check_ok(checks_verdict(&checks, &test_err));
    dockerfile_check(clean, NULL, &none);
    check_ok(checks_verdict(&none, &test_err));
}

TEST(check, undefined_variables_are_found_after_expansion)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a\nCOPY $foo $bar $PATHS ${def:-x} /\n");
    auto_variables struct variables v = variables_of("PATH=/x food=1");
    struct expand_env env = variables_env(&v);
    auto_expand_use struct expand_use use = {0};
    auto_instruction struct instruction *out = NULL;
    auto_checks struct checks checks = {0};
    auto_free char *found = NULL;

    variables_set(&v, "bar", NULL);
    check_ok(instruction_expand(df, at(df, 0), &env, &use, &out, &test_err));
    check_undefined(&checks, at(df, 0), &use, &v);
    check_undefined(&checks, at(df, 0), &use, &v);
    found = findings(&checks);
    check_text(found, "UndefinedVar (line 2): Usage of undefined variable '$PATHS' (did you mean "
                      "$PATH?)\n"
                      "UndefinedVar (line 2): Usage of undefined variable '$def'\n"
                      "UndefinedVar (line 2): Usage of undefined variable '$foo' (did you mean "
                      "$food?)\n");
}

/* Docker's Dockerfile reference, "Understand how ARG and FROM interact": an ARG before FROM need
 * not have a default, and a stage may ask for it all the same. */
TEST(check, an_argument_without_a_value_is_empty_in_a_stage)
{
    check_finds("ARG VERSION\nFROM a\nARG VERSION\nWORKDIR /$VERSION\nRUN make $VERSION\n", "");
    check_finds("ARG VERSION=$OTHER\nFROM a\nARG VERSION\nWORKDIR /$VERSION\n", "");
}

TEST(check, a_base_of_another_platform)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a\n");
    auto_checks struct checks checks = {0};
    auto_free char *found = NULL;

    check_base_platform(&checks, df->stages[0].from, "a", "linux/arm64", "linux/amd64");
    found = findings(&checks);
    check_text(found, "InvalidBaseImagePlatform (line 1): Base image a was pulled with platform "
                      "\"linux/arm64\", expected \"linux/amd64\" for current build\n");
}

static void check_ignored(const char *rules, const char *line, const char *expected)
{
    auto_instruction struct instruction *in = expanded(line, "");
    auto_ignore struct ignore *ignore = NULL;
    auto_checks struct checks checks = {0};
    auto_free char *found = NULL;

    check_ok(ignore_parse(rules, strlen(rules), ".dockerignore", &ignore, &test_err));
    check_copy_ignored(&checks, in, ignore);
    found = findings(&checks);
    check_text(found, expected);
}

TEST(check, copies_of_ignored_files)
{
    check_ignored("a\n", "COPY a /a/b c /x/",
                  "CopyIgnoredFile (line 2): Attempting to Copy file \"/a/b\" that is excluded by "
                  ".dockerignore\n"
                  "CopyIgnoredFile (line 2): Attempting to Copy file \"a\" that is excluded by "
                  ".dockerignore\n");
    check_ignored("*\n", "ADD . /x",
                  "CopyIgnoredFile (line 2): Attempting to Add file \".\" that is excluded by "
                  ".dockerignore\n");
    check_ignored("a\n", "COPY . /x", "");
    check_ignored("*\n!b\n", "COPY a /x", "");
    check_ignored("*\n", "COPY --from=x a /x", "");
    check_ignored("*\n", "ADD https://x/a git@y:z.git /x/", "");
    check_ignored("*\n", "COPY <<E /x\nE", "");
}

TEST(check, the_report_shows_rule_message_and_excerpt)
{
    auto_dockerfile struct dockerfile *df = parse("FROM a as b\nMAINTAINER x\n");
    auto_checks struct checks checks = {0};
    auto_str struct str out = {0};

    dockerfile_check(df, NULL, &checks);
    checks_report(&checks, df, &out);
    check_text(str_text(&out), "\nWARNING: FromAsCasing - "
                               "https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n"
                               "'as' and 'FROM' keywords' casing do not match\n"
                               "Dockerfile:1\n"
                               "--------------------\n"
                               "   1 | >>> FROM a as b\n"
                               "   2 |     MAINTAINER x\n"
                               "   3 |     \n"
                               "--------------------\n"
                               "\n"
                               "WARNING: MaintainerDeprecated - "
                               "https://docs.docker.com/go/dockerfile/rule/"
                               "maintainer-deprecated/\n"
                               "Maintainer instruction is deprecated in favor of using label\n"
                               "Dockerfile:2\n"
                               "--------------------\n"
                               "   1 |     FROM a as b\n"
                               "   2 | >>> MAINTAINER x\n"
                               "   3 |     \n"
                               "--------------------\n");
}

/* The addresses of the reference's own pages: the name in words, an abbreviation is one word. */
TEST(check, each_rule_names_the_page_about_it)
{
    auto_free char *json = check_rule_url(CHECK_JSON_ARGS_RECOMMENDED);
    auto_free char *secrets = check_rule_url(CHECK_SECRETS_USED_IN_ARG_OR_ENV);

    check_text(json, "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/");
    check_text(secrets, "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/");
}

TEST(check, a_hundred_thousand_findings_are_reported_in_linear_time)
{
    auto_str struct str text = {0};
    auto_dockerfile struct dockerfile *df = NULL;
    auto_checks struct checks checks = {0};
    auto_str struct str out = {0};

    str_add(&text, "FROM a AS s0\n");
    for (int i = 1; i <= 50000; i++)
        str_addf(&text, "env a%d $b%d\nFROM s%d AS s%d\n", i, i, i - 1, i);
    df = parse(str_text(&text));
    dockerfile_check(df, NULL, &checks);
    checks_report(&checks, df, &out);
    check_true(checks.count >= 100000);
}

TEST(check, every_rule_has_a_name_of_its_own)
{
    for (int i = 0; i < CHECK_RULES; i++) {
        check_true(check_rule_description((enum check_rule)i)[0] != '\0');
        for (int j = 0; j < i; j++)
            check_false(text_equal(check_rule_name((enum check_rule)i),
                                   check_rule_name((enum check_rule)j)));
    }
}
