/* test_instruction.c - claims about every instruction and flag (the Dockerfile
 * reference section of the same name), parsed and expanded.
 */
#include "tests/unit/dockerfile/language.h"

static struct dockerfile *body(const char *text)
{
    auto_free char *whole = str_format("FROM scratch\n%s\n", text);

    return parse(whole);
}

/* `sentence` without the "dockerfile parse error on line 2: " in front. */
static void refuse_body(const char *text, const char *sentence)
{
    auto_free char *whole = str_format("FROM scratch\n%s\n", text);
    auto_free char *full = str_format("dockerfile parse error on line 2: %s", sentence);

    refuse(whole, full);
}

static void refuse_plainly(const char *text, const char *sentence)
{
    auto_free char *whole = str_format("FROM scratch\n%s\n", text);

    refuse(whole, sentence);
}

/* FROM */
TEST(instruction, from_takes_one_or_three_words)
{
    auto_dockerfile struct dockerfile *df =
        parse("FROM --platform=$BUILDPLATFORM a:1@sha256:x as b_1.2-c\n");
    const struct from *from = &df->stages[0].from->from;

    check_text(from->image.text, "a:1@sha256:x");
    check_text(from->name.text, "b_1.2-c");
    check_text(from->platform.text, "$BUILDPLATFORM");
    check_int(from->image.at.column, 32);
    refuse("FROM\n", "dockerfile parse error on line 1: FROM requires either one or three "
                     "arguments");
    refuse("FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three "
                         "arguments");
    refuse("FROM a is b\n", "dockerfile parse error on line 1: FROM requires either one or three "
                            "arguments");
    refuse("FROM a AS 1b\n",
           "dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't "
           "start with a number or contain symbols");
    refuse("FROM a AS b/c\n",
           "dockerfile parse error on line 1: invalid name for build stage: \"b/c\", name can't "
           "start with a number or contain symbols");
}

TEST(instruction, from_is_expanded_and_may_not_become_blank)
{
    auto_dockerfile struct dockerfile *df = parse("FROM --platform=$P ${I:-x}:1\n");
    auto_dockerfile struct dockerfile *blank = parse("FROM ${X}\n");
    auto_dockerfile struct dockerfile *flag = parse("FROM --platform=$X a\n");
    auto_variables struct variables v = variables_of("P=linux/arm64");
    struct expand_env env = variables_env(&v);
    auto_instruction struct instruction *out = NULL;
    struct error err = {0};

    check_ok(instruction_expand(df, df->stages[0].from, &env, NULL, &out, &err));
    check_text(out->from.image.text, "x:1");
    check_text(out->from.platform.text, "linux/arm64");
    check_fails(instruction_expand(blank, blank->stages[0].from, &env, NULL, &out, &err), EINVAL);
    check_text(err.text, "base name (${X}) should not be blank");
    check_fails(instruction_expand(flag, flag->stages[0].from, &env, NULL, &out, &err), EINVAL);
    check_text(err.text, "empty platform value from expression $X");
}

TEST(instruction, the_after_flag_of_buildah_is_refused_with_a_hint)
{
    struct dockerfile *df = NULL;
    struct error err = {0};

    check_fails(dockerfile_parse("FROM --after=x a", 16, NULL, &df, &err), EINVAL);
    check_text(err.text, "dockerfile parse error on line 1: unknown flag: --after");
    check_true(err.hint[0] != '\0');
}

/* ARG, ENV, LABEL */
TEST(instruction, arg_declares_names_with_or_without_defaults)
{
    auto_dockerfile struct dockerfile *df = body("ARG a b= c=\"x y\" d='z'");

    check_pairs(&at(df, 0)->pairs, "a|b=|c=\"x y\"|d='z'");
    refuse_body("ARG", "ARG requires at least one argument");
    refuse_body("ARG =x", "ARG names can not be blank");
}

TEST(instruction, env_splits_at_blanks_outside_quotes)
{
    auto_dockerfile struct dockerfile *df = body("ENV a=b c=\"d e\" f=g\\ h i='j \\ k' l=m\\\\");

    check_pairs(&at(df, 0)->pairs, "a=b|c=\"d e\"|f=g\\ h|i='j \\ k'|l=m\\\\");
}

/* The example of the reference: all values of a line see the environment before it. */
TEST(instruction, env_expands_names_and_values_in_the_old_environment)
{
    auto_instruction struct instruction *in =
        expanded("ENV abc=bye def=$abc $n=\"q $abc\"", "abc=hello n=xyz");

    check_pairs(&in->pairs, "abc=bye|def=hello|xyz=q hello");
    refuse_expansion("ENV a=1 $none=2", "", "ENV names can not be blank");
}

TEST(instruction, the_legacy_form_takes_the_rest_of_the_line)
{
    auto_dockerfile struct dockerfile *df = body("ENV one two= three \"four\"\nLABEL a b c");

    check_pairs(&at(df, 0)->pairs, "one=two= three \"four\"");
    check_true(at(df, 0)->is_legacy_pair);
    check_pairs(&at(df, 1)->pairs, "a=b c");
    refuse_plainly("ENV a", "ENV must have two arguments");
    refuse_plainly("LABEL a", "LABEL must have two arguments");
    refuse_body("ENV", "ENV requires at least one argument");
    refuse_body("ENV =a", "ENV names can not be blank");
    refuse_plainly("ENV a=b c d=e",
                   "Syntax error - can't find = in \"c\". Must be of the form: name=value");
}

TEST(instruction, label_takes_quoted_names_and_dots)
{
    auto_instruction struct instruction *in =
        expanded("LABEL com.example.x=\"a b\" \"q r\"=$v", "v=1");

    check_pairs(&in->pairs, "com.example.x=a b|q r=1");
}

/* RUN, CMD, ENTRYPOINT, SHELL */
TEST(instruction, commands_have_a_shell_form_and_an_exec_form)
{
    auto_dockerfile struct dockerfile *df = body("RUN a  \"b\" | c\n"
                                                 "CMD [ \"a\", \"b c\\n\\u00e4\" ]\n"
                                                 "ENTRYPOINT [ -f /x ] && y\n"
                                                 "CMD ['a']\n"
                                                 "CMD [\"a\"] b\n"
                                                 "ENTRYPOINT []\n"
                                                 "CMD");

    check_false(at(df, 0)->run.command.is_exec);
    check_strv(&at(df, 0)->run.command.words, "a  \"b\" | c");
    check_true(at(df, 1)->command.is_exec);
    check_strv(&at(df, 1)->command.words, "a|b c\n\xC3\xA4");
    check_false(at(df, 2)->command.is_exec);
    check_strv(&at(df, 2)->command.words, "[ -f /x ] && y");
    check_false(at(df, 3)->command.is_exec);
    check_false(at(df, 4)->command.is_exec);
    check_true(at(df, 5)->command.is_exec);
    check_int(at(df, 5)->command.words.count, 0);
    check_false(at(df, 6)->command.is_exec);
    check_int(at(df, 6)->command.words.count, 0);
}

TEST(instruction, an_array_of_anything_but_strings_is_refused)
{
    static const char sentence[] =
        "when using JSON array syntax, arrays must be comprised of strings only";

    refuse_plainly("RUN [\"a\", 1]", sentence);
    refuse_plainly("CMD [[\"a\"]]", sentence);
    refuse_plainly("COPY [null, \"b\"]", sentence);
    refuse_plainly("VOLUME [true]", sentence);
    refuse_plainly("HEALTHCHECK CMD [{}]", sentence);
    refuse_plainly("SHELL [1]", sentence);
    refuse_plainly("ENTRYPOINT [false]", sentence);
}

TEST(instruction, shell_takes_the_json_form_alone)
{
    auto_dockerfile struct dockerfile *df = body("SHELL [\"/bin/bash\", \"-c\"]");

    check_strv(&at(df, 0)->command.words, "/bin/bash|-c");
    refuse_body("SHELL /bin/bash -c", "SHELL requires the arguments to be in JSON form");
    refuse_body("SHELL []", "SHELL requires at least one argument");
    refuse_body("SHELL", "SHELL requires at least one argument");
}

TEST(instruction, commands_are_not_expanded)
{
    auto_instruction struct instruction *run = expanded("RUN echo $a '", "a=1");
    auto_instruction struct instruction *cmd = expanded("CMD [\"$a\"]", "a=1");

    check_strv(&run->run.command.words, "echo $a '");
    check_strv(&cmd->command.words, "$a");
}

TEST(instruction, run_knows_its_networks_and_security_modes)
{
    auto_dockerfile struct dockerfile *df = body("RUN --network=none --security=insecure x\n"
                                                 "RUN --network=\"host\" x\n"
                                                 "RUN x --network=none");

    check_int(at(df, 0)->run.network, RUN_NETWORK_NONE);
    check_int(at(df, 0)->run.security, RUN_SECURITY_INSECURE);
    check_int(at(df, 1)->run.network, RUN_NETWORK_HOST);
    check_int(at(df, 2)->run.network, RUN_NETWORK_DEFAULT);
    check_strv(&at(df, 2)->run.command.words, "x --network=none");
    refuse_body("RUN --network=x y", "invalid network mode \"x\"");
    refuse_body("RUN --network=hots y", "invalid network mode \"hots\" (did you mean host?)");
    refuse_body("RUN --network= y", "invalid network mode \"\"");
    refuse_body("RUN --security=off y", "invalid security mode \"off\"");
}

TEST(instruction, run_takes_devices_by_name)
{
    auto_dockerfile struct dockerfile *df = body("RUN --device=a/b=c,required --device=name=v/c x");

    check_int(at(df, 0)->run.device_count, 2);
    check_text(at(df, 0)->run.devices[0].name, "a/b=c");
    check_true(at(df, 0)->run.devices[0].is_required);
    check_text(at(df, 0)->run.devices[1].name, "v/c");
    check_false(at(df, 0)->run.devices[1].is_required);
    refuse_body("RUN --device=required x", "--device names no device");
    refuse_body("RUN --device=a,b x", "unexpected field 'b' in the value of --device");
}

/* Flags in general */
TEST(instruction, flags_end_at_the_first_word_that_is_none)
{
    auto_dockerfile struct dockerfile *df = body("COPY -- --link /x\n"
                                                 "COPY --link --chown=\"a b\":c x\\ y z\n"
                                                 "COPY --chown=a\\ b\\\" c d");

    check_words(&at(df, 0)->copy.sources, "--link");
    check_int(at(df, 1)->copy.link, TOGGLE_ON);
    check_text(at(df, 1)->copy.chown.text, "\"a b\":c");
    check_words(&at(df, 1)->copy.sources, "x\\|y");
    check_text(at(df, 2)->copy.chown.text, "a\\ b\\\"");
    check_words(&at(df, 2)->copy.sources, "c");
}

TEST(instruction, flags_are_known_by_their_instruction)
{
    refuse_body("COPY --chwon=a b c", "unknown flag: --chwon (did you mean chown?)");
    refuse_body("COPY --checksum=a b c", "unknown flag: --checksum");
    refuse_body("ADD --from=a b c", "unknown flag: --from");
    refuse_body("ENV --x a=b", "unknown flag: --x");
    refuse_body("STOPSIGNAL --x 9", "unknown flag: --x");
    refuse_body("ARG --x a", "unknown flag: --x");
    refuse_body("COPY --from=a --from=b c d", "duplicate flag specified: --from");
    refuse_body("COPY --chown a b", "missing a value on flag: --chown");
    refuse_body("COPY --link= a b", "missing a value on flag: --link");
    refuse_body("COPY --link=x a b", "expecting boolean value for flag --link, not: x");
    refuse_plainly("COPY --chown=\"a b c",
                   "unexpected end of statement while looking for the quote that ends a flag");
}

/* COPY, ADD */
TEST(instruction, copy_takes_sources_and_a_destination)
{
    auto_dockerfile struct dockerfile *df = body("COPY a b/* c/\n"
                                                 "COPY [\"a b\", \"c d\"]\n"
                                                 "ADD https://x/y.tgz /z");

    check_words(&at(df, 0)->copy.sources, "a|b/*");
    check_text(at(df, 0)->copy.destination.text, "c/");
    check_int(at(df, 0)->copy.sources.items[1].at.line, 2);
    check_int(at(df, 0)->copy.sources.items[1].at.column, 8);
    check_words(&at(df, 1)->copy.sources, "a b");
    check_words(&at(df, 2)->copy.sources, "https://x/y.tgz");
    refuse_body("COPY a", "COPY requires at least two arguments, but only one was provided. "
                          "Destination could not be determined");
    refuse_body("ADD [\"a\"]", "ADD requires at least two arguments, but only one was provided. "
                               "Destination could not be determined");
}

TEST(instruction, copy_flags_are_read)
{
    auto_dockerfile struct dockerfile *df =
        body("COPY --from=\"build\" --chmod=u+x --link=false --parents --exclude=*.o "
             "--exclude='b c' a b\n"
             "ADD --checksum=sha256:1 --keep-git-dir=true --unpack=FALSE --link a b\n"
             "COPY --from= --chown= --exclude= a b");
    const struct copy *copy = &at(df, 0)->copy;
    const struct copy *add = &at(df, 1)->copy;
    const struct copy *none = &at(df, 2)->copy;

    check_text(copy->from.text, "build");
    check_text(copy->chmod.text, "u+x");
    check_int(copy->link, TOGGLE_OFF);
    check_int(copy->parents, TOGGLE_ON);
    check_words(&copy->excludes, "*.o|'b c'");
    check_text(add->checksum.text, "sha256:1");
    check_int(add->keep_git_dir, TOGGLE_ON);
    check_int(add->unpack, TOGGLE_OFF);
    check_int(add->link, TOGGLE_ON);
    check_text(none->from.text, NULL);
    check_text(none->chown.text, NULL);
    check_int(none->link, TOGGLE_UNSET);
    check_int(none->unpack, TOGGLE_UNSET);
    check_int(none->excludes.count, 0);
}

TEST(instruction, copy_is_expanded_in_words_and_flags_but_not_in_from)
{
    auto_instruction struct instruction *in =
        expanded("COPY --chown=$u:g --chmod=${m:-644} --exclude=\"$u *\" $u/\\$x 'q'r /$u", "u=me");

    check_text(in->copy.chown.text, "me:g");
    check_text(in->copy.chmod.text, "644");
    check_words(&in->copy.excludes, "me *");
    check_words(&in->copy.sources, "me/$x|qr");
    check_text(in->copy.destination.text, "/me");
    refuse_plainly("COPY --from=$a b c",
                   "variable expansion is not supported for --from, define a new stage with FROM "
                   "using ARG from global scope as a workaround");
}

TEST(instruction, an_error_of_expansion_points_at_its_word)
{
    auto_dockerfile struct dockerfile *df = body("COPY a ${b c");
    struct instruction *out = NULL;
    struct error err = {0};

    check_fails(instruction_expand(df, at(df, 0), NULL, NULL, &out, &err), EINVAL);
    check_text(err.text, "failed to process \"${b\": syntax error: missing '}'");
    check_contains(err.detail, "   2 | >>> COPY a ${b c\n"
                               "     |            ^\n");
}

/* EXPOSE, VOLUME */
TEST(instruction, expose_gives_sorted_ports_with_protocols)
{
    auto_instruction struct instruction *in =
        expanded("EXPOSE 80/TCP 8000-8002/udp $p 443 80 7-7", "p=9/sctp");

    check_strv(&in->expose.ports, "7/tcp|9/sctp|80/tcp|443/tcp|8000/udp|8001/udp|8002/udp");
    check_words(&in->expose.specs, "9/sctp|443|7-7|80|80/TCP|8000-8002/udp");
    refuse_body("EXPOSE", "EXPOSE requires at least one argument");
}

TEST(instruction, expose_drops_addresses_and_host_ports)
{
    auto_instruction struct instruction *in =
        expanded("EXPOSE 127.0.0.1:8080:80 [::1]:1-2:3-4/udp 5-6:7 ::9", "");

    check_strv(&in->expose.ports, "3/udp|4/udp|7/tcp|9/tcp|80/tcp");
}

TEST(instruction, expose_refuses_what_is_no_port)
{
    refuse_expansion("EXPOSE 80/foo", "", "invalid proto: foo");
    refuse_expansion("EXPOSE 65536", "", "invalid containerPort: 65536");
    refuse_expansion("EXPOSE x", "", "invalid containerPort: x");
    refuse_expansion("EXPOSE 2-1", "", "invalid containerPort: 2-1");
    refuse_expansion("EXPOSE 1-2-3", "", "invalid containerPort: 1-2-3");
    refuse_expansion("EXPOSE /tcp", "", "no port specified: <empty>");
    refuse_expansion("EXPOSE a:80", "", "invalid hostPort: a");
    refuse_expansion("EXPOSE x:1:80", "", "invalid IP address: x");
    refuse_expansion("EXPOSE 1-2:3-5", "",
                     "invalid ranges specified for container and host Ports: 3-5 and 1-2");
}

TEST(instruction, volumes_are_words_or_an_array)
{
    auto_instruction struct instruction *plain = expanded("VOLUME /a $b", "b=/c");
    auto_instruction struct instruction *json = expanded("VOLUME [\"/a b\", \"/c\"]", "");

    check_words(&plain->volumes, "/a|/c");
    check_words(&json->volumes, "/a b|/c");
    refuse_body("VOLUME", "VOLUME requires at least one argument");
    refuse_body("VOLUME [\"\"]", "VOLUME specified can not be an empty string");
    refuse_expansion("VOLUME $none", "", "VOLUME specified can not be an empty string");
}

/* USER, WORKDIR, STOPSIGNAL, MAINTAINER */
TEST(instruction, single_values_are_the_rest_of_the_line)
{
    auto_instruction struct instruction *user = expanded("USER ${u:-me}:$g", "g=1");
    auto_instruction struct instruction *dir = expanded("WORKDIR /a b/\"$g\"", "g=1");
    auto_instruction struct instruction *author = expanded("MAINTAINER Me <$me> \"x\"", "me=1");

    check_text(user->value.text, "me:1");
    check_text(dir->value.text, "/a b/1");
    check_text(author->value.text, "Me <$me> \"x\"");
    refuse_body("USER", "USER requires exactly one argument");
    refuse_body("WORKDIR", "WORKDIR requires exactly one argument");
    refuse_body("STOPSIGNAL", "STOPSIGNAL requires exactly one argument");
    refuse_body("MAINTAINER", "MAINTAINER requires exactly one argument");
}

TEST(instruction, a_stop_signal_is_a_known_name_or_a_number)
{
    static const char *const good[] = {"9",          "SIGTERM",  "term",     "sigquit", "RTMIN",
                                       "SIGRTMIN+3", "RTMAX-14", "SIGWINCH", "64",      "IOT"};
    static const char *const bad[] = {"0", "-1", "TERMINATE", "9x", "SIG", "RTMIN-1", "RTMIN+16"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        auto_free char *text = str_format("STOPSIGNAL %s", good[i]);
        auto_instruction struct instruction *in = expanded(text, "");

        check_text(in->value.text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        auto_free char *text = str_format("STOPSIGNAL %s", bad[i]);
        auto_free char *sentence = str_format("invalid signal: %s", bad[i]);

        refuse_expansion(text, "", sentence);
    }
}

/* HEALTHCHECK */
TEST(instruction, healthcheck_takes_a_command_with_durations)
{
    auto_dockerfile struct dockerfile *df =
        body("HEALTHCHECK --interval=5m --timeout=1m30s --start-period=1.5s "
             "--start-interval=100ms --retries=3 cmd curl -f x || exit 1\n"
             "HEALTHCHECK CMD [\"a\", \"b\"]\n"
             "HEALTHCHECK none\n"
             "HEALTHCHECK --interval=0 --retries=0 CMD x\n"
             "HEALTHCHECK --interval=1ms CMD x");
    const struct healthcheck *full = &at(df, 0)->health;

    check_int(full->interval_ns, INT64_C(300000000000));
    check_int(full->timeout_ns, INT64_C(90000000000));
    check_int(full->start_period_ns, 1500000000);
    check_int(full->start_interval_ns, 100000000);
    check_int(full->retries, 3);
    check_false(full->command.is_exec);
    check_strv(&full->command.words, "curl -f x || exit 1");
    check_true(at(df, 1)->health.command.is_exec);
    check_strv(&at(df, 1)->health.command.words, "a|b");
    check_true(at(df, 2)->health.is_none);
    check_int(at(df, 3)->health.interval_ns, 0);
    check_int(at(df, 4)->health.interval_ns, 1000000);
}

TEST(instruction, healthcheck_refuses_what_it_does_not_know)
{
    refuse_body("HEALTHCHECK", "HEALTHCHECK requires at least one argument");
    refuse_body("HEALTHCHECK curl x", "Unknown type \"CURL\" in HEALTHCHECK (try CMD)");
    refuse_body("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    refuse_body("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD");
    refuse_body("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
    refuse_body("HEALTHCHECK --interval=1us CMD x",
                "Interval \"interval\" cannot be less than 1ms");
    refuse_body("HEALTHCHECK --timeout=-1s CMD x", "Interval \"timeout\" cannot be less than 1ms");
    refuse_body("HEALTHCHECK --timeout=5 CMD x", "time: missing unit in duration \"5\"");
    refuse_body("HEALTHCHECK --timeout=5y CMD x", "time: unknown unit \"y\" in duration \"5y\"");
    refuse_body("HEALTHCHECK --timeout=abc CMD x", "time: invalid duration \"abc\"");
    refuse_body("HEALTHCHECK --timeout=1.2.3s CMD x", "time: invalid duration \"1.2.3s\"");
    refuse_body("HEALTHCHECK --timeout=9999999999h CMD x",
                "time: invalid duration \"9999999999h\"");
    refuse_body("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)");
    refuse_body("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax");
    refuse_body("HEALTHCHECK --retires=1 CMD x", "unknown flag: --retires (did you mean retries?)");
}

/* ONBUILD */
TEST(instruction, onbuild_keeps_the_text_and_the_instruction)
{
    auto_dockerfile struct dockerfile *df = body("onbuild  copy --from=a  <<E x /y\nt\nE\n"
                                                 "RUN z");
    const struct onbuild *onbuild = &at(df, 0)->onbuild;

    check_text(onbuild->expression, "copy --from=a  <<E x /y\nt\nE");
    check_int(onbuild->trigger->kind, INSTRUCTION_COPY);
    check_text(onbuild->trigger->copy.from.text, "a");
    check_text(onbuild->trigger->copy.contents[0].data, "t\n");
    check_int(at(df, 0)->line_last, 4);
    check_text(at(df, 1)->text, "RUN z");
    refuse_body("ONBUILD", "ONBUILD requires at least one argument");
    refuse_body("ONBUILD onbuild RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    refuse_body("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger");
    refuse_body("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger");
    refuse_body("ONBUILD CPOY a b", "unknown instruction: CPOY (did you mean COPY?)");
}

TEST(instruction, what_an_instruction_refers_to_is_listed)
{
    auto_dockerfile struct dockerfile *df =
        body("RUN --mount=from=a,target=/x --mount=type=cache,target=/y "
             "--mount=type=cache,from=b,target=/z c\n"
             "COPY --from=c x y\nCOPY x y\nONBUILD COPY --from=d x y");
    struct instruction_ref refs[2];

    check_int(instruction_refs(at(df, 0), refs, 2), 2);
    check_text(refs[0].name, "a");
    check_text(refs[1].name, "b");
    check_true(refs[1].mount == &at(df, 0)->run.mounts.items[2]);
    check_int(instruction_refs(at(df, 0), NULL, 0), 2);
    check_int(instruction_refs(at(df, 1), refs, 2), 1);
    check_text(refs[0].name, "c");
    check_int(refs[0].at.column, 13);
    check_int(instruction_refs(at(df, 2), refs, 2), 0);
    check_int(instruction_refs(at(df, 3), refs, 2), 0);
}

TEST(instruction, a_copy_is_independent_of_its_original)
{
    auto_free char *text = mem_strdup("FROM a AS b\n"
                                      "RUN --mount=target=/x --device=d <<E cat\nt\nE\n"
                                      "ADD --exclude=x a <<E b\nt\nE\n"
                                      "ENV a=b\nHEALTHCHECK CMD x\nEXPOSE 1\nVOLUME /a\nUSER x\n"
                                      "ONBUILD RUN x\nSHELL [\"a\"]\n");
    struct dockerfile *df = parse(text);
    struct instruction *copies[10];
    size_t count = df->stages[0].body.count;

    for (size_t i = 0; i < count; i++)
        copies[i] = instruction_copy(at(df, i));
    dockerfile_free(df);
    check_text(copies[0]->run.mounts.items[0].target, "/x");
    check_text(copies[0]->heredocs.items[0].content, "t\n");
    check_text(copies[1]->copy.contents[0].name, "E");
    check_text(copies[7]->onbuild.trigger->text, "RUN x");
    for (size_t i = 0; i < count; i++)
        instruction_free(copies[i]);
}
