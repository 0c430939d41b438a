"""What is said of an image beside it: provenance, in a real registry, in archives and among files, read by
skopeo and Python."""
import base64
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tarfile
import urllib.parse

from harness import (IMG, Registry, Skip, State, busybox, check, check_equal, check_in, directory, main, make_context,
                     write)

SECRET = "a-marker-that-is-nowhere"
FILE = "FROM BASE AS build\nARG WORD\nRUN --mount=type=secret,id=token " \
       "wc -c < /run/secrets/token > /size; echo $WORD > /word\nFROM scratch\nCOPY --from=build /size /word /\n" \
       "LABEL l=1\n"
SLSA1 = "https://slsa.dev/provenance/v1"
TYPES = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
registry = None


def the_registry():
    global registry
    registry = registry or Registry()
    return registry


def get(path):
    """Bytes of the registry, which are what their digest says."""
    c = http.client.HTTPConnection(the_registry().host)
    c.request("GET", "/v2/" + path, headers={"Accept": TYPES})
    answer = c.getresponse()
    data = answer.read()
    check_equal(answer.status, 200)
    if "sha256:" in path:
        check_equal("sha256:" + hashlib.sha256(data).hexdigest(), path.rpartition("/")[2])
    return data


def built(state, *options, text=FILE, context=None, **env):
    secret = os.path.join(directory("secrets"), "token")
    write(secret, SECRET)
    return state.built(text.replace("BASE", busybox()), "--secret", f"id=token,src={secret}", *options,
                       context=context or {}, env=env)


class Attested:
    """An index of one image and what is said of it; `read` gives the bytes of a digest."""

    def __init__(self, index, read):
        self.index, self.read = json.loads(index), read
        self.image, self.entry = self.index["manifests"]
        self.manifest = json.loads(read(self.entry["digest"]))
        self.statements = {}
        for layer in self.manifest["layers"]:
            check_equal(layer["mediaType"], "application/vnd.in-toto+json")
            data = read(layer["digest"])
            check_equal(len(data), layer["size"])
            statement = json.loads(data)
            check_equal(layer["annotations"]["in-toto.io/predicate-type"], statement["predicateType"])
            self.statements[statement["predicateType"]] = statement

    def check_storage(self):
        """BuildKit, docs/attestations/attestation-storage.md."""
        check_equal(self.index["mediaType"], "application/vnd.oci.image.index.v1+json")
        check_equal(self.entry["platform"], {"architecture": "unknown", "os": "unknown"})
        check_equal(self.entry["annotations"], {"vnd.docker.reference.digest": self.image["digest"],
                                                "vnd.docker.reference.type": "attestation-manifest"})
        check_equal(len(self.read(self.entry["digest"])), self.entry["size"])
        config = json.loads(self.read(self.manifest["config"]["digest"]))
        check_equal((config["os"], config["architecture"]), ("unknown", "unknown"))
        check_equal(config["rootfs"]["diff_ids"], [layer["digest"] for layer in self.manifest["layers"]])
        for statement in self.statements.values():
            for subject in statement["subject"]:
                check_equal("sha256:" + subject["digest"]["sha256"], self.image["digest"])


def pushed(name):
    return Attested(get(f"{name}/manifests/1"),
                    lambda digest: get(f"{name}/manifests/{digest}") if b"layers" in peek(name, digest)
                    else get(f"{name}/blobs/{digest}"))


def peek(name, digest):
    c = http.client.HTTPConnection(the_registry().host)
    c.request("GET", f"/v2/{name}/manifests/{digest}", headers={"Accept": TYPES})
    answer = c.getresponse()
    data = answer.read()
    return data if answer.status == 200 else b""


def test_a_push_with_provenance_is_an_index_of_the_image_and_what_is_said_of_it():
    state, host = State(), the_registry().host
    built(state, "-t", f"{host}/a/app:1", "--provenance=mode=max", "--build-arg", "WORD=open", "--push")
    found = pushed("a/app")
    found.check_storage()
    statement = found.statements[SLSA1]
    check_equal(statement["_type"], "https://in-toto.io/Statement/v1")
    check_equal(statement["subject"][0]["name"], f"pkg:docker/{host}/a/app@1?platform=linux%2Famd64")
    definition = statement["predicate"]["buildDefinition"]
    request = definition["externalParameters"]["request"]
    check_equal(request["args"], {"build-arg:WORD": "open"})
    check_equal(request["secrets"], [{"id": "token", "optional": True}])
    steps = {step["id"]: step for step in definition["internalParameters"]["buildConfig"]["llbDefinition"]}
    commands = [step["op"]["Op"]["exec"]["meta"]["args"][-1] for step in steps.values() if "exec" in step["op"]["Op"]]
    check_equal(len(commands), 1)
    check_in("wc -c", commands[0])
    for step in steps.values():
        for needed in step.get("inputs", []):
            check(needed.partition(":")[0] in steps, f"{needed} is no step")
    source = statement["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["source"]
    check_equal(base64.b64decode(source["infos"][0]["data"]).decode(), FILE.replace("BASE", busybox()))
    layers = statement["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["layers"]
    image = json.loads(get(f"a/app/manifests/{found.image['digest']}"))
    check_equal(list(layers.values())[-1][0][-1]["digest"], image["layers"][-1]["digest"])
    # The image runs as one without: others choose it by its platform.
    made = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{host}/a/app:1"],
                          capture_output=True)
    check_equal(made.returncode, 0)
    check_equal(json.loads(made.stdout)["Architecture"], "amd64")


def test_by_default_nothing_is_said_and_a_push_is_a_manifest():
    state, host = State(), the_registry().host
    built(state, "-t", f"{host}/a/plain:1", "--push", BUILDX_NO_DEFAULT_ATTESTATIONS="1")
    check_equal(json.loads(get("a/plain/manifests/1"))["mediaType"], "application/vnd.oci.image.manifest.v1+json")
    built(state, "-t", f"{host}/a/plain:1", "--push", "--provenance=false", "--sbom=false")
    check_equal(json.loads(get("a/plain/manifests/1"))["mediaType"], "application/vnd.oci.image.manifest.v1+json")



def test_the_small_provenance_holds_nothing_of_what_was_given():
    """SECURITY R49; BuildKit, slsa-provenance.md, "mode"."""
    state = State()
    out = os.path.join(directory("min"), "o.tar")
    built(state, "--provenance=true", "--build-arg", "WORD=hidden-word", "--label", "k=hidden-label", "-o",
          f"type=oci,dest={out}")
    with tarfile.open(out) as tar:
        blobs = {"sha256:" + os.path.basename(m.name): tar.extractfile(m).read()
                 for m in tar if m.name.startswith("blobs/sha256/")}
        top = json.load(tar.extractfile("index.json"))["manifests"][0]
    found = Attested(blobs[top["digest"]], blobs.__getitem__)
    found.check_storage()
    text = json.dumps(found.statements)
    for word in ("hidden-word", "hidden-label", "wc -c"):
        check(word not in text, f"{word} in {text}")
    check_equal(found.statements[SLSA1]["subject"][0]["name"], "_")


def test_a_secret_is_nowhere_in_what_is_said():
    """SECURITY R49: also passwords of proxies and in addresses."""
    state = State()
    out = directory("secret-out")
    built(state, "--provenance=mode=max", "--build-arg", f"HTTP_PROXY=http://u:{SECRET}@127.0.0.1:1", "--metadata-file",
          out + ".json", "-o", out, "--build-context", f"c=https://u:{SECRET}@127.0.0.1:1/x?token={SECRET}",
          BUILDX_METADATA_PROVENANCE="max")
    text = open(os.path.join(out, "provenance.json")).read() + open(out + ".json").read()
    check(SECRET not in text, text)
    statement = json.load(open(os.path.join(out, "provenance.json")))
    check_equal(statement["predicate"]["runDetails"]["metadata"]["buildkit_completeness"]["request"], False)
    check_equal(statement["predicate"]["buildDefinition"]["externalParameters"]["request"]["args"],
                {"context:c": "https://127.0.0.1:1/x"})


def test_an_artifact_names_its_subject():
    """OCI image-spec, "Guidelines for Artifact Usage"; registries without a referrers list get the tag."""
    state, host = State(), the_registry().host
    built(state, "--provenance=true", "-o", f"type=registry,name={host}/a/art:1,oci-artifact=true")
    found = pushed("a/art")
    check_equal(found.manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json")
    check_equal(found.manifest["subject"], {k: found.image[k] for k in ("mediaType", "digest", "size")})
    check_equal(found.manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json")
    check_equal(get(f"a/art/blobs/{found.manifest['config']['digest']}"), b"{}")
    listed = json.loads(get("a/art/manifests/" + found.image["digest"].replace(":", "-")))
    check_equal([e["digest"] for e in listed["manifests"]], [found.entry["digest"]])


def test_images_that_builds_start_from_are_materials_with_their_digests():
    state, host = State(), the_registry().host
    built(state, "-t", f"{host}/b/base:1", "--provenance=true", "--push")
    index = "sha256:" + hashlib.sha256(get("b/base/manifests/1")).hexdigest()
    other = State()
    text = f"FROM {host}/b/base:1 AS one\nCOPY x /x\nFROM scratch\nCOPY --from=one /x /x\n" \
           f"COPY --from={host}/b/base:1 /word /\n"
    for _ in range(2):  # the second time from the cache
        out = directory("materials")
        built(other, "--provenance=true", "-o", out, text=text, context={"x": "x"})
        statement = json.load(open(os.path.join(out, "provenance.json")))
        check_equal(statement["predicate"]["buildDefinition"]["resolvedDependencies"],
                    [{"uri": f"pkg:docker/{host}/b/base@1?platform=linux%2Famd64",
                      "digest": {"sha256": index.partition(":")[2]}}])


def test_a_repository_is_the_source_of_what_it_builds():
    where = directory("repository")
    write(os.path.join(where, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n")
    for words in (["init", "-q", "-b", "main"], ["add", "."],
                  ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"], ["update-server-info"]):
        subprocess.run(["git", "-C", where, *words], check=True)
    commit = subprocess.run(["git", "-C", where, "rev-parse", "HEAD"], capture_output=True, check=True).stdout
    server = subprocess.Popen(["python3", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", where],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        port = server.stdout.readline().split()[5].decode()
        out = directory("from-git")
        state = State()
        state.ok("build", "--provenance=mode=max", "-o", out, f"http://127.0.0.1:{port}/.git#main")
    finally:
        server.kill()
        server.wait()
    predicate = json.load(open(os.path.join(out, "provenance.json")))["predicate"]
    source = {"uri": f"http://127.0.0.1:{port}/.git#main", "digest": {"sha1": commit.decode().strip()}}
    check_equal(predicate["buildDefinition"]["externalParameters"]["configSource"], {**source, "path": "Dockerfile"})
    check_equal(predicate["buildDefinition"]["resolvedDependencies"], [source])
    metadata = predicate["runDetails"]["metadata"]
    check_equal(metadata["buildkit_completeness"], {"request": True, "resolvedDependencies": True})
    check_equal(metadata["buildkit_hermetic"], True)


def test_among_files_the_subjects_are_the_files():
    state = State()
    out, tar = directory("files"), os.path.join(directory("tars"), "t.tar")
    text = "FROM scratch\nCOPY x d/y /o/\n"
    files = {"x": "one", "d/y": "two"}
    built(state, "--provenance=version=v0.2", "-o", out, "-o", f"type=tar,dest={tar}", text=text, context=files)
    statement = json.load(open(os.path.join(out, "provenance.json")))
    check_equal(statement["_type"], "https://in-toto.io/Statement/v0.1")
    check_equal(statement["predicateType"], "https://slsa.dev/provenance/v0.2")
    check_equal({s["name"]: s["digest"]["sha256"] for s in statement["subject"]},
                {"o/x": hashlib.sha256(b"one").hexdigest(), "o/y": hashlib.sha256(b"two").hexdigest()})
    with tarfile.open(tar) as t:
        check_equal(json.load(t.extractfile("provenance.json"))["subject"], statement["subject"])
    alone = directory("inline")
    built(state, "--attest=type=provenance,inline-only=true", "-o", alone, text=text, context=files)
    check_equal(os.listdir(alone), ["o"])
    named = directory("named")
    built(state, "--provenance=filename=p.json", "-o", named, text=text, context=files)
    check_equal(sorted(os.listdir(named)), ["o", "p.json"])
    taken = state.build("FROM scratch\nCOPY x /provenance.json\n", "--provenance", "-o", directory("taken"),
                        context=files)
    check_equal(taken.code, 1)
    check_in("the result has a file '/provenance.json' of its own", taken.err)


def test_each_platform_has_its_own():
    state, host = State(), the_registry().host
    text = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /x\n"
    files = {"amd64": "a", "arm64": "b"}
    out, flat, meta = directory("split"), directory("flat"), os.path.join(directory("meta"), "m.json")
    built(state, "--platform=linux/amd64,linux/arm64", "--provenance=true", "-t", f"{host}/a/many:1", "--push",
          "--metadata-file", meta, text=text, context=files)
    index = json.loads(get("a/many/manifests/1"))["manifests"]
    check_equal([e["platform"]["architecture"] for e in index], ["amd64", "arm64", "unknown", "unknown"])
    check_equal([e["annotations"]["vnd.docker.reference.digest"] for e in index[2:]], [e["digest"] for e in index[:2]])
    ids = {json.loads(get(f"a/many/blobs/{json.loads(get('a/many/manifests/' + e['digest']))['layers'][0]['digest']}"))
           ["predicate"]["runDetails"]["metadata"]["invocationId"] for e in index[2:]}
    check_equal(len(ids), 1)
    told = json.load(open(meta))
    check("buildx.build.provenance/linux/amd64" in told and "buildx.build.provenance/linux/arm64" in told, told)
    check_equal(told["containerimage.digest"], "sha256:" + hashlib.sha256(get("a/many/manifests/1")).hexdigest())
    built(state, "--platform=linux/amd64,linux/arm64", "--provenance=true", "-o", out, text=text, context=files)
    check_equal(sorted(os.listdir(os.path.join(out, "linux_arm64"))), ["provenance.json", "x"])
    built(state, "--platform=linux/amd64,linux/arm64", "--provenance=true", "-o",
          f"type=local,dest={flat},platform-split=false", text="FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n",
          context=files)
    check_equal(sorted(os.listdir(flat)), ["amd64", "arm64", "provenance.linux_amd64.json", "provenance.linux_arm64.json"])


def test_what_was_pulled_is_pushed_with_what_is_said_of_it_and_survives_a_collection():
    state, host = State(), the_registry().host
    built(state, "-t", f"{host}/a/keep:1", "--provenance=true")
    state.ok("prune", "-f", "--all")
    state.ok("fsck")
    state.ok("push", f"{host}/a/keep:1")
    index = get("a/keep/manifests/1")
    pushed("a/keep").check_storage()
    other = State()
    other.ok("pull", "--all-platforms", f"{host}/a/keep:1")
    other.ok("tag", f"{host}/a/keep:1", f"{host}/a/kept:1")
    other.ok("prune", "-f", "--all")
    other.ok("push", f"{host}/a/kept:1")
    check_equal(get("a/kept/manifests/1"), index)
    check_equal(len(other.ok("ls", "-q").out.split()), 2)
    other.ok("rm", f"{host}/a/keep:1", f"{host}/a/kept:1")
    other.ok("fsck")


def test_the_metadata_has_the_provenance_that_its_variable_asks_for():
    """docker buildx, BUILDX_METADATA_PROVENANCE: min unless it says otherwise."""
    state = State()
    meta = os.path.join(directory("metadata"), "m.json")
    for value, has, has_args in ((None, True, False), ("min", True, False), ("max", True, True), ("disabled", False, False),
                                 ("false", False, False)):
        env = {} if value is None else {"BUILDX_METADATA_PROVENANCE": value}
        built(state, "--metadata-file", meta, "--build-arg", "WORD=w", "-t", "m:1", **env)
        told = json.load(open(meta)).get("buildx.build.provenance")
        check_equal(told is not None, has)
        if has:
            check_equal(told["buildDefinition"]["externalParameters"]["request"]["args"],
                        {"build-arg:WORD": "w"} if has_args else {})


def sbom_of(state, *options, **more):
    out = directory(f"sboms/{len(os.listdir(directory('sboms')))}")
    built(state, "--sbom=true", "-o", out, *options, **more)
    statement = json.load(open(os.path.join(out, "sbom.spdx.json")))
    check_equal(statement["predicateType"], "https://spdx.dev/Document")
    return statement["predicate"]


def test_an_sbom_has_what_the_package_manager_says_is_installed():
    """The database of this very machine, as dpkg-query reads it."""
    query = shutil.which("dpkg-query")
    if query is None:
        raise Skip("dpkg-query is not installed")
    said = subprocess.run([query, "-W", "-f", "${db:Status-Status} ${Package} ${Version} ${Architecture}\\n"],
                          capture_output=True, check=True).stdout.decode()
    expected = sorted(line.split()[1:] for line in said.splitlines() if line.startswith("installed "))
    files = {"status": open("/var/lib/dpkg/status", "rb").read(), "release": "ID=debian\nVERSION_ID=12\n"}
    document = sbom_of(State(), text="FROM scratch\nCOPY status /var/lib/dpkg/\nCOPY release /etc/os-release\n",
                       context=files)
    found = []
    for package in document["packages"][1:]:
        purl = package["externalRefs"][0]["referenceLocator"]
        check(purl.startswith("pkg:deb/debian/"), purl)
        name, _, version = purl.partition("?")[0].removeprefix("pkg:deb/debian/").rpartition("@")
        words = dict(word.split("=") for word in purl.partition("?")[2].split("&"))
        check_equal((urllib.parse.unquote(name), urllib.parse.unquote(version)), (package["name"], package["versionInfo"]))
        found.append([package["name"], package["versionInfo"], words["arch"]])
    check_equal(sorted(found), expected)
    ids = [package["SPDXID"] for package in document["packages"]]
    check_equal(len(ids), len(set(ids)))
    check_equal({r["relatedSpdxElement"] for r in document["relationships"]}, set(ids))


def test_an_sbom_and_a_provenance_stand_in_one_manifest_beside_the_image():
    state, host = State(), the_registry().host
    text = "FROM scratch\nCOPY installed /lib/apk/db/installed\n"
    files = {"installed": "P:musl\nV:1.2\nA:x86_64\nL:MIT\n\n"}
    for _ in range(2):
        built(state, "-t", f"{host}/a/both:1", "--sbom", "--provenance=mode=max", "--push", text=text, context=files)
    found = pushed("a/both")
    found.check_storage()
    check_equal(sorted(found.statements), ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document"])
    document = found.statements["https://spdx.dev/Document"]["predicate"]
    check_equal([(p["name"], p["versionInfo"]) for p in document["packages"][1:]], [("musl", "1.2")])
    check_equal(document["name"], f"{host}/a/both:1")
    image = json.loads(get(f"a/both/manifests/{found.image['digest']}"))
    check_equal(document["packages"][0]["versionInfo"], image["config"]["digest"])


def test_an_sbom_made_twice_is_the_same_where_the_time_is_given():
    files = {"s": "Package: a\nVersion: 1\n"}
    text = "FROM scratch\nCOPY s /var/lib/dpkg/status.d/a\n"
    one, two = (sbom_of(State(), "--rewrite-timestamp", text=text, context=files, SOURCE_DATE_EPOCH="1700000000") for _ in range(2))
    check_equal(one["creationInfo"]["created"], "2023-11-14T22:13:20Z")
    check_equal(one, two)


SCANNER = """#!/bin/sh
set -e
[ "$BUILDKIT_SCAN_SOURCE" = /run/src/core ] && [ -z "$BUILDKIT_SCAN_SOURCE_EXTRAS" ]
cd "$BUILDKIT_SCAN_SOURCE"
if (echo changed > word) 2>/dev/null; then exit 4; fi
name=$(basename "$BUILDKIT_SCAN_SOURCE")
doc='{"spdxVersion":"SPDX-2.3","name":"'$(cat x)'"}'
echo "$doc" > "$BUILDKIT_SCAN_DESTINATION/other.spdx.json"
echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":[],' \
     '"predicate":'"$doc"'}' > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json"
echo no > "$BUILDKIT_SCAN_DESTINATION/readme"
"""


def test_a_generator_lists_what_it_finds_in_the_image():
    """BuildKit, sbom-protocol.md; what it writes to the image's files is lost."""
    state, host = State(), the_registry().host
    built(state, "-t", f"{host}/scan/er:1", "--push", context={"scan": (SCANNER, 0o755)},
          text="FROM BASE\nCOPY scan /scan\nENTRYPOINT [\"/scan\"]\n")
    other = State()
    out = directory("scanned")
    text = "FROM scratch\nCOPY x word /\nONBUILD RUN nothing\n"
    files = {"x": "found", "word": "kept"}
    for _ in range(2):  # the second time nothing is run
        result = built(other, f"--sbom=generator={host}/scan/er:1", "-o", out, text=text, context=files)
    check_in("CACHED", result.err)
    check_equal(sorted(os.listdir(out)), ["sbom-other.spdx.json", "sbom.spdx.json", "word", "x"])
    check_equal(open(os.path.join(out, "word")).read(), "kept")
    statement = json.load(open(os.path.join(out, "sbom.spdx.json")))
    check_equal(statement["predicate"], {"spdxVersion": "SPDX-2.3", "name": "found"})
    check_equal({s["name"] for s in statement["subject"]}, {"x", "word"})
    check_equal(other.ok("ls", "-a", "-q").out.split(), other.ok("ls", "-q").out.split())
    built(other, "-t", f"{host}/a/scanned:1", f"--attest=type=sbom,generator={host}/scan/er:1", "--push", text=text,
          context=files)
    found = pushed("a/scanned")
    found.check_storage()
    check_equal(len(found.manifest["layers"]), 2)


def test_a_generator_that_does_not_keep_to_the_protocol_is_named():
    state, host = State(), the_registry().host
    for number, (entry, sentence) in enumerate((('["sh", "-c", "exit 3"]', "exit code: 3"),
                                                ('["sh", "-c", "true"]', "it wrote no *.spdx.json"),
                                                ('["sh", "-c", "echo {} > /run/out/a.spdx.json"]', "neither SPDX nor"))):
        name = f"{host}/scan/bad:{number}"
        built(state, "-t", name, "--push", text=f"FROM BASE\nENTRYPOINT {entry}\n")
        failed = state.build("FROM scratch\nCOPY Dockerfile /\n", f"--sbom=generator={name}", "-t", "no:1")
        check_equal(failed.code, 1)
        check_in(f"sbom generator '{name}'", failed.err)
        check_in(sentence, failed.err)
        check("no:1" not in state.ok("ls").out, "an image without its sbom was named")


def test_what_an_sbom_cannot_tell_is_said():
    state = State()
    text = "FROM scratch\nCOPY x /var/lib/rpm/rpmdb.sqlite\n"
    result = built(state, "--sbom", "-o", directory("rpm"), text=text, context={"x": "x"})
    check_in("'/var/lib/rpm/rpmdb.sqlite' is not understood", result.err)
    statement = json.load(open(os.path.join(directory("rpm"), "sbom.spdx.json")))
    check_equal(statement["predicate"]["creationInfo"]["comment"], "not read: /var/lib/rpm/rpmdb.sqlite")
    for stage in ("ARG BUILDKIT_SBOM_SCAN_STAGE=true\nFROM scratch\nCOPY Dockerfile /\n",
                  "FROM scratch\nARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nCOPY Dockerfile /\n"):
        check_equal(state.build(stage, "-q").code, 0)
        refused = state.build(stage, "--sbom")
        check_equal(refused.code, 1)
        check_in("an sbom is of the result alone", refused.err)


def test_what_cannot_hold_it_is_refused():
    state = State()
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    for words, sentence in ((["--provenance", "-o", "type=docker,dest=x.tar"], "a docker archive knows no index"),
                            (["--provenance", "--format=docker"], "attestations are kept in an OCI index"),
                            (["--provenance", "-o", "type=image,oci-mediatypes=false"], "kept in an OCI index")):
        check_in(sentence, state.fails("build", *words, context).err)
    check_equal(state.ok("ls", "-q").out, "")


def test_a_push_that_compresses_again_keeps_an_index():
    """Of every platform; but what is said of an image is not said of another."""
    state, host = State(), the_registry().host
    name = f"{host}/a/again:1"
    built(state, "--platform=linux/amd64,linux/arm64", "--compression=zstd", "--annotation=index:k=v",
          "-t", name, text="FROM scratch\nCOPY x /\n", context={"x": "x"})
    state.ok("push", "--compression=gzip", "--force-compression", name)
    index = json.loads(get("a/again/manifests/1"))
    check_equal([m["platform"]["architecture"] for m in index["manifests"]], ["amd64", "arm64"])
    check_equal(index["annotations"], {"k": "v"})
    for entry in index["manifests"]:
        data = get(f"a/again/manifests/{entry['digest']}")
        check_equal(len(data), entry["size"])
        check_equal([layer["mediaType"] for layer in json.loads(data)["layers"]],
                    ["application/vnd.oci.image.layer.v1.tar+gzip"])
    state.ok("push", name)  # it has not become another one in the store
    check("gzip" not in get(f"a/again/manifests/{json.loads(get('a/again/manifests/1'))['manifests'][0]['digest']}")
          .decode(), "the index of the store was changed")
    built(state, "--provenance=true", "-t", name, text="FROM scratch\nCOPY x /\n", context={"x": "x"})
    refused = state.fails("push", "--compression=gzip", "--force-compression", name)
    check_in("its attestations are about images that another compression makes others\n", refused.err)


def test_forced_compression_is_that_of_the_image_it_is_about():
    state, host = State(), the_registry().host
    built(state, "--provenance=true", "-o",
          f"type=registry,name={host}/a/zstd:1,compression=zstd,force-compression=true")
    found = pushed("a/zstd")
    found.check_storage()
    layers = json.loads(get(f"a/zstd/manifests/{found.image['digest']}"))["layers"]
    check_equal({layer["mediaType"] for layer in layers}, {"application/vnd.oci.image.layer.v1.tar+zstd"})


if __name__ == "__main__":
    main(globals())
