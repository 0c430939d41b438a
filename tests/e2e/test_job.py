"""The main job as a user does it: a Debian base in a real registry, pulled, built on, looked into,
saved, unpacked and pushed; other tools read what comes out."""
import json
import os
import shutil
import subprocess

from harness import *

DOCKERFILE = """FROM {base} AS compile
WORKDIR /src
COPY repo /repo
RUN echo 'deb [trusted=yes] file:/repo ./' > /etc/apt/sources.list && apt-get update && \\
    apt-get install -y --no-install-recommends imgtest-hello
COPY hello.c .
RUN imgtest-hello > /greeting && dpkg -s imgtest-hello | grep Status && cp hello.c /hello.out
FROM {base}
ARG WHO=nobody
ENV GREETING="hi $WHO"
LABEL org.example.kind=job
WORKDIR /app
COPY --from=compile --chown=daemon:staff /hello.out /greeting ./
RUN useradd --create-home --uid 4321 worker && install -d -o worker /app/data
USER worker
RUN id -un && touch data/mine && echo "$GREETING" > data/greeting
CMD ["cat", "/app/data/greeting"]
"""

state = None
context = None
ref = None


def package():
    """A Debian package and a repository of it, made with dpkg's own tools."""
    root = directory("package")
    write(os.path.join(root, "DEBIAN/control"),
          "Package: imgtest-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
          "Description: a file and a maintainer script\n")
    write(os.path.join(root, "DEBIAN/postinst"),
          "#!/bin/sh\nset -e\naddgroup --system hello >/dev/null || groupadd -r hello\n"
          "chown root:hello /var/lib/imgtest-hello\nchmod 2750 /var/lib/imgtest-hello\n", 0o755)
    write(os.path.join(root, "usr/bin/imgtest-hello"), "#!/bin/sh\necho hello from a package\n", 0o755)
    os.makedirs(os.path.join(root, "var/lib/imgtest-hello"), exist_ok=True)
    out = directory("repo")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, out], check=True, stdout=subprocess.DEVNULL)
    deb = [n for n in os.listdir(out) if n.endswith(".deb")][0]
    with open(os.path.join(out, deb), "rb") as f:
        data = f.read()
    control = open(os.path.join(root, "DEBIAN/control")).read()
    write(os.path.join(out, "Packages"), control + f"Filename: ./{deb}\nSize: {len(data)}\n"
          f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n")
    return out


def test_pull_a_debian_base():
    global state
    state = State()
    result = state.ok("pull", debian())
    check_in("Pulled: sha256:", result.out)
    check_in("Size: ", result.out)
    check_in("debian:12", state.ok("ls").out)


def test_build_with_apt_stages_and_users():
    global context, ref
    ref = f"{registry().host}/me/app:1"
    context = make_context(DOCKERFILE.format(base=debian()), {"hello.c": "int main(void) { return 0; }\n"})
    shutil.copytree(package(), os.path.join(context, "repo"))
    result = state.ok("build", "--progress=plain", "--build-arg", "WHO=you", "-t", ref, context)
    check_in("Successfully built", result.err)
    check_in("worker", result.err)
    image = Image(state, ref)
    check_equal(image.text("app/data/greeting"), "hi you\n")
    check_equal(image.line("app/data/greeting"), "file 0644 4321:4321")
    check_equal(image.line("app/hello.out"), "file 0644 1:50")
    check_equal(image.text("app/greeting"), "hello from a package\n")
    check(not image.has("usr/bin/imgtest-hello"), "the first stage's files stay there")


def test_build_again_is_all_cached_and_starts_nothing():
    result = state.run("build", "--progress=plain", "--build-arg", "WHO=you", "-t", ref, context)
    check_equal(result.code, 0)
    for step in result.err.split("\n\n"):
        if "RUN" in step or "COPY" in step or "WORKDIR" in step:
            check_in("CACHED", step)
    trace = os.path.join(SCRATCH, "trace")
    subprocess.run(["strace", "-f", "-e", "trace=clone,clone3,fork,vfork,execve,mount,unshare", "-o", trace,
                    IMG, "build", "-q", "--build-arg", "WHO=you", "-t", ref, context], env=traced(state.env),
                   check=True, stdout=subprocess.DEVNULL)
    calls = [l for l in open(trace) if "(" in l and "exited" not in l and "CLONE_THREAD" not in l]
    check(len(calls) == 1 and "execve(" in calls[0], "".join(calls))


def test_history_inspect_and_tag():
    history = state.ok("history", "--no-trunc", ref).out
    check_in("RUN |1 WHO=you /bin/sh -c useradd --create-home", history)
    check_in("COPY --chown=daemon:staff /hello.out /greeting ./ # buildkit", history)
    [document] = json.loads(state.ok("inspect", ref).out)
    check_equal(document["Config"]["User"], "worker")
    state.ok("tag", ref, "copy:2")
    check_in("copy:2", state.ok("ls").out)
    state.ok("rm", "copy:2")
    check("copy:2" not in state.ok("ls").out and "me/app" in state.ok("ls").out, "rm took too much or too little")


def test_mount_shows_the_image_and_umount_leaves_nothing():
    if shutil.which("fusermount3") is None:
        raise Skip("fusermount3 is not installed")
    where = directory("mnt")
    before = host_mounts()
    state.ok("mount", ref, where)
    try:
        check_equal(open(os.path.join(where, "app/data/greeting")).read(), "hi you\n")
        check_equal(os.stat(os.path.join(where, "app/data/greeting")).st_uid, 4321)
        try:
            open(os.path.join(where, "new"), "w")
            raise AssertionError("the mount can be written to")
        except OSError as e:
            check_equal(e.errno, 30)
    finally:
        state.ok("umount", where)
    check_equal(host_mounts(), before)


def test_save_is_read_by_skopeo_and_umoci():
    """docker archive and OCI layout (OCI image-spec, image-layout.md)."""
    for format, transport in (("docker", "docker-archive"), ("oci", "oci-archive")):
        archive = os.path.join(SCRATCH, format + ".tar")
        state.ok("save", "--format", format, "-o", archive, ref)
        found = json.loads(subprocess.run(["skopeo", "inspect", "--config", f"{transport}:{archive}"],
                                          capture_output=True, check=True).stdout)
        check_equal(found["config"]["User"], "worker")
    layout = directory("oci")
    subprocess.run(["tar", "-C", layout, "-xf", archive], check=True)
    bundle = os.path.join(SCRATCH, "bundle")
    subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{layout}:1", bundle], check=True,
                   capture_output=True)
    check_equal(open(os.path.join(bundle, "rootfs/app/data/greeting")).read(), "hi you\n")


def test_unpack_writes_plain_files():
    where = os.path.join(SCRATCH, "rootfs")
    check_in("Successfully unpacked rootfs", state.ok("unpack", "-o", where, ref).out)
    check_equal(open(os.path.join(where, "app/data/greeting")).read(), "hi you\n")
    check_in("is not empty", state.fails("unpack", "-o", where, ref).err)


def test_push_is_read_back_and_base_layers_keep_their_digests():
    state.ok("push", ref)
    other = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{ref}"],
                                      capture_output=True, check=True).stdout)
    base = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{debian()}"],
                                     capture_output=True, check=True).stdout)
    check_equal(other["Layers"][:len(base["Layers"])], base["Layers"])
    check_equal(other["Labels"], {"org.example.kind": "job"})
    fresh = State()
    fresh.ok("pull", ref)
    check_equal(Image(fresh, ref).text("app/data/greeting"), "hi you\n")
    check_equal(Image(fresh, ref).config, Image(state, ref).config)


def test_a_pulled_image_is_pushed_with_the_same_digest():
    fresh = State()
    pulled = fresh.ok("pull", "-q", debian()).out.strip()
    copy = f"{registry().host}/mirror/debian:12"
    fresh.ok("tag", debian(), copy)
    check_equal(fresh.ok("push", "-q", copy).out.strip(), pulled)


def test_login_checks_and_stores_and_logout_forgets():
    users = os.path.join(SCRATCH, "htpasswd")
    subprocess.run(["htpasswd", "-Bbc", users, "me", "s3cret"], check=True, capture_output=True)
    guarded = Registry(htpasswd=users)
    try:
        fresh = State()
        name = f"{guarded.host}/a:1"
        fresh.built(f"FROM {busybox()}\nRUN true\n", "-t", name)
        check_in(f"img login {guarded.host}", fresh.fails("push", name).err)
        with open(os.path.join(SCRATCH, "wrong"), "w+") as f:
            f.write("nope")
            f.seek(0)
            fresh.fails("login", "-u", "me", "--password-stdin", guarded.host, stdin=f)
        check(not os.path.exists(os.path.join(fresh.home, ".docker/config.json")), "stored before it was checked")
        with open(os.path.join(SCRATCH, "right"), "w+") as f:
            f.write("s3cret")
            f.seek(0)
            check_in("Login succeeded.", fresh.ok("login", "-u", "me", "--password-stdin", guarded.host, stdin=f).out)
        check_equal(os.stat(os.path.join(fresh.home, ".docker/config.json")).st_mode & 0o777, 0o600)
        fresh.ok("push", name)
        check_in("Logout succeeded.", fresh.ok("logout", guarded.host).out)
    finally:
        guarded.stop()


def test_du_and_prune_say_what_they_do():
    before = int(subprocess.run(["du", "-sB1", state.path], capture_output=True, check=True).stdout.split()[0])
    check_in("Reclaimable:", state.ok("du").out)
    state.ok("rm", ref)
    state.ok("prune", "--all")
    after = int(subprocess.run(["du", "-sB1", state.path], capture_output=True, check=True).stdout.split()[0])
    check(after < before, f"{before} -> {after}")
    check_in("debian:12", state.ok("ls").out)
    state.ok("fsck")


if __name__ == "__main__":
    main(globals())
