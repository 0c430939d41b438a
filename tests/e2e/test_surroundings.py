"""What img is started with, and beside: streams, limits and signals of its caller, and other img on
the same state.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

from harness import (IMG, Image, Result, State, busybox, check, check_equal, check_in, directory, main,
                     make_context)
from test_bad_input import check_whole, nothing_left, run_inside


def run_shell(state, script, text=True):
    """What a shell makes of it; `$IMG` is the program."""
    return subprocess.run(["bash", "-c", script], env={**state.env, "IMG": IMG},
                          stdin=subprocess.DEVNULL, capture_output=True, text=text)


# -- streams --

def test_a_result_that_cannot_be_written_is_a_failure():
    state = State()
    state.built("FROM scratch\nCOPY Dockerfile /\n", "-t", "a")
    context = make_context("FROM scratch\nARG n=1\nCOPY Dockerfile /\n", {})
    for words in ("ls", "ls --json", "history a", "inspect a", "du", "version", "fsck", "save a", "help build",
                  "help --man", f"build -q {context}", f"build -o - {context}",
                  f"build --call=outline {context}"):
        result = run_shell(state, f"$IMG {words} > /dev/full")
        check_equal((words, result.returncode), (words, 1))
        check_in("No space left on device", result.stderr)
        check_equal((words, run_shell(state, f"$IMG {words} > /dev/null").returncode), (words, 0))


def test_a_reader_who_has_seen_enough_hears_no_complaint():
    result = run_shell(State(), "{ $IMG help --man; echo status=$? >&2; } | true")
    check(result.stderr in ("status=141\n", "status=0\n"), result.stderr)  # 0: written before it ended
    result = run_shell(State(), "mkfifo $HOME/f; exec 8<>$HOME/f 9>$HOME/f 8<&-; $IMG ls >&9")
    check_equal((result.returncode, result.stderr), (141, ""))


def test_closed_standard_streams_are_no_files():
    """A file that is opened as number 2 would get the messages as content."""
    state = State()
    state.built("FROM scratch\nCOPY Dockerfile /\n", "-t", "a")
    context = make_context(f"FROM {busybox()}\nRUN echo out; echo err >&2; echo x > /x\n", {})
    for closed, status in (("<&-", 0), ("2>&-", 0), ("<&- 2>&-", 0), (">&-", 1), ("<&- >&- 2>&-", 1)):
        result = run_shell(state, f"$IMG build -q --no-cache -t b {context} {closed}")
        check_equal((closed, result.returncode), (closed, status))
        check_whole(state)
        check_equal(Image(state, "b").text("x"), "x\n")
    check_in("Bad file descriptor", run_shell(state, "$IMG ls >&-").stderr)
    check_equal(run_shell(state, f"$IMG build - <&-").returncode, 1)


# -- a state that cannot be written to --

def check_reads_alone(state, context, other, run):
    """`run(words)` is img on that state: what only reads works, all else is one sentence."""
    for words in ("ls", "inspect a", "history a", "du", "logs", "diff a", "save -o /dev/null a", f"build {context}",
                  f"build -t a {context}", f"build -o - {context}", "shell a -- cat /made",
                  "mount a -- sh -c 'cat $IMG_MOUNT/made'", "doctor --offline"):
        result = run(words)
        check_equal((words, result.code, result.err if result.code else ""), (words, 0, ""))
    check_in("is read-only: nothing can be built or pulled", result.out)
    for words in (f"build -t b {context}", f"build {other}", f"build --no-cache {context}", "pull " + busybox(),
                  "rm a", "tag a b", "prune --all -f", "import $IMG b"):
        result = run(words)
        check_equal((words, result.code), (words, 1))
        said = [line for line in result.err.splitlines() if line.startswith("img: ")]
        check(len(said) == 1 and said[0].endswith(f"the store '{state.path}' is read-only"), result.err)


def test_a_state_that_can_only_be_read_serves_what_only_reads():
    """On a mount without the right to write, as an image of a machine is, and by its mode."""
    state = State()
    context = make_context(f"FROM {busybox()}\nCOPY Dockerfile /f\nRUN echo x > /made\n", {})
    other = make_context(f"FROM {busybox()}\nRUN true\n", {})
    state.ok("build", "-t", "a", context)
    with open(os.path.join(state.path, "img.db"), "rb") as f:
        database = f.read()
    on_mount = 'mount --bind "$IMG_STATE" "$IMG_STATE"\nmount -o remount,ro,bind "$IMG_STATE"\n"$IMG" '
    check_reads_alone(state, context, other, lambda words: run_inside(state, on_mount + words))
    check_in("is read-only", run_inside(state, on_mount + "fsck --repair").err)
    if os.geteuid() != 0:
        os.chmod(state.path, 0o500)
        check_reads_alone(state, context, other, lambda words: Result(run_shell(state, "$IMG " + words, text=False)))
        os.chmod(state.path, 0o700)
    with open(os.path.join(state.path, "img.db"), "rb") as f:
        check(f.read() == database, "the database was written to")
    check_equal([n for n in os.listdir(state.env["XDG_RUNTIME_DIR"]) if n.startswith("img-mount")], [])
    check_whole(state)


def test_a_path_that_sqlite_cannot_take_is_said_to_be_too_long():
    """SQLite's unix file system takes 512 bytes of a path, PATH_MAX is 4096."""
    for count, status in ((400, 0), (600, 1)):
        state = State(IMG_STATE=os.path.join(directory("long"), *["d" * 100] * (count // 100)))
        result = state.run("ls")
        check_equal((count, result.code), (count, status))
    check(re.fullmatch(r"img: the path of the state directory has \d+ bytes, SQLite takes \d+\nhint: .*\n", result.err),
          result.err)


# -- homes and times --

def test_a_home_that_is_none_is_a_home_with_nothing_in_it():
    """As of system accounts: /dev/null, /nonexistent."""
    for home in ("/dev/null", "/nonexistent", None):
        state = State(XDG_RUNTIME_DIR="/nonexistent")
        state.env.pop("HOME")
        state.env.update({"HOME": home} if home else {})
        state.ok("build", "-t", "a", make_context(f"FROM {busybox()}\nRUN echo x > /x\n", {}))
        state.ok("mount", "a", "--", "sh", "-c", 'test -e "$IMG_MOUNT/x"')
        if shutil.which("fusermount3"):
            where = state.ok("mount", "a").out.strip()
            check(where.startswith("/tmp/img-mount-") and os.path.exists(where + "/x"), where)
            state.ok("umount", where)
            check(not os.path.exists(where), "the directory is left")


def test_times_that_64_bits_of_nanoseconds_cannot_hold_are_the_last_they_can():
    """2^63 nanoseconds after 1970 is the year 2262. What is within is kept to the nanosecond."""
    state = State()
    context = make_context("FROM scratch\nCOPY . /\n", {"old": "", "far": ""})
    os.utime(f"{context}/old", ns=(0, -2100000000_123456789))  # 1903
    os.utime(f"{context}/far", ns=(0, 12 * 10 ** 18))  # 2350
    state.ok("build", "-t", "a", context)
    image = Image(state, "a")
    check_equal(float(image.entry("old").pax_headers["mtime"]), float("-2100000000.123456789"))
    check_equal(int(float(image.entry("far").mtime)), (2 ** 63 - 1) // 10 ** 9)


# -- limits and signals --

def test_a_limit_on_the_size_of_files_is_a_sentence():
    """setrlimit(2): SIGXFSZ would end the program in the middle of it."""
    state = State()
    context = make_context("FROM scratch\nCOPY big /\n", {"big": "x" * 3000000})
    with nothing_left(state):
        result = run_shell(state, f"ulimit -f 2000; $IMG build {context}")
        check_equal(result.returncode, 1)
        check_in("cannot write 'big'", result.stderr)
    check_whole(state)
    state.ok("build", "-t", "a", context)
    with nothing_left(state):  # too small for the database: found out before anything is written
        result = run_shell(state, f"ulimit -f 100; $IMG build --no-cache {context}")
        check_equal(result.returncode, 1)
        check_in("the limit on the size of files is too small for the store", result.stderr)
        check_in("\nhint: raise it: ulimit -f\n", result.stderr)
    check_whole(state)
    check_equal(run_shell(state, f"ulimit -f 0; $IMG build -q {context} && $IMG history a").stderr, "")


def test_a_step_has_the_standard_signals():
    """What img ignores is its own affair: SIGPIPE is 13, SIGXFSZ 25 (signal(7))."""
    result = State().built(f'FROM {busybox()}\nRUN ["grep", "SigIgn", "/proc/self/status"]\n')
    ignored = int(result.err.split("SigIgn:")[1].split()[0], 16)
    check_equal([n for n in range(1, 32) if ignored >> (n - 1) & 1], [])


def test_what_nohup_ignores_stays_ignored():
    for ignored, status in ((True, 0), (False, 130)):
        state = State()
        context = make_context(f"FROM {busybox()}\nRUN echo it has begun; sleep 2\n", {})
        process = subprocess.Popen(
            [IMG, "build", "--progress=plain", context], env=state.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL))
        with nothing_left(state):
            for line in process.stdout:
                if b"it has begun" in line and b"echo" not in line:
                    break
            process.send_signal(signal.SIGHUP)
            output = process.stdout.read()
            check_equal((process.wait(), output[-200:] if ignored and process.returncode else b""), (status, b""))


def test_few_descriptors_are_enough_or_named():
    state = State()
    state.ok("pull", busybox())
    context = make_context(f"FROM {busybox()}\nRUN echo x > /x\nRUN echo y > /y\n", {})
    result = run_shell(state, f"ulimit -n 64; $IMG build -t a {context}")
    check_equal((result.returncode, result.stderr[-300:] if result.returncode else ""), (0, ""))
    result = run_shell(state, f"ulimit -n 20; $IMG build --no-cache {context}")
    check_equal(result.returncode, 1)
    check_in("Too many open files", result.stderr)
    check_in("\nhint: raise the limit on open files: ulimit -n", result.stderr)
    check_whole(state)


# -- others --

def test_a_wait_for_a_cache_mount_of_another_build_is_said():
    """SECURITY R65: `locked` serialises two builds. Who waits is told what for."""
    for sharing in ("shared", "locked"):
        state = State()
        state.ok("pull", busybox())
        mount = f"--mount=type=cache,id=its-name,target=/c,sharing={sharing}"
        first = state.start("build", "--progress=plain", "--no-cache", make_context(
            f"FROM {busybox()}\nRUN {mount} echo it has begun; sleep 3; echo first >> /c/f\n", {}))
        for line in first.stdout:
            if b"it has begun" in line and b"echo" not in line:
                break
        result = state.built(f"FROM {busybox()}\nRUN {mount} echo second >> /c/f; cat /c/f\n")
        check_in("waiting for the cache mount 'its-name'", result.err)
        check_in("first\n", result.err)
        first.stdout.read()
        check_equal(first.wait(), 0)
        result = state.built(f"FROM {busybox()}\nRUN {mount} cat /c/f && true\n")
        check("waiting" not in result.err, result.err)


def crowd_work(state, context, archive):
    """What one of the crowd may do next."""
    return [("build", "--progress=plain", "-t", "built", "--no-cache", context),
            ("build", "--progress=plain", "-t", "cached", context),
            ("build", "--progress=plain", "-t", "cached", context),
            ("pull", busybox()), ("load", "-i", archive), ("save", "-o", "/dev/null", "kept"),
            ("tag", "kept", "other"), ("prune",), ("prune", "--all"), ("fsck", "--quick"), ("ls",), ("du",),
            ("shell", "kept", "--", "ls", "/"), ("diff", "kept")]


def crowd_member(state, work, number, until, failures):
    moments = random.Random(number)
    while time.monotonic() < until and not failures:
        words = moments.choice(work)
        process = state.start(*words)
        if moments.random() < 0.2:
            try:
                process.wait(moments.uniform(0, 0.3))
            except subprocess.TimeoutExpired:
                process.kill()
        output = process.communicate()[0].decode(errors="replace")
        bad = process.returncode not in (0, -signal.SIGKILL)
        if words[0] == "diff" and process.returncode == 1 and "img:" not in output:
            bad = False  # there are differences
        if bad or "database is" in output:  # locked, malformed
            failures.append(f"{words}: exit {process.returncode}: {output[-2000:]}")


def test_a_crowd_on_one_state_does_no_harm():
    """SECURITY S13: builds, pulls, collections and checks at once, one in five killed."""
    state = State()
    state.ok("pull", busybox())
    context = make_context(f"FROM {busybox()}\nCOPY data /data\n"
                           "RUN --mount=type=cache,target=/c date >> /c/f; cat /data /data > /twice\n"
                           "RUN for i in 1 2 3 4 5 6; do echo $i > /$i; done; rm /twice\n", {"data": "x" * 100000})
    state.ok("build", "-t", "kept", context)
    archive = os.path.join(directory("crowd"), "kept.tar")
    state.ok("save", "-o", archive, "kept")
    with open(archive, "rb") as f:
        expected = f.read()
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    failures = []
    until = time.monotonic() + float(os.environ.get("IMG_CROWD_SECONDS", "8"))
    work = crowd_work(state, context, archive)
    with nothing_left(state):
        members = [threading.Thread(target=crowd_member, args=(state, work, seed + n, until, failures))
                   for n in range(6)]
        for member in members:
            member.start()
        for member in members:
            member.join()
    check(not failures, "\n".join(failures))
    state.ok("ls")  # removes what the dead left
    check_whole(state)
    state.ok("save", "-o", archive, "kept")
    with open(archive, "rb") as f:
        check(f.read() == expected, "the image that was kept is another one now")


if __name__ == "__main__":
    main(globals())
