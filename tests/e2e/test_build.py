"""Builds on a real base, with real steps. Rules are those of the Dockerfile reference and the OCI
image-spec; each claim names its own."""
import json
import os
import signal
import subprocess

from harness import *


def test_a_run_step_records_what_it_changed_and_nothing_else():
    state = State()
    state.built(f"FROM {busybox()}\nRUN echo hello > /greeting && mkdir /d && echo x > /d/f\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("greeting"), "hello\n")
    check_equal(image.line("greeting"), "file 0644 0:0")
    check_equal(image.last_layer(), ["d", "d/f", "greeting"])


def test_removed_files_become_whiteouts_and_replaced_directories_opaque():
    """OCI image-spec, layer.md, "Whiteouts", "Opaque Whiteout"."""
    state = State()
    state.built(f"FROM {busybox()}\nRUN mkdir /d && touch /d/a /d/b /gone\n"
                "RUN rm /gone && rm -r /d && mkdir /d && touch /d/c\n", "-t", "a")
    image = Image(state, "a")
    check_in(".wh.gone", image.last_layer())
    check_in("d/.wh..wh..opq", image.last_layer())
    check(image.has("d/c") and not image.has("d/a") and not image.has("gone"), "tree")


def test_owners_modes_and_links_survive():
    state = State()
    state.built(f"FROM {busybox()}\nRUN touch /f && chown 1234:54321 /f && chmod 4750 /f && "
                "ln /f /h && ln -s /f /s && mkfifo /p\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.line("f"), "file 4750 1234:54321")
    check_equal(image.entry("h").linkname, "f")
    check_equal(image.entry("s").linkname, "/f")
    check_equal(image.line("p"), "fifo 0644 0:0")


def test_a_chown_of_a_big_lower_file_stores_no_data():
    state = State()
    state.built(f"FROM {busybox()}\nRUN dd if=/dev/zero of=/big bs=1M count=64\n", "-t", "a")
    before = du(state.path)
    state.built(f"FROM {busybox()}\nRUN dd if=/dev/zero of=/big bs=1M count=64\nRUN chown 7:7 /big && printf x >> /big\n", "-t", "b")
    check(du(state.path) - before < 4 << 20, f"the store grew by {du(state.path) - before} bytes")
    image = Image(state, "b")
    check_equal(image.line("big"), "file 0644 7:7")
    check_equal(image.entry("big").size, (64 << 20) + 1)


def random_context(dockerfile):
    """400 files of 64 KiB that compress to nothing less."""
    return make_context(dockerfile, {f"d/{n // 20}/{n}": os.urandom(64 << 10) for n in range(400)})


def test_one_changed_file_of_a_context_costs_one_file_of_disk():
    state = State()
    context = random_context("FROM scratch\nCOPY d /d\n")
    state.ok("build", "-q", context)
    first = du(state.path)
    check(first > 25 << 20, f"the context was not stored: {first}")
    write(os.path.join(context, "d/3/77"), b"changed")
    write(os.path.join(context, "d/new"), os.urandom(64 << 10))
    state.ok("build", "-q", "-t", "b", context)
    check(du(state.path) - first < 2 << 20, f"the store grew by {du(state.path) - first} bytes")
    image = Image(state, "b")
    check_equal(image.text("d/3/77"), "changed")
    with open(os.path.join(context, "d/19/399"), "rb") as f:
        check(image.tree["d/19/399"][1] == f.read(), "an unchanged file has other bytes")


def test_a_bind_mount_of_the_context_costs_no_disk():
    state = State()
    context = random_context(f"FROM {busybox()}\nRUN --mount=target=/ctx,rw cat /ctx/d/*/* | wc -c && "
                             "echo changed > /ctx/d/0/0 && echo ready && sleep 600\n")
    state.ok("pull", busybox())
    before = du(state.path)
    process = state.start("build", "--progress=plain", context)
    for line in process.stdout:
        if line.endswith(b" ready\n"):
            break
    while_it_runs = du(state.path)
    process.send_signal(signal.SIGINT)
    output = line + process.communicate()[0]
    check_in("ready", output.decode())
    check(while_it_runs - before < 2 << 20, f"the store grew by {while_it_runs - before} bytes")
    check_equal(os.path.getsize(os.path.join(context, "d/0/0")), 64 << 10)


def du(path):
    return int(subprocess.run(["du", "-sB1", path], capture_output=True, check=True).stdout.split()[0])


def test_env_arg_workdir_user_reach_the_command():
    state = State()
    result = state.built(
        f"FROM {busybox()}\nARG A=1\nARG B\nENV C=\"$A-$B\" PATH=/bin\nWORKDIR /w/x\nUSER alice\n"
        "RUN echo \"A=$A B=$B C=$C\"; pwd; id -u; id -G; echo HOME=$HOME\n",
        "-t", "a", "--build-arg", "B=two")
    for line in ("A=1 B=two C=1-two", "/w/x", "HOME=/home/alice"):
        check_in(line, result.err)
    image = Image(state, "a")
    check_equal(image.config["config"]["User"], "alice")
    check_equal(image.config["config"]["WorkingDir"], "/w/x")
    check_equal(image.env()["C"], "1-two")
    check(not any("B=two" in e for e in image.config["config"]["Env"]), "ARG must not be in Env")


def test_nothing_of_the_caller_reaches_a_step():
    """SECURITY R8, R11, R12: environment, descriptors, terminal, groups."""
    state = State(SECRET_X="42")
    result = state.built(f"FROM {busybox()}\nRUN env; ls /proc/self/fd; id -G; cat /proc/1/environ; "
                         "test ! -t 0 && echo no-tty; grep Cap /proc/self/status\n", "-t", "a")
    check("SECRET_X" not in result.err, result.err)
    check_in("no-tty", result.err)
    check_in("CapEff:\t00000000", result.err.replace("\\x09", "\t"))


def test_resolv_conf_hosts_and_hostname_are_given_and_never_recorded():
    state = State()
    result = state.built(f"FROM {busybox()}\nRUN hostname && cat /etc/hosts && touch /etc/resolv.conf; touch /x\n", "-t", "a")
    check_in("buildkitsandbox", result.err)
    image = Image(state, "a")
    check_equal([n for n in image.last_layer() if n.startswith(("etc/", "proc", "dev", "sys"))], [])


def test_an_unchanged_build_is_cached_and_gives_the_same_image():
    state = State()
    text = f"FROM {busybox()}\nWORKDIR /w\nCOPY a .\nRUN cat /proc/sys/kernel/random/uuid > /stamp\nCMD [\"sh\"]\n"
    context = make_context(text, {"a": "1"})
    first = state.ok("build", "--progress=plain", "-t", "a", context)
    one = Image(state, "a")
    second = state.ok("build", "--progress=plain", "-t", "a", context)
    check_equal(second.err.count("CACHED"), 4)
    check_equal(Image(state, "a").config, one.config)
    third = state.ok("build", "--progress=plain", "--no-cache", "-t", "a", context)
    check(Image(state, "a").text("stamp") != one.text("stamp"), "--no-cache used the cache")


def test_mtime_never_counts_but_content_and_mode_do():
    """Dockerfile reference, "COPY": content and metadata count, times do not."""
    state = State()
    context = make_context(f"FROM {busybox()}\nCOPY a /a\n", {"a": "1"})
    state.ok("build", "-t", "a", context)
    os.utime(os.path.join(context, "a"), (1, 1))
    check_in("CACHED", state.ok("build", "--progress=plain", "-t", "a", context).err.split("COPY")[1])
    os.chmod(os.path.join(context, "a"), 0o755)
    check("CACHED" not in state.ok("build", "--progress=plain", "-t", "a", context).err.split("COPY")[1], "mode ignored")
    write(os.path.join(context, "a"), "2", 0o755)
    state.ok("build", "-t", "a", context)
    check_equal(Image(state, "a").text("a"), "2")


def test_each_input_of_a_run_changes_its_key():
    """SECURITY R56: mutate each field singly, each gives a miss."""
    state = State()
    base = f"FROM {busybox()}\n"
    variants = ["RUN true", "RUN true ", "RUN [\"true\"]", "ENV A=1\nRUN true", "ENV A=2\nRUN true",
                "ARG B=1\nRUN true", "WORKDIR /etc\nRUN true", "USER 5\nRUN true",
                "SHELL [\"/bin/ash\", \"-c\"]\nRUN true", "RUN --network=none true",
                "RUN --mount=type=tmpfs,target=/t true", "RUN --mount=type=cache,target=/t true"]
    state.built(base + variants[0] + "\n")
    for text in variants[2:]:
        result = state.built(base + text + "\n")
        run = result.err.rsplit("RUN", 1)[1]
        check("CACHED" not in run, f"{text!r} hit the cache\n{result.err}")
    check_in("CACHED", state.built(base + variants[0] + "\n").err.rsplit("RUN", 1)[1])


def test_copy_rules_for_destinations():
    """Dockerfile reference, "COPY": files, directories, wildcards, several sources."""
    state = State()
    state.built(f"FROM {busybox()}\nWORKDIR /w\nCOPY one.txt renamed\nCOPY one.txt dir/\nCOPY d /tree\n"
                "COPY *.txt /glob/\nCOPY d/deep/x one.txt /two/\nCOPY --chown=alice:staff --chmod=640 one.txt /owned\n"
                "COPY nothing* /none/\nCOPY one.txt /none/\n",
                "-t", "a", context={"one.txt": "1", "two.txt": "2", "d/deep/x": "x", "d/y": ("y", 0o755)})
    image = Image(state, "a")
    check_equal(image.text("w/renamed"), "1")
    check_equal(image.text("w/dir/one.txt"), "1")
    check_equal(image.text("tree/deep/x"), "x")
    check_equal(image.line("tree/y"), "file 0755 0:0")
    check(image.has("glob/one.txt") and image.has("glob/two.txt") and image.has("two/x"), "several")
    check_equal(image.line("owned"), "file 0640 1000:50")


def test_add_extracts_local_archives_by_content():
    """Dockerfile reference, "ADD": by content, not by name; owners are kept; COPY never extracts."""
    state = State()
    tree = directory("add")
    write(os.path.join(tree, "d/f"), "in the tar")
    os.symlink("f", os.path.join(tree, "d/l"))
    os.link(os.path.join(tree, "d/f"), os.path.join(tree, "d/h"))
    context = make_context(f"FROM {busybox()}\n" + "".join(f"ADD a.{n} /{n}\n" for n in ("0", "1", "2", "3", "4"))
                           + "ADD --unpack=false a.0 /raw/\nCOPY a.0 /copied\n", {})
    for name, option in enumerate(("", "--gzip", "--bzip2", "--xz", "--zstd")):
        subprocess.run(["tar", "-C", tree, "--owner=12", "--group=34", *([option] if option else []), "-cf",
                        os.path.join(context, f"a.{name}"), "d"], check=True)
    state.ok("build", "-t", "a", context)
    image = Image(state, "a")
    for name in range(5):
        check_equal(image.text(f"{name}/d/f"), "in the tar")
        check_equal(image.line(f"{name}/d/f"), "file 0644 12:34")
        check_equal(image.entry(f"{name}/d/l").linkname, "f")
        check_equal(image.text(f"{name}/d/h"), "in the tar")
    check(image.entry("raw/a.0").isreg() and image.entry("copied").isreg(), "not extracted")


def test_dockerignore_hides_and_takes_back():
    state = State()
    state.built(f"FROM {busybox()}\nCOPY . /c\n", "-t", "a",
                context={".dockerignore": "*.log\nnode_modules\n!keep.log\n", "a.log": "", "keep.log": "k",
                         "node_modules/m": "", "src/b.log": "b"})
    image = Image(state, "a")
    check(image.has("c/keep.log") and image.has("c/src/b.log"), "taken back")
    check(not image.has("c/a.log") and not image.has("c/node_modules"), "hidden")


def test_copy_cannot_leave_the_context():
    """SECURITY R53."""
    state = State()
    outside = directory("outside")
    write(os.path.join(outside, "secret"), "canary")
    context = make_context(f"FROM {busybox()}\nCOPY link /x\n", {"a": ""})
    os.symlink(os.path.join(outside, "secret"), os.path.join(context, "link"))
    result = state.fails("build", "--progress=plain", context)
    check_in("not found", result.err)
    write(os.path.join(context, "Dockerfile"), f"FROM {busybox()}\nCOPY ../../../../etc/passwd /x\n")
    check_in("not found", state.fails("build", context).err)
    write(os.path.join(context, "Dockerfile"), f"FROM {busybox()}\nCOPY . /x\n")
    state.ok("build", "-t", "a", context)
    check_equal(Image(state, "a").line("x/link"), "link 0777 0:0")


def test_stages_copy_from_each_other_and_unused_ones_are_not_built():
    state = State()
    result = state.built(
        f"FROM {busybox()} AS make\nRUN mkdir /out && echo built > /out/bin && chmod 755 /out/bin\n"
        f"FROM {busybox()} AS unused\nRUN exit 1\n"
        f"FROM scratch\nCOPY --from=make /out/ /app/\nCOPY --from=0 --chown=9:9 /out/bin /b\n"
        f"COPY --from={busybox()} /bin/busybox /bin/sh\nRUN [\"/bin/sh\", \"-c\", \"echo ok\"]\nENTRYPOINT [\"/app/bin\"]\n",
        "-t", "a")
    check("unused" not in result.err, result.err)
    image = Image(state, "a")
    check_equal(image.line("app/bin"), "file 0755 0:0")
    check_equal(image.line("b"), "file 0755 9:9")
    check_equal(image.config["config"]["Entrypoint"], ["/app/bin"])
    check("etc/passwd" not in image.tree, "scratch is empty")


def test_a_target_builds_that_stage_alone():
    state = State()
    text = f"FROM {busybox()} AS one\nRUN echo 1 > /f\nFROM one AS two\nRUN echo 2 > /f\n"
    state.built(text, "-t", "a", "--target", "one")
    check_equal(Image(state, "a").text("f"), "1\n")
    check_in('target stage "tow" could not be found (did you mean two?)', state.build(text, "--target", "tow").err)


def test_config_instructions_are_recorded_exactly():
    """OCI image-spec, config.md, and docker's additions."""
    state = State()
    state.built(f"FROM {busybox()}\nLABEL a=b \"c d\"=e\nEXPOSE 80 53/udp\nVOLUME /data\nSTOPSIGNAL SIGTERM\n"
                "SHELL [\"/bin/ash\", \"-ec\"]\nENTRYPOINT run me\nCMD [\"x\"]\n"
                "HEALTHCHECK --interval=5s --retries=3 CMD true\nONBUILD RUN echo late\nMAINTAINER someone\n", "-t", "a")
    image = Image(state, "a")
    config = image.config["config"]
    check_equal(config["Labels"], {"a": "b", "c d": "e"})
    check_equal(sorted(config["ExposedPorts"]), ["53/udp", "80/tcp"])
    check_equal(config["Volumes"], {"/data": {}})
    check_equal(config["StopSignal"], "SIGTERM")
    check_equal(config["Entrypoint"], ["/bin/ash", "-ec", "run me"])
    check_equal(config["Cmd"], ["x"])
    check_equal(config["Healthcheck"], {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 3})
    check_equal(config["OnBuild"], ["RUN echo late"])
    check_equal(image.config["author"], "someone")
    filled = [h for h in image.config["history"] if not h.get("empty_layer")]
    check_equal(len(filled), len(image.config["rootfs"]["diff_ids"]))


def test_onbuild_triggers_run_in_the_child():
    state = State()
    ref = f"{registry().host}/onbuild:1"
    state.built(f"FROM {busybox()}\nONBUILD RUN echo child > /child\n", "-t", ref)
    state.built(f"FROM {ref}\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("child"), "child\n")
    check("OnBuild" not in image.config["config"], "triggers must not be inherited")


def test_the_same_inputs_and_epoch_give_the_same_digest_in_two_stores():
    text = f"FROM {busybox()}\nCOPY a /a\nRUN mkdir /d; echo x > /d/f; touch -d @99 /d/f /d\nWORKDIR /w\n"
    digests = set()
    for _ in range(2):
        state = State(SOURCE_DATE_EPOCH="1700000000")
        context = make_context(text, {"a": "1"})
        os.utime(os.path.join(context, "a"), (5, 5))
        digests.add(state.ok("build", "-q", "--rewrite-timestamp", context).out)
    check_equal(len(digests), 1)


def test_run_mounts_are_seen_and_not_recorded():
    state = State()
    secret = os.path.join(directory("secrets"), "s")
    write(secret, "hunter2")
    text = (f"FROM {busybox()} AS src\nRUN echo from-stage > /data\nFROM {busybox()}\n"
            "RUN --mount=type=bind,target=/ctx --mount=type=bind,from=src,source=/data,target=/st/data "
            "--mount=type=tmpfs,target=/t --mount=type=secret,id=s --mount=type=cache,target=/cache "
            "cat /ctx/file /st/data /run/secrets/s > /dev/null && touch /t/x && echo more >> /cache/log && "
            "wc -l < /cache/log && sha256sum /run/secrets/s | "
            f"grep -q {hashlib.sha256(b'hunter2').hexdigest()}\n")
    context = make_context(text, {"file": "f"})
    state.ok("build", "--progress=plain", "--secret", f"id=s,src={secret}", "-t", "a", context)
    image = Image(state, "a")
    check_equal(len(image.layers), 1)
    second = state.ok("build", "--progress=plain", "--no-cache", "--secret", f"id=s,src={secret}", context)
    check_in(" 2\n", second.err)
    found = subprocess.run(["grep", "-rl", "hunter2", state.path], capture_output=True).stdout
    check_equal(found, b"")


def test_a_failed_step_says_what_and_where():
    state = State()
    result = state.build(f"FROM {busybox()}\nRUN echo doomed; exit 7\n")
    check_equal(result.code, 1)
    check_in('process "/bin/sh -c echo doomed; exit 7" did not complete successfully: exit code: 7', result.err)
    check_in(">>> RUN echo doomed; exit 7", result.err)
    check_in("doomed", result.err)


def test_an_unknown_instruction_gets_a_suggestion_and_an_excerpt():
    result = State().build("FROM scratch\nRNU x\n")
    check_equal(result.code, 1)
    check_in("dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)", result.err)
    check_in("   2 | >>> RNU x", result.err)


def test_a_missing_source_is_named():
    result = State().build(f"FROM {busybox()}\nCOPY nope /x\n")
    check_equal(result.code, 1)
    check_in('"/nope": not found', result.err)


def test_background_processes_end_with_their_step():
    """SECURITY R7: the build does not wait for them, and they are gone when it is done."""
    state = State()
    state.built(f"FROM {busybox()}\nRUN setsid sleep 98763 & sleep 98763 & echo started\n")
    check_equal(processes_with("sleep 98763"), [])


def start_sleeper(state, marker):
    context = make_context(f"FROM {busybox()}\nRUN sleep {marker}\n", {})
    process = state.start("build", "--progress=plain", context)
    wait_until(lambda: processes_with(f"sleep {marker}"), "the step did not start")
    return process


def test_an_interrupt_stops_everything_at_once():
    state = State()
    before = host_mounts()
    process = start_sleeper(state, 98761)
    process.send_signal(signal.SIGINT)
    check_equal(process.wait(), 130)
    wait_until(lambda: not processes_with("sleep 98761"), "the step survived")
    check_equal(host_mounts(), before)
    check_equal(os.listdir(os.path.join(state.path, "work")), [])


def test_kill_9_leaves_no_process_and_no_mount():
    """SECURITY R6; S7: the next start clears what the dead one left."""
    state = State()
    before = host_mounts()
    process = start_sleeper(state, 98762)
    process.kill()
    process.wait()
    wait_until(lambda: not processes_with("sleep 98762"), "the step survived")
    check_equal(host_mounts(), before)
    state.ok("ls")
    check_equal(os.listdir(os.path.join(state.path, "work")), [])
    check_equal([n for n in os.listdir(os.path.join(state.path, "tmp")) if n != "partial"], [])


def test_the_state_is_plain_files_of_the_caller():
    """SECURITY R38: no foreign owner, no set-id bit, rm -rf works."""
    state = State()
    state.built(f"FROM {busybox()}\nRUN touch /f && chown 77:77 /f && chmod 6755 /f\n", "-t", "a")
    bad = subprocess.run(["find", state.path, "-perm", "/6077", "-o", "!", "-uid", str(os.getuid())],
                         capture_output=True, check=True).stdout
    check_equal(bad, b"")
    subprocess.run(["rm", "-rf", state.path], check=True)


def test_parallel_stages_give_the_same_image_as_one_after_the_other():
    text = "".join(f"FROM {busybox()} AS s{i}\nRUN echo {i} > /f{i}; touch -d @5 /f{i}\n" for i in range(4))
    text += "FROM scratch\n" + "".join(f"COPY --from=s{i} /f{i} /f{i}\n" for i in range(4))
    digests = set()
    for jobs in ("1", "4"):
        state = State(SOURCE_DATE_EPOCH="1700000000")
        digests.add(state.ok("build", "-q", "--rewrite-timestamp", "--jobs", jobs, make_context(text, {})).out)
    check_equal(len(digests), 1)


if __name__ == "__main__":
    main(globals())
