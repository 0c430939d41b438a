"""Looking inside: img shell, img mount -- COMMAND and img diff, on images and on steps. What a command
sees is compared with what a RUN step saw, what diff says with the layers as tarfile reads them."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from harness import *

DOCKERFILE = """FROM scratch
ADD base.tar /
ENV COLOUR=blue PATH=/bin:/usr/bin
WORKDIR /work
RUN echo one > one && echo same > same && mkdir -p gone/deep && touch gone/deep/file && ln -s one link
RUN echo 22 > one && rm -r gone && chmod 600 same && chown alice same && echo new > new && ln -sf new link
USER alice
"""
SHOW = "id; pwd; umask; echo $COLOUR $HOME; grep -e ^Cap -e Seccomp: -e NoNewPrivs /proc/self/status; " \
       "cut -d' ' -f5 /proc/self/mountinfo | sort; for n in pid net ipc uts mnt user; do " \
       "test -e /proc/self/ns/$n; done; ulimit -n; ls /dev | sort"

state = None


def image():
    """A state with the image "look"."""
    global state
    if state is None:
        state = State()
        state.built(DOCKERFILE, "-t", "look", context={"base.tar": busybox_tar()})
    return state


def work_is_empty(s):
    check_equal(os.listdir(os.path.join(s.path, "work")), [])


class Terminal:
    """img on a terminal of 30 lines of 100 characters; read in pieces, as a person would."""

    def __init__(self, s, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(IMG, [IMG, *words], {**s.env, "TERM": "vt100"})
        self.resize(30, 100)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern):
        """Reads on until the pattern comes; gives what it matched. A minute means never."""
        end = time.monotonic() + 60
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            check(ready, f"no {pattern!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.seen!r}")

    def end(self):
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_shell_gives_a_command_what_a_run_step_has():
    s = image()
    run = s.built(f"FROM look\nRUN {SHOW}\n", "--no-cache").err
    said = re.findall(r"^#\d+ \d+\.\d+ (.*)$", run, re.M)
    shell = s.ok("shell", "look", "sh", "-c", SHOW).out.splitlines()
    check("uid=1000(alice)" in said[0], run)
    check_equal(shell, said)


def test_shell_changes_nothing_and_leaves_nothing():
    s = image()
    s.ok("shell", "-u", "0", "look", "sh", "-c", "rm /etc/passwd && echo x > /work/x && ls /work/x")
    check_in("passwd", s.ok("shell", "look", "ls", "/etc").out)
    check("x" not in s.ok("shell", "look", "ls", "/work").out.split(), "a change was kept")
    work_is_empty(s)
    refused = s.run("shell", "--read-only", "-u", "0", "look", "touch", "/work/x")
    check_equal(refused.code, 1)
    check_in("Read-only file system", refused.err)


def test_shell_passes_options_behind_the_image_to_the_command():
    s = image()
    check_equal(s.ok("shell", "-u", "0", "look", "echo", "-n", "--user", "x").out, "--user x")
    check_equal(s.ok("shell", "look", "--", "echo", "--", "-h").out, "-- -h\n")
    check_equal(s.ok("shell", "-e", "A=b", "-e", "HOME", "-w", "/tmp", "look", "sh", "-c",
                     "echo $A $HOME $PWD").out, f"b {s.home} /tmp\n")
    check_in("no directory of the host", s.fails("shell", "-v", "/tmp:/tmp", "look", code=2).err)
    check_in("not an absolute path", s.fails("shell", "-w", "tmp", "look").err)
    check_in("unable to find user nobodyhere", s.fails("shell", "-u", "nobodyhere", "look").err)
    check_in("no image, step or layer", s.fails("shell", "abcdef012345").err)


def test_exit_status_of_the_command_is_that_of_img():
    s = image()
    check_equal(s.run("shell", "look", "sh", "-c", "exit 7").code, 7)
    check_equal(s.run("shell", "look", "sh", "-c", "kill -KILL $$").code, 137)
    check_in("no such program in PATH", s.fails("shell", "look", "nonesuch", code=127).err)
    check_in("Permission denied", s.fails("shell", "look", "/etc/passwd", code=126).err)
    check_equal(s.run("mount", "look", "--", "sh", "-c", "exit 9").code, 9)
    check_equal(s.run("mount", "look", "--", "sh", "-c", "kill -TERM $$").code, 143)
    check_in("cannot start 'nonesuch'", s.fails("mount", "look", "--", "nonesuch", code=127).err)


def test_shell_passes_streams_through():
    s = image()
    data = os.urandom(3_000_000)
    echo = subprocess.run([IMG, "shell", "-i", "look", "sh", "-c", "cat; echo said >&2"], input=data, env=s.env,
                          capture_output=True, check=True)
    check(echo.stdout == data, "not the same bytes came back")
    check_equal(echo.stderr, b"said\n")
    left = subprocess.run(f"'{IMG}' shell look cat; cat", shell=True, input=b"list\n", env=s.env, capture_output=True)
    check_equal(left.stdout, b"list\n")
    script = subprocess.run([IMG, "shell", "look"], input=b"echo from a script; exit 4\n", env=s.env, capture_output=True)
    check_equal((script.returncode, script.stdout), (4, b"from a script\n"))
    head = subprocess.run(f"'{IMG}' shell look yes | head -n 1", shell=True, env=s.env, stdin=subprocess.DEVNULL,
                          capture_output=True)
    check_equal((head.stdout, head.stderr), (b"y\n", b""))


def test_shell_on_a_terminal_has_one_of_its_own():
    s = image()
    t = Terminal(s, "shell", "look")
    t.until(r"\$ ")
    t.type("tty; stty size; echo $TERM\n")
    t.until(r"/dev/pts/0\r\n30 100\r\nvt100\r\n")
    t.resize(40, 120)
    t.type("while test \"$(stty size)\" != '40 120'; do :; done; echo is''resized\n")
    t.until("isresized")
    t.type("sh -c 'echo run''ning; exec sleep 1000'\n")
    t.until("running")
    t.type("\x03")
    t.until(r"\$ ")
    t.type("echo status=$?\n")
    t.until("status=130")
    t.type("sh -c 'echo run''ning; exec sleep 1000'\n")
    t.until("running")
    t.type("\x1a")
    t.until("Stopped")
    t.type("kill -9 %1; wait; stty -a | tr ';' '\\n' | grep -c icanon; exit 42\n")
    check_equal(t.end(), 42)
    work_is_empty(s)


def test_the_terminal_is_as_it_was_afterwards():
    s = image()
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    result = subprocess.run([IMG, "shell", "look", "sh", "-c", "stty raw -echo; exit 3"], stdin=theirs, stdout=theirs,
                            stderr=theirs, env=s.env, start_new_session=True)
    check_equal(result.returncode, 3)
    check_equal(termios.tcgetattr(theirs), before)
    os.close(ours)
    os.close(theirs)


def test_a_signal_reaches_the_command():
    s = image()
    for number, status in ((signal.SIGTERM, 5), (signal.SIGINT, 6)):
        p = subprocess.Popen([IMG, "shell", "look", "sh", "-c", "trap 'exit 5' TERM; trap 'exit 6' INT; echo ready; "
                              "while :; do sleep 0.1; done"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=s.env)
        check_equal(p.stdout.readline(), b"ready\n")
        p.send_signal(number)
        check_equal(p.wait(), status)
        p.stdout.close()
    work_is_empty(s)


def test_nothing_survives_a_killed_shell_or_mount():
    s = image()
    mounts = host_mounts()
    for words in (("shell", "look", "sh", "-c", "echo ready; exec sleep 98765"),
                  ("mount", "look", "--", "sh", "-c", "ls $IMG_MOUNT/bin/sh >&2; echo ready; exec sleep 98765")):
        p = subprocess.Popen([IMG, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env=s.env)
        check_equal(p.stdout.readline(), b"ready\n")
        p.kill()
        p.wait()
        p.stdout.close()
        wait_until(lambda: not processes_with("sleep 98765"), "the command survived")
    check_equal(host_mounts(), mounts)
    s.ok("ls")
    work_is_empty(s)


def test_mount_shows_the_image_to_a_command_on_the_hosts_own_tree():
    s = image()
    where = directory("look-out")
    mounts = host_mounts()
    script = "test -w . && cp $IMG_MOUNT/work/new copied && stat -c %u:%g $IMG_MOUNT/work/same && ! touch $IMG_MOUNT/x"
    result = Result(subprocess.run([IMG, "mount", "look", "--", "sh", "-c", script], cwd=where, stdin=subprocess.DEVNULL,
                                   capture_output=True, env={**s.env, "PATH": "/usr/bin:/bin"}))
    check_equal((result.code, result.out), (0, "1000:0\n"))
    check_in("Read-only file system", result.err)
    check_equal(open(os.path.join(where, "copied")).read(), "new\n")
    check_equal(os.stat(os.path.join(where, "copied")).st_uid, os.getuid())
    check_equal(s.ok("mount", "--rw", "look", where, "--", "sh", "-c", f"rm {where}/etc/passwd; echo $IMG_MOUNT; ls {where}/etc").out,
                f"{where}\ngroup\n")
    check_equal(os.listdir(where), ["copied"])
    check_in("passwd", s.ok("shell", "look", "ls", "/etc").out)
    check_equal(host_mounts(), mounts)
    work_is_empty(s)


def test_mounts_are_listed():
    if shutil.which("fusermount3") is None:
        raise Skip("fusermount3 is not installed")
    s = image()
    where = directory("two words")
    first = s.ok("mount", "look", where).out
    made = json.loads(s.ok("mount", "--json", "look@step:1").out)
    try:
        check_equal(first, where + "\n")
        listed = s.ok("mount").out
        check_in(f"look {where}\n", listed)
        check_in(f"look@step:1 {made['mountpoint']}\n", listed)
        check({"image": "look", "mountpoint": where} in json.loads(s.ok("mount", "--json").out), listed)
        check_in("needs directories, or --all", s.fails("umount").err)
    finally:
        s.ok("umount", where, made["mountpoint"])
    check(where not in s.ok("mount").out, "it is still listed")
    check(not os.path.exists(made["mountpoint"]), "the directory that was made is still there")
    s.fails("mount", "--", "true")


def test_all_mounts_go_together():
    """In a mount namespace of its own, for it takes away whatever this user has mounted."""
    if os.getuid() != 0:
        raise NeedsRoot("only root can make a mount namespace in which fusermount3 works")
    if shutil.which("fusermount3") is None:
        raise Skip("fusermount3 is not installed")
    a, b = directory("all-1"), directory("all-2")
    script = f"'{IMG}' mount look '{a}' && '{IMG}' mount look@step:1 '{b}' && '{IMG}' umount -a && '{IMG}' mount"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], env=image().env, stdin=subprocess.DEVNULL,
                          capture_output=True)
    check_equal((done.returncode, done.stdout.decode()), (0, f"{a}\n{b}\n"))


def test_mount_with_a_command_needs_no_subordinate_ids_and_no_fusermount():
    """As on a host that has neither: a user namespace with the caller's id alone, and nothing in PATH."""
    s = image()
    empty = directory("no-programs")
    made = subprocess.run([shutil.which("unshare"), "--user", "--map-current-user", IMG, "mount", "look", "--", "/bin/sh", "-c",
                           "/bin/cat $IMG_MOUNT/work/same; /usr/bin/id -u"],
                          stdin=subprocess.DEVNULL, capture_output=True, env={**s.env, "PATH": empty})
    check_equal((made.returncode, made.stdout, made.stderr), (0, b"same\n0\n", b""))


def test_steps_have_names():
    s = image()
    history = [l.split()[0] for l in s.ok("history", "look").out.splitlines()[1:]]
    ids = dict(reversed(l.split(None, 3)[::3]) for l in s.ok("du").out.splitlines() if "RUN" in l)
    first = [i for text, i in ids.items() if "echo one" in text][0]
    listing = "gone\nlink\none\nsame\n"
    check_equal(s.ok("shell", "look@step:4", "ls").out, listing)
    check_equal(s.ok("shell", first, "ls", "/work").out, listing)
    check_equal(s.ok("shell", first[:8], "ls", "/work").out, listing)
    check_equal(s.ok("shell", history[2], "ls", "/work").out, listing)
    check_equal(s.ok("mount", first, "--", "sh", "-c", "cat $IMG_MOUNT/work/one").out, "one\n")
    check_in("has no step 9: its history has 6", s.fails("shell", "look@step:9").err)
    check_in("has no step 0", s.fails("shell", "look@step:0").err)
    check_in("a step is a number", s.fails("mount", "look@step:x", "--", "true").err)
    s.built("FROM scratch\nADD base.tar /\nRUN echo other > /only\n", context={"base.tar": busybox_tar()})
    only = [l.split()[0] for l in s.ok("du").out.splitlines() if "/only" in l][0]
    check_equal(s.ok("shell", only, "cat", "/only").out, "other\n")


FAILING = """FROM look
USER alice
ARG WHAT=told
ENV SHADE=dark
WORKDIR /work
RUN --mount=type=secret,id=S,env=S echo $WHAT; echo left > /tmp/left; exit 3
"""


def failed_hint(result):
    check_equal(result.code, 1)
    found = re.search(r"^hint: look inside with `img (.*?)shell ([0-9a-f]{12})` or `img .*?mount \2 -- COMMAND`", result.err, re.M)
    check(found, f"no way to look inside: {result}")
    return found.group(2)


def test_a_failed_step_says_how_to_look_inside_and_it_works():
    s = image()
    step = failed_hint(s.build(FAILING, "--secret", "id=S", env={"S": "hush"}))
    check_equal(s.ok("shell", step, "sh", "-c", "id -un; pwd; cat /tmp/left; echo $SHADE $WHAT $S").out,
                "alice\n/work\nleft\ndark told\n")
    check_equal(s.ok("mount", step, "--", "sh", "-c", "cat $IMG_MOUNT/tmp/left").out, "left\n")
    check_equal(s.ok("diff", "-q", step).out, "/tmp/left\n")
    check_in("(failed, exit code: 3)", s.ok("du").out)
    check_in(" 0 problems", s.ok("fsck").out)
    with open(os.path.join(s.path, "img.db"), "rb") as f:
        check(b"hush" not in f.read(), "the secret is in the database")
    first = failed_hint(s.build("FROM look\nRUN exit 1\n"))
    check_equal(s.ok("diff", first).out, "")
    with_state = s.run("--state", s.path, "build", make_context("FROM look\nRUN exit 1\n", {}))
    command = re.search(r"^hint: look inside with `(img --state '.*' shell [0-9a-f]{12})`", with_state.err, re.M).group(1)
    check_equal(subprocess.run(command.replace("img", f"'{IMG}'", 1) + " echo inside", shell=True, stdin=subprocess.DEVNULL,
                               env={"PATH": os.environ["PATH"]}, capture_output=True).stdout, b"inside\n")
    check_in("same", s.ok("shell", first, "ls").out)


def test_a_failed_step_is_never_a_result():
    s = image()
    where = make_context("FROM look\nUSER root\nRUN cat /proc/sys/kernel/random/uuid > /stamp; test -e /work/ok\n", {})
    step = failed_hint(s.run("build", "--progress=plain", where))
    stamp = s.ok("shell", step, "cat", "/stamp").out
    again = s.run("build", "--progress=plain", where)
    check_equal(failed_hint(again), step)
    check(s.ok("shell", step, "cat", "/stamp").out != stamp, "it was not run again")
    check_equal(s.ok("du").out.count("/stamp"), 1)


def test_failing_again_and_again_keeps_the_latest_alone():
    s = State()
    s.built("FROM scratch\nADD base.tar /\n", "-t", "look", context={"base.tar": busybox_tar()})
    where = make_context("FROM look\nRUN head -c 1000000 /dev/urandom > /big; exit 1\n", {})
    packs = os.path.join(s.path, "packs")
    for _ in range(3):
        failed_hint(s.run("build", where))
    check_equal(len([n for n in os.listdir(packs) if os.stat(os.path.join(packs, n)).st_size == 1000000]), 1)
    for _ in range(9):
        last = failed_hint(s.build("FROM look\nRUN echo x > /small; exit 1\n"))
    check_equal(s.ok("du").out.count("(failed,"), 8)
    check_equal([n for n in os.listdir(packs) if os.stat(os.path.join(packs, n)).st_size == 1000000], [])
    s.ok("prune")
    check("(failed," not in s.ok("du").out, "prune left a failed step")
    check_in("no image, step or layer", s.fails("shell", last).err)
    check_in(" 0 problems", s.ok("fsck").out)


def step_ids(text):
    """Of a failed build's record, as `img logs BUILD` heads them: name -> id."""
    return {name: i for name, i in re.findall(r"^==> \[\d+/\d+\] (.*) \(\w+, \d+\.\ds, ([0-9a-f]{12})\)$", text, re.M)}


def test_the_whole_log_of_every_step_is_kept():
    s = State()
    where = make_context("FROM scratch\nADD base.tar /\nRUN seq 1 30000\nENV A=b\nRUN printf 'no \\000 end'; exit 3\n",
                         {"base.tar": busybox_tar()})
    check_equal(s.ok("logs").out.count("\n"), 1)
    failed = failed_hint(s.run("build", where))
    known = step_ids(s.ok("logs", "1").out.replace("\0", ""))
    check_equal(list(known), ["RUN seq 1 30000", "RUN printf 'no \\000 end'; exit 3"])
    check_equal(s.ok("logs", known["RUN seq 1 30000"]).out, "".join(f"{i}\n" for i in range(1, 30001)))
    check_equal(s.ok("logs", "-n", "2", known["RUN seq 1 30000"]).out, "29999\n30000\n")
    check_equal(s.ok("logs", failed).out, "no \0 end")
    build = json.loads(s.ok("logs", "--format", "json", "1").out)
    check_equal((build["state"], build["context"], [p["state"] for p in build["steps"]][-2:]),
                ("error", os.path.realpath(where), ["done", "error"]))
    check_equal(s.ok("shell", known["RUN seq 1 30000"], "ls", "/bin/sh").out, "/bin/sh\n")
    check_in("no log of a step 'abcd'", s.fails("logs", "abcd").err)
    check_in("no log of a build 7", s.fails("logs", "7").err)
    check_in("neither the number of a build", s.fails("logs", "../x").err)
    check_in(" 0 problems", s.ok("fsck").out)
    check_in("log of build 1", s.ok("du").out)
    s.ok("prune")
    check_equal(os.listdir(os.path.join(s.path, "logs")), [])


def test_a_build_that_is_all_cached_leaves_no_log():
    s = image()
    before = sorted(os.listdir(os.path.join(s.path, "logs")))
    s.built(DOCKERFILE, context={"base.tar": busybox_tar()})
    check_equal(sorted(os.listdir(os.path.join(s.path, "logs"))), before)


def test_a_killed_build_leaves_what_was_said_so_far():
    s = State()
    s.built("FROM scratch\nADD base.tar /\n", "-t", "look", context={"base.tar": busybox_tar()})
    where = make_context("FROM look\nRUN echo so far; exec sleep 98764\n", {})
    p = s.start("build", "--progress=plain", where)
    while b"so far" not in p.stdout.readline().split(b"RUN")[0]:
        pass
    p.kill()
    p.wait()
    p.stdout.close()
    check_in("not finished", s.ok("logs").out)
    check_in("\nso far\n", s.ok("logs", "1").out)


def test_no_log_and_no_display_shows_a_secret():
    s = image()
    words = "RUN --mount=type=secret,id=key cat /run/secrets/key; printf 'in-a-'; sleep 0.2; echo 'line-of-it end'; " \
            "echo not in-a-lin; echo other-line-x >&2; exit 1\n"
    write(os.path.join(SCRATCH, "key"), "in-a-line-of-it\nother-line-x\nabc\n")
    result = s.build("FROM look\nUSER root\n" + words, "--secret", f"id=key,src={SCRATCH}/key")
    step = failed_hint(result)
    log = s.ok("logs", step).out
    # The file is masked as a whole when it is read as a whole, else line by line.
    check(sorted(log.splitlines()) in (sorted(["***", "*** end", "not in-a-lin", "***"]),
                                       sorted(["***", "***", "abc", "*** end", "not in-a-lin", "***"])), log)
    for text in (log, result.err, result.out):
        check("line-of-it" not in text.replace(words, "").replace("echo 'line-of-it end'", "")
              and "other-line-x" not in text.replace("echo other-line-x", ""), text)


def test_a_long_log_loses_its_middle():
    s = image()
    step = failed_hint(s.build("FROM look\nRUN seq 1 5000000; exit 1\n", "--progress=quiet"))
    log = s.ok("logs", step).out
    whole = "".join(f"{i}\n" for i in range(1, 5000001))
    found = re.search(r"\n\[(\S+) of the log were not kept\]\n", log)
    check(found, "nothing was left out")
    head, tail = log[:found.start()], log[found.end():]
    check(whole.startswith(head) and len(head) >= 16 << 20, "the beginning is not what was written")
    check(whole.endswith(tail) and len(tail) >= 16 << 20, "the end is not what was written")
    check_in("MiB", [l for l in s.ok("du").out.splitlines() if "log of build" in l][-1])
    size = sum(os.stat(os.path.join(d, n)).st_blocks * 512 for d, _, names in os.walk(os.path.join(s.path, "logs"))
               for n in names)
    check(size < 36 << 20, f"{size} bytes are kept")


def tree_difference(a, b):
    """path -> (kind, size before, size after), from two trees as tarfile gave them."""
    def known(entry, content):
        return (entry.type, entry.mode, entry.uid, entry.gid, entry.linkname if entry.issym() else "", content)

    def size(item):
        return len(item[1]) if item and item[1] is not None else 0
    found = {}
    for path in set(a) | set(b):
        if path not in a or path not in b or known(*a[path]) != known(*b[path]):
            kind = "added" if path not in a else "removed" if path not in b else "changed"
            found["/" + path] = (kind, size(a.get(path)), size(b.get(path)))
    return found


def said_difference(*words):
    document = json.loads(image().ok("diff", "--format", "json", *words).out)
    for kind in ("added", "changed", "removed"):
        check_equal(document[kind]["count"], sum(c["kind"] == kind for c in document["changes"]))
    return {c["path"]: (c["kind"], c.get("before", {}).get("size", 0), c.get("after", {}).get("size", 0))
            for c in document["changes"]}


def test_diff_lists_what_the_layers_say():
    s = image()
    s.built("FROM look\nUSER root\nRUN rm /work/one && mkdir /work/one && touch /work/one/a && echo more >> /etc/group "
            "&& cp /bin/busybox /copy\n", "-t", "other")
    a, b = Image(s, "look"), Image(s, "other")
    expected = tree_difference(a.tree, b.tree)
    check(len(expected) >= 4 and expected["/copy"][0] == "added", str(expected))
    check_equal(said_difference("look", "other"), expected)
    check_equal(said_difference("other"), expected)
    check_equal(said_difference("other", "look"), tree_difference(b.tree, a.tree))
    check_equal(said_difference("look", "look"), {})


def test_diff_of_a_step_is_what_it_changed():
    text = image().ok("diff", "look@step:5").out
    lines = {l.split("  ")[-1] if "(" not in l else l.split("  ")[-2]: l for l in text.splitlines()}
    check_equal({path: line[0] for path, line in lines.items()},
                {"/work/gone/": "D", "/work/gone/deep/": "D", "/work/gone/deep/file": "D", "/work/link -> new": "C",
                 "/work/new": "A", "/work/one": "C", "/work/same": "C"})
    check_in("4B -> 3B", lines["/work/one"])
    check_in("(size, content)", lines["/work/one"])
    check_in("(mode, owner)", lines["/work/same"])
    check_in("(target)", lines["/work/link -> new"])
    check_equal(image().ok("diff", "-q", "look@step:4", "look@step:5").out.count("\n"), 7)


def test_diff_says_by_its_exit_status_whether_there_is_one():
    s = image()
    check_equal(s.run("diff", "--exit-code", "look", "look").code, 0)
    check_equal(s.run("diff", "--exit-code", "look@step:1", "look").code, 1)
    check_equal(s.run("diff", "look@step:1", "look").code, 0)
    check_in("takes text or json", s.fails("diff", "--format", "xml", "look").err)
    check_in("no such image", s.fails("diff", "nonesuch-image").err)


if __name__ == "__main__":
    main(globals())
