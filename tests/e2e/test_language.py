"""Mistakes and hostile Dockerfiles: one clear sentence, a suggestion where one is near,
linear time and bounded memory whatever the input (SECURITY R57). All end before anything runs.
"""
import os
import resource
import subprocess

from harness import IMG, Image, State, busybox, check, check_equal, check_in, main, make_context

MEMORY = 1 << 30  # bytes of address space: what a quadratic copy of any of these would not fit into


def limited(state, *words):
    """Runs img with little memory; gives exit code and standard error."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    done = subprocess.run([IMG, *words], env=state.env, stdin=subprocess.DEVNULL,
                          capture_output=True, preexec_fn=limit)
    return done.returncode, done.stderr.decode(errors="replace"), done.stdout.decode()


def refused(text, sentence, files=None):
    code, err, _ = limited(State(), "build", "--dry-run", make_context(text, files or {}))
    check_equal(code, 1)
    check_equal(err.count("img: "), 1)
    check_in(sentence, err)


def test_a_missing_source_is_suggested_or_known_to_be_ignored():
    s = State()
    text = "FROM scratch\nCOPY src/mian.c /\n"
    check_in("hint: did you mean 'src/main.c'?", s.build(text, context={"src/main.c": ""}).err)
    result = s.build("FROM scratch\nCOPY secret /\n",
                     context={"secret": "", ".dockerignore": "sec*\n"})
    check_in('"/secret": not found', result.err)
    check_in("hint: it is there, but '.dockerignore' leaves it out", result.err)
    check("hint" not in s.build("FROM scratch\nCOPY nothing-like-it /\n", context={"a": ""}).err, "")


def test_copy_of_an_address_is_refused_where_add_fetches_it():
    for source, what in (("http://h/x.tar", "URL"), ("https://h/x.git", "git ref"),
                         ("git@h:x.git", "git ref")):
        refused(f"FROM scratch\nCOPY {source} /\n", f"source can't be a {what} for COPY")


def test_a_mistyped_stage_or_base_is_suggested():
    s = State()
    text = "FROM scratch AS build\nCOPY f /\nFROM scratch\nCOPY --from=biuld /f /\n"
    check_in("(did you mean build?)", s.build(text, "--pull=never", context={"f": ""}).err)
    err = s.build("FROM debain:12\n", "--pull=never").err
    check_in("image 'docker.io/library/debain:12' is not in the store (did you mean debian?)", err)
    check_in("1 | >>> FROM debain:12\n     |          ^", err)


def test_the_caret_is_under_the_option_of_a_mount_that_is_wrong():
    for text, excerpt in (
            ("RUN --network=none --mount=type=cache,tagret=/x make",
             "2 | >>> RUN --network=none --mount=type=cache,tagret=/x make\n     |" + " " * 43 + "^\n"),
            ("RUN \\\n  --mount=type=cache,target=/x,sharing=lcoked make",
             "3 | >>>   --mount=type=cache,target=/x,sharing=lcoked make\n     |" + " " * 36 + "^\n")):
        refused(f"FROM scratch\n{text}\n", excerpt)


def pointed_at(result, line, under, sentence):
    """The excerpt's caret stands below the start of `under` in `line`."""
    check_equal(result.code, 1)
    check_in(sentence, result.err)
    check_in(f"{line}\n     |     {' ' * line.index(under)}^\n", result.err)


def test_the_caret_is_under_what_a_step_cannot_have():
    s = State()
    base = busybox()
    s.built(f"FROM {base}\n")
    for line, under, sentence, hint in (
            ("RUN --network=host true", "host", "RUN --network=host is not allowed",
             "allow it with --allow network.host"),
            ("RUN --security=insecure true", "insecure", "RUN --security=insecure is not allowed",
             "allow it with --allow security.insecure"),
            ("RUN --device=a.b/c,required true", "a.b", "is not supported", ""),
            ("RUN --mount=type=secret,id=t,required true", "id=t", "secret t: not found",
             "give it with --secret id=t,src=FILE"),
            ("RUN --mount=type=ssh,required true", "type=ssh", "ssh agent default: not found",
             "give it with --ssh default"),
            ("RUN --mount=target=/x,source=srcc/a true", "source", '"/srcc/a": not found',
             "did you mean 'src/a'?"),
            ("RUN --mount=target=/x,from=7 true", "from", "invalid stage index 7", ""),
            ("RUN --mount=target=/x,from=nobody-has true", "from", "nobody-has", ""),
            ("RUN --mount=type=cache,target=/x,from=nobody-has true", "from", "nobody-has", ""),
            ("COPY --from=nobody-has /a /b", "nobody-has", "nobody-has", ""),
            ("RUN --mount=type=cache target=/x true", "type=cache", 'invalid mount target "/"',
             "it names no target="),
            ('COPY "a b" /x/', '"a b', "matching double-quote", 'as an array: ["a b", "c"]'),
            ("ADD --keep-git-dir=true src /x/", "true", "keep-git-dir requires a git repository", ""),
            ("COPY src/a srcc/b /x/", "srcc/b", '"/srcc/b": not found', "did you mean 'src/b'?"),
            ("COPY --chown=nobody-is src /x/", "nobody-is", "unable to find user nobody-is", "")):
        result = s.build(f"FROM {base}\n{line}\n", "--pull=never",
                         context={"src/a": "", "src/b": ""})
        pointed_at(result, line, under, sentence)
        check_in(hint, result.err)


def test_an_array_that_is_no_json_is_pointed_out():
    s = State()
    base = busybox()
    for text in ("['echo', 'x']", '["echo", "x"', '["echo" "x"]'):
        result = s.build(f"FROM {base}\nRUN {text}\n")
        check_equal(result.code, 1)
        check_in("hint: the arguments look like an array and are none in JSON", result.err)
    for text in ('[ "a" = "b" ]', "false", '["false"]'):
        result = s.build(f"FROM {base}\nRUN {text}\n")
        check_equal(result.code, 1)
        check("none in JSON" not in result.err, result.err)


# FEATURES 1.1, "# syntax=": the standard frontends are accepted, and once said to be built in.
def test_a_standard_frontend_is_said_to_be_built_in_once_and_others_are_refused():
    s = State()
    note = "the frontend docker/dockerfile:1.7-labs is built in, nothing is fetched for it"
    text = "# syntax=docker/dockerfile:1.7-labs\nFROM scratch\nLABEL a=b\n"
    check_equal(s.built(text).err.count(note), 1)
    check_equal(s.built(text, "--platform", "linux/amd64,linux/arm64").err.count(note), 1)
    check("frontend" not in s.built("FROM scratch\nLABEL a=b\n").err, "nobody asked for one")
    check_in(note, s.built("FROM scratch\n", "--build-arg",
                           "BUILDKIT_SYNTAX=docker/dockerfile:1.7-labs").err)
    refused("# syntax=example.com/other:1\nFROM scratch\n",
            "the frontend 'example.com/other:1' cannot be used, only docker/dockerfile is built in")


def test_a_mount_without_a_target_is_on_the_working_directory():
    s = State()
    base = busybox()
    result = s.built(f"FROM {base}\nWORKDIR /w\nRUN --mount=type=tmpfs mount | grep ' /w '\n")
    check_in(" on /w type tmpfs", result.err)
    check_in('invalid mount target "/"', s.build(f"FROM {base}\nRUN --mount=type=tmpfs true\n").err)


# buildah, containers-build(1), "RUN --mount"; Dockerfile reference, "RUN --device": not required by default.
def test_what_a_step_does_without_is_said():
    s = State()
    base = busybox()
    result = s.built(f"FROM {base}\nRUN --mount=target=/x,z --device=vendor.com/gpu=0 ls /x\n",
                     context={"f": ""})
    check_in("'z' of a mount means nothing here, continuing without it", result.err)
    check_in("device 'vendor.com/gpu=0' is not there, continuing without it", result.err)
    result = s.build(f"FROM {base}\nRUN --device=vendor.com/gpu=0,required true\n")
    check_equal(result.code, 1)
    check_in("RUN --device=vendor.com/gpu=0 is not supported: descriptions of devices (CDI) are not read", result.err)


def test_a_base_that_cannot_be_fetched_is_suggested_too():
    s = State()
    result = s.build("FROM scratch AS build\nFROM biuld\n", env={"HTTPS_PROXY": "http://127.0.0.1:1"})
    check_in("(did you mean build?)", result.err)


def test_a_check_without_a_target_looks_at_every_stage():
    s = State()
    text = "FROM scratch AS a\nCOPY $nope /\nFROM scratch AS b\nCOPY f /\nFROM a AS c\nFROM a\n"
    where = make_context(text, {"f": ""})
    check_in("Usage of undefined variable '$nope'", s.fails("build", "--check", where).out)
    check_in("no warnings", s.ok("build", "--check", "--target", "b", where).out)
    check("$nope" in s.ok("build", where).err, "the target is made of it")


def test_giant_lines_and_instructions_are_refused():
    refused("FROM scratch\nENV A=" + "x" * 10_000_000 + "\n",
            "dockerfile line greater than max allowed size of 65535")
    refused("FROM scratch\nRUN a \\\n" + ("x" * 60000 + " \\\n") * 170 + "y\n",
            "the instruction of line 2 is longer than")


def test_an_unterminated_heredoc_of_a_million_lines_is_refused():
    refused("FROM scratch\nCOPY <<EOF /x\n" + "line\n" * 1_000_000, "unterminated heredoc")


def test_expansions_that_explode_are_refused():
    refused("FROM scratch\nENV A=xxxxxxxxxx\n" + "ENV A=$A$A$A$A$A$A$A$A$A$A\n" * 12,
            "the result is larger than")
    refused("FROM scratch\nENV A=" + "${a:-" * 5000 + "x" + "}" * 5000 + "\n", "failed to process")


def test_stages_that_copy_from_each_other_in_a_circle_are_refused():
    refused("FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nCOPY --from=a x y\n",
            'cannot copy from stage "b", it needs to be defined before current stage "a"')
    refused("FROM scratch AS a\nRUN --mount=from=a,target=/x true\n",
            "circular dependency detected on stage: a")


def planned(text, files=None, names="0 of"):
    code, err, out = limited(State(), "build", "--dry-run", make_context(text, files or {}))
    check_equal((code, err), (0, ""))
    check_in(names, out)


def test_a_working_directory_that_grows_without_end_is_refused():
    refused("FROM scratch\n" + "WORKDIR d\n" * 100_000, "the working directory is longer than 4095 bytes")


def test_a_hundred_thousand_instructions_are_planned():
    planned("FROM scratch AS a\n" + "".join(f"ONBUILD RUN {i}\n" for i in range(100_000)))
    planned("FROM scratch\n" + "".join(f"ENV A{i}=$A{i - 1}\n" for i in range(100_000)))
    planned("FROM scratch\n" + "".join(f"COPY f /{i}\n" for i in range(50_000)), {"f": ""},
            "50000 would run")


# What a stage has moves on to the one made of it: fifty thousand copies would be gigabytes.
def test_a_line_of_fifty_thousand_stages_is_planned():
    planned("FROM scratch AS s0\n" +
            "".join(f"FROM s{i - 1} AS s{i}\nENV A{i}=b\n" for i in range(1, 50_000)))


def test_many_stages_made_from_one_large_stage_are_refused():
    stages = "".join(f"FROM big AS s{i}\n" for i in range(2000))
    copies = "".join(f"COPY --from=s{i} /f /f{i}\n" for i in range(2000))
    refused("FROM scratch AS big\n" + "ENV " + " ".join(f"A{i}=b" for i in range(5000)) + "\n" +
            stages + "FROM scratch\n" + copies, "the stages together have more than")


def test_wildcards_in_patterns_and_in_the_ignore_file_do_not_explode():
    name = "a" * 200
    planned("FROM scratch\nCOPY " + "*a" * 100 + "*b /x/\nCOPY --parents " + "**/" * 100 + "x /y/\n",
            {name: "", "d/" * 60 + "x": "", ".dockerignore": ("**/*a" * 50 + "b\n") * 500})


def test_sources_cannot_leave_the_context_by_dots_or_links():
    s = State()
    where = make_context("FROM scratch\nCOPY ../../../../etc/hostname /a\n", {})
    check_in('"/etc/hostname": not found', s.fails("build", where).err)
    where = make_context("FROM scratch\nCOPY out/hostname /a\n", {})
    os.symlink("/etc", where + "/out")
    check_in('"/out/hostname": not found', s.fails("build", where).err)


def test_the_hostname_is_an_argument_and_part_of_the_key():
    s = State()
    text = f"FROM {busybox()}\nRUN hostname > /h && cat /etc/hosts >> /h\n"
    s.built(text, "-t", "a")
    check_equal(Image(s, "a").text("h").splitlines()[0], "buildkitsandbox")
    s.built(text, "-t", "b", "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=other")
    lines = Image(s, "b").text("h").splitlines()
    check_equal(lines[0], "other")
    check_in("other", " ".join(lines[1:]))


# BuildKit's pre-defined arguments: the two SBOM arguments never reach RUN's environment.
def test_arguments_for_the_builder_alone_reach_no_command():
    s = State()
    s.built(f"FROM {busybox()}\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nARG OTHER=1\nRUN env > /e\n",
            "-t", "a")
    text = Image(s, "a").text("e")
    check("SBOM" not in text, text)
    check_in("OTHER=1\n", text)


main(globals())
