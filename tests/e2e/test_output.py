"""build --output: each type with its options, read by tarfile, skopeo and umoci; what is stored and
what is not; destinations that try to lead elsewhere."""
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile

from harness import (IMG, Image, Registry, Skip, State, busybox, check, check_equal, check_in, directory, main,
                     make_context, write)

FILE = "FROM scratch\nCOPY --chown=7:8 --chmod=4755 a /bin/a\nCOPY b /b\nLABEL l=1\n"
FILES = {"a": "alpha\n", "b": "beta\n" * 10000}


def tool(*words):
    if shutil.which(words[0]) is None:
        raise Skip(f"{words[0]} is not installed")
    made = subprocess.run(words, capture_output=True)
    check(made.returncode == 0, made.stderr.decode(errors="replace"))
    return made.stdout


def skopeo(*words):
    return tool("skopeo", "--insecure-policy", *words)


def names(state):
    return [line.split()[0] for line in state.ok("ls").out.splitlines()[1:]]


def build(state, *options, text=FILE, **env):
    return state.built(text, *options, context=FILES, env=env)


def piped(state, *options, text=FILE):
    made = subprocess.run([IMG, "build", "--progress=plain", *options, make_context(text, FILES)], env=state.env,
                          capture_output=True, stdin=subprocess.DEVNULL)
    check(made.returncode == 0, made.stderr.decode(errors="replace"))
    return made.stdout


def where(name):
    return os.path.join(directory("out"), name)


def listing(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: f"{m.type.decode()} {m.mode:o} {m.uid}:{m.gid} {m.size}" for m in tar.getmembers()}


def test_a_directory_gets_the_files_and_the_store_no_image():
    state = State()
    out = where("local/new")
    result = build(state, "-o", out)
    check_in("exporting to client directory", result.err)
    check_equal(sorted(os.listdir(out)), ["b", "bin"])
    with open(os.path.join(out, "bin/a")) as f:
        check_equal(f.read(), "alpha\n")
    # SECURITY R38: no set-id bit becomes real.
    check_equal(os.stat(os.path.join(out, "bin/a")).st_mode & 0o7777, 0o755)
    check_equal(names(state), [])
    check_equal(result.out, "")


def test_a_directory_is_filled_without_following_what_is_in_it():
    """SECURITY R59: links in the destination lead nowhere; what is not the image's stays, unless asked."""
    out = where("filled")
    canary = directory("canary")
    write(os.path.join(canary, "secret"), "untouched")
    write(os.path.join(out, "mine"), "kept")
    os.symlink(canary, os.path.join(out, "bin"))
    os.symlink(os.path.join(canary, "secret"), os.path.join(out, "b"))
    state = State()
    build(state, "-o", f"type=local,dest={out}")
    check_equal(open(os.path.join(canary, "secret")).read(), "untouched")
    check_equal(os.listdir(canary), ["secret"])
    check_equal(open(os.path.join(out, "bin/a")).read(), "alpha\n")
    check_equal(sorted(os.listdir(out)), ["b", "bin", "mine"])
    write(os.path.join(out, "bin/old"), "x")
    build(state, "-o", f"type=local,dest={out},mode=delete")
    check_equal(sorted(os.listdir(out)), ["b", "bin"])
    check_equal(os.listdir(os.path.join(out, "bin")), ["a"])


def test_a_tar_says_what_the_directory_cannot():
    state = State()
    text = FILE + "FROM scratch\nCOPY --from=0 / /\nCOPY b /z/last\n"
    data = piped(state, "-o", "-", text=text)
    found = listing(data)
    check_equal(found["bin/a"], "0 4755 7:8 6")
    check_equal(list(found), sorted(found))
    path = where("x.tar")
    build(state, "-o", f"type=tar,dest={path}", text=text)
    check_equal(open(path, "rb").read(), data)
    check_equal(names(state), [])
    build(state, "-o", f"type=tar,dest={path}", text=text, SOURCE_DATE_EPOCH="1700000000")
    with tarfile.open(path) as tar:
        check_equal({m.mtime for m in tar.getmembers()}, {1700000000})


def test_hard_links_and_attributes_survive_in_a_tar():
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as t:
        e = tarfile.TarInfo("one")
        e.size, e.pax_headers = 3, {"SCHILY.xattr.user.note": "kept"}
        t.addfile(e, io.BytesIO(b"abc"))
        e = tarfile.TarInfo("two")
        e.type, e.linkname = tarfile.LNKTYPE, "one"
        t.addfile(e)
    state = State()
    context = make_context("FROM scratch\nADD t.tar /\n", {"t.tar": tar.getvalue()})
    made = subprocess.run([IMG, "build", "-o", "-", context], env=state.env, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as t:
        check_equal([(m.name, m.type, m.linkname) for m in t.getmembers()],
                    [("one", tarfile.REGTYPE, ""), ("two", tarfile.LNKTYPE, "one")])
        check_equal(t.getmember("one").pax_headers["SCHILY.xattr.user.note"], "kept")


def test_archives_are_written_and_nothing_is_stored():
    state = State()
    oci, docker, layout = where("o.tar"), where("d.tar"), where("layout")
    build(state, "-t", "named:1", "-o", f"type=oci,dest={oci},compression=zstd",
          "-o", f"type=docker,dest={docker}", "-o", f"type=oci,tar=false,dest={layout},name=example.org/x:2")
    check_equal(names(state), [])
    check_equal(json.loads(skopeo("inspect", f"oci-archive:{oci}"))["Labels"], {"l": "1"})
    raw = json.loads(skopeo("inspect", "--raw", f"oci-archive:{oci}"))
    check_equal({l["mediaType"].rpartition("+")[2] for l in raw["layers"]}, {"zstd"})
    check_equal(json.loads(skopeo("inspect", f"docker-archive:{docker}:named:1"))["Labels"], {"l": "1"})
    check_equal(sorted(tool("umoci", "list", "--layout", layout).decode().split()), ["1", "2"])
    data = piped(state, "-t", "n:1", "-o", "type=docker,dest=-")
    check_in("manifest.json", listing(data))
    other = State()
    check_equal(other.ok("load", "-i", oci).out, "Loaded image: named:1\n")
    check_equal(Image(other, "named:1").line("bin/a"), "file 4755 7:8")


def test_an_image_is_stored_beside_what_is_exported_when_asked_for():
    state = State()
    build(state, "-t", "both:1", "--load", "-o", where("both"))
    check_equal(names(state), ["both:1"])
    build(state, "-t", "t:1", "-o", "type=image,name=example.org/n:1")
    check_equal(sorted(names(state)), ["both:1", "example.org/n:1", "t:1"])
    build(state, "-o", "type=image,name=zstd:1,compression=zstd,force-compression=true,annotation.k=v,"
          "oci-mediatypes=true", "--annotation", "manifest:all=yes")
    path = where("stored.tar")
    state.ok("save", "--format=oci", "-o", path, "zstd:1")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci-archive:{path}"))
    check_equal(manifest["annotations"], {"all": "yes", "k": "v"})
    check_equal({l["mediaType"].rpartition("+")[2] for l in manifest["layers"]}, {"zstd"})


def test_annotations_go_where_their_type_says():
    state = State()
    path = where("annotated.tar")
    build(state, "-o", f"type=oci,dest={path},annotation-manifest-descriptor.d=1,"
          "annotation-manifest[linux/s390x].no=1,\"annotation.list=a,b\"",
          "--annotation", "manifest,manifest-descriptor:both=2")
    with tarfile.open(path) as tar:
        entry = json.load(tar.extractfile("index.json"))["manifests"][0]
        manifest = json.load(tar.extractfile("blobs/sha256/" + entry["digest"][7:]))
    check_equal(entry["annotations"], {"both": "2", "d": "1"})
    check_equal(manifest["annotations"], {"both": "2", "list": "a,b"})
    check_in("index annotations not supported for single platform export",
             state.build(FILE, "--annotation", "index:a=b", context=FILES).err)


def test_push_sends_the_form_asked_for_and_the_metadata_names_it():
    registry = Registry()
    state = State()
    meta, iid = where("meta.json"), where("iid")
    ref = f"{registry.host}/out/app:1"
    build(state, "-t", ref, "--push", "--compression=zstd", "--metadata-file", meta, "--iidfile", iid)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{ref}")
    document = json.load(open(meta))
    check_equal(document["containerimage.digest"], "sha256:" + hashlib.sha256(raw).hexdigest())
    check_equal(document["image.name"], ref)
    check_equal(document["containerimage.config.digest"], open(iid).read())
    check_equal(json.loads(raw)["config"]["digest"], open(iid).read())
    check_equal({l["mediaType"].rpartition("+")[2] for l in json.loads(raw)["layers"]}, {"zstd"})
    build(state, "-o", f"type=registry,name={registry.host}/out/app:2")
    skopeo("inspect", "--tls-verify=false", f"docker://{registry.host}/out/app:2")
    registry.stop()


MANY = "FROM scratch AS x\nARG TARGETARCH\nCOPY a /$TARGETARCH\nFROM scratch\nARG TARGETPLATFORM\n" \
       "LABEL p=$TARGETPLATFORM\nCOPY --from=x / /\n"


def test_several_platforms_are_one_index_that_others_choose_from():
    """docs.docker.com, "docker buildx build --platform"; OCI image-spec, image-index.md."""
    registry = Registry()
    state = State()
    meta, iid, ref = where("index.json"), where("index.iid"), f"{registry.host}/out/many:1"
    result = build(state, "--platform", "linux/amd64,arm64", "--platform", "linux/arm/v7,linux/amd64", "-t", ref,
                   "--push", "--annotation", "index:a=b", "--annotation", "c=d", "--metadata-file", meta, "--iidfile",
                   iid, text=MANY)
    check_in("[linux/arm64 x 1/1] COPY a /arm64", result.err)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{ref}")
    index, digest = json.loads(raw), "sha256:" + hashlib.sha256(raw).hexdigest()
    check_equal([m["platform"] for m in index["manifests"]],
                [{"architecture": "amd64", "os": "linux"}, {"architecture": "arm64", "os": "linux"},
                 {"architecture": "arm", "os": "linux", "variant": "v7"}])
    check_equal((index["annotations"], index["mediaType"]), ({"a": "b"}, "application/vnd.oci.image.index.v1+json"))
    check_equal((json.load(open(meta))["containerimage.digest"], open(iid).read()), (digest, digest))
    for arch, label in (("amd64", "linux/amd64"), ("arm64", "linux/arm64"), ("arm", "linux/arm/v7")):
        chosen = json.loads(skopeo("inspect", "--tls-verify=false", "--override-arch", arch, f"docker://{ref}"))
        check_equal((chosen["Labels"]["p"], chosen["Architecture"]), (label, arch))
        other = State()
        other.ok("pull", "--arch", arch, ref)
        check(Image(other, ref).has(arch), arch)
    # a later push of the name is of the index too, and what is not new is not sent again
    check_equal(state.ok("push", "-q", ref).out.strip(), digest)
    check_equal(state.ok("build", "-q", "--platform=linux/arm64,linux/amd64", make_context(MANY, FILES)).out[:7], "sha256:")
    check_equal(state.ok("fsck").code, 0)
    # all of it goes with its last tag
    state.ok("tag", ref, f"{registry.host}/out/many:2")
    check_equal(len(state.ok("ls", "-a", "--filter=dangling=false").out.splitlines()) - 1, 5)  # two tags, three images
    state.ok("rm", ref)
    check_equal(names(state), [f"{registry.host}/out/many:2"])
    # a name in another repository keeps what it stands for
    state.ok("tag", f"{registry.host}/out/many:2", f"{registry.host}/other/many:1")
    state.ok("rm", f"{registry.host}/out/many:2")
    check_equal(state.ok("push", "-q", f"{registry.host}/other/many:1").out.strip(), digest)
    state.ok("rm", f"{registry.host}/other/many:1")
    check_equal(state.ok("ls", "-a", "--filter=dangling=false", "-q").out, "")
    registry.stop()


def raw_index(path):
    return json.loads(skopeo("inspect", "--raw", f"oci-archive:{path}"))


def test_several_platforms_are_one_index_in_an_archive_or_a_layout():
    """OCI image-spec, image-layout.md, "index.json": an entry may be an index; docs.docker.com, "OCI and Docker
    exporters", annotations of each level."""
    state = State()
    path, layout, meta, iid = where("many.tar"), where("many.layout"), where("many.json"), where("many.iid")
    build(state, "--platform=linux/amd64,linux/arm64", "-t", "example.org/many:1", "--metadata-file", meta, "--iidfile",
          iid, "-o", f"type=oci,dest={path},annotation-manifest[linux/arm64].only=arm,annotation-index-descriptor.top=1",
          "-o", f"type=oci,tar=false,dest={layout},compression=zstd,force-compression=true", "--annotation", "index:i=1", "--annotation",
          "manifest-descriptor:d=1", text=MANY)
    raw = skopeo("inspect", "--raw", f"oci-archive:{path}")
    index, digest = json.loads(raw), "sha256:" + hashlib.sha256(raw).hexdigest()
    check_equal([m["platform"]["architecture"] for m in index["manifests"]], ["amd64", "arm64"])
    check_equal((index["annotations"], [m["annotations"] for m in index["manifests"]]), ({"i": "1"}, [{"d": "1"}] * 2))
    check_equal((json.load(open(meta))["containerimage.digest"], open(iid).read()), (digest, digest))
    with tarfile.open(path) as tar:
        entry, = json.load(tar.extractfile("index.json"))["manifests"]
        own = [json.load(tar.extractfile("blobs/sha256/" + m["digest"][7:])).get("annotations") for m in index["manifests"]]
    check_equal((entry["digest"], entry["annotations"]["top"], own), (digest, "1", [None, {"only": "arm"}]))
    copy = where("copy")
    skopeo("copy", "--all", "-q", f"oci-archive:{path}", f"oci:{copy}:1")
    check_equal(json.load(open(os.path.join(copy, "index.json")))["manifests"][0]["digest"], digest)
    for arch in "amd64", "arm64":
        chosen = json.loads(skopeo("inspect", "--override-arch", arch, f"oci:{layout}"))
        check_equal(chosen["Labels"]["p"], f"linux/{arch}")
    with open(os.path.join(layout, "index.json")) as f:
        inner, = json.load(f)["manifests"]
    with open(os.path.join(layout, "blobs/sha256", inner["digest"][7:])) as f:
        for m in json.load(f)["manifests"]:
            with open(os.path.join(layout, "blobs/sha256", m["digest"][7:])) as f:
                check_equal({l["mediaType"].rpartition("+")[2] for l in json.load(f)["layers"]}, {"zstd"})
    check_equal(state.ok("ls", "-a", "-q").out, "")
    for form, words in (("docker", f"type=docker,dest={where('x')}"), ("index-descriptor", "type=image,name=x,"
                                                                      "annotation-index-descriptor.a=b")):
        check_in({"docker": "a docker archive knows no index", "index-descriptor": "nothing above an index"}[form],
                 state.fails("build", "--platform=linux/amd64,linux/arm64", "-o", words, make_context(MANY, FILES)).err)


def test_an_archive_of_several_platforms_is_loaded_and_saved_as_one():
    state, other = State(), State()
    path, again = where("index.tar"), where("again.tar")
    build(state, "--platform=linux/amd64,linux/arm64", "-t", "many:1", text=MANY)
    state.ok("save", "--format=oci", "-o", path, "many:1")
    index = raw_index(path)
    check_equal([m["platform"]["architecture"] for m in index["manifests"]], ["amd64", "arm64"])
    for source in ["-i", path], None:
        other = State()
        if source:
            check_equal(other.ok("load", *source).out, "Loaded image: many:1\n")
        else:
            with open(path, "rb") as f:
                check_equal(subprocess.run([IMG, "load"], env=other.env, stdin=f, capture_output=True).stdout,
                            b"Loaded image: many:1\n")
        check_equal((names(other), len(other.ok("ls", "-a", "-q").out.split())), (["many:1"], 3))
        other.ok("save", "--format=oci", "-o", again, "many:1")
        check_equal(raw_index(again), index)
    # layers of another form are other manifests, and the index names those
    other.ok("save", "--format=oci", "-o", again, "--compression=zstd", "--force-compression", "many:1")
    check(raw_index(again)["manifests"][0]["digest"] != index["manifests"][0]["digest"], "the old digest")
    skopeo("copy", "--all", "-q", f"oci-archive:{again}", f"oci:{where('zstd')}:1")
    # one platform alone, which is all that docker's form can hold
    other.ok("save", "-o", again, "--platform=linux/arm64", "many:1")
    check_equal(json.loads(skopeo("inspect", f"docker-archive:{again}"))["Architecture"], "arm64")
    check_in("linux/s390x", other.fails("save", "-o", again, "--platform=linux/s390x", "many:1").err)
    one = State()
    one.ok("load", "--platform=linux/arm64", "-i", path)
    check_equal(len(one.ok("ls", "-a", "-q").out.split()), 1)
    # a signature beside the images, which says nothing of a platform, is kept as it is
    skopeo("copy", "--all", "-q", f"oci-archive:{path}", f"oci:{where('signed')}:example.org/signed:1")
    blobs = os.path.join(where("signed"), "blobs/sha256")
    put = lambda data: write(os.path.join(blobs, hashlib.sha256(data).hexdigest()), data) or {
        "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}
    oci = "application/vnd.oci."
    note = put(json.dumps({"schemaVersion": 2, "mediaType": oci + "image.manifest.v1+json", "layers": [],
                           "config": {"mediaType": oci + "empty.v1+json", **put(b"{}")}}).encode())
    more = {**index, "manifests": [{"mediaType": oci + "image.manifest.v1+json", **note}, *index["manifests"]]}
    entry = {"mediaType": oci + "image.index.v1+json", **put(json.dumps(more).encode()),
             "annotations": {"org.opencontainers.image.ref.name": "example.org/signed:1"}}
    write(os.path.join(where("signed"), "index.json"), json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    signed = State()
    signed.ok("load", where("signed"))
    signed.ok("save", "--format=oci", "-o", again, "example.org/signed:1")
    check_equal(raw_index(again), more)
    # what is missing from the archive is not promised: one image is chosen, as ever
    shutil.rmtree(where("part"), ignore_errors=True)
    skopeo("copy", "--all", "-q", f"oci-archive:{path}", f"oci:{where('part')}:example.org/part:1")
    os.unlink(os.path.join(where("part"), "blobs/sha256", index["manifests"][1]["digest"][7:]))
    part = State()
    part.ok("load", where("part"))
    check_equal(len(part.ok("ls", "-a", "-q").out.split()), 1)


def test_several_platforms_fill_directories_of_their_own():
    state = State()
    platforms = ["--platform", "linux/amd64,linux/arm/v7"]
    apart, together = where("apart"), where("together")
    build(state, *platforms, "-o", apart, text=MANY)
    check_equal(sorted(os.listdir(apart)), ["linux_amd64", "linux_arm_v7"])
    check_equal(os.listdir(os.path.join(apart, "linux_arm_v7")), ["arm"])
    build(state, *platforms, "-o", f"type=local,dest={together},platform-split=false", text=MANY)
    check_equal(sorted(os.listdir(together)), ["amd64", "arm"])
    data = piped(state, *platforms, "-o", "type=tar,dest=-", text=MANY)
    check_equal(sorted(listing(data)), ["linux_amd64", "linux_amd64/amd64", "linux_arm_v7", "linux_arm_v7/arm"])
    data = piped(state, *platforms, "-o", "type=tar,dest=-,platform-split=false", text=MANY)
    check_equal(sorted(listing(data)), ["amd64", "arm"])
    data = piped(state, "--platform=linux/arm/v7", "-o", "type=tar,dest=-,platform-split=true", text=MANY)
    check_equal(sorted(listing(data)), ["linux_arm_v7", "linux_arm_v7/arm"])
    both = "FROM scratch\nCOPY a b /same/\n"
    check_in("would be one: '/same/a'", state.fails("build", *platforms, "-o", f"type=tar,dest={where('x')},"
             "platform-split=false", make_context(both, FILES)).err)
    for words, sentence in ((["--annotation", "index-descriptor:a=b"], "nothing above an index"),
                            (["--cache-to", "type=local,dest=" + where("x")], "for several use type=inline")):
        check_in(sentence, state.fails("build", *platforms, *words, make_context(MANY, FILES)).err)
    check(not os.path.exists(where("x")), "something was written")
    check_equal(names(state), [])
    check_in("'nonsense/a/b/c'", state.fails("build", "--platform", "linux/amd64,nonsense/a/b/c", "/").err)


def test_the_usual_platform_comes_from_the_environment():
    """docs.docker.com, DOCKER_DEFAULT_PLATFORM."""
    state = State()
    context = make_context(MANY, FILES)
    state.ok("build", "-t", "a", context, env={"DOCKER_DEFAULT_PLATFORM": "linux/s390x"})
    state.ok("build", "-t", "b", "--platform=linux/arm64", context, env={"DOCKER_DEFAULT_PLATFORM": "linux/s390x"})
    check_equal(state.ok("inspect", "-f", "{{.Architecture}}", "a", "b").out.split(), ["s390x", "arm64"])


def test_what_is_no_file_is_written_to_and_stays():
    """A device or pipe named as the file of an identity or of metadata is not replaced by a file."""
    state = State()
    for option in ("--iidfile", "--metadata-file", "--digest-file"):
        pipe = where("pipe" + option)
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            build(state, "-t", "p:1", option, pipe)
            check_in("sha256:", reader.stdout.read().decode())
        check(stat.S_ISFIFO(os.lstat(pipe).st_mode), option + " replaced a pipe")


def test_metadata_of_an_archive_is_of_what_is_in_it():
    state = State()
    path, meta = where("m.tar"), where("m.json")
    build(state, "-t", "m:1", "-o", f"type=oci,dest={path}", "--metadata-file", meta)
    raw = skopeo("inspect", "--raw", f"oci-archive:{path}")
    document = json.load(open(meta))
    check_equal(document["containerimage.digest"], "sha256:" + hashlib.sha256(raw).hexdigest())
    check_equal(document["containerimage.descriptor"]["size"], len(raw))
    check_equal(document["containerimage.descriptor"]["mediaType"], json.loads(raw)["mediaType"])


SQUASHED = """FROM {base}
RUN mkdir -p /d/sub && echo 1 > /d/sub/f && echo big > /gone && ln /gone /gone2 && ln -s f /d/sub/l
RUN rm /gone && echo 2 >> /d/sub/f && rm -r /var && mkdir /var && echo new > /var/new
RUN rm -r /d && echo file > /d && chmod 4755 /gone2 && chown 3:4 /home
RUN rm /d && mkdir /d && echo 3 > /d/x && ln /d/x /d/y && rm /etc/group && mv /root /moved
LABEL kept=yes
"""


def test_squash_makes_one_layer_of_the_same_tree():
    state = State()
    text = SQUASHED.format(base=busybox())
    build(state, "-t", "plain:1", text=text)
    build(state, "-t", "squashed:1", "--squash", text=text)
    plain, squashed = Image(state, "plain:1"), Image(state, "squashed:1")

    def tree(image):
        return {p: (image.line(p).replace("hard", "file"), e.mtime, content if not e.isdir() else None)
                for p, (e, content) in image.tree.items() if p}
    check_equal(tree(squashed), tree(plain))
    check_equal((len(plain.layers), len(squashed.layers)), (5, 2))
    check_equal(squashed.config["rootfs"]["diff_ids"][0], plain.config["rootfs"]["diff_ids"][0])
    check("gone" not in squashed.last_layer(), "what a step removed again is there")
    check_in("etc/.wh.group", " ".join(squashed.last_layer()))
    y = squashed.entry("d/y")
    check(y.islnk() and y.linkname == "d/x", "the second name is a file of its own")
    check_equal(sum(not h.get("empty_layer") for h in squashed.config["history"]), 2)
    check_equal(squashed.config["config"]["Labels"], {"kept": "yes"})
    again = build(state, "-q", "--squash", text=text).out
    check_equal(again, build(state, "-q", "--squash", text=text).out)
    # One layer, or none, is one already.
    build(state, "-t", "one:1", "--squash", text="FROM scratch\nCOPY a /a\n")
    check_equal(len(Image(state, "one:1").layers), 1)


def test_what_makes_no_sense_is_refused_before_anything_is_built():
    state = State()
    for options, sentence in (
            (["-o", "type=local"], "dest is required for local output"),
            (["-o", "type=nothing"], "unknown output type 'nothing'"),
            (["-o", "dest=x"], "type is required for output"),
            (["-o", "type=oci,dest=x,compresion=zstd"], "did you mean 'compression'?"),
            (["-o", "type=tar,dest=x,name=y"], "'name' means nothing to type=tar"),
            (["-o", "type=oci,dest=x,compression=lzma"], "unknown compression 'lzma'"),
            (["-o", "type=oci,dest=x,compression-level=99"], "invalid compression level '99'"),
            (["-o", "type=oci,dest=x,tar=maybe"], "tar is true or false, not 'maybe'"),
            (["-o", "type=local,dest=x,mode=move"], "mode is copy or delete"),
            (["-o", "type=image,name=UPPER"], "UPPER"),
            (["-o", "type=oci,dest=-", "-o", "-"], "only one output can go to standard output"),
            (["-o", 'type=oci,"dest=x'], "a quote is not closed"),
            (["-o", "type=registry"], "tag is needed when pushing to registry"),
            (["--push"], "tag is needed when pushing to registry"),
            (["--annotation", "novalue"], "expected key=value"),
            (["-o", "type=tar,dest=" + where("no/such/directory/x.tar")], "No such file or directory")):
        result = state.build("FROM scratch\nCOPY a /a\n", *options, context=FILES)
        check_equal(result.code, 1)
        check_in(sentence, result.err)
    check(not os.path.exists("x"), "something was written")
    check_equal(names(state), [])


if __name__ == "__main__":
    main(globals())
