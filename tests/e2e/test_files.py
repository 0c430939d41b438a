"""What a step sees of its file system, and what becomes of what it did: the same answers as tmpfs, and
the same tree when somebody else unpacks the image."""
import hashlib
import stat

from harness import *

BATTERY = os.environ.get("IMG_BATTERY") or os.path.join(os.path.dirname(IMG), "../tests/mount/battery")
XATTRS = ("user.a", "user.b", "user.on", "security.capability")  # umoci adds one where it cannot change owners


# -- trees as lines --

def tree_lines(root, owners=True):
    """Every name below `root`: what it is, whose, its time, attributes and content."""
    lines, links = {}, {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            line = [stat.filemode(st.st_mode), f"{st.st_uid}:{st.st_gid}" if owners else "-"]
            if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
                line.append(f"links={st.st_nlink}")
                links.setdefault(st.st_ino, []).append(path)
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    line.append(f"{st.st_size} {hashlib.file_digest(f, 'sha256').hexdigest()[:16]}")
            if stat.S_ISLNK(st.st_mode):
                line.append(repr(os.readlink(path)))
            else:
                line += [f"{n}={os.getxattr(path, n)!r}" for n in sorted(os.listxattr(path)) if n.startswith(XATTRS)]
            line.append(f"{st.st_mtime_ns}")
            lines[os.path.relpath(path, os.fsencode(root))] = " ".join(line)
    for group in links.values():
        for path in group:
            lines[os.path.relpath(path, os.fsencode(root))] += " of " + repr(min(group)[len(root):])
    return lines


def check_trees(actual, expected):
    different = [f"{path!r}:\n   expected {expected.get(path)}\n   actual   {actual.get(path)}"
                 for path in sorted(set(actual) | set(expected)) if actual.get(path) != expected.get(path)]
    if different:
        raise AssertionError(f"{len(different)} of {len(expected)} names differ:\n" + "\n".join(different[:20]))


class Mounted:
    """The image as img shows it."""
    def __init__(self, state, name):
        self.state, self.name, self.path = state, name, directory(f"mounts/{name}")

    def __enter__(self):
        if shutil.which("fusermount3") is None:
            raise Skip("fusermount3 is not installed")
        self.state.ok("mount", self.name, self.path)
        return self.path

    def __exit__(self, *_):
        self.state.ok("umount", self.path)


def unpack_with_umoci(state, name):
    if shutil.which("umoci") is None:
        raise Skip("umoci is not installed")
    archive, layout, bundle = (os.path.join(SCRATCH, f"umoci-{name}{end}") for end in (".tar", "", "-bundle"))
    state.ok("save", "--format", "oci", "-o", archive, name)
    os.makedirs(layout)
    subprocess.run(["tar", "-C", layout, "-xf", archive], check=True)
    with open(os.path.join(layout, "index.json")) as f:
        tag = json.load(f)["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    subprocess.run(["umoci", "unpack", *rootless, "--image", f"{layout}:{tag}", bundle], check=True, capture_output=True)
    return os.path.join(bundle, "rootfs")


def check_umoci_agrees(state, name):
    """Owners only for root, who may set them; a time that the tool gave to what it made itself is its own."""
    theirs = tree_lines(unpack_with_umoci(state, name), os.geteuid() == 0)
    with Mounted(state, name) as path:
        ours = tree_lines(path, os.geteuid() == 0)
    check_trees(ours, theirs)
    return ours


# -- a step --

def battery_context(dockerfile):
    if not os.path.exists(BATTERY):
        raise Skip("the battery is not built")
    with open(BATTERY, "rb") as f:
        return {"battery": (f.read(), 0o755)}


def test_a_step_gets_the_answers_that_tmpfs_gives():
    """SECURITY R30; what may differ is in tests/mount/battery_compare.c, each with its reason."""
    state = State()
    result = state.build(f"FROM {busybox()}\nCOPY battery /\nRUN mkdir /ours\n"
                         "RUN --mount=type=tmpfs,target=/tmpfs /battery compare /ours /tmpfs\n",
                         context=battery_context(""))
    check(result.code == 0, str(result))
    check_in(" 0 differences", result.err + result.out)


def files_of(state):
    """What the layers consist of, to the last bit."""
    found = {}
    for kind in ("packs", "index"):
        for name in sorted(os.listdir(os.path.join(state.path, kind))):
            with open(os.path.join(state.path, kind, name), "rb") as f:
                found[kind + "/" + name] = hashlib.file_digest(f, "sha256").hexdigest()
    return found


def test_a_step_on_layers_gets_the_answers_that_tmpfs_gives_and_leaves_the_layers_alone():
    """SECURITY R30, R31: what an earlier step made behaves like what was just written."""
    state = State()
    base = f"FROM {busybox()}\nCOPY battery /\nRUN mkdir /ours && /battery lower /ours\n"
    state.built(base, "-t", "base", context=battery_context(""))
    before = files_of(state)
    state.built(base + "RUN --mount=type=tmpfs,target=/tmpfs /battery change /ours /tmpfs\n", "-t", "changed",
                context=battery_context(""))
    after = files_of(state)
    check_equal({n: after.get(n) for n in before}, before)
    check(len(after) > len(before), "the step made no layer")
    check_umoci_agrees(state, "changed")


# -- layers of others --

def make_tar(entries):
    """(name, kind, content or target, pax attributes) -> an uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data, *more in entries:
            e = tarfile.TarInfo(name)
            e.mtime, e.mode = 1700000000, 0o755
            e.type = {"dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE,
                      "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}[kind]
            if kind in ("link", "hard"):
                e.linkname = data
            content = data.encode() if kind == "file" else b""
            e.size = len(content)
            e.pax_headers = more[0] if more else {}
            tar.addfile(e, io.BytesIO(content))
    return out.getvalue()


def pulled(name, *tars):
    """A state with the image of these layers."""
    state = State()
    ref = registry().push_layout(make_layout(directory(name), [make_tar(t) for t in tars]), name + ":1")
    state.ok("pull", ref)
    state.ok("tag", ref, name)
    return state


MERGED = [("usr", "dir", ""), ("usr/bin", "dir", ""), ("usr/bin/sh", "file", "sh"), ("usr/lib", "dir", ""),
          ("bin", "link", "usr/bin"), ("lib", "link", "/usr/lib"), ("etc", "dir", ""), ("etc/conf", "file", "1"),
          ("opt", "link", "var/opt"), ("var", "dir", ""), ("nowhere", "link", "srv/data")]


def without_times(lines, *paths):
    """Directories that the unpacker made or changed have the time of day there."""
    return {p: l for p, l in lines.items() if p not in [x.encode() for x in paths]}


def check_umoci_agrees_but(state, name, *made):
    theirs = without_times(tree_lines(unpack_with_umoci(state, name), False), *made)
    with Mounted(state, name) as path:
        ours = tree_lines(path, False)
    check(all(m.encode() in ours for m in made), f"one of {made} is missing")
    check_trees(without_times(ours, *made), theirs)


def test_files_below_a_link_of_a_lower_layer_are_where_it_leads():
    """A tar that names bin/x but not bin, over a root whose bin is a link (fs/union_reroute.c)."""
    state = pulled("merged", MERGED,
                   [("bin/tool", "file", "tool"), ("lib/deep/l.so", "file", "so"), ("bin/other", "hard", "bin/tool")],
                   [("bin/sh", "file", "new sh"), ("lib/deep/.wh.l.so", "file", ""), ("lib/new", "link", "deep")],
                   [("nowhere/x", "file", "made")])
    check_umoci_agrees_but(state, "merged", "usr/bin", "usr/lib", "usr/lib/deep", "srv", "srv/data")
    with Mounted(state, "merged") as path:
        check_equal(os.readlink(os.path.join(path, "bin")), "usr/bin")
        check_equal(open(os.path.join(path, "usr/bin/sh")).read(), "new sh")
        check_equal(open(os.path.join(path, "srv/data/x")).read(), "made")


def test_a_directory_that_a_layer_names_takes_the_place_of_a_link():
    """The opposite."""
    state = pulled("named", MERGED, [("bin", "dir", ""), ("bin/tool", "file", "tool")])
    check_umoci_agrees_but(state, "named")
    with Mounted(state, "named") as path:
        check_equal(os.listdir(os.path.join(path, "bin")), ["tool"])


def test_a_step_sees_files_below_a_link_as_the_image_does():
    state = State()
    layout = make_layout(directory("merged-busybox"), [
        busybox_tar(), make_tar([("sbin", "link", "bin")]), make_tar([("sbin/extra", "file", "#!/bin/sh\necho extra\n")])])
    ref = registry().push_layout(layout, "merged-busybox:1")
    result = state.built(f"FROM {ref}\nRUN extra && test -L /sbin && rm /sbin/extra\n", "-t", "removed")
    check_in("extra", result.err + result.out)
    image = Image(state, "removed")
    check_equal(image.last_layer(), ["bin", "bin/.wh.extra"])
    check(not image.has("bin/extra"), "what was removed is there")


def test_layers_of_every_sort_unpack_as_they_are_shown():
    """OCI image-spec, layer.md: whiteouts, opaque directories, links, attributes, any names."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin-1")
    long_name = "n" * 255
    odd = b"odd\xff\xfe\n name".decode("utf-8", "surrogateescape")
    state = pulled(
        "sorts",
        [("d", "dir", ""), ("d/a", "file", "a"), ("d/b", "file", "b"), ("d/sub", "dir", ""), ("d/sub/c", "file", "c"),
         ("gone", "file", "x"), ("kept", "file", "k"), ("kept2", "hard", "kept"), ("e", "dir", ""), ("e/f", "file", "f")],
        [("d", "dir", ""), ("d/.wh..wh..opq", "file", ""), ("d/new", "file", "new"), (".wh.gone", "file", ""),
         ("e", "file", "now a file"), ("third", "hard", "kept"), ("pipe", "fifo", "")],
        [("x" + "/y" * 120, "file", "deep"), (long_name, "dir", ""), (long_name + "/" + long_name, "file", "long"),
         (odd, "file", "odd"), ("abs", "link", "/etc/../kept"), ("up", "link", "../" * 10 + "kept"),
         ("cap", "file", "cap", {"SCHILY.xattr.user.a": "value", "SCHILY.xattr.security.capability": capability}
          if os.geteuid() == 0 else {"SCHILY.xattr.user.a": "value"})])
    made = ["x" + "/y" * n for n in range(120)]
    check_umoci_agrees_but(state, "sorts", *made)


# -- what a step made --

def test_what_a_step_made_is_the_same_tree_for_tar():
    """A layer without whiteouts is all that GNU tar needs."""
    state = State()
    odd = "$(printf 'odd\\377\\376 name')"
    script = " && ".join([
        "mkdir -p /out/deep && cd /out", "echo one > a", "ln a b", "ln b deep/c", "ln -s ../a deep/link", "mkfifo pipe",
        f"echo odd > \"{odd}\"", "i=0; n=; while [ $i -lt 255 ]; do n=n$n; i=$((i+1)); done; echo long > $n && mkdir deep/$n && echo x > deep/$n/$n",
        "chmod 4751 a", "chown 7:8 deep/c", "touch -d '2001-02-03 04:05:06' deep", "truncate -s 30000000 sparse",
        "echo end | dd of=sparse bs=1 seek=20000000 conv=notrunc", "chmod 1777 deep",
        "echo own > own", "chmod 600 own", "touch -h -d '1999-01-01 00:00:00' deep/link", "rm -f never"])
    state.built(f"FROM {busybox()}\nRUN {script}\n", "-t", "made")
    archive, where = os.path.join(SCRATCH, "made.tar"), directory("made")
    state.ok("save", "--format", "docker", "-o", archive, "made")
    with tarfile.open(archive) as outer:
        layers = json.load(outer.extractfile("manifest.json"))[0]["Layers"]
        with open(archive + ".layer", "wb") as f:
            shutil.copyfileobj(outer.extractfile(layers[-1]), f)
    owner = ["--same-owner"] if os.geteuid() == 0 else ["--no-same-owner"]
    subprocess.run(["tar", "-C", where, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-S", *owner, "-xf", archive + ".layer"], check=True)
    with Mounted(state, "made") as path:
        ours = tree_lines(path + "/out", os.geteuid() == 0)
        blocks = os.lstat(os.path.join(path, "out/sparse")).st_blocks
    check_trees(ours, tree_lines(where + "/out", os.geteuid() == 0))
    check(blocks < 1000, f"{blocks} blocks for six bytes")
    check_equal(len([l for l in ours.values() if "links=3" in l]), 3)


if __name__ == "__main__":
    main(globals())
