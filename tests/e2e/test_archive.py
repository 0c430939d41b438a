"""Archives: what img saves is read by skopeo, umoci and buildah; what they and Python write is loaded;
what is malformed, damaged or hostile is refused with one sentence and leaves nothing."""
import bz2
import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import threading

from harness import (IMG, Image, Skip, State, check, check_equal, check_in, directory, main, make_layout, peak_kib,
                     write)

PLATFORM = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed")


def tool(*words, **more):
    need(words[0])
    made = subprocess.run(words, capture_output=True, **more)
    check(made.returncode == 0, f"{' '.join(words)}: {made.stderr.decode(errors='replace')}")
    return made.stdout


def skopeo(*words):
    return tool("skopeo", "--insecure-policy", *words)


class Buildah:
    """buildah with a storage of its own, in files of subordinate ids that only it can remove."""

    def __init__(self, name):
        need("buildah")
        self.root = directory(name)

    def __call__(self, *words, **more):
        return tool("buildah", "--root", self.root + "/root", "--runroot", self.root + "/run", "--storage-driver",
                    "vfs", *words, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*(["buildah", "unshare"] if os.getuid() != 0 else []), "rm", "-rf", self.root + "/root",
                        self.root + "/run"], check=True)


def tar_of(files, **more):
    """A tar of name -> bytes, or of TarInfo -> bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **more) as tar:
        for name, data in files.items():
            e = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            e.size = len(data)
            tar.addfile(e, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def config_of(layers, **more):
    return json.dumps({"architecture": PLATFORM, "os": "linux", "config": {"Env": ["PATH=/bin"], **more},
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(l) for l in layers]}}).encode()


def docker_archive(layers, tags, config=None, names=None, extra=None):
    """docker's archive by its description: manifest.json, a config and tars."""
    config = config or config_of(layers)
    names = names or [f"{n}/layer.tar" for n in range(len(layers))]
    files = {**dict(zip(names, layers)), "config.json": config, **(extra or {}),
             "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": tags, "Layers": names}]).encode()}
    return tar_of(files)


def image_id(state, name):
    data = subprocess.run([IMG, "save", name], env=state.env, stdin=subprocess.DEVNULL, capture_output=True,
                          check=True).stdout
    files = members(data)
    return "sha256:" + digest(files[json.loads(files["manifest.json"])[0]["Config"]])


def feed(state, data, *words, code=0):
    """img with `data` on a pipe."""
    made = subprocess.run([IMG, *words], input=data, capture_output=True, env=state.env)
    out, err = made.stdout.decode(), made.stderr.decode()
    check(made.returncode == code, f"img {' '.join(words)}: exit {made.returncode}\n{out}{err}")
    return out, err


def two_images():
    """A state with two images that share a layer, and the first one's files."""
    state = State()
    state.built("FROM scratch\nCOPY a /a\nCOPY --chown=7:8 b /dir/b\n", "-t", "one:1", "-t", "one:2",
                context={"a": "alpha\n", "b": "beta\n" * 100000})
    state.built("FROM one:1\nLABEL second=yes\nCOPY c /c\n", "-t", "example.org/two:1", context={"c": "gamma\n"})
    return state


def saved(state, *words, **more):
    return feed(state, b"", "save", *words, **more)


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isreg()}


def save_to(state, name, *words):
    path = os.path.join(directory("saved"), name)
    state.ok("save", "-o", path, *words)
    return path


# -- save --

def test_a_docker_archive_holds_shared_layers_once_and_every_name():
    state = two_images()
    path = save_to(state, "two.tar", "one:1", "one:2", "example.org/two:1")
    files = members(open(path, "rb").read())
    listed = json.loads(files["manifest.json"])
    check_equal([e["RepoTags"] for e in listed], [["one:1", "one:2"], ["example.org/two:1"]])
    check_equal(listed[1]["Layers"][:2], listed[0]["Layers"])
    with tarfile.open(path) as tar:
        names = tar.getnames()
    check_equal(len(names), len(set(names)))
    for entry in listed:
        config = json.loads(files[entry["Config"]])
        check_equal(["sha256:" + digest(files[n]) for n in entry["Layers"]], config["rootfs"]["diff_ids"])
    for name in "one:1", "one:2", "example.org/two:1":
        config = json.loads(skopeo("inspect", "--config", f"docker-archive:{path}:{name}"))
        check_equal(len(config["rootfs"]["diff_ids"]), 3 if "two" in name else 2)


def test_an_oci_archive_and_a_layout_are_read_by_skopeo_umoci_and_buildah():
    state = two_images()
    archive = save_to(state, "one-oci.tar", "--format", "oci-archive", "one:1")
    skopeo("copy", f"oci-archive:{archive}:1", f"dir:{directory('skopeo-dir')}")
    layout = save_to(state, "layout", "--format=oci-dir", "one:1")
    check_equal(tool("umoci", "list", "--layout", layout), b"1\n")
    bundle = os.path.join(directory("bundles"), "one")
    tool("umoci", "unpack", "--rootless", "--image", f"{layout}:1", bundle)
    with open(os.path.join(bundle, "rootfs/dir/b")) as f:
        check_equal(f.read(), "beta\n" * 100000)
    with Buildah("buildah") as buildah:
        # It makes a name of the path, which a temporary one may not be fit for.
        got = buildah("pull", "-q", "oci-archive:" + os.path.basename(archive),
                      cwd=os.path.dirname(archive)).decode().strip()
    check_equal("sha256:" + got, image_id(state, "one:1"))


def test_a_layout_is_added_to_and_a_name_is_replaced():
    state = two_images()
    layout = save_to(state, "growing", "--format", "oci-dir", "one:1")
    state.ok("save", "--format", "oci-dir", "-o", layout, "example.org/two:1")

    def entries():
        with open(os.path.join(layout, "index.json")) as f:
            return {e["annotations"]["io.containerd.image.name"]: e["digest"] for e in json.load(f)["manifests"]}
    before = entries()
    check_equal(sorted(before), ["docker.io/library/one:1", "example.org/two:1"])
    state.built("FROM scratch\nCOPY a /z\n", "-t", "one:1", context={"a": "new"})
    state.ok("save", "--format", "oci-dir", "-o", layout, "one:1")
    after = entries()
    check_equal(after["example.org/two:1"], before["example.org/two:1"])
    check(after["docker.io/library/one:1"] != before["docker.io/library/one:1"], "the name is the old image's")
    other = directory("something-else")
    write(os.path.join(other, "file"), "mine")
    check_in("is neither empty nor an OCI layout",
             state.fails("save", "--format", "oci-dir", "-o", other, "one:1").err)
    check_equal(os.listdir(other), ["file"])


def test_compression_is_as_asked_for():
    state = two_images()
    magics = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "uncompressed": b"a\0"}
    for name, magic in magics.items():
        files = members(open(save_to(state, name, "--format=oci", f"--compression={name}", "--force-compression",
                                     "one:1"), "rb").read())
        manifest = json.loads(files["blobs/sha256/" + json.loads(files["index.json"])["manifests"][0]["digest"][7:]])
        for layer in manifest["layers"]:
            data = files["blobs/sha256/" + layer["digest"][7:]]
            check_equal(digest(data), layer["digest"][7:])
            check(name == "uncompressed" or data.startswith(magic), f"{name}: {data[:4]}")
            check_equal(layer["mediaType"].partition("tar")[2], "+" + name if name != "uncompressed" else "")
    files = members(open(save_to(state, "compressed.tar", "--compress", "one:1"), "rb").read())
    for name in json.loads(files["manifest.json"])[0]["Layers"]:
        check(files[name].startswith(magics["gzip"]), name)
    other = State()
    check_equal(other.ok("load", save_to(state, "compressed.tar", "--compress", "one:1")).out, "Loaded image: one:1\n")
    check_in("it is an image for", other.fails("load", "--platform=linux/mips64", save_to(state, "c.tar", "one:1")).err)
    check_equal(image_id(other, "one:1"), image_id(state, "one:1"))
    check_in("unknown compression 'lzma'", state.fails("save", "--compression=lzma", "-o", "x", "one:1").err)
    check_in("invalid compression level '10': gzip has 0 to 9",
             state.fails("save", "--compression-level=10", "-o", "x", "one:1").err)


def test_save_leaves_no_part_of_a_file_and_no_device_is_replaced():
    state = two_images()
    where = directory("no-part")
    packs = os.path.join(state.path, "packs")
    victim = max((os.path.join(packs, n) for n in os.listdir(packs)), key=os.path.getsize)
    with open(victim, "r+b") as f:
        f.seek(os.path.getsize(victim) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    for form in "docker", "oci":
        check_in("is not what it was", state.fails("save", "--format", form, "-o", os.path.join(where, "x.tar"),
                                                   "one:1").err)
    check_equal(os.listdir(where), [])
    state = two_images()
    check_in("No space left on device", state.fails("save", "-o", "/dev/full", "one:1").err)
    fifo = os.path.join(where, "pipe")
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(open(fifo, "rb").read()))
    reader.start()
    state.ok("save", "-o", fifo, "one:1")
    reader.join()
    check_in("manifest.json", "\n".join(members(got[0])))
    check_equal(os.listdir(where), ["pipe"])


# -- load --

def test_what_others_archive_is_loaded_under_its_id():
    layers = [tar_of({"etc/motd": b"hello\n"}), tar_of({"usr/.wh.old": b"", "usr/new": b"n" * 100000})]
    layout = make_layout(directory("theirs"), layers)
    with open(os.path.join(layout, "index.json")) as f:
        manifest = json.load(f)["manifests"][0]["digest"][7:]
    with open(os.path.join(layout, "blobs/sha256", manifest)) as f:
        expected = json.load(f)["config"]["digest"]
    for kind in "docker-archive", "oci-archive":
        path = os.path.join(directory("theirs-archives"), kind)
        name = "theirs/app:7" if kind == "docker-archive" else "example.org/app:7"
        skopeo("copy", f"oci:{layout}:latest", f"{kind}:{path}:{name}")
        state = State()
        check_equal(state.ok("load", "-i", path).out, f"Loaded image: {name}\n")
        check_equal(image_id(state, name), expected)
        check_equal(Image(state, name).text("usr/new"), "n" * 100000)
    state = State()
    check_equal(state.ok("load", layout).out, f"Loaded image ID: {expected}\n")
    check_equal(state.ok("load", "-t", "named:1", layout).out, "Loaded image: named:1\n")
    with Buildah("buildah-push") as buildah:
        buildah("pull", "-q", f"oci:{os.path.basename(layout)}:latest", cwd=os.path.dirname(layout))
        for kind in "docker-archive", "oci-archive":
            path = os.path.join(buildah.root, kind)
            buildah("push", "-q", expected[7:], f"{kind}:{path}:from/buildah:1")
            state = State()
            check_equal(state.ok("load", "-i", path).out, "Loaded image: from/buildah:1\n")
            check_equal(Image(state, "from/buildah:1").text("etc/motd"), "hello\n")


def test_ours_comes_back_from_files_pipes_and_compressed():
    state = two_images()
    expected = {n: image_id(state, n) for n in ("one:1", "example.org/two:1")}
    lines = "Loaded image: one:1\nLoaded image: example.org/two:1\n"
    need("zstd")
    for form in "docker", "oci":
        path = save_to(state, f"both-{form}.tar", "--format", form, "one:1", "example.org/two:1")
        data = open(path, "rb").read()
        other = State()
        check_equal(other.ok("load", "-q", path).out, lines)
        check_equal({n: image_id(other, n) for n in expected}, expected)
        check_equal(feed(other, data, "load")[0], lines)  # all of it is there already
        for packed in (data, gzip.compress(data, 1), bz2.compress(data), lzma.compress(data),
                       tool("zstd", "-q", "-c", input=data)):
            other = State()
            check_equal(feed(other, packed, "load")[0], lines)
            check_equal({n: image_id(other, n) for n in expected}, expected)
            check_equal(Image(other, "one:1").text("dir/b"), "beta\n" * 100000)
            check_in(" 0 problems", other.ok("fsck").out)


def test_links_and_strangers_in_an_archive_are_understood():
    layers = [tar_of({"a": b"1"}), tar_of({"b": b"2"})]
    link = tarfile.TarInfo("1/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../0/layer.tar"
    archive = tar_of({"0/layer.tar": layers[0], "0/VERSION": b"1.0", "0/json": b"{}", link: b"",
                      "config.json": config_of([layers[0], layers[0]]), "stranger.tar": layers[1],
                      "repositories": b"{}", "manifest.json": json.dumps([{
                          "Config": "config.json", "RepoTags": ["linked:1"],
                          "Layers": ["0/layer.tar", "1/layer.tar"]}]).encode()})
    path = os.path.join(directory("links"), "a.tar")
    write(path, archive)
    state = State()
    check_equal(state.ok("load", "-i", path).out, "Loaded image: linked:1\n")
    check_equal(Image(state, "linked:1").text("a"), "1")
    state = State()
    check_equal(feed(state, archive, "load")[0], "Loaded image: linked:1\n")
    check_equal(kept(state), {"packs": 1, "index": 1, "blobs/sha256": 2})  # a config, a manifest; no stranger


def test_an_image_of_several_platforms_is_chosen_from():
    where = directory("platforms")
    entries = []
    for arch in "arm64", "amd64", "s390x":
        one = make_layout(where, [tar_of({"arch": arch.encode()})])
        with open(os.path.join(one, "index.json")) as f:
            entry = json.load(f)["manifests"][0]
        path = os.path.join(one, "blobs/sha256", entry["digest"][7:])
        manifest = json.load(open(path))
        config = json.load(open(os.path.join(one, "blobs/sha256", manifest["config"]["digest"][7:])))
        config["architecture"] = arch
        data = json.dumps(config).encode()
        write(os.path.join(one, "blobs/sha256", digest(data)), data)
        manifest["config"].update(digest="sha256:" + digest(data), size=len(data))
        data = json.dumps(manifest).encode()
        write(os.path.join(one, "blobs/sha256", digest(data)), data)
        entries.append({"mediaType": manifest["mediaType"], "digest": "sha256:" + digest(data), "size": len(data),
                        "platform": {"os": "linux", "architecture": arch}})
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                        "manifests": entries}).encode()
    nested = {"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + digest(index),
        "size": len(index), "annotations": {"org.opencontainers.image.ref.name": "example.org/many:1"}}]}
    write(os.path.join(where, "blobs/sha256", digest(index)), index)
    for document in nested, {"schemaVersion": 2, "manifests": entries}:
        write(os.path.join(where, "index.json"), json.dumps(document))
        state = State()
        state.ok("load", "-t", "x", "--platform=linux/s390x", where)
        check_equal(Image(state, "x").text("arch"), "s390x")
        state.ok("load", "-t", "y", where)
        check_equal(Image(state, "y").text("arch"), PLATFORM)
        check_in("linux/s390x", state.fails("load", "--platform=linux/riscv64", where).err)


def kept(state):
    """How many files of each kind the store holds."""
    return {d: sum(len(names) for _, _, names in os.walk(os.path.join(state.path, d)))
            for d in ("packs", "index", "blobs/sha256")}


def refused(data, sentence):
    """From a file and from a pipe: one sentence, exit 1, no image and no byte left."""
    path = os.path.join(directory("hostile"), "a.tar")
    write(path, data)
    for run in lambda s: s.fails("load", "-q", path).err, lambda s: feed(s, data, "load", "-q", code=1)[1]:
        state = State()
        text = run(state)
        check_in(sentence, text)
        check_equal(text.count("img: "), 1)
        check_equal(len(text.strip().splitlines()), 2 if "hint:" in text else 1)
        check_equal(kept(state), {"packs": 0, "index": 0, "blobs/sha256": 0})


def test_hostile_and_damaged_archives_are_refused():
    layer, other = tar_of({"a": b"1"}), tar_of({"b": b"2"})
    good = docker_archive([layer], ["x:1"])
    refused(docker_archive([other], ["x:1"], config=config_of([layer])), "the digest of its tar is sha256:")
    refused(good[:1000], "ends too early")
    refused(tar_of({"a": b"no image"}), "neither a docker archive nor an OCI layout")
    refused(b"nothing at all" * 100, "it is not a tar")
    refused(docker_archive([layer], ["UPPER:1"]), "UPPER")
    refused(docker_archive([layer], ["x:1"], config=b"{"), "config.json")
    refused(docker_archive([layer], ["x:1"], config=b"[" * 100000), "config.json")
    refused(docker_archive([layer], ["x:1"], config=config_of([layer, layer])), "it has 1 layers, its configuration 2")
    refused(tar_of({"manifest.json": b'[{"Config":"nowhere.json","Layers":[]}]'}), "has no file 'nowhere.json'")
    refused(tar_of({"manifest.json": b'[{"Config":"/etc/passwd","Layers":[]}]'}), "has no file '/etc/passwd'")
    refused(tar_of({"manifest.json": b"[]"}), "lists no images")
    loop = tarfile.TarInfo("config.json")
    loop.type, loop.linkname = tarfile.SYMTYPE, "config.json"
    refused(tar_of({loop: b"", "manifest.json": b'[{"Config":"config.json","Layers":[]}]'}), "has no file 'config.json'")
    escape = tarfile.TarInfo("../config.json")
    refused(tar_of({escape: b"{}"}), "..")
    refused(docker_archive([gzip.compress(layer)[:-4]], ["x:1"], config=config_of([layer])), "0/layer.tar")


def layout_archive(change):
    where = directory("layout-hostile")
    shutil.rmtree(where)
    make_layout(where, [tar_of({"a": b"1"})])
    files = {}
    for root, _, names in os.walk(where):
        for name in names:
            path = os.path.join(root, name)
            files[os.path.relpath(path, where)] = open(path, "rb").read()
    change(files)
    return tar_of(files)


def test_a_layout_whose_digests_lie_is_refused():
    def blob_of(files, key):
        entry = json.loads(files["index.json"])["manifests"][0]
        manifest = json.loads(files["blobs/sha256/" + entry["digest"][7:]])
        found = {"manifest": entry, "config": manifest["config"], "layer": manifest["layers"][0]}[key]
        return "blobs/sha256/" + found["digest"][7:]

    def swap(key, data):
        def change(files):
            files[blob_of(files, key)] = data
        return change

    def drop(key):
        return lambda files: files.pop(blob_of(files, key))

    refused(layout_archive(swap("manifest", b"{}")), "is not what its digest and size say")
    refused(layout_archive(swap("config", b"{}")), "is not what its digest and size say")
    refused(layout_archive(swap("layer", gzip.compress(tar_of({"b": b"2"})))), "blobs/sha256/")
    refused(layout_archive(drop("layer")), "has no file 'blobs/sha256/")
    refused(layout_archive(drop("config")), "has no file 'blobs/sha256/")
    refused(layout_archive(lambda f: f.update({"index.json": b'{"schemaVersion":2,"manifests":[]}'})), "lists no images")


def test_a_directory_cannot_lead_out_of_itself():
    where = make_layout(directory("leading-out"), [tar_of({"a": b"1"})])
    outside = os.path.join(directory("outside"), "index.json")
    shutil.move(os.path.join(where, "index.json"), outside)
    os.symlink(outside, os.path.join(where, "index.json"))
    state = State()
    check_in("neither a docker archive nor an OCI layout", state.fails("load", where).err)
    os.unlink(os.path.join(where, "index.json"))
    os.mkfifo(os.path.join(where, "index.json"))
    state.fails("load", where)


def test_memory_does_not_grow_with_the_archive():
    size = 192 << 20
    layer = tarfile.TarInfo("big")
    layer.size = size
    header = layer.tobuf()
    data = os.urandom(1 << 20)
    path = os.path.join(directory("big"), "layer.tar")
    hasher = hashlib.sha256()
    with open(path, "wb") as f:
        for part in [header] + [data] * (size >> 20) + [bytes(1024)]:
            f.write(part)
            hasher.update(part)
    config = json.dumps({"architecture": PLATFORM, "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hasher.hexdigest()]}}).encode()
    archive = os.path.join(directory("big"), "archive.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(path, "l.tar")
        for name, content in (("c.json", config), ("manifest.json", json.dumps([{
                "Config": "c.json", "RepoTags": ["big:1"], "Layers": ["l.tar"]}]).encode())):
            e = tarfile.TarInfo(name)
            e.size = len(content)
            tar.addfile(e, io.BytesIO(content))

    state = State()
    peaks = {}
    with open(archive, "rb") as f:
        peaks["load of a file on standard input"] = peak_kib(state, "load", stdin=f)
    state = State()
    with subprocess.Popen(["cat", archive], stdout=subprocess.PIPE) as cat:
        peaks["load from a pipe"] = peak_kib(state, "load", stdin=cat.stdout)
    peaks["save"] = peak_kib(state, "save", "big:1")
    with open(path, "rb") as f:
        peaks["import"] = peak_kib(State(), "import", "-", "big:2", stdin=f)
    for what, peak in peaks.items():
        check(peak < 64 << 10, f"{what} took {peak} KiB: {peaks}")


# -- names --

def test_names_are_given_and_taken_and_what_fails_keeps_nothing_else():
    state = two_images()
    listed = lambda: sorted(line.split()[0] for line in state.ok("ls").out.splitlines()[1:])
    check_equal(state.ok("tag", "one:1", "a:1", "b:1").out,
                "Successfully tagged one:1 as a:1\nSuccessfully tagged one:1 as b:1\n")
    check_in("it cannot hold a digest", state.fails("tag", "one:1", "c:1", "d@sha256:" + "0" * 64).err)
    check("c:1" not in listed(), "the first name was given although the second is wrong")
    result = state.fails("untag", "nobody:1", "a:1", "nowhere:2")
    check_equal(result.out, "Untagged a:1\n")
    check_in("no such name: 'nobody:1'; no such name: 'nowhere:2'", result.err)
    result = state.fails("rm", "nobody:1", "b:1", "nothing*")
    check_equal(result.out, "Removing b:1...\nSuccessfully removed b:1\n")
    check_in("no image matches 'nothing*'; no such image: 'nobody:1'", result.err)
    state.ok("rm", "-f", "nobody:1", "nothing*")
    state.ok("tag", "one:1", "keep:1", "keep:2", "example.org/keep:3")
    check_equal(state.ok("rmi", "keep:*").out.count("Successfully removed"), 2)
    check_equal(listed(), ["example.org/keep:3", "example.org/two:1", "one:1", "one:2"])
    identity = image_id(state, "one:1")
    state.ok("rm", identity[7:19])
    check_equal(listed(), ["example.org/two:1"])
    state.ok("rm", "--all")
    check_equal(listed(), [])
    state.ok("rm", "--all")
    check_in("name an image, or --all", state.fails("rm", code=2).err)


# -- import --

def root_tar():
    suid = tarfile.TarInfo("bin/su")
    suid.mode, suid.uid, suid.gid = 0o4755, 5, 6
    device = tarfile.TarInfo("dev/null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    capable = tarfile.TarInfo("bin/ping")
    capable.pax_headers = {"SCHILY.xattr.user.note": "kept"}
    return tar_of({suid: b"su", device: b"", capable: b"ping"}, format=tarfile.PAX_FORMAT)


def test_import_keeps_the_tar_to_the_byte():
    data = root_tar()
    state = State()
    identity = feed(state, data, "import", "-", "imported:1")[0].strip()
    image = Image(state, "imported:1")
    check_equal(identity, image_id(state, "imported:1"))
    check_equal(image.config["rootfs"]["diff_ids"], ["sha256:" + digest(data)])
    check_equal(image.line("bin/su"), "file 4755 5:6")
    check_equal(image.entry("bin/ping").pax_headers["SCHILY.xattr.user.note"], "kept")
    check_equal(image.config["history"][0]["comment"], "Imported from -")
    for packed in gzip.compress(data), bz2.compress(data), lzma.compress(data):
        path = os.path.join(directory("import"), "root")
        write(path, packed)
        state.ok("import", path)
    check_equal(len(set(line.split()[-1] for line in state.ok("ls").out.splitlines()[1:])), 1)


def test_import_takes_changes_a_message_and_a_platform():
    state = State()
    feed(state, root_tar(), "import", "-c", 'CMD ["/bin/su", "-"]', "--change", "ENV A=1 B=2", "-c", "EXPOSE 80",
         "-c", "USER 5:6", "-m", "by hand", "--platform=linux/arm64", "-", "changed:1")
    image = Image(state, "changed:1")
    check_equal(image.config["architecture"], "arm64")
    check_equal(image.config["config"]["Cmd"], ["/bin/su", "-"])
    check_equal(image.config["config"]["User"], "5:6")
    check_equal(image.env()["B"], "2")
    check_equal(list(image.config["config"]["ExposedPorts"]), ["80/tcp"])
    check_equal([h.get("comment") for h in image.config["history"]], ["by hand"])
    for change, sentence in (("RUN true", "RUN is not a valid change command"),
                             ("COPY a b", "COPY is not a valid change command"),
                             ("CMD x\nRUN true", "a change is one line"),
                             ("FROM x", "FROM is not a valid change command")):
        check_in(sentence, feed(state, root_tar(), "import", "-c", change, "-", code=1)[1])
    check_equal(len(state.ok("ls").out.splitlines()), 2)


def test_import_reads_an_url():
    where = directory("www")
    write(os.path.join(where, "root.tar.xz"), lzma.compress(root_tar()))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **more):
            super().__init__(*args, directory=where, **more)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    state = State()
    state.ok("import", base + "/root.tar.xz", "www:1")
    check_equal(Image(state, "www:1").line("bin/su"), "file 4755 5:6")
    check_in("status 404", state.fails("import", base + "/nowhere", "www:2").err)
    server.shutdown()


def test_import_refuses_what_is_no_tar():
    state = State()
    check_in("is empty", feed(state, b"", "import", "-", code=1)[1])
    check_in("it is not a tar", feed(state, b"text" * 1000, "import", "-", code=1)[1])
    check_in("No such file", state.fails("import", "/nowhere/x.tar").err)
    check_equal(kept(state), {"packs": 0, "index": 0, "blobs/sha256": 0})


if __name__ == "__main__":
    main(globals())
