"""What the end-to-end tests share: a fresh state, a registry of their own, bases made from Debian
packages, and an image as text, read by Python's tarfile and not by img.

A claim is a function named test_*; `main(globals())` runs them all, or those whose name contains an
argument, and reports in TAP. A claim fails by an exception, skips with Skip.
"""
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback

IMG = os.environ["IMG"]
SCRATCH = tempfile.mkdtemp(prefix="img-e2e-", dir=os.environ.get("IMG_TEST_DIR"))


class Skip(Exception):
    """What the claim needs is not here; a failure where IMG_TEST_REQUIRE says that all must be."""


class NeedsRoot(Skip):
    """For root alone: skipped by everybody else, and counted as root's run has it."""


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def check_in(part, whole):
    if part not in whole:
        raise AssertionError(f"missing: {part!r}\nin:\n{whole}")


def check_equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected: {expected!r}\nactual:   {actual!r}")


def directory(name):
    path = os.path.join(SCRATCH, name)
    os.makedirs(path, exist_ok=True)
    return path


def write(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(path, mode)


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode(errors="replace")

    def __str__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class State:
    """A state directory that nobody used before, and img on it."""
    count = 0

    def __init__(self, **env):
        State.count += 1
        self.path = os.path.join(directory("states"), str(State.count))
        self.home = directory(f"homes/{State.count}")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        # Mounts without a place of their own lie there, and not beside those of other tests.
        self.env.update(HOME=self.home, IMG_STATE=self.path, XDG_RUNTIME_DIR=directory("run"))
        self.env.update(env)

    def run(self, *words, stdin=None, env=None):
        return Result(subprocess.run([IMG, *words], stdin=stdin or subprocess.DEVNULL,
                                     capture_output=True, env={**self.env, **(env or {})}))

    def ok(self, *words, **more):
        result = self.run(*words, **more)
        if result.code != 0:
            raise AssertionError(f"img {' '.join(words)}: {result}")
        return result

    def fails(self, *words, code=1, **more):
        result = self.run(*words, **more)
        if result.code != code:
            raise AssertionError(f"img {' '.join(words)}: wanted exit {code}: {result}")
        return result

    def start(self, *words):
        return subprocess.Popen([IMG, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env=self.env)

    def build(self, dockerfile, *options, context=None, **more):
        """Builds from text; the context is a dict of path -> content, or a directory."""
        where = context if isinstance(context, str) else make_context(dockerfile, context or {})
        if isinstance(context, str):
            write(os.path.join(where, "Dockerfile"), dockerfile)
        return self.run("build", "--progress=plain", *options, where, **more)

    def built(self, dockerfile, *options, **more):
        result = self.build(dockerfile, *options, **more)
        if result.code != 0:
            raise AssertionError(f"build failed: {result}")
        return result


def peak_kib(state, *words, stdin=None):
    """The peak of img alone. What a process is said to have held at most begins with what its parent held when it
    was started, and this one may hold the archives of other claims: so a small one starts img."""
    ask = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); " \
          "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    return int(subprocess.run([sys.executable, "-c", ask, IMG, *words], env=state.env, check=True,
                              stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout)


contexts = 0


def make_context(dockerfile, files):
    global contexts
    contexts += 1
    where = directory(f"contexts/{contexts}")
    write(os.path.join(where, "Dockerfile"), dockerfile)
    for path, content in files.items():
        mode = 0o644
        if isinstance(content, tuple):
            content, mode = content
        write(os.path.join(where, path), content, mode)
    return where


# -- an image as text --

class Image:
    """Reads `img save` with tarfile and applies layers as the OCI image-spec says (layer.md)."""
    known = {}  # diff_id of a first layer that was read before -> its tree

    def __init__(self, state, name):
        with tempfile.TemporaryFile(dir=SCRATCH) as saved:
            subprocess.run([IMG, "save", name], env=state.env, stdin=subprocess.DEVNULL,
                           stdout=saved, stderr=subprocess.PIPE, check=True)
            saved.seek(0)
            self.read(tarfile.open(fileobj=saved))

    def read(self, archive):
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        self.config = json.load(archive.extractfile(manifest["Config"]))
        self.layers = []
        self.tree = {}
        for name, diff_id in zip(manifest["Layers"], self.config["rootfs"]["diff_ids"]):
            if not self.layers and diff_id in Image.known:
                self.layers.append(None)
                self.tree = dict(Image.known[diff_id])
                continue
            raw = archive.extractfile(name).read()
            check_equal(digest_of(raw, diff_id.partition(":")[0]), diff_id)
            self.layers.append(tarfile.open(fileobj=io.BytesIO(raw)))
            self.apply(self.layers[-1])

    def apply(self, layer):
        entries = [(e.name.strip("/").removeprefix("./"), e) for e in layer.getmembers()]
        for path, e in entries:
            parent, _, base = path.rpartition("/")
            if base == ".wh..wh..opq":
                self.remove_below(parent)
            elif base.startswith(".wh."):
                self.remove((parent + "/" if parent else "") + base[4:])
        for path, e in entries:
            if path.rpartition("/")[2].startswith(".wh."):
                continue
            if not e.isdir():
                self.remove(path)
            content = layer.extractfile(e).read() if e.isreg() else None
            if e.islnk():
                content = self.tree[e.linkname.strip("/").removeprefix("./")][1]
            self.tree[path] = (e, content)

    def remove_below(self, path):
        for other in [p for p in self.tree if p.startswith(path + "/")]:
            del self.tree[other]

    def remove(self, path):
        self.tree.pop(path, None)
        self.remove_below(path)

    def has(self, path):
        return path.strip("/") in self.tree

    def entry(self, path):
        if not self.has(path):
            raise AssertionError(f"{path} is not in the image; it has: "
                                 + " ".join(sorted(self.tree)[:50]))
        return self.tree[path.strip("/")][0]

    def text(self, path):
        self.entry(path)
        return self.tree[path.strip("/")][1].decode()

    def line(self, path):
        """`type mode uid:gid` and the link target or content, one line."""
        e = self.entry(path)
        kind = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link",
                tarfile.LNKTYPE: "hard", tarfile.FIFOTYPE: "fifo"}.get(e.type, "other")
        return f"{kind} {e.mode:04o} {e.uid}:{e.gid}"

    def last_layer(self):
        return sorted(e.name.strip("/") for e in self.layers[-1].getmembers())

    def env(self):
        return dict(pair.split("=", 1) for pair in self.config["config"].get("Env") or [])


# -- a registry and bases --

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """A docker-registry process on loopback."""

    def __init__(self, htpasswd=None):
        program = shutil.which("docker-registry")
        if program is None:
            raise Skip("docker-registry is not installed")
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        root = directory(f"registry-{self.port}")
        config = f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n" \
                 f"storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}\n" \
                 f"http: {{addr: '{self.host}'}}\n"
        if htpasswd:
            config += f"auth: {{htpasswd: {{realm: test, path: {htpasswd}}}}}\n"
        write(root + ".yml", config)
        self.log = open(root + ".log", "wb")
        self.process = subprocess.Popen([program, "serve", root + ".yml"], stdout=self.log,
                                        stderr=self.log)
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/v2/")
                connection.getresponse()
                return
            except OSError:
                check(self.process.poll() is None, "docker-registry ended")
                time.sleep(0.05)
        raise AssertionError("docker-registry does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def push_layout(self, layout, name, *options):
        subprocess.run(["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", *options,
                        f"oci:{layout}:latest", f"docker://{self.host}/{name}"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return f"{self.host}/{name}"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def make_layout(path, tars, config=None, names={}):
    """An OCI image layout over these uncompressed tars, by the specification. `names` says which algorithm
    digests what: "diff_id", "layer", "config", "manifest"; what is not said is sha256."""
    import gzip

    def put(data, what):
        digest = digest_of(data, names.get(what, "sha256"))
        write(os.path.join(path, "blobs", digest.replace(":", "/")), data)
        return {"digest": digest, "size": len(data)}

    os.makedirs(os.path.join(path, "blobs/sha256"), exist_ok=True)
    layers, diff_ids = [], []
    for tar in tars:
        diff_ids.append(digest_of(tar, names.get("diff_id", "sha256")))
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                       **put(gzip.compress(tar, 1, mtime=0), "layer")})
    image = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine,
                                                                         os.uname().machine),
             "os": "linux", "created": "2024-01-02T03:04:05Z",
             "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                        **(config or {})},
             "rootfs": {"type": "layers", "diff_ids": diff_ids},
             "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "base"} for _ in tars]}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           **put(json.dumps(image).encode(), "config")}, "layers": layers}
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], **put(json.dumps(manifest).encode(), "manifest"),
         "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}
    write(os.path.join(path, "index.json"), json.dumps(index))
    write(os.path.join(path, "oci-layout"), '{"imageLayoutVersion": "1.0.0"}')
    return path


def busybox_tar():
    """A root with Debian's static busybox and nothing else."""
    program = "/bin/busybox"
    if not os.path.exists(program):
        raise Skip("busybox-static is not installed")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, kind=tarfile.DIRTYPE, mode=0o755, data=b"", target=""):
            e = tarfile.TarInfo(name)
            e.type, e.mode, e.size, e.linkname, e.mtime = kind, mode, len(data), target, 1700000000
            tar.addfile(e, io.BytesIO(data))
        for name in ("bin", "etc", "home", "root", "usr", "usr/bin", "var"):
            add(name)
        add("tmp", mode=0o1777)
        with open(program, "rb") as f:
            add("bin/busybox", tarfile.REGTYPE, 0o755, f.read())
        applets = subprocess.run([program, "--list"], capture_output=True, check=True).stdout
        for applet in sorted(set(applets.decode().split()) - {"busybox"}):
            add("bin/" + applet, tarfile.SYMTYPE, 0o777, target="busybox")
        add("etc/passwd", tarfile.REGTYPE, 0o644,
            b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
        add("etc/group", tarfile.REGTYPE, 0o644,
            b"root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n")
    return out.getvalue()


shared = {}


def registry():
    if "registry" not in shared:
        shared["registry"] = Registry()
    return shared["registry"]


def busybox():
    """The reference of a busybox base on the shared registry."""
    if "busybox" not in shared:
        layout = make_layout(directory("busybox-layout"), [busybox_tar()], {"Cmd": ["sh"]})
        shared["busybox"] = registry().push_layout(layout, "busybox:1")
    return shared["busybox"]


def debian():
    """A minimal Debian from its packages; IMG_TEST_DEBIAN names a tar made earlier."""
    if "debian" not in shared:
        path = os.environ.get("IMG_TEST_DEBIAN") or os.path.join(SCRATCH, "debian.tar")
        if not os.path.exists(path):
            if shutil.which("mmdebstrap") is None:
                raise Skip("mmdebstrap is not installed")
            made = subprocess.run(["mmdebstrap", "--variant=minbase", "--mode=unshare",
                                   "bookworm", path], capture_output=True)
            check(made.returncode == 0, "mmdebstrap: " + made.stderr.decode(errors="replace"))
        with open(path, "rb") as f:
            layout = make_layout(directory("debian-layout"), [f.read()], {"Cmd": ["bash"]})
        shared["debian"] = registry().push_layout(layout, "debian:12")
    return shared["debian"]


def host_mounts():
    """Where something is mounted, but for what other tests of the same run mount meanwhile."""
    others = os.path.join(os.path.dirname(SCRATCH), "img-e2e-")
    with open("/proc/self/mountinfo") as f:
        found = [line.split()[4] for line in f]
    return sorted(p for p in found if not p.startswith(others) or p.startswith(SCRATCH + "/"))


def traced(env):
    """The environment of what runs under strace: LeakSanitizer traces too, and there can be one tracer."""
    return {**env, "ASAN_OPTIONS": "detect_leaks=0"}


def wait_until(condition, otherwise):
    """Looks every 20 ms. A minute is no limit on the program: what is waited for here takes none."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(otherwise)


def processes_with(text):
    """Command lines, of any user, that contain `text`; ours excluded."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and int(pid) != os.getpid():
            found.append(line)
    return found


def main(names):
    wanted = sys.argv[1:]
    claims = [(n, f) for n, f in names.items() if n.startswith("test_") and callable(f)
              and (not wanted or any(w in n for w in wanted))]
    required = os.environ.get("IMG_TEST_REQUIRE", "")
    failed = 0
    print(f"1..{len(claims)}", flush=True)
    try:
        for number, (name, claim) in enumerate(claims, 1):
            label = name.removeprefix("test_").replace("_", " ")
            try:
                claim()
                print(f"ok {number} - {label}", flush=True)
            except Skip as reason:
                if required and not isinstance(reason, NeedsRoot):
                    failed += 1
                    print(f"not ok {number} - {label}\n# {reason}", flush=True)
                else:
                    print(f"ok {number} - {label} # SKIP {reason}", flush=True)
            except Exception:
                failed += 1
                print(f"not ok {number} - {label}")
                print("".join("# " + line + "\n" for line in
                              traceback.format_exc().splitlines()), flush=True)
    finally:
        for thing in shared.values():
            if hasattr(thing, "stop"):
                thing.stop()
        subprocess.run(["chmod", "-R", "u+rwX", SCRATCH], check=False)
        shutil.rmtree(SCRATCH, ignore_errors=True)
    sys.exit(1 if failed else 0)
