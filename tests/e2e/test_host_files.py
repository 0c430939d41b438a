"""Files of the host that the command line gives to steps: --volume and --device, as podman-build(1) has them."""
import os

from harness import *


def volume(files):
    """A directory of the caller's; the base's files are public, this one need not be."""
    path = make_context("", files)
    os.remove(os.path.join(path, "Dockerfile"))
    os.chmod(path, 0o700)
    return path


def test_what_a_step_writes_to_a_volume_is_the_callers_and_in_no_layer():
    state = State()
    host = volume({"in": "from the host\n"})
    state.built(f"FROM {busybox()}\nRUN cat /vol/in >/seen && echo made >/vol/out && mkdir /vol/d\n"
                "RUN cat /vol/out >>/seen; touch /file/x; chmod 600 /one\n",
                "-v", f"{host}:/vol", "--volume", f"{host}:/deep/er/place:ro,Z", "-v", f"{host}/in:/one:rw", "-t", "a")
    check_equal(open(os.path.join(host, "out")).read(), "made\n")
    check_equal({os.lstat(os.path.join(host, name)).st_uid for name in ("out", "d")}, {os.geteuid()})
    check_equal(os.stat(os.path.join(host, "in")).st_mode & 0o777, 0o600)
    image = Image(state, "a")
    check_equal(image.text("seen"), "from the host\nmade\n")
    check_equal([path for path in ("vol", "deep", "one") if image.has(path)], [])


def test_a_volume_that_is_read_only_or_below_another_is_what_it_says():
    state = State()
    outer, inner = volume({"sub/o": "outer"}), volume({"i": "inner"})
    result = state.built(f"FROM {busybox()}\nRUN touch /v/new 2>/dev/null || echo read-only; ls /v/sub; touch /v/sub/new\n",
                         "-v", f"{inner}:/v/sub", "-v", f"{outer}:/v:ro")
    check_in("read-only\n", result.err)
    check_equal(sorted(os.listdir(inner)), ["i", "new"])
    check_equal(os.listdir(outer), ["sub"])
    check_equal(os.listdir(os.path.join(outer, "sub")), ["o"])
    mounted = state.built(f"FROM {busybox()}\nRUN --mount=type=tmpfs,target=/v/sub ls /v; touch /v/sub/gone\n",
                          "-v", f"{outer}:/v")
    check_in(" sub\n", mounted.err)
    check_equal(os.listdir(os.path.join(outer, "sub")), ["o"])


def test_the_place_of_a_volume_is_in_the_key_and_its_files_are_not():
    state = State()
    host, other = volume({"f": "1"}), volume({"g": "2"})
    context = make_context(f"FROM {busybox()}\nRUN ls /v >/seen 2>&1; true\n", {})

    def cached(*words):
        err = state.ok("build", "--progress=plain", *words, context).err
        return "CACHED" in err.partition("RUN ls /v")[2]

    check_equal(cached("-v", f"{host}:/v"), False)
    write(os.path.join(host, "f"), "changed")
    check_equal((cached("-v", f"{host}:/v"), cached("-v", f"{other}:/v:ro")), (True, True))
    check_equal((cached(), cached("-v", f"{host}:/elsewhere")), (False, False))
    check_in("places of volumes", state.ok("build", "--explain", "-v", f"{host}:/third", context).err)


def test_a_volume_that_cannot_be_is_refused_before_anything_runs():
    state = State()
    host = volume({})
    context = make_context(f"FROM {busybox()}\nRUN true\n", {})
    for value, sentence in (("/data", "is not HOST:CONTAINER[:OPTIONS]"), (":/data", "is not HOST:CONTAINER[:OPTIONS]"),
                            (f"{host}:/a:ro:rw", "is not HOST:CONTAINER[:OPTIONS]"),
                            (f"{host}:data", "'data' is not an absolute path"),
                            ("/nonexistent/x:/data", "cannot use '/nonexistent/x': No such file or directory"),
                            (f"{host}:/data:rx", "unknown option 'rx'"), (f"{host}:/data:O", "from=NAME,rw,target=/data"),
                            (f"{host}:/data:U", "no owner is changed on the host"),
                            ("/dev/null:/data", "--device /dev/null shows it"), (f"{host}:/", "nothing can be mounted on '/'"),
                            (f"{host}:/proc/x", "'/proc' belongs to the sandbox")):
        result = state.run("build", "-v", value, context)
        check_equal((value, result.code), (value, 1))
        check_in(sentence, result.err)
    check_in("'/a' is the place of another volume", state.fails("build", "-v", f"{host}:/a", "-v", f"{host}:/a/", context).err)
    result = state.ok("build", "--no-cache", "-v", f"{host}:/a:rshared", context)
    check_in("'rshared' means nothing here, continuing without it", result.err)


def test_a_device_is_there_when_it_was_named_and_no_volume_brings_one():
    """buildah-build(1), "--device": at its own place below /dev, or another; SECURITY R67."""
    state = State()
    text = f"FROM {busybox()}\nRUN for f in /dev/fuse /dev/deep/er /all/zero; do head -c0 $f && echo $f; done 2>&1; true\n"
    context = make_context(text, {})
    base = ["build", "--progress=plain", "--no-cache"]
    given = state.ok(*base, "--device", "/dev/fuse", "--device=/dev/fuse:/dev/deep/er:rwm", "--device", "/dev:/all", context).err
    for path in ("/dev/fuse", "/dev/deep/er", "/all/zero"):
        check_in(f" {path}\n", given)
    without = state.ok(*base, "-v", "/dev:/all", context).err
    check_in("/dev/fuse: No such file", without)
    check_in("/all/zero: Permission denied", without)
    for value, sentence in (("vendor.com/class=x", "descriptions of devices (CDI) are not read"),
                            ("/dev/fuse:r", "access 'r' cannot be had"), ("/etc/passwd", "is no device"),
                            ("/dev/fuse:/dev", "'/dev' belongs to the sandbox"), ("", "is not HOST[:CONTAINER]"),
                            ("/dev/fuse:/dev/null", "cannot make '/dev/null': File exists")):
        check_in(sentence, state.fails("build", "--no-cache", "--device", value, context).err)


def test_a_step_cannot_lead_a_later_volume_elsewhere():
    """SECURITY R67: the second step's mounts are those that were there when the build began."""
    state = State()
    host, secret = volume({"sub/mine": ""}), volume({"secret": ""})
    result = state.built(f"FROM {busybox()}\nRUN mv /v/sub /v/old && ln -s {secret} /v/sub\nRUN ls /w\n",
                         "-v", f"{host}:/v", "-v", f"{host}/sub:/w")
    check_in(" mine\n", result.err)
    check(" secret\n" not in result.err, result.err)


if __name__ == "__main__":
    main(globals())
