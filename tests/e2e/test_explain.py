"""What img says about a build: checks, outlines, targets, predictions, explanations.

Rules, names and forms are those of the Dockerfile reference ("Build checks") and of docker's
`--call`; bases are `scratch` or a busybox of our own registry.
"""
import base64
import json
import os

from harness import (State, busybox, check, check_equal, check_in, main, make_context, write)

WARNS = "FROM scratch AS Base\nENV A b\nCMD foo\n"


# Docker: exit status 1 when there are findings, each with its rule, message and excerpt on stdout.
def test_check_reports_findings_and_fails_without_building():
    s = State()
    found = s.build(WARNS, "--check")
    check_equal(found.code, 1)
    check_in("Check complete, 3 warnings have been found!\n\nWARNING: StageNameCasing - https://"
             "docs.docker.com/go/dockerfile/rule/stage-name-casing/\nStage name 'Base' should be "
             "lowercase\nDockerfile:1\n--------------------\n   1 | >>> FROM scratch AS Base\n",
             found.out)
    check_equal(found.err, "")
    check_equal(s.ok("ls", "-q").out, "")


def test_check_of_a_clean_file_succeeds():
    result = State().build("FROM scratch\nCOPY a /a\n", "--check", context={"a": ""})
    check_equal((result.code, result.out), (0, "Check complete, no warnings found.\n"))


def test_check_as_json_names_rule_and_lines_and_carries_the_source():
    result = State().build(WARNS, "--call", "check,format=json")
    check_equal(result.code, 1)
    document = json.loads(result.out)
    check_equal([(w["ruleName"], w["location"]["ranges"]) for w in document["warnings"]],
                [(rule, [{"start": {"line": n}, "end": {"line": n}}]) for rule, n in
                 (("StageNameCasing", 1), ("LegacyKeyValueFormat", 2), ("JSONArgsRecommended", 3))])
    check_equal(base64.b64decode(document["sources"][0]["data"]).decode(), WARNS)
    check("buildError" not in document, result.out)
    check_equal(State().build(WARNS, "--call=check,ignorestatus=true").code, 0)


def test_check_reports_a_mistake_of_the_file_as_an_error():
    s = State()
    result = s.build("FROM scratch\nRNU x\n", "--check")
    check_equal(result.code, 1)
    check_in(">>> RNU x", result.err)
    document = json.loads(s.build("FROM scratch\nRNU x\n", "--call", "check,format=json").out)
    check_in("unknown instruction: RNU (did you mean RUN?)", document["buildError"]["message"])
    check_equal(document["buildError"]["location"]["ranges"][0]["start"]["line"], 2)


# The environment of the base decides what is defined; no layer of it is fetched for that.
def test_check_knows_the_variables_of_the_base_and_fetches_no_layer():
    s = State()
    result = s.build(f"FROM {busybox()}\nLABEL a=$PATH b=$PAHT\n", "--check")
    check_in("Usage of undefined variable '$PAHT' (did you mean $PATH?)", result.out)
    check_in("1 warning has been found", result.out)
    check_equal(s.ok("ls", "-q").out, "")
    check(not os.path.isdir(s.path + "/packs") or os.listdir(s.path + "/packs") == [], "layers")


def test_check_goes_on_when_the_base_cannot_be_asked():
    result = State().build("FROM 127.0.0.1:1/gone\nLABEL a=$PAHT\nCMD x\n", "--check")
    check_in("continuing without knowing its environment", result.err)
    check_in("JSONArgsRecommended", result.out)
    check("UndefinedVar" not in result.out, result.out)


def test_error_true_ends_the_build_before_anything_runs():
    s = State()
    text = "# check=error=true\nFROM scratch\nCOPY a /a\nCMD foo\n"
    result = s.build(text, context={"a": ""})
    check_equal(result.code, 1)
    check_in("lint violation found for rules: JSONArgsRecommended", result.err)
    check("COPY a" not in result.err, result.err)
    check_in("JSON arguments recommended for CMD", result.err)
    s.built(text, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=JSONArgsRecommended",
            context={"a": ""})


def test_warnings_follow_a_build_with_their_count():
    check_in(" 3 warnings found (use --debug to expand):\n - StageNameCasing: Stage name 'Base' "
             "should be lowercase (line 1)\n", State().built(WARNS).err)
    check_in("   2 | >>> ENV A b\n", State().built(WARNS, "--debug").err)


def test_outline_and_targets_are_tables_or_json():
    text = "# V of it\nARG V=1\n# a is made\nFROM scratch AS a\nARG V\nFROM scratch\n" \
           "RUN --mount=type=secret,id=s,required=true x\nCOPY --from=a /x /\n"
    s = State()
    check_equal(s.build(text, "--call=outline").out,
                "BUILD ARG   VALUE   DESCRIPTION\nV           1       of it\n\n"
                "SECRET   REQUIRED\ns        true\n\n")
    check_equal(json.loads(s.build(text, "--call=outline,format=json", "--build-arg=V=2").out)["args"],
                [{"name": "V", "description": "of it", "value": "2",
                  "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}}])
    check_equal(s.build(text, "--call=targets").out,
                "TARGET      DESCRIPTION\na           is made\n(default)   \n")
    targets = json.loads(s.build(text, "--call=targets,format=json").out)["targets"]
    check_equal([(t.get("name"), t.get("default"), t["base"]) for t in targets],
                [("a", None, "scratch"), (None, True, "scratch")])
    check_in("did you mean 'targets'?", s.build(text, "--call=target").err)


def test_several_platforms_are_checked_and_outlined_each():
    text = "ARG TARGETARCH\nFROM scratch AS amd64\nARG A=1\nLABEL a=$nope\nFROM scratch AS arm64\nARG B=2\n" \
           "LABEL b=$neither\nRUN --mount=type=secret,id=s x\nFROM $TARGETARCH AS last\n"
    words = ["--target=last", "--platform=linux/amd64,linux/arm64"]
    s = State()
    found = s.build(text, "--check", *words)
    check_equal(found.code, 1)
    for name in ("nope", "neither"):
        check_equal(found.out.count(f"Usage of undefined variable '${name}'"), 1)
    check("variable '$neither'" not in s.build(text, "--check", "--target=last", "--platform=linux/amd64").out, "amd64 alone")
    outline = s.build(text, "--call=outline", *words).out
    check_equal([line.split()[:2] for line in outline.splitlines() if line[:2] in ("A ", "B ", "s ")],
                [["A", "1"], ["B", "2"], ["s"]])
    check_in("linux/amd64: target stage", s.build(text, "--check", "--target=none", words[1]).err)


STAGES = """
FROM {base} AS one
COPY a.c /src/
RUN cat /src/a.c > /out
FROM {base}
WORKDIR /w
COPY --from=one /out /out
COPY --link b.c /b/
"""


def outcomes(text):
    return [line[:8].strip() for line in text.splitlines()[:-1] if not line.startswith("    ")]


def test_a_dry_run_foretells_every_step_and_runs_none():
    s = State()
    text = STAGES.format(base=busybox())
    where = make_context(text, {"a.c": "a", "b.c": "b"})
    first = s.ok("build", "--dry-run", where).out
    check_in("run     [one 1/3] FROM " + busybox() + "@sha256:", first)
    check_equal(s.ok("ls", "-q").out, "")
    check_equal(outcomes(first), ["run", "run", "run", "run", "run", "unknown", "run"])
    s.ok("build", where)
    check_equal(outcomes(s.ok("build", "--dry-run", where).out), ["CACHED"] * 7)
    write(where + "/a.c", "aa")
    second = s.ok("build", "--dry-run", "--explain", where).out
    check_equal(outcomes(second),
                ["CACHED", "run", "run", "CACHED", "CACHED", "unknown", "CACHED"])
    check_in("    a.c: content changed (1 -> 2 bytes)\n", second)
    # What was foretold is what happens; the copy's source came out different.
    built = s.ok("build", "--progress=plain", where).err
    check_equal(built.count("CACHED"), 4)


def test_a_dry_run_foretells_every_platform():
    s = State()
    where = make_context("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /f\n", {"amd64": "a", "arm64": "b"})
    line = "[{} 1/1] COPY {} /f\n{} of 1 steps are cached, {} would run, 0 cannot be told\n"
    told = lambda arm, amd: (
        "linux/arm64\n" + ("CACHED  " if arm else "run     ") + line.format("linux/arm64", "arm64", arm, 1 - arm) +
        "\nlinux/amd64\n" + ("CACHED  " if amd else "run     ") + line.format("linux/amd64", "amd64", amd, 1 - amd))
    both = "--platform=linux/arm64,linux/amd64"
    check_equal(s.ok("build", "--dry-run", both, where).out, told(0, 0))
    s.ok("build", "--platform=linux/amd64", where)
    check_equal(s.ok("build", "--dry-run", both, where).out, told(0, 1))
    s.ok("build", both, where)
    check_equal(s.ok("build", "--dry-run", both, where).out, told(1, 1))
    # of one platform there is nothing to tell apart
    one = s.ok("build", "--dry-run", "--platform=linux/arm64", where).out
    check_equal(one, "CACHED  [1/1] COPY arm64 /f\n1 of 1 steps are cached, 0 would run, 0 cannot be told\n")
    # what is wrong with the second is told of it
    os.remove(where + "/amd64")
    check_in("amd64", s.fails("build", "--dry-run", both, where).err)


def test_explain_names_what_differs_for_each_step_that_ran():
    s = State()
    text = "FROM {base}\nARG A=1\nCOPY f d /c/\nRUN echo $A > /x\nUSER {user}\nRUN id > /tmp/id\n"
    where = make_context(text.format(base=busybox(), user="root"), {"f": "f", "d/x": "x"})
    s.ok("build", where)
    check_in("\nevery step was cached\n", s.ok("build", "--explain", where).err)
    check_in("[3/4] RUN echo $A > /x\n    variable A: '1' -> '2'\n",
             s.ok("build", "--explain", "--build-arg=A=2", where).err)
    os.chmod(where + "/d/x", 0o755)
    err = s.ok("build", "--explain", where).err
    check_in("[2/4] COPY f d /c/\n    d/x: mode 0644 -> 0755 (content same)\n", err)
    check_in("[3/4] RUN echo $A > /x\n    'COPY f d /c/' above it ran\n", err)
    write(where + "/Dockerfile", text.format(base=busybox(), user="alice"))
    err = s.ok("build", "--explain", where).err
    check_in("not cached:\n  [4/4] RUN id > /tmp/id\n    user: 'root' -> 'alice'\n", err)
    check_in("    --no-cache\n", s.ok("build", "--explain", "--no-cache", where).err)


# Dockerfile reference, "COPY --link": the layer of --link does not depend on the base, but what stands after it does.
def test_a_linked_copy_is_reused_over_another_base_and_what_follows_is_not():
    s = State()
    text = "FROM {base}\nCOPY {mark} /base\nCOPY --link f /f\nRUN cat /base > /seen\n"
    for mark, cached in (("a", 0), ("b", 1)):
        where = make_context(text.format(base=busybox(), mark=mark),
                             {"a": "a", "b": "b", "f": "f"})
        err = s.ok("build", "--progress=plain", "-t", mark, where).err
        check_equal(err.count("CACHED"), 2 * cached)  # the base, which is there by then, and the link
    s.ok("unpack", "-o", s.home + "/out", "b")
    with open(s.home + "/out/seen") as f:
        check_equal(f.read(), "b")


main(globals())
