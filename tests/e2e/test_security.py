"""Promises of the threat model that only the whole program can break: what an image or a step may
do to the caller's files and to img itself.
"""
import io
import os
import shutil
import stat
import subprocess
import tarfile

from harness import (IMG, Image, NeedsRoot, Skip, State, busybox, busybox_tar, check, check_equal, check_in, directory,
                     main, make_context, make_layout, registry, write)
from test_bad_input import check_whole, nothing_left


def run_out(result):
    """What the steps printed, without the numbers in front."""
    lines = [l.split(" ", 2) for l in result.err.splitlines() if l.startswith("#")]
    return "".join(l[2] + "\n" for l in lines if len(l) == 3 and l[1][:1].isdigit())


def hostile_base(name, entries, **config):
    """A busybox with more entries in a layer above: (name, type, mode, link or bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, kind, mode, content in entries:
            e = tarfile.TarInfo(path)
            e.type, e.mode = kind, mode
            data = b""
            if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                e.devmajor, e.devminor = content
            elif kind == tarfile.REGTYPE:
                data = content
                e.size = len(data)
            elif content:
                e.linkname = content
            tar.addfile(e, io.BytesIO(data))
    layout = make_layout(directory("layout-" + name), [busybox_tar(), out.getvalue()], config)
    return registry().push_layout(layout, name + ":1")


# -- the step's files --

def test_permissions_of_the_image_hold_inside_a_step():
    """SECURITY R25: the kernel checks them, whoever serves the files."""
    result = State().built(
        f"FROM {busybox()}\nRUN echo s > /secret && chmod 600 /secret\nUSER 1000:1000\n"
        "RUN cat /secret 2>&1 | sed 's/^/read: /'; echo x > /etc/passwd || echo refused write; "
        "rm -f /secret 2>&1 | sed 's/^/rm: /'; mkdir /etc/x 2>&1 | sed 's/^/mkdir: /'\n")
    out = run_out(result)
    check_in("read: cat: can't open '/secret': Permission denied", out)
    check_in("refused write", out)
    check_in("rm: rm: can't remove '/secret': Permission denied", out)
    check_in("mkdir: mkdir: can't create directory '/etc/x': Permission denied", out)


def test_devices_of_an_image_cannot_be_opened():
    """SECURITY R26: they are data. /dev/null by another name is the opposite."""
    base = hostile_base("devices", [("d", tarfile.DIRTYPE, 0o755, ""), ("d/zero", tarfile.CHRTYPE, 0o666, (1, 5)),
                                    ("d/disk", tarfile.BLKTYPE, 0o666, (8, 0))])
    result = State().built(f"FROM {base}\nRUN ls -l /d; for n in zero disk; do head -c 1 /d/$n 2>&1; done; "
                           "head -c 1 /dev/zero | wc -c\n")
    out = run_out(result)
    check_in("1,   5", out)
    check_equal(out.count("Permission denied"), 2)
    check_in("\n1\n", out)


def test_set_id_files_of_an_image_give_nobody_anything_outside():
    """SECURITY R26, R38: bits are data; no file of the store has them, and no other user reads it."""
    state = State()
    base = hostile_base("setid", [("root-shell", tarfile.REGTYPE, 0o6755, b"#!/bin/sh\n")])
    state.built(f"FROM {base}\nRUN cp /bin/busybox /mine && chmod 6755 /mine\n", "-t", "a")
    check_equal(Image(state, "a").line("mine"), "file 6755 0:0")
    for folder, _, names in os.walk(state.path):
        for name in names + ["."]:
            st = os.lstat(os.path.join(folder, name))
            check_equal((name, st.st_mode & 0o7077, st.st_uid), (name, 0, os.getuid()))


def test_a_step_that_moves_a_mount_point_away_removes_nothing_else():
    """SECURITY R21, CVE-2024-23652: what was made for a mount is known by itself, not by its path."""
    state = State()
    canary = directory("canary-mounts")
    write(os.path.join(canary, "b/c/keep"), "kept")
    with nothing_left(state):
        state.built(f"FROM {busybox()}\n"
                    f"RUN --mount=type=tmpfs,target=/a/b/c mv /a /z && ln -s {canary} /a && mkdir -p /q/b/c && touch /q/b/c/f\n"
                    "RUN --mount=type=tmpfs,target=/q/b/c ls -d /q/b/c\n"
                    "RUN --mount=type=cache,target=/n/m rm -rf /n; true\n", "-t", "a")
    with open(os.path.join(canary, "b/c/keep")) as f:
        check_equal(f.read(), "kept")
    image = Image(state, "a")
    check_equal(image.entry("a").linkname, canary)
    check(image.has("q/b/c/f"), "a mount point that was there before is gone")
    check(not image.has("n/m"), "a mount point was recorded")
    check_whole(state)


def test_users_are_looked_up_in_regular_files_inside_the_image():
    """SECURITY R10, CVE-2024-9676: no fifo, device, endless or foreign file is waited for or read."""
    state = State()
    base = busybox()
    passwd = "/etc/passwd"
    for make, sentence in ((f"rm {passwd}; mkfifo {passwd}", "it is not a regular file"),
                           (f"rm {passwd}; mkdir {passwd}", "Is a directory"),
                           (f"ln -sf /dev/zero {passwd}", "unable to find user"),
                           (f"ln -sf /proc/self/environ {passwd}", "unable to find user"),
                           (f"ln -sf passwd {passwd}", "Too many levels of symbolic links"),
                           (f"truncate -s 1G {passwd}", "File too large"),
                           (f"ln -sf ../../../../..{directory('canary-users')}/passwd {passwd}", "unable to find user")):
        write(os.path.join(directory("canary-users"), "passwd"), "nosuch:x:0:0::/:/bin/sh\n")
        for user in ("USER nosuch\nRUN echo it ran", "COPY --chown=nosuch Dockerfile /"):
            result = state.build(f"FROM {base}\nRUN {make}\n{user}\n")
            check_equal((make, user, result.code), (make, user, 1))
            check_in(sentence, result.err)
            check("it ran\n" not in run_out(result), "it ran")
    check_whole(state)


def test_a_link_that_leads_out_of_a_stage_leads_nowhere():
    """SECURITY R53, CVE-2018-15664: a stage's links are followed inside it."""
    canary = directory("canary-links")
    write(os.path.join(canary, "secret"), "canary")
    result = State().build(f"FROM {busybox()} AS a\nRUN ln -s {canary}/secret /link\n"
                           "FROM scratch\nCOPY --from=a /link /x\n")
    check_equal(result.code, 1)
    check_in("hint: 'link' is a link that leads nowhere", result.err)


# -- what a Dockerfile may ask for --

def test_what_weakens_a_step_needs_the_callers_word():
    """SECURITY R52: unknown is an error, known needs --allow; nothing falls back to less."""
    state = State()
    base = busybox()
    for flag, sentence in (("--security=insecure", "security.insecure"), ("--network=host", "network.host")):
        result = state.build(f"FROM {base}\nRUN {flag} echo it ran\n")
        check_equal((flag, result.code), (flag, 1))
        check_in(sentence, result.err)
        check("it ran\n" not in run_out(result), "it ran")
    for flag in ("--security=none", "--security=", "--security=INSECURE", "--network=hostt", "--network=",
                 "--network=container:x", "--privileged", "--cap-add=ALL", "--device=/dev/null,required", "--mount=type=host",
                 "--mount=type=bind,source=/,target=/x,bind-propagation=shared", "--mount=type=tmpfs,target=/x,suid",
                 "--mount=type=bind,target=/x,relabel=z", "--mount=type=bind,target=/x,target=/y,foo"):
        result = state.build(f"FROM {base}\nRUN {flag} echo it ran\n")
        check_equal((flag, result.code), (flag, 1))
        check_in("Dockerfile:2", result.err)
        check("it ran\n" not in run_out(result), "it ran")
    for entitlement in ("security.insecur", "network", "", "all"):
        check_in(f"unknown entitlement '{entitlement}'", state.fails("build", "--allow", entitlement, make_context("FROM scratch\n", {})).err)


# -- names and labels on a terminal --

def test_no_name_or_label_of_an_image_reaches_the_terminal_raw():
    """SECURITY R41, R58."""
    state = State()
    evil = "\033]0;owned\007\033[2J\x9b31m\r\b"
    base = hostile_base("escapes", [("d" + evil + "\n", tarfile.REGTYPE, 0o644, b"")],
                        Labels={"l" + evil: evil}, Entrypoint=[evil], Env=["E=" + evil, "PATH=/bin"],
                        User="u" + evil, WorkingDir="/w" + evil)
    state.ok("pull", base)
    for words in (("history", "--no-trunc", base), ("diff", base), ("inspect", base), ("ls",),
                  ("inspect", "--format", "{{json .}}", base),
                  ("build", "--progress=plain", make_context(f"FROM {base}\nRUN true\n", {})),
                  ("build", "--progress=plain", make_context(f"FROM {base}\nUSER 0\nCOPY nothing /\n", {})),
                  ("shell", base, "--", "true")):
        result = state.run(*words)
        for text in (result.out, result.err):
            check(not any(c in text for c in "\033\007\x9b\b"), f"{words}: {text!r}")


# -- img itself --

def test_a_set_id_copy_refuses_to_run():
    """SECURITY R63, CVE-2026-41163."""
    copy = os.path.join(directory("setid"), "img")
    shutil.copy(IMG, copy)
    os.chmod(copy, 0o4755)
    os.chmod(os.path.dirname(copy), 0o755)
    if os.getuid() != 0:
        raise NeedsRoot("only root can make a copy that belongs to somebody else")
    os.chown(copy, 1, 1)
    os.chmod(copy, 0o4755)
    command = [copy, "version"]
    if subprocess.run(["findmnt", "-no", "OPTIONS", "-T", copy], capture_output=True, text=True).stdout.find("nosuid") >= 0:
        raise Skip("the scratch directory is mounted nosuid")
    result = subprocess.run(command, capture_output=True, text=True)
    check_equal(result.returncode, 1)
    check_in("refusing to run with a set-id bit", result.stderr)


def test_the_program_is_hardened():
    """SECURITY R63: PIE, full RELRO, no stack or segment that is both writable and executable."""
    if shutil.which("readelf") is None:
        raise Skip("readelf is not installed")
    text = subprocess.run(["readelf", "-Wldhs", IMG], capture_output=True, text=True, check=True).stdout
    check_in("DYN (Position-Independent Executable file)", text)
    check_in("GNU_RELRO", text)
    check_in("BIND_NOW", text)
    check_in("__stack_chk_fail", text)
    for line in text.splitlines():
        check("RWE" not in line, line)
    # One copy of SQLite, shared or not (S2).
    check_equal(sum("libsqlite3" in l for l in text.splitlines() if "(NEEDED)" in l), 1)


if __name__ == "__main__":
    main(globals())
