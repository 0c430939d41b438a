"""What is handed out: the Debian source package, the package built from it, and the image of img that img
builds from that package; img inside the image, as a step has it and as a container has it."""
import gzip
import re

from bases import debian_tar
from harness import *

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    check(done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def packages():
    """The directory of all that tools/make-deb leaves; it is run once."""
    if "packages" not in shared:
        for program in ("dpkg-buildpackage", "dh"):
            if shutil.which(program) is None:
                raise Skip(f"{program} is not installed")
        where = directory("deb")
        # The tree as it lies here, not the commit it is near.
        run(os.path.join(SOURCE, "tools/make-deb"), where,
            env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck parallel=2", "GIT_DIR": "/nonexistent"})
        shared["packages"] = where
    return shared["packages"]


def one(pattern):
    [name] = [n for n in os.listdir(packages()) if re.fullmatch(pattern, n)]
    return os.path.join(packages(), name)


def package():
    return one(r"img_[^_]*_[a-z0-9]*\.deb")


def unpacked():
    """The files of the package in a directory; not installed, for that is root's business."""
    if "unpacked" not in shared:
        shared["unpacked"] = directory("unpacked")
        run("dpkg-deb", "-x", package(), shared["unpacked"])
    return shared["unpacked"]


def dependencies():
    return {re.match(r"\S+", part).group() for part in run("dpkg-deb", "-f", package(), "Depends").split(", ")}


def files_below(root):
    return {os.path.relpath(os.path.join(where, name), root)
            for where, _, names in os.walk(root) for name in names}


def test_the_source_package_is_this_tree_and_its_debian_folder():
    """Debian policy 4.8; dpkg-source(1), "3.0 (quilt)"."""
    where = os.path.join(directory("source"), "tree")
    run("dpkg-source", "--no-check", "-x", one(r"img_.*\.dsc"), where)
    for path in files_below(where):
        if path.startswith(".pc/"):
            continue  # of dpkg-source itself
        origin = os.path.join(SOURCE, "tools" if path.startswith("debian/") else "", path)
        check(os.path.lexists(origin), f"{path} is not of this tree")
        if not os.path.islink(origin):
            check(open(origin, "rb").read() == open(os.path.join(where, path), "rb").read(), f"{path} differs")
    for path in ("debian/rules", "debian/copyright", "meson.build", "cli/main.c", "LICENSE", "tests/lib/test.h"):
        check(os.path.exists(os.path.join(where, path)), f"{path} is missing")
    check(not [n for n in os.listdir(where) if n.startswith("build-") or n == "build"], "it has build trees")


def test_lintian_finds_nothing():
    if shutil.which("lintian") is None:
        raise Skip("lintian is not installed")
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", one(r"img_.*\.changes"))
    check_equal(said, "")


def test_a_changelog_of_another_version_is_refused():
    tree = directory("other-version")
    for name, old, new in (("meson.build", "  version: '", "  version: '9"), ("tools/make-deb", "", ""),
                           ("tools/debian/changelog", "", "")):
        with open(os.path.join(SOURCE, name)) as f:
            write(os.path.join(tree, name), f.read().replace(old, new), 0o755)
    done = subprocess.run([os.path.join(tree, "tools/make-deb")], capture_output=True, text=True)
    check_equal(done.returncode, 1)
    check_in("tools/debian/changelog is for version", done.stderr)
    check_equal(os.listdir(os.path.join(tree, "build-deb")), [])


def test_the_package_has_program_manual_completions_and_pages():
    """Debian policy 9.1 and 12.1; where Debian's zsh looks is not where others do."""
    for path, words in (("bash-completion/completions/img", ["completion", "bash"]),
                        ("zsh/vendor-completions/_img", ["completion", "zsh"]),
                        ("fish/vendor_completions.d/img.fish", ["completion", "fish"])):
        with open(os.path.join(unpacked(), "usr/share", path)) as f:
            check(f.read() == run(IMG, *words), f"{path} is not what the program prints")
    with gzip.open(os.path.join(unpacked(), "usr/share/man/man1/img.1.gz"), "rt") as f:
        check(f.read() == run(IMG, "help", "--man"), "the manual is not what the program prints")
    pages = {name.removesuffix(".gz") for name in os.listdir(os.path.join(unpacked(), "usr/share/doc/img"))}
    for page in ("copyright", "README.md", "ci.md", "container.md"):
        check(page in pages, f"{page} is missing")


def test_the_package_depends_on_every_library_the_program_loads():
    """libcurl is opened when it is needed, where dpkg-shlibdeps does not see it."""
    program = os.path.join(unpacked(), "usr/bin/img")
    names = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", program))
    with open(program, "rb") as f:
        names += [n.decode() for n in set(re.findall(rb"lib[a-z]+\.so\.\d+(?=\0)", f.read()))]
    check("libcurl.so.4" in names and "libc.so.6" in names, str(names))
    paths = dict(re.findall(r"^\t(\S+) .*=> (\S+)$", run("/sbin/ldconfig", "-p"), re.M))
    for name in set(names) - {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}:
        owner = run("dpkg", "-S", "*/" + os.path.basename(os.path.realpath(paths[name]))).split(":")[0]
        check(owner in dependencies(), f"{name} is of {owner}, which is not among {sorted(dependencies())}")


def test_the_packaged_program_passes_the_test_that_comes_with_it():
    env = {k: v for k, v in State().env.items() if k != "IMG_STATE"}
    env["PATH"] = os.path.join(unpacked(), "usr/bin") + ":" + env["PATH"]
    said = run(os.path.join(SOURCE, "tools/debian/tests/build"), env=env)
    check_in(run(IMG, "version", "-f", "{{.Version}}").strip(), said)


def image():
    """A state that has the image `img`: the package installed by apt on a root of Debian packages."""
    if "image" not in shared:
        state = State()
        tar = os.path.join(SCRATCH, "base.tar")
        write(tar, debian_tar(["apt", "passwd", "busybox-static", "ca-certificates", "fuse3", "git", "libcap2-bin",
                               "slirp4netns", "uidmap", *dependencies()]))
        state.ok("import", "-c", "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin", tar, "base")
        os.unlink(tar)
        state.ok("build", "--progress=plain", "--build-arg", "BASE=base", "--build-context", f"package={packages()}",
                 "-f", os.path.join(SOURCE, "tools/image/Dockerfile"), "-t", "img", os.path.join(SOURCE, "tools/image"))
        shared["image"] = state
    return shared["image"]


def test_the_image_runs_img_as_an_unprivileged_account():
    [document] = json.loads(image().ok("inspect", "img").out)
    config = document["Config"]
    check_equal((config["User"], config["Entrypoint"], config["Cmd"]), ("user", ["img"], ["help"]))
    result = image().built("FROM img\nRUN id -u && img version && dpkg -s img | grep ^Status\n")
    check_in(" 1000\n", result.err)
    check_in("version     : " + run(IMG, "version", "-f", "{{.Version}}").strip(), result.err)
    check_in("install ok installed", result.err)


def test_newuidmap_in_the_image_has_capabilities_instead_of_the_set_id_bit():
    """user_namespaces(7): who writes an id map needs CAP_SYS_ADMIN above it or be its owner, which a set-id
    program in a container is not."""
    result = image().built("FROM img\nRUN stat -c %a /usr/bin/newuidmap /usr/bin/newgidmap && getcap -r /usr/bin\n")
    check_equal(re.findall(r"^#\d+ [\d.]+ (\d+|/usr/bin/new.*)$", result.err, re.M),
                ["755", "755", "/usr/bin/newgidmap cap_setgid=ep", "/usr/bin/newuidmap cap_setuid=ep"])


NESTED = """FROM img
ENV IMG_STATE=/dev/shm/state
WORKDIR /tmp/inner
COPY inner Dockerfile
RUN {mode} img build --progress=plain --target copied -t inner . && img unpack -o files inner && cat files/Dockerfile
RUN {mode} mkdir bin && cp /bin/busybox bin && img build --progress=plain . 2>&1 || true
"""
INNER = """FROM scratch AS copied
COPY Dockerfile /
FROM copied
COPY bin/busybox /bin/busybox
RUN ["/bin/busybox", "echo", "a step in a step"]
"""


def test_img_in_a_step_of_img_copies_and_says_what_its_own_steps_lack():
    result = image().built(NESTED.format(mode=""), context={"inner": INNER})
    check_in("FROM scratch AS copied", result.err)
    check_in("cannot make a user namespace: Operation not permitted", result.err)
    insecure = image().built(NESTED.format(mode="--security=insecure"), "--allow", "security.insecure",
                             context={"inner": INNER})
    check_in("cannot use '/dev/fuse': No such file or directory", insecure.err)


CONTAINER = """#!/bin/sh
# Container root is the caller of `img mount`, whose other ids are mapped; the root is a copy that can be written to.
set -e
cd "$1"
trap 'rm -rf "$1/root"' EXIT
cp -a "$IMG_MOUNT" root
cp -R context root/home/user/context
chown -R 1000:1000 root/home/user/context
runc --rootless=true --root "$1/state" run --bundle "$1" "img-$$"
"""


def container(*words, no_new_privileges=False):
    """Runs words in a runc container of the image, allowed what cli/docs/container.md says."""
    if shutil.which("runc") is None:
        raise Skip("runc is not installed")
    where = directory("container")
    write(os.path.join(where, "context/Dockerfile"), INNER)
    shutil.copy("/bin/busybox", os.path.join(directory("container/context/bin"), "busybox"))
    write(os.path.join(where, "start"), CONTAINER, 0o755)
    # What docker leaves the root of a container by default.
    bounding = ["CAP_" + n for n in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
                                     "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP")]
    mounts = [("/proc", "proc", "proc", []), ("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755"]),
              ("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666"])]
    fuse = {"type": "c", "major": 10, "minor": 229}
    write(os.path.join(where, "config.json"), json.dumps({
        "ociVersion": "1.0.2", "root": {"path": "root"}, "hostname": "container",
        "process": {"user": {"uid": 1000, "gid": 1000}, "cwd": "/home/user", "args": words,
                    "env": ["PATH=/usr/bin:/bin", "HOME=/home/user"], "capabilities": {"bounding": bounding},
                    "noNewPrivileges": no_new_privileges},
        "mounts": [{"destination": d, "type": t, "source": s, "options": o} for d, t, s, o in mounts],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")],
                  "devices": [{**fuse, "path": "/dev/fuse", "fileMode": 0o666}],
                  "resources": {"devices": [{**fuse, "allow": True, "access": "rwm"}]}}}))
    return image().run("mount", "img", "--", os.path.join(where, "start"), where)


def test_img_in_a_container_builds_with_steps_of_its_own():
    result = container("img", "build", "--progress=plain", "--network=none", "-t", "inner", "context")
    check(result.code == 0, str(result))
    check_in("a step in a step", result.out + result.err)


def test_img_in_a_container_without_escalation_builds_with_a_single_id():
    """prctl(2), PR_SET_NO_NEW_PRIVS: newuidmap gains nothing."""
    refused = container("img", "build", "--network=none", "context", no_new_privileges=True)
    check_equal(refused.code, 1)
    check_in("newuidmap", refused.out + refused.err)
    check_in("--single-id", refused.out + refused.err)
    result = container("img", "build", "--progress=plain", "--network=none", "--single-id", "context",
                       no_new_privileges=True)
    check(result.code == 0, str(result))
    check_in("a step in a step", result.out + result.err)


if __name__ == "__main__":
    main(globals())
