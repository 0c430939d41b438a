"""What the Dockerfile reference says of single instructions, seen in the image they make."""
import io
import os
import pty
import signal
import socket
import subprocess
import tarfile
import termios
import time

from harness import *


def tree_of(dockerfile, context, *options):
    state = State()
    state.built(dockerfile, "-t", "a", *options, context=context)
    return Image(state, "a")


def files_below(image, top):
    return sorted(p[len(top) + 1:] for p, (e, _) in image.tree.items()
                  if p.startswith(top + "/") and not e.isdir())


# -- COPY --

def test_parents_keeps_directories_from_the_pivot_on():
    """Dockerfile reference, "COPY --parents"."""
    context = {"x/a.txt": "1", "x/y/b.txt": "2", "x/y/c.md": "3"}
    image = tree_of("FROM scratch\nCOPY --parents ./x/a.txt ./x/y/b.txt /plain/\n"
                    "COPY --parents ./x/./y/b.txt /pivot/\n"
                    "COPY --parents ./x/./**/*.txt /deep/\n"
                    "COPY --parents x/y /whole/\n", context)
    check_equal(files_below(image, "plain"), ["x/a.txt", "x/y/b.txt"])
    check_equal(files_below(image, "pivot"), ["y/b.txt"])
    check_equal(files_below(image, "deep"), ["a.txt", "y/b.txt"])
    check_equal(files_below(image, "whole"), ["x/y/b.txt", "x/y/c.md"])


def test_another_pivot_is_another_step():
    state = State()
    state.built("FROM scratch\nCOPY --parents a/./b/f /d/\n", "-t", "a", context={"a/b/f": "1"})
    state.built("FROM scratch\nCOPY --parents ./a/b/f /d/\n", "-t", "b", context={"a/b/f": "1"})
    check_equal(files_below(Image(state, "a"), "d"), ["b/f"])
    check_equal(files_below(Image(state, "b"), "d"), ["a/b/f"])


def test_exclude_leaves_out_below_each_source():
    """Dockerfile reference, "COPY --exclude"."""
    context = {"src/a.txt": "1", "src/b.md": "2", "src/d/c.txt": "3", "src/d/e.md": "4"}
    image = tree_of("FROM scratch\nCOPY --exclude=*.txt src /one/\nCOPY --exclude=**/*.txt src /all/\n"
                    "COPY --exclude=d src /dir/\n", context)
    check_equal(files_below(image, "one"), ["b.md", "d/c.txt", "d/e.md"])
    check_equal(files_below(image, "all"), ["b.md", "d/e.md"])
    check_equal(files_below(image, "dir"), ["a.txt", "b.md"])


def test_chown_reaches_the_directories_made_on_the_way():
    """Dockerfile reference, "COPY --chown": all files and directories copied; BuildKit: those made
    for the destination too."""
    image = tree_of("FROM scratch\nCOPY --chown=12:34 f /new/deep/f\nCOPY f /old/f\n"
                    "COPY --chown=5 f /old/more/f\n", {"f": "1"})
    for path in ("new", "new/deep"):
        check_equal(image.line(path), "dir 0755 12:34")
    check_equal(image.line("new/deep/f"), "file 0644 12:34")
    check_equal(image.line("old"), "dir 0755 0:0")
    check_equal(image.line("old/more"), "dir 0755 5:5")


def test_a_copied_directory_keeps_the_metadata_of_what_was_there():
    """The destination itself keeps its mode, directories below take the source's."""
    image = tree_of(f"FROM {busybox()}\nRUN mkdir -m 0700 /d /d/sub && chown 9:9 /d /d/sub\nCOPY src /d\n",
                    {"src/sub/f": "1"})
    check_equal(image.line("d"), "dir 0700 9:9")
    check_equal(image.line("d/sub"), "dir 0755 0:0")


def test_link_does_not_follow_the_parent_and_is_reused_over_another_base():
    """Dockerfile reference, "COPY --link"."""
    state = State()
    for name, text in (("a", "1"), ("b", "2")):
        result = state.built(f"FROM {busybox()}\nRUN echo {text} > /n && mkdir /real && ln -s real /l\n"
                             "COPY --link f /opt/f\n", "-t", name, context={"f": "1"})
    check_in("COPY --link f /opt/f\n", result.err)
    check_equal(result.err.count("CACHED"), 2)  # FROM and COPY, not RUN
    check_equal(Image(state, "b").text("n"), "2\n")
    check_equal(Image(state, "b").text("opt/f"), "1")


def test_a_symlink_to_a_directory_is_followed_as_destination_inside_the_root():
    image = tree_of(f"FROM {busybox()}\nRUN mkdir /real && ln -s ../../../real /l\nCOPY f /l/\n"
                    "COPY g /l\n", {"f": "1", "g": "2"})
    check_equal(files_below(image, "real"), ["f", "g"])


def test_a_heredoc_is_a_file_with_variables_unless_quoted():
    image = tree_of('FROM scratch\nARG A=x\nCOPY <<one <<"two" /d/\n$A\none\n$A\ntwo\n', {})
    check_equal((image.text("d/one"), image.text("d/two")), ("x\n", "$A\n"))


def test_a_whiteout_name_cannot_be_forged_by_a_copy():
    state = State()
    result = state.build(f"FROM {busybox()}\nCOPY d /etc/\n", context={"d/.wh.passwd": ""})
    if result.code == 0:
        raise AssertionError("a .wh. file was copied")
    check_in(".wh.passwd", result.err)


# -- ARG and ENV --

def test_of_env_and_arg_with_one_name_the_later_holds_until_the_stage_ends():
    """Dockerfile reference, "Using ARG variables": ENV overrides an ARG above it. An ARG below an ENV
    hides it, as in BuildKit, from what follows in that stage; the image keeps the ENV."""
    state = State()
    result = state.built(f"FROM {busybox()} AS a\nENV A=env\nARG A=arg\nRUN echo one=$A\n"
                         "ARG B=arg\nENV B=env\nRUN echo two=$B\nENV C=${A}-${B}\nRUN echo three=$C\n"
                         "ENV D=env\nARG D\nRUN echo four=$D\n"
                         "FROM a\nRUN echo five=$A\nARG A\nRUN echo six=$A\n",
                         "--build-arg", "A=cli", "--build-arg", "B=cli", "-t", "t")
    for line in ("one=cli", "two=env", "three=cli-env", "four=env", "five=env", "six=cli"):
        check_in(line, result.err)
    image = Image(state, "t")
    check_equal([image.env()[name] for name in "ABCD"], ["env", "env", "cli-env", "env"])
    check("RUN |3 A=cli B=env D=env /bin/sh -c echo four=$D # buildkit" in
          [h["created_by"] for h in image.config["history"]], image.config["history"])


def test_an_arg_below_the_env_of_the_base_image_is_what_a_step_sees():
    state = State()
    state.built(f"FROM {busybox()}\nENV DEBIAN_FRONTEND=teletype\n", "-t", "parent")
    result = state.built("FROM parent\nARG DEBIAN_FRONTEND=noninteractive\nRUN echo is=$DEBIAN_FRONTEND\n"
                         "FROM parent\nARG DEBIAN_FRONTEND\nRUN echo was=$DEBIAN_FRONTEND\n"
                         "COPY --from=0 /etc/passwd /p\n")
    check_in("is=noninteractive", result.err)
    check_in("was=teletype", result.err)


def test_the_stage_asked_for_is_an_argument():
    """Dockerfile reference, "Automatic platform ARGs": TARGETSTAGE."""
    state = State()
    text = f"FROM {busybox()} AS one\nARG TARGETSTAGE\nRUN echo is=$TARGETSTAGE.\nFROM one AS two\n"
    check_in("is=two.", state.built(text).err)
    check_in("is=one.", state.built(text, "--target", "one").err)
    check_in("is=default.", state.built(text.replace(" AS two", "")).err)


def test_all_values_of_one_env_line_see_the_old_environment():
    """Dockerfile reference, "Environment replacement"."""
    state = State()
    result = state.built(f"FROM {busybox()}\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n"
                         "RUN echo $abc-$def-$ghi\n")
    check_in("bye-hello-bye", result.err)


def test_a_global_arg_is_seen_in_a_stage_only_when_declared_there():
    state = State()
    base = busybox()
    result = state.built(f"ARG V=global\nFROM {base} AS one\nRUN echo one=$V.\n"
                         f"FROM {base}\nARG V\nRUN echo two=$V.\nCOPY --from=one /etc/passwd /p\n")
    check_in("one=.", result.err)
    check_in("two=global.", result.err)


def test_an_arg_declared_again_without_a_value_keeps_it():
    state = State()
    result = state.built(f"FROM {busybox()} AS a\nARG V=1\nARG V\nRUN echo in=$V.\nFROM a\nRUN echo below=$V.\n")
    check_in("in=1.", result.err)
    check_in("below=1.", result.err)


def test_thousands_of_env_lines_cost_no_more_than_each():
    """SECURITY R57: expansion stays linear. No time is measured: at quadratic cost it never ends."""
    state = State()
    lines = "".join(f"ENV N{i % 5000}=v{i} \n" for i in range(20000))
    state.built("FROM scratch\n" + lines, "-t", "a")
    check_equal(Image(state, "a").env()["N4999"], "v19999")


# -- CMD, ENTRYPOINT, SHELL, HEALTHCHECK, USER --

def test_entrypoint_resets_an_inherited_cmd_but_not_its_own():
    """Dockerfile reference, "Understand how CMD and ENTRYPOINT interact"."""
    state = State()
    state.built("FROM scratch AS base\nCMD [\"inherited\"]\nFROM base\nENTRYPOINT [\"e\"]\n", "-t", "reset")
    state.built("FROM scratch\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n", "-t", "kept")
    state.built("FROM scratch\nENTRYPOINT [\"e\"]\nENTRYPOINT []\n", "-t", "none")
    check_equal(Image(state, "reset").config["config"].get("Cmd"), None)
    check_equal(Image(state, "kept").config["config"]["Cmd"], ["c"])
    check_equal(Image(state, "none").config["config"].get("Entrypoint"), None)


def test_shell_form_uses_the_last_shell():
    state = State()
    result = state.built(f"FROM {busybox()}\nSHELL [\"/bin/busybox\", \"ash\", \"-ec\"]\nRUN echo $0 ok\nCMD run it\n",
                         "-t", "a")
    check_in("ok", result.err)
    check_equal(Image(state, "a").config["config"]["Cmd"], ["/bin/busybox", "ash", "-ec", "run it"])


def test_user_takes_its_groups_unless_one_is_given():
    """Dockerfile reference, "USER"; groups from the image's /etc/group."""
    state = State()
    result = state.built(f"FROM {busybox()}\nUSER alice\nRUN echo A=$(id -u):$(id -g):$(id -G)\n"
                         "USER alice:50\nRUN echo B=$(id -u):$(id -g):$(id -G)\nUSER 77\n"
                         "RUN echo C=$(id -u):$(id -g)\n")
    check_in("A=1000:1000:1000 50", result.err)
    check_in("B=1000:50:50", result.err)
    check_in("C=77:0", result.err)


def test_workdir_is_made_for_the_user_and_joins_relative_paths():
    image = tree_of(f"FROM {busybox()}\nUSER alice\nWORKDIR /w\nWORKDIR x/../y\n", {})
    check_equal(image.config["config"]["WorkingDir"], "/w/y")
    check_equal(image.line("w/y"), "dir 0755 1000:1000")


# -- ONBUILD --

def test_a_trigger_may_copy_from_a_stage_nothing_else_needs():
    """Dockerfile reference 1.11, "ONBUILD": COPY --from works in triggers."""
    state = State()
    state.built("FROM scratch\nONBUILD COPY --from=tools /t /t\n", "-t", "trigger:1")
    for jobs in ("1", "4"):
        state.built(f"FROM {busybox()} AS tools\nRUN echo tool > /t\nFROM docker.io/library/trigger:1\n",
                    "-t", "a", "--jobs", jobs, "--no-cache")
        check_equal(Image(state, "a").text("t"), "tool\n")


# -- RUN --

def test_a_heredoc_with_an_interpreter_is_a_program():
    """Dockerfile reference, "Here-Documents": run by the interpreter of its first line."""
    state = State()
    script = "#!/bin/awk -f\nBEGIN { print \"from awk\" > \"/out\" }\n"
    state.built(f"FROM {busybox()}\nRUN <<EOF\n{script}EOF\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("out"), "from awk\n")
    check_equal(image.last_layer(), ["out"])
    result = state.built(f"FROM {busybox()}\nRUN <<EOF\n#!/bin/sh\necho $0 other\nEOF\n")
    check_in("/dev/pipes/EOF other", result.err)
    check_equal(image.config["history"][-1]["created_by"],
                "RUN /bin/sh -c /dev/pipes/EOF # buildkit")
    result = state.built(f"FROM {busybox()}\nRUN <<-EOF\n\t#!/bin/sh\n\techo $0 tabs\nEOF\n")
    check_in("/dev/pipes/EOF tabs", result.err)


def test_another_script_is_another_step():
    state = State()
    base = busybox()
    for text in ("one", "two"):
        state.built(f"FROM {base}\nRUN <<EOF\n#!/bin/sh\necho {text} > /out\nEOF\n", "-t", "a")
        check_equal(Image(state, "a").text("out"), text + "\n")


# -- RUN mounts --

def test_two_steps_with_the_same_caches_in_opposite_order_both_end():
    state = State()
    base = busybox()
    mounts = [f"--mount=type=cache,id={i},target=/c{i}" for i in "ab"]
    state.built(f"FROM {base} AS one\nRUN {mounts[0]} {mounts[1]} sleep 1; echo 1 >> /ca/f; touch /one\n"
                f"FROM {base} AS two\nRUN {mounts[1]} {mounts[0]} sleep 1; echo 2 >> /ca/f; touch /two\n"
                f"FROM {base}\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
                f"RUN {mounts[0]} wc -l < /ca/f > /n\n", "-t", "a", "--jobs", "3")
    check_equal(Image(state, "a").text("n").strip(), "2")


def test_one_cache_on_two_targets_is_one_cache():
    state = State()
    result = state.built(f"FROM {busybox()}\nRUN --mount=type=cache,id=x,target=/one "
                         "--mount=type=cache,id=x,target=/two echo hi > /one/f; cat /two/f\n")
    check_in("hi", result.err)


def test_a_failed_step_keeps_what_it_put_into_its_cache():
    state = State()
    base = busybox()
    state.build(f"FROM {base}\nRUN --mount=type=cache,target=/c echo kept > /c/f; false\n")
    result = state.built(f"FROM {base}\nRUN --mount=type=cache,target=/c cat /c/f\n")
    check_in("kept", result.err)


def test_a_bind_source_is_a_path_and_no_pattern():
    state = State()
    dockerfile = f"FROM {busybox()}\nRUN --mount=type=bind,source=a*,target=/m ls /m\n"
    check_in("not found", state.build(dockerfile, context={"ab/f": "1"}).err)
    check_in("inside", state.built(dockerfile, context={"a*/inside": "1"}).err)


def test_a_bind_of_a_stage_is_known_by_the_files_it_shows():
    """Dockerfile reference, "RUN --mount=type=bind": content hash of bind sources; times and what lies beside them do not count."""
    s = State()
    base = busybox()

    def build(make, read="--mount=from=a,source=/d,target=/x", *options):
        return s.built(f"FROM {base} AS a\nRUN mkdir /d; {make}\nFROM {base}\nRUN {read} cat /x/f\n"
                       "RUN echo after\n", *options).err
    build("echo 1 > /d/f")
    for make in ("echo 1 > /d/f; echo more > /g", "echo 1 > /d/f; touch -d 2001-01-01 /d/f"):
        check_equal((build(make).count("CACHED"), build(make).count("CACHED")), (4, 5))
    for make, why in (("echo 22 > /d/f", "d/f: content changed (2 -> 3 bytes)"),
                      ("echo 22 > /d/f; chmod 600 /d/f", "d/f: mode 0644 -> 0600 (content same)"),
                      ("echo 22 > /d/f; chmod 600 /d/f; chown 7 /d/f", "d/f: ")):
        err = build(make, "--mount=from=a,source=/d,target=/x", "--explain")
        check_equal(err.count("CACHED"), 2)
        check_in(why.removeprefix("d/"), err)
    result = s.build(f"FROM {base} AS a\nFROM {base}\nRUN --mount=from=a,source=/no,target=/x true\n")
    check_in('failed to compute cache key: "/no": not found', result.err)


def test_an_agent_is_a_socket_of_its_step_alone():
    """SECURITY R55."""
    state = State()
    path = os.path.join(directory("agents"), "one")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        result = state.build(f"FROM {busybox()}\nRUN --mount=type=ssh,uid=1000,mode=0600 "
                             "stat -c '%F %a %u' $SSH_AUTH_SOCK\nRUN echo sock=$SSH_AUTH_SOCK. && ls /run\n",
                             "--ssh", f"default={path}")
    check_in("socket 600 1000", result.err)
    check_in("sock=.", result.err)
    check("ssh_agent" not in result.err.split("sock=.")[1], result.err)


def test_without_an_agent_nothing_is_mounted_unless_it_is_required():
    state = State()
    base = busybox()
    result = state.built(f"FROM {base}\nRUN --mount=type=ssh echo sock=$SSH_AUTH_SOCK.\n")
    check_in("sock=.", result.err)
    result = state.build(f"FROM {base}\nRUN --mount=type=ssh,required true\n")
    check_equal(result.code, 1)
    check_in("ssh agent default: not found", result.err)
    state.fails("build", "--ssh", "default=/etc/passwd", make_context(f"FROM {base}\n", {}))


def test_a_cached_step_needs_no_secret_and_one_that_is_run_does():
    """BuildKit asks for a required secret when it runs the step, not when it looks it up."""
    state = State()
    text = f"FROM {busybox()}\nRUN --mount=type=secret,id=s,required cat /run/secrets/s >/dev/null\n"
    context = make_context(text, {"value": "v"})
    state.ok("build", "--secret", f"id=s,src={context}/value", context)
    check_in("CACHED", state.ok("build", "--progress=plain", context).err.partition("RUN")[2])
    result = state.fails("build", "--no-cache", context)
    check_in("secret s: not found", result.err)
    check_in("--secret id=s,src=FILE", result.err)


def test_a_cache_of_many_steps_keeps_everything_and_its_owners():
    state = State()
    base = busybox()
    mount = "--mount=type=cache,target=/c,uid=1000,mode=0750"
    for i in range(20):
        state.built(f"FROM {base}\nRUN {mount} echo {i} >> /c/log && touch /c/{i} && chown {i}:7 /c/{i}\n")
    result = state.built(f"FROM {base}\nRUN {mount} ls -ldn /c /c/3 /c/19; wc -l < /c/log; ls /c | wc -l\n")
    for line in ("drwxr-x---", " 1000 ", " 3        7 ", " 19       7 "):
        check_in(line, result.err)
    check_equal([line.split()[-1] for line in result.err.splitlines()
                 if line.startswith("#3") and len(line.split()) == 3 and line.split()[-1].isdigit()],
                ["20", "21"])


def test_a_cache_step_that_changes_nothing_adds_no_layer():
    state = State()
    base = busybox()
    for i in range(40):
        state.built(f"FROM {base}\nRUN --mount=type=cache,target=/c test ! -e /c/x && echo {i}\n")


def test_bind_mounts_show_files_and_stages_and_forget_writes():
    """SECURITY R23."""
    state = State()
    context = {"f": "1", "d/g": "2"}
    where = make_context(f"FROM {busybox()} AS s\nRUN echo 3 > /three\nFROM {busybox()}\n"
                         "RUN --mount=type=bind,source=f,target=/f --mount=type=bind,source=d,target=/d,rw "
                         "--mount=type=bind,from=s,target=/s "
                         "cat /f /d/g /s/three > /out && echo changed > /d/g && ! echo x > /s/three && ! echo x > /f\n",
                         context)
    state.ok("build", "--progress=plain", "-t", "a", where)
    image = Image(state, "a")
    check_equal(image.text("out"), "123\n")
    check_equal(image.last_layer(), ["out"])
    check_equal(open(os.path.join(where, "d/g")).read(), "2")


def test_a_secret_is_nowhere_after_the_build():
    """SECURITY R49, R55: neither in the store nor in what is shown, of a failed build too."""
    state = State()
    marker = "hunter2-" + "0123456789" * 3
    write(os.path.join(state.home, "secret"), marker)
    for end in ("true", "false"):
        result = state.build(f"FROM {busybox()}\nRUN --mount=type=secret,id=s,mode=0444 --mount=type=secret,id=s,env=S "
                             f"test \"$(cat /run/secrets/s)\" = \"$S\" && stat -c '%a' /run/secrets/s && {end}\n",
                             "-t", "a", "--secret", f"id=s,src={state.home}/secret")
        check_in("444", result.err)
        check(marker not in result.err, result.err)
        check_equal(result.code, end == "false" and 1 or 0)
    for top, _, names in os.walk(state.path):
        for name in names:
            with open(os.path.join(top, name), "rb") as f:
                check(marker.encode() not in f.read(), name)


# -- bases --

def test_a_base_with_one_layer_twice_is_pulled_and_built_on():
    """OCI image-spec, manifest.md: nothing forbids it; empty layers of old builders do it."""
    layout = make_layout(directory("twice"), [busybox_tar(), empty_tar(), empty_tar(), empty_tar()])
    name = registry().push_layout(layout, "twice:1")
    state = State()
    state.built(f"FROM {name}\nRUN echo x > /x\n", "-t", "a")
    check_equal(len(Image(state, "a").layers), 5)


def empty_tar():
    return b"\0" * 10240


def test_two_stages_from_one_image_fetch_it_once():
    state = State()
    base = busybox()
    result = state.built(f"FROM {base} AS one\nRUN echo 1 > /1\nFROM {base} AS two\nRUN echo 2 > /2\n"
                         f"FROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n", "--jobs", "2")
    check_equal(result.err.count("[internal] load metadata"), 1)


def test_an_epoch_is_the_time_of_all_that_the_build_makes_up():
    """reproducible-builds.org, SOURCE_DATE_EPOCH."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("in/x")
        entry.mtime = 77
        archive.addfile(entry)
    for epoch in (1000000000, 1100000000):
        state = State()  # only what the build made up moves with the epoch, and a cached COPY stays
        state.built(f"FROM {busybox()}\nCOPY f /made/up/f\nCOPY <<t /text/\nx\nt\nWORKDIR /w/x\n"
                    "COPY f /etc/\nADD a.tar /out/of/\nCOPY d /home\n", "-t", "a",
                    "--source-date-epoch", str(epoch),
                    context={"f": "1", "a.tar": tar.getvalue(), "d/g": "2"})
        image = Image(state, "a")
        for path in ("made", "made/up", "text", "text/t", "w", "w/x", "etc", "out", "out/of",
                     "out/of/in", "home"):
            check_equal((path, image.entry(path).mtime), (path, epoch))
        check_equal(image.entry("out/of/in/x").mtime, 77)


# -- failures --

def test_a_failed_stage_ends_the_others_at_once():
    state = State()
    base = busybox()
    start = time.monotonic()
    result = state.build(f"FROM {base} AS slow\nRUN sleep 600\nFROM {base} AS bad\nRUN sleep 1; exit 7\n"
                         f"FROM {base}\nCOPY --from=slow /etc/passwd /a\nCOPY --from=bad /etc/passwd /b\n",
                         "--jobs", "3")
    check_equal(result.code, 1)
    check_in("exit code: 7", result.err)
    check(time.monotonic() - start < 300, "the slow stage was waited for")


def test_the_log_of_a_failure_shows_its_end_whatever_bytes_it_has():
    state = State()
    result = state.build(f"FROM {busybox()}\nRUN seq 1 5000; printf 'zero\\0byte\\nlast'; exit 3\n")
    block = result.err[result.err.index("\n------\n"):]
    for line in ("\n5000\n", "\nzero\\x00byte\n", "\nlast\n------\n"):
        check_in(line, block)
    check(len(block) < 4096, f"{len(block)} bytes")


def test_an_interrupt_ends_a_pull():
    """A registry that takes a connection and says nothing."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        state = State()
        where = make_context(f"FROM 127.0.0.1:{s.getsockname()[1]}/x\n", {})
        process = state.start("build", "--progress=plain", where)
        connection, _ = s.accept()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
        connection.close()
        check_equal(process.returncode, 130)
        check_in("canceled", out.decode())


def test_an_interrupt_at_the_password_prompt_gives_the_terminal_back():
    state = State()
    master, slave = pty.openpty()
    process = subprocess.Popen([IMG, "login", "-u", "u", "127.0.0.1:1"], stdin=slave, stdout=slave,
                               stderr=subprocess.PIPE, env=state.env)
    check_equal(process.stderr.read(10), b"Password: ")
    wait_until(lambda: not termios.tcgetattr(slave)[3] & termios.ECHO,
               "the password would be shown")
    process.send_signal(signal.SIGINT)
    check_equal(process.wait(), -signal.SIGINT)
    check(termios.tcgetattr(slave)[3] & termios.ECHO, "the terminal stays dark")


def test_control_bytes_reach_no_terminal():
    """SECURITY R41, R58: names, labels and output are shown escaped."""
    state = State()
    result = state.build(f"FROM {busybox()}\nLABEL a=\"\x1b]0;owned\x07\"\nCOPY \"f\x1b[31m\" /x\n"
                         "RUN printf '\\033[2J'; false \x1b[5m\n", "-t", "a", context={"f\x1b[31m": "1"})
    check_equal(result.code, 1)
    check("\x1b" not in result.err and "\x07" not in result.err, repr(result.err))
    state.built("FROM scratch\nLABEL a=\"\x1b]0;owned\x07\"\nENV B=\"\x1b[31m\"\n", "-t", "b")
    for command in ("history", "inspect"):
        check("\x1b" not in state.ok(command, "b").out, command)


if __name__ == "__main__":
    main(globals())
