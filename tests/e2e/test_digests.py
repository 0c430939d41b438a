"""Images whose digests are sha512, whole or in part: OCI image-spec, descriptor.md, "Registered algorithms". What is
there under such a name is checked by it and leaves under it; Python's hashlib and tarfile say what is right."""
import gzip
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import urllib.parse

from harness import *

PARTS = ("diff_id", "layer", "config", "manifest")
ALL = dict.fromkeys(PARTS, "sha512")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            e = tarfile.TarInfo(name)
            e.size, e.mtime = len(data), 1700000000
            tar.addfile(e, io.BytesIO(data))
    return out.getvalue()


def layout_of(name, tars, names=ALL):
    path = make_layout(directory("layouts/" + name), tars, {"Cmd": ["sh"]}, names)
    with open(os.path.join(path, "index.json")) as f:
        return path, json.load(f)["manifests"][0]["digest"]


def files_of(path):
    """What a directory holds, by the names within."""
    found = {}
    for where, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(where, name), "rb") as f:
                found[os.path.relpath(os.path.join(where, name), path)] = f.read()
    return found


def blobs_of(path):
    return {name: data for name, data in files_of(path).items() if name.startswith("blobs/")}


def check_named_rightly(blobs):
    for name, data in blobs.items():
        _, algorithm, hexadecimal = name.split("/")
        check_equal(digest_of(data, algorithm), f"{algorithm}:{hexadecimal}")


def archive_of(path, name="archive"):
    where = os.path.join(directory("archives"), f"{name}-{len(os.listdir(directory('archives')))}.tar")
    subprocess.run(["tar", "-C", path, "-cf", where, "."], check=True)
    return where


def loaded(state, path):
    said = state.ok("load", "-i", path).out
    return re.search(r"Loaded image(?: ID)?: (\S+)", said).group(1)


def check_sound(state, problems=0):
    check_in(f"{problems} problems", state.run("fsck").out)


# -- a registry that knows both algorithms --

class Shelf(http.server.ThreadingHTTPServer):
    """Distribution-spec with digests of any algorithm. `lie(path, body)` may give other bytes; `without_tags`: tags
    cannot be given by a PUT of a digest; `cut_after`: where GETs of blobs break off."""

    def __init__(self, **options):
        self.blobs, self.manifests, self.types, self.tags = {}, {}, {}, {}
        self.log, self.sessions = [], {}
        self.lie = options.get("lie", lambda path, body: body)
        self.without_tags = options.get("without_tags", False)
        self.cut_after = None
        super().__init__(("127.0.0.1", 0), ShelfHandler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def put_layout(self, path, tag):
        with open(os.path.join(path, "index.json")) as f:
            first = json.load(f)["manifests"][0]
        for name, data in blobs_of(path).items():
            self.blobs[name.removeprefix("blobs/").replace("/", ":")] = data
        return self.put(first["digest"], self.blobs[first["digest"]], first["mediaType"], tag)

    def put(self, digest, data, media_type, tag=None):
        self.manifests[digest], self.types[digest] = data, media_type
        if tag:
            self.tags[tag] = digest
        return digest


class ShelfHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def look(self):
        shelf = self.server
        shelf.log.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        kind, _, name = self.path.rpartition("/")
        if self.path == "/v2/":
            return self.answer(200)
        if kind.endswith("/manifests"):
            digest = shelf.tags.get(name, name)
            if digest not in shelf.manifests:
                return self.answer(404)
            body = shelf.lie(self.path, shelf.manifests[digest])
            return self.answer(200, {"Content-Type": shelf.types[digest], "Docker-Content-Digest": digest}, body)
        if name not in shelf.blobs:
            return self.answer(404)
        body = shelf.lie(self.path, shelf.blobs[name])
        start = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        if start:
            first = int(start.group(1))
            return self.answer(206, {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}, body[first:])
        if shelf.cut_after is not None and len(body) > shelf.cut_after and self.command == "GET":
            self.close_connection = True
            return self.answer(200, {"Content-Length": str(len(body))}, body[:shelf.cut_after])
        return self.answer(200, {"Docker-Content-Digest": name}, body)

    do_GET = do_HEAD = look

    def body(self):
        if self.headers.get("Transfer-Encoding"):
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        self.server.log.append(f"POST {self.path}")
        self.body()
        session = str(len(self.server.sessions))
        self.server.sessions[session] = b""
        self.answer(202, {"Location": f"/v2/x/blobs/uploads/{session}"})

    def do_PATCH(self):
        session = self.path.rpartition("/")[2]
        self.server.sessions[session] += self.body()
        self.answer(202, {"Location": self.path, "Range": f"0-{len(self.server.sessions[session]) - 1}"})

    def do_PUT(self):
        shelf = self.server
        shelf.log.append(f"PUT {self.path}")
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        data, name = self.body(), url.path.rpartition("/")[2]
        digest = query["digest"][0] if "/blobs/" in url.path else name if ":" in name else digest_of(data)
        if "/blobs/" in url.path:
            data = shelf.sessions[name] + data
        if digest_of(data, digest.partition(":")[0]) != digest:
            return self.answer(400)
        headers = {"Docker-Content-Digest": digest, "Location": "/v2/"}
        if "/blobs/" in url.path:
            shelf.blobs[digest] = data
        else:
            shelf.put(digest, data, self.headers["Content-Type"], None if ":" in name else name)
        if "tag" in query and not shelf.without_tags:
            shelf.tags[query["tag"][0]] = digest
            headers["OCI-Tag"] = query["tag"][0]
        self.answer(201, headers)


# -- layouts and archives --

def test_a_layout_keeps_its_names_from_load_to_save():
    """Each document and layer of an algorithm of its own; out of a directory, a file, a pipe and a compressed pipe.
    The archive that is saved holds the same files, to the byte."""
    tars = [tar_of({"a": b"a" * 5000}), tar_of({"b": b"b"})]
    cases = [ALL] + [{part: "sha512"} for part in PARTS]
    for i, names in enumerate(cases):
        path, digest = layout_of(f"names-{i}", tars, names)
        archive = archive_of(path)
        with open(archive, "rb") as f:
            squeezed = directory("archives") + f"/squeezed-{i}.tgz"
            write(squeezed, gzip.compress(f.read(), 1))
        for way in (path, archive, None, squeezed):
            state = State()
            if way is None:
                with open(archive, "rb") as f:
                    said = state.ok("load", stdin=f).out
            else:
                said = state.ok("load", "-i", way).out
            name = said.split()[-1]
            state.ok("tag", name, "app:1")
            check_equal(state.ok("ls", "-q").out.strip(), digest)
            check_equal(json.loads(state.ok("inspect", "app:1").out)[0]["Id"], name)
            check_sound(state)
            check_equal(len(os.listdir(os.path.join(state.path, "packs"))), len(tars))
            out = directory(f"saved/{i}-{len(os.listdir(directory('saved')))}")
            state.ok("save", "--format", "oci-dir", "-o", out + "/d", "app:1")
            check_equal(blobs_of(out + "/d"), blobs_of(path))
            with open(out + "/d/index.json") as f:
                check_equal(json.load(f)["manifests"][0]["digest"], digest)


def test_ids_are_found_by_what_they_begin_with():
    path, digest = layout_of("ids", [tar_of({"a": b"a"})])
    state = State()
    name = loaded(state, path)
    for text in (name, name[:20], name[7:19], digest, digest[7:], digest[7:100]):
        state.ok("tag", text, "app:1")
        check_equal(state.ok("ls", "-q").out.strip(), digest)
    for text in ("sha256:" + name[7:19], name + "0", "sha384:" + name[7:19]):
        state.fails("tag", text, "app:2")
    check_in(digest, state.ok("ls", "--format", "{{.Digest}}").out)


def test_what_is_built_on_such_an_image_is_sha256_and_runs():
    """Its layers keep their diff ids, for the tar below is the same; what is new has ours."""
    path, digest = layout_of("busybox", [busybox_tar()])
    state = State()
    state.ok("tag", loaded(state, path), "base:1")
    below = json.loads(state.ok("inspect", "base:1").out)[0]["RootFS"]["Layers"]
    check_equal(below, [digest_of(busybox_tar(), "sha512")])
    for from_ in ("base:1", "base@" + digest):
        state.built(f"FROM {from_}\nRUN echo ran > /out\nCOPY f /f\n", "-t", "app:1", context={"f": "copied"})
    layers = json.loads(state.ok("inspect", "app:1").out)[0]["RootFS"]["Layers"]
    check_equal(layers[0], below[0])
    check(all(l.startswith("sha256:") for l in layers[1:]) and len(layers) == 3, layers)
    image = Image(state, "app:1")
    check_equal((image.text("out"), image.text("f")), ("ran\n", "copied"))
    check(state.ok("ls", "-q", "app:1").out.startswith("sha256:"), "what is made here is sha256")
    again = state.built(f"FROM base:1\nRUN echo ran > /out\nCOPY f /f\n", "-t", "app:1", context={"f": "copied"})
    check_equal(again.err.count("CACHED"), 3)
    check_equal(state.ok("mount", "base:1", "--", "sh", "-c", "cat $IMG_MOUNT/etc/passwd | head -n1").out,
                "root:x:0:0:root:/root:/bin/sh\n")
    other = State()
    other.built("FROM lay\nRUN echo ran > /out\n", "-t", "app:1", f"--build-context=lay=oci-layout://{path}@{digest}")
    check_equal(Image(other, "app:1").text("out"), "ran\n")
    check_sound(state)
    check_sound(other)


def test_docker_archives_of_them_come_back():
    path, digest = layout_of("docker", [tar_of({"a": b"a" * 3000})])
    state = State()
    state.ok("tag", loaded(state, path), "app:1")
    archive = os.path.join(directory("archives"), "docker.tar")
    state.ok("save", "--format", "docker-archive", "-o", archive, "app:1")
    with tarfile.open(archive) as tar:
        entry = json.load(tar.extractfile("manifest.json"))[0]
        check_equal(digest_of(tar.extractfile(entry["Layers"][0]).read(), "sha512"),
                    "sha512:" + entry["Layers"][0].removesuffix(".tar"))
    for stream in (False, True):
        fresh = State()
        with open(archive, "rb") as f:
            fresh.ok("load", stdin=f) if stream else fresh.ok("load", "-i", archive)
        check_equal(Image(fresh, "app:1").text("a"), "a" * 3000)
        check_sound(fresh)


def test_others_read_layouts_whose_layers_are_sha512():
    """skopeo, as far as it can: its configurations are sha256."""
    path, digest = layout_of("others", [tar_of({"etc/a": b"a"})], {"layer": "sha512"})
    state = State()
    state.ok("tag", loaded(state, path), "app:1")
    out = directory("others")
    state.ok("save", "--format", "oci-dir", "-o", out + "/lay", "app:1")
    if shutil.which("skopeo") is None:
        raise Skip("skopeo is not installed")
    seen = json.loads(subprocess.run(["skopeo", "inspect", f"oci:{out}/lay:1"], capture_output=True, check=True).stdout)
    check_equal(seen["Digest"], digest)
    check(seen["Layers"][0].startswith("sha512:"), seen)
    subprocess.run(["skopeo", "copy", "--insecure-policy", f"oci:{out}/lay:1", f"docker-archive:{out}/copy.tar"],
                   check=True, capture_output=True)
    with tarfile.open(out + "/copy.tar") as archive:
        layer = json.load(archive.extractfile("manifest.json"))[0]["Layers"][0]
        check_equal(archive.extractfile(layer).read(), tar_of({"etc/a": b"a"}))


# -- registries --

def test_a_pull_and_a_push_keep_all_digests():
    """By tag, whose digest the registry tells, and by digest; then to another name, whichever way it takes tags."""
    path, digest = layout_of("pulled", [tar_of({"a": b"a" * 9000}), tar_of({"b": b"b"})])
    with Shelf() as source:
        source.put_layout(path, "1")
        for name in (f"{source.host}/x:1", f"{source.host}/x@{digest}"):
            state = State()
            check_in(digest, state.ok("pull", name).out)
            check_equal(state.ok("ls", "-q").out.strip(), digest)
            check_equal(Image(state, name).text("a"), "a" * 9000)
            check_sound(state)
        source.log.clear()
        state = State()
        state.ok("pull", f"{source.host}/x:1")
        source.log.clear()
        state.ok("pull", f"{source.host}/x:1")
        check_equal([line for line in source.log if line.startswith("GET") and line != "GET /v2/"], [])
        for without_tags in (False, True):
            with Shelf(without_tags=without_tags) as target:
                to = f"{target.host}/y:2"
                state.ok("tag", f"{source.host}/x:1", to)
                check_equal(state.ok("push", "-q", to).out.strip(), digest)
                check_equal(target.manifests[digest], source.manifests[digest])
                check_equal({d: b for d, b in target.blobs.items()},
                            {d: b for d, b in source.blobs.items() if d != digest})
                posts = [line for line in target.log if line.startswith("POST")]
                check(posts and all("digest-algorithm=sha512" in line for line in posts), posts)
                check_equal(target.tags["2"], digest_of(source.manifests[digest]) if without_tags else digest)


def test_an_index_of_both_algorithms_is_pulled_and_pushed_whole():
    """An index that is a sha512 and names one manifest of each kind, and an attestation."""
    with Shelf() as source:
        entries = []
        for arch, names in (("amd64", ALL), ("arm64", {})):
            path, digest = layout_of("index-" + arch, [tar_of({"arch": arch.encode()})], names)
            source.put_layout(path, None)
            manifest = json.loads(source.manifests[digest])
            config = json.loads(source.blobs[manifest["config"]["digest"]])
            data = json.dumps({**config, "architecture": arch}).encode()
            manifest["config"].update(digest=digest_of(data, names.get("config", "sha256")), size=len(data))
            source.blobs[manifest["config"]["digest"]] = data
            data = json.dumps(manifest).encode()
            digest = source.put(digest_of(data, names.get("manifest", "sha256")), data, MANIFEST)
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(data),
                            "platform": {"os": "linux", "architecture": arch}})
        statement, config = b'{"_type": "x"}', b"{}"
        for data in (statement, config):
            source.blobs[digest_of(data, "sha512")] = data
        data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config, "sha512"), "size": 2},
            "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": digest_of(statement, "sha512"),
                        "size": len(statement)}]}).encode()
        entries.append({"mediaType": MANIFEST, "digest": source.put(digest_of(data, "sha512"), data, MANIFEST),
                        "size": len(data), "platform": {"os": "unknown", "architecture": "unknown"}})
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        index = source.put(digest_of(data, "sha512"), data, INDEX, "all")
        state = State()
        name = f"{source.host}/x:all"
        state.ok("pull", "--all-platforms", name)
        check_sound(state)
        state.ok("prune", "--all", "--force")
        check_sound(state)
        with Shelf() as target:
            state.ok("tag", name, f"{target.host}/y:all")
            check_equal(state.ok("push", "-q", f"{target.host}/y:all").out.strip(), index)
            check_equal(target.tags["all"], index)
            for entry in entries:
                check_equal(target.manifests[entry["digest"]], source.manifests[entry["digest"]])
        out = directory("index-saved")
        state.ok("save", "--format", "oci-dir", "-o", out + "/lay", name)
        saved = blobs_of(out + "/lay")
        check_named_rightly(saved)
        check_equal(saved["blobs/" + index.replace(":", "/")], source.manifests[index])
        fresh = State()
        check_in("Loaded", fresh.ok("load", "-i", out + "/lay").out)
        check_sound(fresh)
        again = directory("index-again")
        fresh.ok("save", "--format", "oci-dir", "-o", again + "/lay", name)
        check_equal(blobs_of(again + "/lay"), saved)


def test_an_interrupted_download_goes_on():
    """RFC 9110 14.2: only the rest is asked for, and what there was is hashed by the algorithm of its name."""
    path, digest = layout_of("cut", [tar_of({"a": os.urandom(3 << 20)})])
    layer = max(blobs_of(path).items(), key=lambda item: len(item[1]))[0].removeprefix("blobs/sha512/")
    with Shelf() as source:
        source.put_layout(path, "1")
        source.cut_after = 1 << 20
        source.lie = lambda p, body: body
        state = State()
        state.ok("pull", f"{source.host}/x:1")
        check(any(line.endswith("bytes=1048576-") for line in source.log), source.log)
        check_sound(state)
        # One that an earlier process left: its first MiB, under the name that the blob shall have.
        other = State()
        other.ok("ls")
        write(os.path.join(other.path, "tmp/partial", layer), source.blobs["sha512:" + layer][:1 << 20], 0o600)
        check_in(f"interrupted download of sha512:{layer}", other.ok("du").out)
        source.log.clear()
        other.ok("pull", f"{source.host}/x:1")
        check([l for l in source.log if f"blobs/sha512:{layer}" in l and "GET" in l][0].endswith("bytes=1048576-"),
              source.log)
        check_equal(os.listdir(os.path.join(other.path, "tmp/partial")), [])
        check_sound(other)


def test_docker_registry_takes_the_blobs_and_names_the_manifest_itself():
    """Its blobs may be sha512, its manifests are sha256: the push tells what can be pulled, and that is the same."""
    path, digest = layout_of("real", [tar_of({"a": b"a" * 4000})])
    state = State()
    name = f"{registry().host}/sha512:1"
    state.ok("tag", loaded(state, path), name)
    said = state.ok("push", "-q", name).out.strip()
    with open(os.path.join(path, "blobs", digest.replace(":", "/")), "rb") as f:
        check_equal(said, digest_of(f.read()))
    fresh = State()
    fresh.ok("pull", f"{registry().host}/sha512@{said}")
    image = json.loads(fresh.ok("inspect", f"{registry().host}/sha512@{said}").out)[0]
    check(image["Id"].startswith("sha512:") and image["RootFS"]["Layers"][0].startswith("sha512:"), image)
    check_sound(fresh)


# -- the store --

def test_one_content_under_two_names_is_two_objects():
    """What is removed under one name stays under the other."""
    tars = [tar_of({"a": b"a" * 5000})]
    state = State()
    for i, names in enumerate(({}, ALL, {"layer": "sha512"}, {"diff_id": "sha512"})):
        path, digest = layout_of(f"two-{i}", tars, names)
        state.ok("tag", loaded(state, path), f"app:{i}")
        check_equal(state.ok("ls", "-q", f"app:{i}").out.strip(), digest)
        out = directory("two-saved")
        state.ok("save", "--format", "oci-dir", "-o", f"{out}/{i}", f"app:{i}")
        check_equal(blobs_of(f"{out}/{i}"), blobs_of(path))
    check_sound(state)
    for i in (0, 2, 3, 1):
        check_equal(Image(state, f"app:{i}").text("a"), "a" * 5000)
        state.ok("rm", f"app:{i}")
        state.ok("prune", "--all", "--force")
        check_sound(state)
        if i == 3:
            check_equal(len(os.listdir(os.path.join(state.path, "blobs/sha512"))), 3)
            # Of one tar two images have two forms, which belong to it as long as it is here.
            check_equal(len(os.listdir(os.path.join(state.path, "blobs/sha256"))), 1)
    for kind in ("sha256", "sha512"):
        check_equal(os.listdir(os.path.join(state.path, "blobs", kind)), [])


def test_an_image_leaves_with_the_form_of_a_layer_that_it_names():
    """Two images of one tar that was compressed in two ways: neither gets the bytes of the other."""
    state = State()
    tar = tar_of({"a": b"a" * 5000})
    documents = {}
    with Shelf() as shelf:
        for level in (1, 9):
            layer = gzip.compress(tar, level, mtime=level)
            config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                                 "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]}}).encode()
            for data in (layer, config):
                shelf.blobs[digest_of(data)] = data
            documents[level] = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config),
                "size": len(config)}, "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                                                  "digest": digest_of(layer), "size": len(layer)}]}).encode()
            shelf.put(digest_of(documents[level]), documents[level], MANIFEST, str(level))
            state.ok("pull", f"{shelf.host}/x:{level}")
        for level in (1, 9):
            state.ok("tag", f"{shelf.host}/x:{level}", f"{shelf.host}/y:{level}")
            check_equal(state.ok("push", "-q", f"{shelf.host}/y:{level}").out.strip(), digest_of(documents[level]))


def test_a_check_sees_what_is_damaged_missing_or_nobodys():
    path, digest = layout_of("damaged", [tar_of({"a": os.urandom(5000)})])
    name = digest.removeprefix("sha512:")
    for damage in ("bytes", "gone", "stranger"):
        state = State()
        state.ok("tag", loaded(state, path), "app:1")
        at = os.path.join(state.path, "blobs/sha512", name)
        if damage == "bytes":
            with open(at, "r+b") as f:
                f.write(b"X")
        elif damage == "gone":
            os.unlink(at)
        else:
            write(os.path.join(state.path, "blobs/sha512", "0" * 128), b"", 0o600)
            write(os.path.join(state.path, "blobs/sha512", "0" * 64), b"", 0o600)
        found = state.run("fsck", "--repair")
        check_in("sha512", found.out + found.err)
        check_sound(state)
        if damage == "stranger":
            check(not os.path.exists(os.path.join(state.path, "blobs/sha512", "0" * 128)), "the orphan is still there")
            check_equal(state.ok("ls", "-q").out.strip(), digest)
        else:
            state.ok("tag", loaded(state, path), "app:1")
            check_sound(state)


def test_a_store_that_lost_its_database_finds_its_blobs_again():
    path, digest = layout_of("lost", [tar_of({"a": b"a"})])
    state = State()
    state.ok("tag", loaded(state, path), "app:1")
    write(os.path.join(state.path, "img.db"), b"no database at all" * 500, 0o600)
    state.run("fsck", "--repair")
    check_sound(state)
    check_in(digest, state.ok("du").out)


# -- hostile --

def test_digests_of_another_form_are_refused_in_a_sentence():
    state = State()
    hexadecimal = digest_of(b"", "sha512").removeprefix("sha512:")
    for digest, sentence in (("sha512:" + hexadecimal[:64], "is not sha512 and 128 lower-case hex digits"),
                             ("sha512:" + hexadecimal[:127], "is not sha512 and 128 lower-case hex digits"),
                             ("sha512:" + hexadecimal + "0", "is not sha512 and 128 lower-case hex digits"),
                             ("sha512:" + hexadecimal.upper(), "is not sha512 and 128 lower-case hex digits"),
                             ("sha256:" + hexadecimal, "is not sha256 and 64 lower-case hex digits"),
                             ("sha384:" + hexadecimal[:96], "'sha384' are not supported, those of sha256 and sha512"),
                             ("md5:" + hexadecimal[:32], "'md5' are not supported, those of sha256 and sha512")):
        for words in (("pull", "127.0.0.1:1/x@" + digest), ("inspect", "x@" + digest)):
            check_in(sentence, state.fails(*words).err)
        check_in(sentence, state.build(f"FROM x@{digest}\n").err)
    path, digest = layout_of("form", [tar_of({"a": b"a"})])
    wrong = (("sha384", "'sha384' is not supported, sha256 and sha512 are"), ("md5", "'md5' is not supported"),
             ("sha512", "is not sha512 and 128 lower-case hex digits"))
    for algorithm, sentence in wrong:
        bad = directory(f"layouts/bad-{algorithm}")
        shutil.copytree(path, bad, dirs_exist_ok=True)
        with open(os.path.join(path, "index.json")) as f:
            text = f.read()
        write(os.path.join(bad, "index.json"), text.replace(digest, f"{algorithm}:{digest[7:71]}"))
        check_in(sentence, state.fails("load", "-i", bad).err)
        with Shelf() as source:
            source.put_layout(path, "1")
            data = source.manifests[digest].replace(b'"sha512:', f'"{algorithm}:0'.encode())
            source.put(digest_of(data), data, MANIFEST, "1")
            check_in(sentence, state.fails("pull", f"{source.host}/x:1").err)
    sum_of = digest_of(b"x", "sha512")
    check_in("a checksum is sha256",
             state.build(f"FROM scratch\nADD --checksum={sum_of} http://127.0.0.1:1/f /\n").err)
    check_equal(state.ok("ls", "-q").out, "")
    check_sound(state)


def test_bytes_that_are_not_what_a_sha512_names_are_refused():
    """Other bytes, fewer, more: of the manifest, the configuration, a layer; and nothing of them stays."""
    path, digest = layout_of("lies", [tar_of({"a": os.urandom(4000)})])
    blobs = {name.removeprefix("blobs/").replace("/", ":"): data for name, data in blobs_of(path).items()}
    for victim in blobs:
        for change in (lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:-1], lambda b: b + b"\n"):
            lie = lambda p, body: change(body) if p.endswith(victim) else body
            with Shelf(lie=lie) as source:
                source.put_layout(path, "1")
                state = State()
                said = state.fails("pull", f"{source.host}/x@{digest}").err
                check(re.search(r"sha512:|bytes", said), said)
                check_equal((state.ok("ls", "-q").out, os.listdir(os.path.join(state.path, "tmp/partial"))), ("", []))
                check_sound(state)
            bad = directory("layouts/lies-bad")
            shutil.rmtree(bad)
            shutil.copytree(path, bad)
            write(os.path.join(bad, "blobs", victim.replace(":", "/")), change(blobs[victim]))
            state.fails("load", "-i", bad)
            state.fails("load", "-i", archive_of(bad))
            with open(archive_of(bad), "rb") as f:
                state.fails("load", stdin=f)
            check_equal(state.ok("ls", "-q").out, "")
            state.ok("prune", "--all", "--force")
            check_sound(state)
            check_equal(os.listdir(os.path.join(state.path, "blobs/sha512")), [])


def test_a_registry_that_calls_a_manifest_wrongly_is_refused():
    path, digest = layout_of("called", [tar_of({"a": b"a"})])
    with Shelf() as source:
        source.put_layout(path, "1")
        wrong = digest_of(b"something else", "sha512")
        source.put(wrong, source.manifests[digest], MANIFEST, "1")
        check_in(f"calls it {wrong}", State().fails("pull", f"{source.host}/x:1").err)


main(globals())
