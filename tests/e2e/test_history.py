"""The image's configuration, its history and its times: OCI image-spec, config.md; SOURCE_DATE_EPOCH.

Expected lines are those that docker's builder writes for the same instruction.
"""
import functools
import http.server
import os
import subprocess
import threading

from harness import Image, State, busybox, check, check_equal, check_in, main, make_context

EPOCH = 1500000000
CREATED = "2017-07-14T02:40:00Z"


def history(image):
    return [(h["created_by"], h.get("empty_layer", False)) for h in image.config["history"]]


def test_each_instruction_has_its_line_in_the_history():
    s = State()
    text = f"""
FROM {busybox()}
ARG A=1
ARG B
ENV A=2 C="x y"
LABEL l=v
RUN echo "$A" > /r
RUN true
COPY --chmod=600 --chown=1:2 f g /c/
COPY --link --exclude=g f /e/
COPY <<T /t
x
T
ADD f /a/
WORKDIR /w
USER alice
EXPOSE 80 53/udp
VOLUME /v
STOPSIGNAL TERM
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=90s --timeout=1500ms --retries=3 CMD wget -q "http://x"
HEALTHCHECK NONE
ENTRYPOINT ["/a", "b"]
CMD c d
MAINTAINER me
ONBUILD RUN x
"""
    s.built(text, "-t", "x", "--build-arg=HTTP_PROXY=http://p", context={"f": "", "g": ""})
    image = Image(s, "x")
    check_equal(history(image)[1:], [
        ("ARG A=1", True),
        ("ARG B", True),
        ("ENV A=2 C=x y", True),
        ("LABEL l=v", True),
        ('RUN |2 A=2 B= /bin/sh -c echo "$A" > /r # buildkit', False),
        ("RUN |2 A=2 B= /bin/sh -c true # buildkit", True),
        ("COPY --chown=1:2 --chmod=600 f g /c/ # buildkit", False),
        ("COPY f /e/ # buildkit", False),
        ("COPY <<T /t # buildkit", False),
        ("ADD f /a/ # buildkit", False),
        ("WORKDIR /w", False),
        ("USER alice", True),
        ("EXPOSE [53/udp 80/tcp]", True),
        ("VOLUME [/v]", True),
        ("STOPSIGNAL TERM", True),
        ("SHELL [/bin/sh -ec]", True),
        ('HEALTHCHECK {Test:[CMD-SHELL wget -q "http://x"] Interval:1m30s Timeout:1.5s '
         'StartPeriod:0s StartInterval:0s Retries:3}', True),
        ("HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s "
         "Retries:0}", True),
        ('ENTRYPOINT ["/a" "b"]', True),
        ('CMD ["/bin/sh" "-ec" "c d"]', True),
        ("MAINTAINER me", True)])
    check(all(h["comment"] == "buildkit.dockerfile.v0" for h in image.config["history"][1:]), "")
    check_equal(sum(not empty for _, empty in history(image)), len(image.layers))
    config = image.config["config"]
    check_equal(config["Healthcheck"], {"Test": ["NONE"]})
    check_equal((config["ArgsEscaped"], config["OnBuild"]), (True, ["RUN x"]))


# What a stage copies from has no meaning outside of the build.
def test_the_history_of_a_copy_does_not_name_the_stage():
    s = State()
    s.built("FROM scratch AS a\nCOPY f /\nFROM scratch\nCOPY --from=a --parents /f /d/\n", "-t", "x",
            context={"f": ""})
    check_equal(history(Image(s, "x")), [("COPY --parents /f /d/ # buildkit", False)])


def times(image):
    return [h["created"] for h in image.config["history"]] + [image.config["created"]]


def test_the_epoch_is_an_argument_a_variable_of_the_environment_or_a_default():
    text = "{arg}FROM scratch\nCOPY f /d/\nENV A=b\n"
    for option, env, arg in ((["--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"], {}, ""),
                             (["--source-date-epoch", str(EPOCH)], {"SOURCE_DATE_EPOCH": "1"}, ""),
                             ([], {"SOURCE_DATE_EPOCH": str(EPOCH)}, ""),
                             ([], {}, f"ARG SOURCE_DATE_EPOCH={EPOCH}\n"),
                             ([], {"SOURCE_DATE_EPOCH": str(EPOCH)}, "ARG SOURCE_DATE_EPOCH=7\n")):
        s = State()
        s.built(text.format(arg=arg), "-t", "x", *option, context={"f": ""}, env=env)
        image = Image(s, "x")
        check_equal(times(image), [CREATED] * 3)
        check_equal(image.entry("d").mtime, EPOCH)


def test_an_epoch_that_is_none_is_refused_and_context_is_none_of_a_directory():
    s = State()
    text = "FROM scratch\nCOPY f /\n"
    check_in("invalid SOURCE_DATE_EPOCH: soon",
             s.build(text, "--build-arg=SOURCE_DATE_EPOCH=soon", context={"f": ""}).err)
    s.built(text, "-t", "x", "--build-arg=SOURCE_DATE_EPOCH=context", context={"f": ""})
    check(Image(s, "x").config["created"] > "2020", "a time of this build")
    check_in("rewriting timestamps needs SOURCE_DATE_EPOCH",
             s.build(text, "--rewrite-timestamp", context={"f": ""}).err)


# BuildKit: of a git context the commit's time.
def test_the_epoch_of_a_repository_is_the_time_of_its_commit():
    s = State()
    where = make_context("FROM scratch\nCOPY f /\n", {"f": ""})
    date = f"{EPOCH} +0000"
    for words in (["init", "-q"], ["add", "."],
                  ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", where, *words], check=True,
                       env={**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date})
    subprocess.run(["git", "-C", where, "update-server-info"], check=True)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=where))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        s.ok("build", "-t", "x", "--build-arg", "SOURCE_DATE_EPOCH=context",
             f"http://127.0.0.1:{server.server_port}/.git")
    finally:
        server.shutdown()
    check_equal(times(Image(s, "x")), [CREATED] * 2)


def test_stages_see_the_epoch_when_they_declare_it():
    s = State()
    s.built(f"FROM {busybox()}\nARG SOURCE_DATE_EPOCH\nRUN echo \"$SOURCE_DATE_EPOCH\" > /e\n",
            "-t", "x", env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    check_equal(Image(s, "x").text("e"), f"{EPOCH}\n")


# "Clamp, never raise; base layers untouched"; and the steps stay cached when only the epoch moves.
def test_rewritten_timestamps_are_clamped_in_new_layers_alone():
    s = State()
    text = f"FROM {busybox()}\nCOPY old new /\nWORKDIR /w\nRUN echo x > /run\nRUN rm /old\n"
    where = make_context(text, {"old": "", "new": ""})
    os.utime(where + "/old", (1000000000, 1000000000))
    s.ok("build", "-t", "plain", where)
    first = s.ok("build", "--progress=plain", "--rewrite-timestamp", "-t", "x", where,
                 env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    check_equal(first.err.count("CACHED"), 4)
    image = Image(s, "x")
    check_equal([e.mtime for e in image.layers[1].getmembers() if e.name in ("old", "new")],
                [EPOCH, 1000000000])
    for layer in image.layers[1:]:
        check(all(e.mtime <= EPOCH for e in layer.getmembers()), layer.getnames())
    check_equal(image.layers[-1].getnames(), [".wh.old"])
    check_equal(image.entry("bin").mtime, 1700000000)
    check_equal(image.config["rootfs"]["diff_ids"][0],
                Image(s, "plain").config["rootfs"]["diff_ids"][0])
    again = State()
    again.ok("build", "--rewrite-timestamp", "-t", "x", where,
             env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    check_equal(Image(again, "x").config, image.config)


# WORKDIR makes a directory, which has its time; what follows goes on from the step, not from the time.
def test_a_moved_epoch_runs_no_command_again():
    s = State()
    text = f"FROM {busybox()}\nWORKDIR /w\nCOPY f .\nRUN cat f > g\n"
    where = make_context(text, {"f": "f"})
    for epoch, cached in ((EPOCH, 0), (EPOCH + 60, 3)):
        err = s.ok("build", "--progress=plain", "-t", "x", where,
                   env={"SOURCE_DATE_EPOCH": str(epoch)}).err
        check_equal(err.count("CACHED"), cached)
        check(not cached > 1 or "RUN cat f > g\n#5 CACHED" in err, err)
        image = Image(s, "x")
        check_equal(image.layers[1].getmember("w").mtime, epoch)
    check_equal(image.config["created"], "2017-07-14T02:41:00Z")


main(globals())
