"""Pull and push against real docker-registry processes behind a front that counts, slows, cuts, redirects and
guards: what is asked for, what is told to whom, and what is there afterwards."""
import glob
import gzip
import http.client
import io
import os
import random
import re
import shutil
import signal
import tarfile

from front import Front
from harness import *
from trust import *


def random_bytes(size, seed):
    return random.Random(seed).randbytes(size)


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            e = tarfile.TarInfo(name)
            e.size, e.mtime = len(data), 1700000000
            tar.addfile(e, io.BytesIO(data))
    return out.getvalue()


BIG = 24 << 20
big_data = random_bytes(BIG, 1)


def big_image():
    """An image of one layer that does not compress."""
    if "big" not in shared:
        layout = make_layout(directory("big-layout"), [tar_of({"big": big_data})])
        shared["big"] = registry().push_layout(layout, "big:1")
    return "big:1"


def partials(state):
    return glob.glob(os.path.join(state.path, "tmp/partial/*"))


def kill_in_the_middle(state, front, name, after=BIG // 3):
    """img pull, killed when `after` bytes of blobs have passed the front; the bytes that it kept."""
    front.rate = 20 << 20
    front.clear()
    process = state.start("pull", "--progress=plain", f"{front.host}/{name}")
    wait_until(lambda: front.blob_bytes() > after or process.poll() is not None, "nothing is pulled")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check_equal(process.returncode, -signal.SIGKILL)
    front.rate = None
    front.clear()
    kept = partials(state)
    check_equal(len(kept), 1)
    return os.path.getsize(kept[0])


def check_big(state, ref):
    check(Image(state, ref).tree["big"][1] == big_data, "other bytes than those pushed")
    check_equal(partials(state), [])
    state.ok("fsck")


def test_a_killed_pull_goes_on_where_it_was():
    """RFC 9110 14.2: only what is missing is asked for; until then nothing of it is to be seen."""
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kept = kill_in_the_middle(state, front, name)
        check(kept > 1 << 20, f"only {kept} bytes were kept")
        check("big" not in state.ok("ls").out, "half an image is to be seen")
        check_in("0 problems", state.ok("fsck").out)
        check_in("interrupted download of sha256:", state.ok("du").out)
        state.ok("pull", f"{front.host}/{name}")
        layers = [r for r in front.requests("GET", "/blobs/") if r.sent > 100000]
        check_equal([r.headers.get("range") for r in layers], [f"bytes={kept}-"])
        check(layers[0].sent < BIG + (1 << 16) - kept, f"{layers[0].sent} bytes were sent again")
        check_big(state, f"{front.host}/{name}")


def test_a_damaged_beginning_is_fetched_again():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kept = kill_in_the_middle(state, front, name)
        with open(partials(state)[0], "r+b") as f:
            f.seek(kept // 2)
            f.write(b"not what the registry has")
        state.ok("pull", f"{front.host}/{name}")
        ranges = [r.headers.get("range") for r in front.requests("GET", "/blobs/") if r.sent > 100000]
        check_equal(ranges[-1], None)
        check_big(state, f"{front.host}/{name}")


def test_an_interrupt_keeps_what_there_is():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        front.rate = 20 << 20
        process = state.start("pull", f"{front.host}/{name}")
        wait_until(lambda: front.blob_bytes() > BIG // 3, "nothing is pulled")
        process.send_signal(signal.SIGINT)
        process.communicate()
        check_equal(process.returncode, 130)
        check_equal(len(partials(state)), 1)
        front.rate = None
        front.clear()
        state.ok("pull", f"{front.host}/{name}")
        check(front.blob_bytes() < BIG, "all of it was sent again")
        check_big(state, f"{front.host}/{name}")


def test_two_pulls_at_once_fetch_a_layer_once():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        front.rate = 20 << 20
        first = state.start("pull", f"{front.host}/{name}")
        wait_until(lambda: front.blob_bytes() > BIG // 3, "nothing is pulled")
        second = state.start("pull", "--progress=plain", f"{front.host}/{name}")
        told = second.communicate()[0].decode()
        said = first.communicate()[0].decode()
        check(first.returncode == 0, said)
        check(second.returncode == 0, told)
        check_in("waiting for another process that fetches sha256:", told)
        check_equal(len([r for r in front.requests("GET", "/blobs/") if r.sent > 100000]), 1)
        check_big(state, f"{front.host}/{name}")


def test_prune_all_gives_an_interrupted_download_up():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kill_in_the_middle(state, front, name)
        state.ok("prune")
        check_equal(len(partials(state)), 1)
        check_in("interrupted download", state.ok("prune", "--all").out)
        check_equal(partials(state), [])


# -- who is asked what --

def small_image():
    """A busybox base on the shared registry: `busybox:1`."""
    return busybox().partition("/")[2]


def asked(front):
    return [f"{r.method} {r.path.partition('?')[0]}" for r in front.requests()]


def test_a_tag_that_has_not_moved_costs_one_head():
    """Docker Hub counts GETs of manifests; a HEAD is free."""
    with Front(registry().port) as front:
        state = State()
        name = f"{front.host}/{small_image()}"
        digest = state.ok("pull", "-q", name).out
        front.clear()
        check_equal(state.ok("pull", "-q", name).out, digest)
        check_equal(asked(front), ["GET /v2/", "HEAD /v2/busybox/manifests/1"])
        front.clear()
        state.built(f"FROM {name}\nRUN true\n", "--pull")
        check_equal(asked(front), ["GET /v2/", "HEAD /v2/busybox/manifests/1"])


def test_several_tags_look_at_blobs_once():
    with Front(registry().port) as front:
        state = State()
        names = [f"{front.host}/me/tags:{tag}" for tag in "abc"]
        state.built(f"FROM {busybox()}\nRUN echo hi > /hi\n", *[w for n in names for w in ("-t", n)])
        state.ok("push", *names)
        check_equal(sorted(r.path for r in front.requests("PUT", "/manifests/")),
                    [f"/v2/me/tags/manifests/{tag}" for tag in "abc"])
        heads = [r.path for r in front.requests("HEAD", "/blobs/")]
        check_equal(len(heads), len(set(heads)))
        front.clear()
        state.ok("tag", names[0], f"{front.host}/me/tags:d")
        state.ok("push", "--all-tags", f"{front.host}/me/tags")
        check_equal(len(front.requests("PUT", "/manifests/")), 4)
        check_equal(front.requests("POST"), [])
        fresh = State()
        fresh.ok("pull", "--all-tags", f"{front.host}/me/tags")
        check_equal(fresh.ok("ls").out.count("me/tags:"), 4)
        check_in("wants a name without a tag", state.fails("push", "--all-tags", names[0]).err)
        check_in("there is no tag of", state.fails("push", "-a", f"{front.host}/me/none").err)


def test_a_build_goes_on_with_the_last_known_base_when_the_registry_is_gone():
    state = State()
    with Front(registry().port) as front:
        name = f"{front.host}/{small_image()}"
        state.ok("pull", name)
    result = state.built(f"FROM {name}\nRUN true\n", "--pull", "--retry=0")
    check_in(f"continuing with {name} as it was last, sha256:", result.err)
    check_in("cannot connect to", state.fails("pull", "--retry=0", name).err)


# -- trust and credentials --

def test_credentials_given_for_once_go_to_that_registry_alone():
    guarded = guarded_registry()
    with Front(guarded.port) as front:
        state = State()
        name = f"{front.host}/a:1"
        state.built(f"FROM {busybox()}\nRUN true\n", "-t", name)
        result = state.ok("push", "--creds", "me:s3cret", name)
        check_in("visible to other users", result.err)
        check("s3cret" not in result.err + result.out, "the password is shown")
        check(not os.path.exists(os.path.join(state.home, ".docker")), "they were stored")
        check_in(f"img login {front.host}", State().fails("pull", name).err)
        check_in("USER:PASSWORD", state.fails("pull", "--creds", "me", name).err)
        other = f"localhost:{front.port}/a:1"
        state.ok("tag", name, other)
        check_in("one registry", state.fails("push", "--creds", "me:s3cret", name, other).err)


def test_a_private_authority_is_trusted_when_named_and_not_otherwise():
    where, pair = certificates()
    with Front(registry().port, tls=pair) as front:
        name = f"{front.host}/{small_image()}"
        refused = State().fails("pull", "--retry=0", name)
        check_in(f"the certificate of '{front.host}' is not to be trusted", refused.err)
        State().ok("pull", "--cert-dir", where, name)
        State().ok("pull", "--tls-verify=false", name)
        State(SSL_CERT_FILE=os.path.join(where, "ca.crt")).ok("pull", name)
        state = State()
        write(os.path.join(state.home, f".config/containers/certs.d/{front.host}/ca.crt"),
              open(os.path.join(where, "ca.crt")).read())
        state.ok("pull", name)
        check_in("true or false", state.fails("pull", "--tls-verify=maybe", name).err)
        check_in("cannot use '/nonexistent'", state.fails("pull", "--cert-dir=/nonexistent", name).err)


def test_a_redirect_to_another_host_sees_no_credentials():
    """SECURITY R43: blobs often live on a store of their own; nobody tells it who we are."""
    with Front(guarded_registry().port) as store:
        def away(handler):
            if handler.command == "GET" and "/blobs/" in handler.path:
                handler.body()
                handler.reply(307, {"Location": f"http://{store.host}{handler.path}?signature=x"})
                return True

        def signed(handler):
            handler.headers["Authorization"] = "Basic bWU6czNjcmV0"
        store.hook = signed
        with Front(guarded_registry().port, hook=away) as front:
            state = State()
            name = f"{front.host}/redirected:1"
            state.built(f"FROM {busybox()}\nRUN echo 1 > /1\n", "-t", name)
            state.ok("push", "--creds", "me:s3cret", name)
            State().ok("pull", "--creds", "me:s3cret", name)
            check(len(store.requests("GET", "/blobs/")) >= 2, "nothing was redirected")
            for request in store.requests():
                check("authorization" not in request.headers and "cookie" not in request.headers, str(request.headers))


def test_a_redirect_from_https_to_http_is_refused():
    """SECURITY R43: not even without credentials, for anybody on the way could answer in clear text. To https
    elsewhere is the opposite."""
    _, pair = certificates()
    image = small_image()

    with Front(registry().port) as clear, Front(registry().port, tls=pair) as store:
        target = {}

        def away(handler):
            if handler.command == "GET" and "/blobs/" in handler.path:
                handler.reply(307, {"Location": target["base"] + handler.path})
                return True

        with Front(registry().port, hook=away, tls=pair) as front:
            target["base"] = f"http://{clear.host}"
            result = State().fails("pull", "--tls-verify=false", f"{front.host}/{image}")
            check_in(f"'{front.host}' redirects from https to http", result.err)
            check_equal(clear.requests(), [])
            target["base"] = f"https://{store.host}"
            State().ok("pull", "--tls-verify=false", f"{front.host}/{image}")
            check(store.requests("GET", "/blobs/"), "nothing was redirected")


def test_proxies_of_the_docker_configuration_reach_run_and_nothing_else():
    state = State()
    write(os.path.join(state.home, ".docker/config.json"),
          '{"proxies": {"default": {"httpProxy": "http://user:marker@proxy.lan:3128", "noProxy": "a.lan"}}}')
    result = state.built(f"FROM {busybox()}\nRUN echo ${{#http_proxy}} $NO_PROXY > /seen\n", "-t", "proxied")
    image = Image(state, "proxied")
    check_equal(image.text("seen"), f"{len('http://user:marker@proxy.lan:3128')} a.lan\n")
    check("marker" not in json.dumps(image.config) + result.err, "the password of the proxy is shown")
    check("not consumed" not in result.err, result.err)
    state.built(f"FROM {busybox()}\nRUN echo $http_proxy. > /seen\n", "-t", "given", "--build-arg=http_proxy=")
    check_equal(Image(state, "given").text("seen"), ".\n")


# -- forms of layers --

def put_image(name, layers, config=None, manifest=None):
    """Into the registry by the distribution-spec and by nothing else; `layers`: (media type, blob, tar)."""
    connection = http.client.HTTPConnection("127.0.0.1", registry().port)
    repository, tag = name.split(":")

    def request(method, url, body=b"", headers=None):
        connection.request(method, url, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        check(answer.status in (201, 202), f"{method} {url}: {answer.status}")
        return answer.getheader("Location")

    def blob(data, media_type):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where = request("POST", f"/v2/{repository}/blobs/uploads/")
        where = where[where.index("/v2/"):] + ("&" if "?" in where else "?") + "digest=" + digest
        request("PUT", where, data, {"Content-Type": "application/octet-stream"})
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    document = {"architecture": "amd64" if os.uname().machine == "x86_64" else "arm64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(t).hexdigest() for _, _, t in layers]},
                **(config or {})}
    document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [blob(data, media_type) for media_type, data, _ in layers], **(manifest or {})}
    request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(document).encode(),
            {"Content-Type": document["mediaType"]})
    return f"{registry().host}/{name}"


def skippable(data):
    """RFC 8878 3.1.2: a frame that decoders pass over."""
    return (0x184D2A50).to_bytes(4, "little") + len(data).to_bytes(4, "little") + data


def test_every_form_of_layer_that_others_push_is_pulled():
    """Plain, gzip in one member and in one for each file as eStargz has it, zstd, and zstd with the tables that
    zstd:chunked hides in skippable frames."""
    if shutil.which("zstd") is None:
        raise Skip("zstd is not installed")
    tar = tar_of({"a": b"a" * 70000, "b": random_bytes(5000, 3)})
    squeezed = subprocess.run(["zstd", "-c"], input=tar, capture_output=True, check=True).stdout
    members = b"".join(gzip.compress(tar[i:i + 10240], mtime=0) for i in range(0, len(tar), 10240))
    oci, docker = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"
    forms = [(oci, tar), (oci + "+gzip", gzip.compress(tar)), (oci + "+gzip", members), (oci + "+zstd", squeezed),
             (oci + "+zstd", squeezed + skippable(b"table") + skippable(b"footer")), (docker, tar),
             (docker + ".gzip", gzip.compress(tar)), (docker + ".zstd", squeezed)]
    state = State()
    for i, (media_type, blob) in enumerate(forms):
        ref = put_image(f"forms:{i}", [(media_type, blob, tar)])
        fresh = State()
        fresh.ok("pull", ref)
        check_equal(Image(fresh, ref).text("a"), "a" * 70000)
        fresh.ok("fsck")
        state.ok("pull", ref)
    state.ok("fsck")


def test_what_is_no_layer_or_not_the_layer_promised_is_refused_by_name():
    """OCI image-spec, config.md, "Layer DiffID"; SECURITY R36."""
    tar = tar_of({"a": b"a"})
    oci = "application/vnd.oci.image.layer.v1.tar"
    cases = [("odd", [("application/x-brotli", tar, tar)], "application/x-brotli"),
             ("foreign", [("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", gzip.compress(tar), tar)], None),
             ("lying", [(oci + "+gzip", gzip.compress(tar), tar_of({"a": b"b"}))], "instead of sha256:"),
             ("short", [(oci + "+gzip", gzip.compress(tar)[:-9], tar)], "ends too early"),
             ("noise", [(oci + "+zstd", random_bytes(3000, 9), tar)], "it is not a tar")]
    for name, layers, sentence in cases:
        ref = put_image(f"refused:{name}", layers)
        state = State()
        if sentence is None:
            state.ok("pull", ref)
            continue
        check_in(sentence, state.fails("pull", ref).err)
        check_equal(state.ok("ls", "-q").out, "")
        check_equal(partials(state), [])
        check_in("0 problems", state.ok("fsck").out)


# -- several platforms --

def put_document(repository, document, name):
    connection = http.client.HTTPConnection("127.0.0.1", registry().port)
    data = json.dumps(document).encode()
    connection.request("PUT", f"/v2/{repository}/manifests/{name}", data, {"Content-Type": document["mediaType"]})
    check_equal(connection.getresponse().status, 201)
    return {"mediaType": document["mediaType"], "size": len(data),
            "digest": "sha256:" + hashlib.sha256(data).hexdigest()}


def raw_manifest(ref):
    found = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{ref}"], capture_output=True,
                           check=True).stdout
    return json.loads(found), "sha256:" + hashlib.sha256(found).hexdigest()


def test_an_index_is_pulled_whole_and_pushed_to_the_byte():
    """OCI image-spec, image-index.md; an attestation (unknown/unknown) comes along."""
    tars = {arch: tar_of({"arch": arch.encode()}) for arch in ("amd64", "arm64", "s390x")}
    oci = "application/vnd.oci.image.layer.v1.tar"
    entries = []
    for arch, tar in tars.items():
        ref = put_image(f"many:{arch}", [(oci + "+gzip", gzip.compress(tar), tar)], {"architecture": arch})
        manifest, digest = raw_manifest(ref)
        entries.append({**put_document("many", manifest, arch), "platform": {"os": "linux", "architecture": arch}})
    statement = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    ref = put_image("many:att", [("application/vnd.in-toto+json", statement, statement)])
    entries.append({**put_document("many", raw_manifest(ref)[0], "att"),
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    index = put_document("many", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                  "manifests": entries}, "all")
    state = State()
    copy = f"{registry().host}/copied/many:1"
    state.ok("pull", f"{registry().host}/many:all")
    state.ok("tag", f"{registry().host}/many:all", copy)
    alone = state.ok("push", "-q", copy).out.strip()
    check(alone != index["digest"] and alone in [e["digest"] for e in entries], alone)
    state.ok("pull", "--all-platforms", f"{registry().host}/many:all")
    state.ok("tag", f"{registry().host}/many:all", copy)
    blobs = lambda: set(os.listdir(os.path.join(state.path, "blobs/sha256")))
    there = blobs()
    state.ok("prune", "--all", "--force")
    check_equal(blobs(), there)
    check_equal(state.ok("push", "-q", copy).out.strip(), index["digest"])
    check_equal(raw_manifest(copy)[1], index["digest"])
    for arch in tars:
        fresh = State()
        fresh.ok("pull", "--arch", arch, copy)
        check_equal(Image(fresh, copy).text("arch"), arch)
    check_in("0 problems", state.ok("fsck").out)


def test_an_index_inside_an_index_is_entered_and_its_sizes_hold():
    """OCI image-spec, "Image Index": a manifest it names may be an index, which SHOULD be supported. A size that is not
    that of the document is a lie (SECURITY R33)."""
    tar = tar_of({"in": b"side"})
    image = put_image("nested:image", [("application/vnd.oci.image.layer.v1.tar", tar, tar)])
    wanted = put_document("nested", raw_manifest(image)[0], "again")
    wanted["platform"] = {"os": "linux", "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64"}

    def wrapped(entry, name):
        return put_document("nested", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                       "manifests": [entry]}, name)

    entry = wanted
    for depth in range(1, 6):
        entry = wrapped(entry, f"deep{depth}")
    state = State()
    for depth in (1, 2, 4):
        state.ok("pull", f"{registry().host}/nested:deep{depth}")
        check_equal(Image(state, f"{registry().host}/nested:deep{depth}").text("in"), "side")
    check_in("is an index 4 levels inside another", state.fails("pull", f"{registry().host}/nested:deep5").err)
    wrapped({**wanted, "size": wanted["size"] + 1}, "lie")
    check_in(f"has {wanted['size']} bytes, and its index says {wanted['size'] + 1}",
             State().fails("pull", f"{registry().host}/nested:lie").err)
    check_in("'deep1' has no image for linux/s390x",
             State().fails("pull", "--platform=linux/s390x", f"{registry().host}/nested:deep1").err)


def test_what_is_no_image_or_lies_elsewhere_is_told_in_its_own_words():
    """OCI image-spec, "Guidelines for Artifact Usage" and "Non-Distributable Layers": nobody is sent to a place that
    a manifest names."""
    tar = tar_of({"a": b"a"})
    name = put_image("artifact:1", [("application/vnd.oci.image.layer.v1.tar", tar, tar)])
    document = raw_manifest(name)[0]
    empty = {**document["config"], "mediaType": "application/vnd.oci.empty.v1+json"}
    put_document("artifact", {**document, "config": empty, "artifactType": "application/vnd.example.sbom"}, "typed")
    check_in("is no container image but an artifact of type 'application/vnd.example.sbom'",
             State().fails("pull", f"{registry().host}/artifact:typed").err)
    absent = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 7,
              "digest": "sha256:" + "7" * 64, "urls": ["https://layers.example.com/7\u001b"]}

    def hide(handler):
        if "/blobs/sha256:777" in handler.path or "/manifests/" not in handler.path:
            return False
        data = json.dumps({**document, "layers": [absent]}).encode()
        handler.reply(200, {"Content-Type": document["mediaType"]}, data)
        return True

    with Front(registry().port, hook=hide) as front:
        told = State().fails("pull", f"{front.host}/artifact:1").err
        check_in(f"is not distributed by '{front.host}' but at 'https://layers.example.com/7\\x1b'", told)
        check("hint" not in told, told)


def test_an_image_for_another_platform_than_asked_for_is_pulled_with_a_warning():
    """A name that is no index leaves no choice; docker and podman say so, too."""
    tar = tar_of({"f": b"x"})
    ref = put_image("alone:1", [("application/vnd.oci.image.layer.v1.tar", tar, tar)],
                    {"architecture": "s390x", "os": "linux"})
    state = State()
    check_in(f"'{ref}' is an image for linux/s390x, not for linux/arm64, and there is no other",
             state.ok("pull", "--platform", "linux/arm64", ref).err)
    check_in(f"'{ref}' is an image for linux/s390x, not for this host's linux/", state.ok("pull", ref).err)
    check("there is no other" not in state.ok("pull", "--arch", "s390x", ref).err, "what was asked for is warned of")


def test_what_a_registry_has_is_inspected_without_pulling_it():
    """skopeo-inspect(1): the same fields with the same values."""
    for arch in ("amd64", "arm64"):
        tar = tar_of({"arch": arch.encode()})
        put_image(f"looked:{arch}", [("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(tar), tar)],
                  {"architecture": arch, "config": {"Labels": {"l": arch}, "Env": ["A=1"]}})
    entries = [{**put_document("looked", raw_manifest(f"{registry().host}/looked:{arch}")[0], arch),
                "platform": {"os": "linux", "architecture": arch}} for arch in ("amd64", "arm64")]
    index = put_document("looked", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                    "manifests": entries}, "all")
    name = f"docker://{registry().host}/looked:all"
    state = State()
    for arch in ("amd64", "arm64"):
        [ours] = json.loads(state.ok("inspect", "--platform", f"linux/{arch}", name).out)
        theirs = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--override-arch", arch, name],
                                           check=True, capture_output=True).stdout)
        check_equal([ours[key] for key in theirs], list(theirs.values()))
        check_equal([layer["Digest"] for layer in ours["LayersData"]], theirs["Layers"])
        config = json.loads(state.ok("inspect", "--platform", f"linux/{arch}", "--type", "config",
                                     name).out)[0]
        check_equal(config["architecture"], arch)
    raw = state.ok("inspect", "--raw", name).out.encode()
    check_equal("sha256:" + hashlib.sha256(raw).hexdigest(), index["digest"])
    check_equal(state.ok("inspect", "-n", "-f", "{{.Digest}} {{len .RepoTags}}", name).out, index["digest"] + " 0\n")
    check_equal(state.ok("ls", "-a").out.count("\n"), 1)
    check_in("it has linux/amd64, linux/arm64", state.fails("inspect", "--platform", "linux/s390x", name).err)
    check_in("MANIFEST_UNKNOWN", state.fails("inspect", name.replace(":all", ":none")).err)
    check_in("--platform chooses among those of docker://a", state.fails("inspect", "--platform", "linux/arm64", "a").err)


def test_what_a_registry_has_about_an_image_is_listed():
    """distribution-spec, "Listing Referrers": from the API, or from the tag that stands in where a registry has none, as
    docker-registry 2 does not."""
    tar = tar_of({"a": b"a"})
    name = put_image("about:1", [("application/vnd.oci.image.layer.v1.tar", tar, tar)])
    document, digest = raw_manifest(name)
    state = State()

    def referrers(*words):
        return json.loads(state.ok("inspect", "--type=referrers", f"docker://{words[0] if words else name}").out)[0]

    check_equal(referrers(), {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
    about = {**put_document("about", {**document, "artifactType": "application/vnd.example.sbom"}, "sbom"),
             "artifactType": "application/vnd.example.sbom", "annotations": {"of": "all"}}
    put_document("about", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [about]},
                 digest.replace(":", "-"))
    check_equal(referrers()["manifests"], [about])
    api = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{**about, "size": 7}]}
    with Front(registry().port, hook=lambda h: "/referrers/" in h.path and
               (h.reply(200, {"Content-Type": api["mediaType"]}, json.dumps(api).encode()), True)[1]) as front:
        check_equal(referrers(f"{front.host}/about:1"), api)
        check_in(f"/referrers/{digest}", front.requests("GET")[-1].path)
    state.ok("pull", name)
    check_in("it is the registry that knows referrers: inspect docker://" + name,
             state.fails("inspect", "--type=referrers", name).err)


def test_logins_are_told_and_forgotten_at_once():
    """podman-login(1) --get-login, podman-logout(1) --all; what else is in the file stays."""
    state = State()
    path = os.path.join(state.home, ".docker/config.json")
    auth = {"auth": "YW5uOnNlY3JldA=="}  # ann:secret
    write(path, json.dumps({"auths": {"a.example": auth, "https://index.docker.io/v1/": auth}, "proxies": {"x": 1}}), 0o600)
    check_equal(state.ok("login", "--get-login", "a.example").out, "ann\n")
    check_equal(state.ok("login", "--get-login").out, "ann\n")
    check_in("not logged in to 'b.example'", state.fails("login", "--get-login", "b.example").err)
    check_in("exclude each other", state.fails("logout", "--all", "a.example").err)
    out = state.ok("logout", "--all").out
    check_in("Removing login credentials for a.example\n", out)
    check_in("Removing login credentials for docker.io\n", out)
    document = json.load(open(path))
    check_equal((document.get("auths", {}), document["proxies"]), ({}, {"x": 1}))
    check_equal(state.ok("logout", "--all").out, "Not logged in to any registry\n")


# -- layers that are compressed only now --

def blob_requests(front, method, status):
    return [r for r in front.requests(method, "/blobs/uploads/") if r.status == status]


def test_a_large_layer_is_sent_while_it_is_compressed():
    """In parts, as it grows; whole, to a registry that takes no parts; and not at all where it is known."""
    data = random_bytes(48 << 20, 11)
    state, twin = State(), State()
    with Front(registry().port) as front, Front(registry().port) as whole:
        name, other = f"{front.host}/grown/a:1", f"{whole.host}/grown/b:1"
        state.built("FROM scratch\nADD big.tar /\n", "-t", name, "-t", other,
                    context={"big.tar": tar_of({"big": data})})
        shutil.rmtree(twin.path, ignore_errors=True)
        shutil.copytree(state.path, twin.path, symlinks=True)
        third = State()
        shutil.rmtree(third.path, ignore_errors=True)
        shutil.copytree(state.path, third.path, symlinks=True)

        pushed = state.ok("push", "--progress=plain", name)
        digest = re.search(r"^sha256:[0-9a-f]{64}\n", pushed.out, re.M).group()
        check_in("#1 compressing layers", pushed.err)  # nothing has a digest yet
        check(len(blob_requests(front, "PATCH", 202)) > 1, "it was not sent in parts")
        fresh = State()
        fresh.ok("pull", name)
        check(Image(fresh, name).tree["big"][1] == data, "other bytes than those built")

        whole.hook = lambda h: h.command == "PATCH" and (h.body(), h.reply(405))
        check_equal(twin.ok("push", "-q", other).out, digest)
        check_equal(blob_requests(whole, "PATCH", 202), [])
        check(max(r.received for r in blob_requests(whole, "PUT", 201)) > len(data), "it was not sent whole")

        front.clear()
        check_equal(third.ok("push", "-q", name).out, digest)
        check_equal(front.requests("PUT", "/blobs/"), [])
        check_equal(len(front.requests("DELETE", "/blobs/uploads/")), len(blob_requests(front, "POST", 202)))


def test_a_layer_is_pushed_uncompressed_when_asked_for():
    """image-spec, layer.md: its digest is then its diff_id. The store has no such blob: the tar is made as it is sent,
    from where it stopped too when the line was cut."""
    data = random_bytes(8 << 20, 12)
    cut = []

    def cut_once(handler):
        if handler.command == "PUT" and "/uploads/" in handler.path and handler.headers.get("Content-Length") != "0" \
                and int(handler.headers["Content-Length"]) > len(data) and not cut:
            cut.append(handler.rfile.read(3 << 20))
            handler.close_connection = True
            handler.connection.shutdown(2)
            return True

    with Front(registry().port, hook=cut_once) as front:
        state = State()
        name = f"{front.host}/plain:1"
        state.built("FROM scratch\nCOPY big /\n", "-t", name, context={"big": data})
        state.ok("push", "--compression=uncompressed", "--retry-delay=10ms", name)
        check(cut, "nothing was cut")
        told = json.loads(subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                                          f"docker://{registry().host}/plain:1"], check=True, capture_output=True).stdout)
        config = json.loads(state.ok("inspect", "--type=config", name).out)[0]
        check_equal([(d["mediaType"], d["digest"]) for d in told["layers"]],
                    [("application/vnd.oci.image.layer.v1.tar", config["rootfs"]["diff_ids"][0])])
        fresh = State()
        fresh.ok("pull", name)
        check(Image(fresh, name).tree["big"][1] == data, "other bytes than those built")


# -- how much memory --

def test_memory_does_not_grow_with_the_image():
    """Four layers of 48 MiB at once; 64 MiB is the promise for any size."""
    data = random_bytes(48 << 20, 7)
    layout = make_layout(directory("wide"), [tar_of({f"f{i}": data[i:] + bytes(i)}) for i in range(4)])
    ref = registry().push_layout(layout, "wide:1")
    state = State()
    archive = os.path.join(SCRATCH, "wide.tar")
    copy = f"{registry().host}/copy:1"
    peaks = {"pull": peak_kib(state, "pull", ref)}
    state.ok("tag", ref, copy)
    peaks["push"] = peak_kib(state, "push", copy)
    peaks["save"] = peak_kib(state, "save", "-o", archive, ref)
    peaks["save oci"] = peak_kib(state, "save", "--format", "oci", "-o", archive, ref)
    state.built(f"FROM {ref}\nADD wide.tar /\n", "-t", f"{registry().host}/made:1",
                context={"wide.tar": tar_of({"big": data})})
    peaks["push, compressing"] = peak_kib(state, "push", f"{registry().host}/made:1")
    os.unlink(archive)
    for what, peak in peaks.items():
        check(peak < 64 << 10, f"{what} took {peak} KiB: {peaks}")


if __name__ == "__main__":
    try:
        main(globals())
    finally:
        if "guarded" in shared:
            shared["guarded"].stop()
