"""What goes wrong outside img: one clear sentence, the right exit status, nothing left behind, and a
state that is as good as before. Exit statuses are those of the README."""
import contextlib
import ctypes
import http.server
import random
import re
import signal
import sqlite3
import stat
import threading

from front import Front
from harness import *

HOST_GONE = "127.0.0.1:1"  # tcpmux: nobody listens there, and nobody but root could
PR_SET_CHILD_SUBREAPER = 36
SMALL_DISK = 24 << 20

ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


# -- nothing is left --

def children():
    """Whatever was orphaned below us is ours (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                name, fields = re.match(r"\d+ \((.*)\) (.*)", f.read(), re.S).groups()
        except OSError:
            continue
        if int(fields.split()[1]) == os.getpid():
            found[int(pid)] = (name, fields.split()[0])
    return found


def wait_until_alone(known):
    for _ in range(600):
        left = {p: c for p, c in children().items() if p not in known}
        for pid, (_, status) in left.items():
            if status == "Z":
                os.waitpid(pid, 0)
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes are left: {left}")


@contextlib.contextmanager
def nothing_left(state):
    known, mounts = set(children()), host_mounts()
    state.env["TMPDIR"] = directory("tmp")
    yield
    wait_until_alone(known)
    check_equal(host_mounts(), mounts)
    check_equal(os.listdir(state.env["TMPDIR"]), [])


def check_whole(state):
    """No leftover in the state, and no fault in it."""
    state.ok("fsck")
    check_equal(os.listdir(os.path.join(state.path, "work")), [])
    check_equal([n for n in os.listdir(os.path.join(state.path, "tmp")) if n != "partial"], [])


def sentence(result):
    """The last line of the message, which must be one, without a hint's."""
    lines = [l for l in result.err.splitlines() if l.startswith("img: ")]
    check_equal((len(lines), result.err), (1, result.err))
    return lines[0].removeprefix("img: ")


def check_refused(state, wanted, *words, code=1, hint=None, **more):
    """One sentence that matches `wanted` (a regular expression), nothing left, a whole state."""
    with nothing_left(state):
        result = state.fails(*words, code=code, **more)
    text = sentence(result)
    if not re.search(wanted, text):
        raise AssertionError(f"wanted: {wanted}\nsaid:   {text}")
    if hint:
        check_in(hint, result.err.partition("\nhint: ")[2])
    return result


# -- a registry that lies --

class Liar(http.server.ThreadingHTTPServer):
    """Serves an image layout; `lie(path, body)` may give another answer: (status, body sent, length
    claimed)."""
    daemon_threads = True

    def __init__(self, layout, lie):
        self.layout, self.lie = layout, lie
        super().__init__(("127.0.0.1", 0), LiarHandler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the client went away, as it should

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class LiarHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        layout = self.server.layout
        kind = "application/octet-stream"
        if self.path == "/v2/":
            body = b"{}"
        elif "/manifests/" in self.path:
            first = json.load(open(os.path.join(layout, "index.json")))["manifests"][0]
            body, kind = read_blob(layout, first["digest"]), first["mediaType"]
        else:
            body = read_blob(layout, self.path.rpartition("/")[2])
        status, body, length = self.server.lie(self.path, body) or (200, body, len(body))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = len(body) != length


def read_blob(layout, digest):
    with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as f:
        return f.read()


def small_layout():
    """One layer of a MiB that does not compress."""
    if "small" not in shared:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            e = tarfile.TarInfo("data")
            e.size = 1 << 20
            tar.addfile(e, io.BytesIO(random.Random(1).randbytes(e.size)))
        shared["small"] = make_layout(directory("small-layout"), [out.getvalue()])
    return shared["small"]


def manifest_of(layout):
    first = json.load(open(os.path.join(layout, "index.json")))["manifests"][0]
    return json.loads(read_blob(layout, first["digest"]))


def pull_from_liar(wanted, lie, layout=None):
    layout = layout or small_layout()
    state = State()
    with Liar(layout, lie) as liar:
        check_refused(state, wanted, "pull", f"{liar.host}/a:1")
        check("a:1" not in state.ok("ls").out, "a refused image has a name")
        check_whole(state)
        liar.lie = lambda path, body: None
        state.ok("pull", f"{liar.host}/a:1")
        check_whole(state)


def lie_about(digest, answer):
    return lambda path, body: answer(body) if path.endswith(digest) else None


def test_a_registry_nobody_serves_is_named():
    state = State()
    check_refused(state, f"cannot connect to '{HOST_GONE}': Connection refused", "pull", f"{HOST_GONE}/a:1")
    context = make_context(f"FROM {HOST_GONE}/a:1\n", {})
    check_refused(state, f"cannot connect to '{HOST_GONE}': Connection refused", "build", context)
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    state.ok("build", "-t", f"{HOST_GONE}/a:1", context)
    check_refused(state, f"cannot connect to '{HOST_GONE}': Connection refused", "push", f"{HOST_GONE}/a:1")
    check_refused(state, "cannot find the address of 'nobody.invalid'", "pull", "nobody.invalid/a:1")
    check_whole(state)


def test_a_layer_with_other_bytes_is_refused():
    """OCI distribution-spec, "Pulling blobs": the digest of what came is checked."""
    layer = manifest_of(small_layout())["layers"][0]["digest"]
    flipped = lambda body: (200, body[:-1000] + bytes(1) + body[-999:], len(body))
    pull_from_liar(f"{layer} has digest sha256:[0-9a-f]* instead of {layer}", lie_about(layer, flipped))


def test_a_config_with_other_bytes_is_refused():
    config = manifest_of(small_layout())["config"]["digest"]
    pull_from_liar(f"sent a blob with digest .* for {config}", lie_about(config, lambda body: (200, body.replace(b"base", b"bass"), len(body))))


def test_a_layer_cut_short_is_refused():
    layer = manifest_of(small_layout())["layers"][0]["digest"]
    pull_from_liar(f"{layer}: .* ended its answer early", lie_about(layer, lambda body: (200, body[:70000], len(body))))


def test_a_layer_that_ends_before_its_size_is_refused():
    layer = manifest_of(small_layout())["layers"][0]["digest"]
    pull_from_liar(f"{layer}: .* has 70000 bytes where the manifest says ", lie_about(layer, lambda body: (200, body[:70000], 70000)))


def test_a_layer_that_is_not_there_is_named():
    layer = manifest_of(small_layout())["layers"][0]["digest"]
    pull_from_liar(f"has no blob {layer} in 'a'", lie_about(layer, lambda body: (404, b"", 0)))


def test_a_manifest_that_is_a_web_page_is_refused():
    page = b"<html>please log in</html>"
    pull_from_liar("manifest '1' is not valid JSON", lambda path, body: (200, page, len(page)) if "/manifests/" in path else None)


def test_a_layer_whose_tar_is_damaged_is_refused():
    """The digest is right, the content is not: gzip that ends early, and gzip of no tar."""
    for data, wanted in ((b"\x1f\x8b\x08", "the tar ends too early"),
                         (b"no archive " * 5000, "it is not a tar")):
        layout = make_layout(directory(f"damaged-{len(data)}"), [data])
        state = State()
        with Liar(layout, lambda path, body: None) as liar:
            check_refused(state, wanted, "pull", f"{liar.host}/a:1")
            check_whole(state)


def test_a_layer_that_is_not_what_its_config_says_is_refused():
    """OCI image-spec, config.md, "Layer DiffID"."""
    tars = [bytes(10240), bytes(20480)]
    layout = make_layout(directory("diff"), tars)
    manifest = manifest_of(layout)
    manifest["layers"].reverse()
    data = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    write(os.path.join(layout, "blobs", *digest.split(":")), data)
    index = json.load(open(os.path.join(layout, "index.json")))
    index["manifests"][0].update(digest=digest, size=len(data))
    write(os.path.join(layout, "index.json"), json.dumps(index))
    state = State()
    with Liar(layout, lambda path, body: None) as liar:
        check_refused(state, "the digest of its tar is sha256:.* instead of sha256:", "pull", f"{liar.host}/a:1")
        check_whole(state)


# -- a host that lacks something --

def inside(script, *words):
    """Words to run `script` as the root of a mount namespace of its own, with all our ids."""
    enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm", "--map-auto"]
    return [*enter, "sh", "-euc", script, "sh", *words]


def run_inside(state, script, *words):
    with nothing_left(state):
        return Result(subprocess.run(inside(script, *words), stdin=subprocess.DEVNULL, capture_output=True,
                                     env={**state.env, "IMG": IMG}))


def on_small_disk(script, *words, size=SMALL_DISK):
    """Runs `script` with IMG_STATE on a disk of `size` bytes; after it, the state must be whole."""
    state = State()
    os.makedirs(state.path)
    tail = '\n"$IMG" fsck >&2\ntest -z "$(ls -A "$IMG_STATE/work")"\n' \
           'test -z "$(ls -A "$IMG_STATE/tmp" | grep -vx partial)"\n'
    result = run_inside(state, f'mount -t tmpfs -o size={size},mode=0700 disk "$IMG_STATE"\n' + script + tail, *words)
    if result.code != 0:
        raise AssertionError(str(result))
    return result


REFUSED = 'r=0; {} || r=$?; test "$r" = 1\n'


def large_image():
    """One layer of 40 MB, on the registry."""
    if "large" not in shared:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            e = tarfile.TarInfo("data")
            e.size = 40 << 20
            tar.addfile(e, io.BytesIO(random.Random(2).randbytes(e.size)))
        shared["large"] = registry().push_layout(make_layout(directory("large-layout"), [out.getvalue()]), "large:1")
    return shared["large"]


def test_a_full_disk_ends_a_pull_with_a_sentence():
    """A layer of 40 MB on a disk of 24; then a small one fits, nothing of the first is in its way."""
    small = registry().push_layout(small_layout(), "small:1")
    result = on_small_disk(REFUSED.format('"$IMG" pull "$1"') + '"$IMG" pull "$2"', large_image(), small)
    check_in("No space left on device", sentence(result))
    check_in("/states/", sentence(result))


def test_a_pull_that_found_the_disk_full_fetches_the_rest_when_there_is_room():
    with Front(registry().port) as front:
        on_small_disk(REFUSED.format('"$IMG" pull "$1"') + 'mount -o remount,size=256m "$IMG_STATE"\n"$IMG" pull "$1"\n',
                      large_image().replace(registry().host, front.host))
        first, second = [r for r in front.requests("GET", "/blobs/") if r.sent > 1 << 20]
        check_equal(first.headers.get("range"), None)
        check(second.headers.get("range", "").startswith("bytes="), f"{second.sent} bytes were sent again")


def test_a_full_disk_in_a_step_is_seen_by_the_command_and_named_by_img():
    context = make_context(f"FROM {busybox()}\nRUN dd if=/dev/urandom of=/big bs=1M count=64\n", {})
    small = make_context(f"FROM {busybox()}\nRUN echo fits > /small\n", {})
    result = on_small_disk(REFUSED.format('"$IMG" build --progress=plain "$1"') + '"$IMG" build -t s "$2"', context, small)
    check_in("No space left on device", result.err.partition("img: ")[0])
    check_in("no space left", sentence(result).lower())
    check_in("/states/", sentence(result))


def test_a_full_disk_ends_a_copy_with_a_sentence():
    context = make_context(f"FROM {busybox()}\nCOPY big /\n", {"big": random.Random(3).randbytes(40 << 20)})
    small = make_context(f"FROM {busybox()}\nCOPY Dockerfile /\n", {})
    result = on_small_disk(REFUSED.format('"$IMG" build --progress=plain "$1"') + '"$IMG" build -t s "$2"', context, small)
    check_in("no space left", sentence(result).lower())
    check_in("/states/", sentence(result))  # which disk it is


def as_nobody_known(state, *words):
    """Runs img in a namespace where the caller has no entry in /etc/subuid and no power."""
    script = 'mount --bind "$1" /etc/subuid; mount --bind "$1" /etc/subgid; shift\n' \
             'exec setpriv {} --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"'
    empty = os.path.join(SCRATCH, "empty")
    write(empty, "")
    program = IMG
    if os.geteuid() == 0:
        program = shutil.copy(IMG, SCRATCH)  # where it is built, others may not look
        os.makedirs(state.path, 0o700, exist_ok=True)
        for path in (SCRATCH, directory("homes"), directory("states"), directory("contexts")):
            os.chmod(path, 0o755)
        for path in (state.path, state.home, directory("tmp")):
            os.chown(path, 12345, 12345)
        script = script.format("--reuid=12345 --regid=12345 --clear-groups")
        enter = ["unshare", "-m"]
    else:
        script = script.format("")
        enter = ["unshare", "-Um", "--map-current-user", "--keep-caps"]
    with nothing_left(state):
        return Result(subprocess.run([*enter, "sh", "-euc", script, "sh", empty, program, *words], cwd="/",
                                     stdin=subprocess.DEVNULL, capture_output=True, env=state.env))


def test_an_account_without_subordinate_ids_is_told_how_to_get_some():
    context = make_context(f"FROM {busybox()}\nRUN true\n", {})
    state = State()
    result = as_nobody_known(state, "build", context)
    check_equal(result.code, 1)
    check_in("/etc/subuid", result.err)
    check_in("usermod --add-subuids", result.err.partition("hint: ")[2])
    sentence(result)


def test_a_fuse_device_that_is_not_there_or_closed_is_named_with_the_way_out():
    context = make_context(f"FROM {busybox()}\nRUN true\n", {})
    closed = os.path.join(SCRATCH, "closed")
    write(closed, "", 0o600)
    others = 'mkdir -p "$2.dev"; mount --rbind /dev "$2.dev"; mount -t tmpfs none /dev\n' \
             'for n in null zero full random urandom tty; do touch /dev/$n; mount --bind "$2.dev/$n" /dev/$n; done'
    for script in ('mount --bind /dev/null /dev/fuse', 'mount --bind "$2" /dev/fuse', others):
        state = State()
        result = run_inside(state, script + '\nexec "$IMG" build --progress=plain "$1"', context, closed)
        check_equal((result.code, script, result.err), (1, script, result.err))
        check_in("/dev/fuse", sentence(result))
        check("hint: " in result.err, result.err)
        check_whole(state)


def doctor_rows(result):
    return {row["Name"]: row for row in map(json.loads, result.out.splitlines())}


def test_doctor_says_what_a_build_would_say_and_the_same_way_out():
    """One source for both: the row of what is missing and the message of the build that needs it."""
    context = make_context(f"FROM {busybox()}\nRUN true\n", {})
    doctor = 'doctor --offline --format json'
    hide = 'mount --bind /dev/null /dev/fuse\n'
    state = State()
    built = run_inside(state, hide + 'exec "$IMG" build --progress=plain "$1"', context)
    asked = run_inside(state, hide + f'exec "$IMG" {doctor}')
    check_equal((built.code, asked.code), (1, 1))
    row = doctor_rows(asked)["/dev/fuse"]
    check_equal(row["Status"], "FAILED")
    check_in(row["Found"], sentence(built))
    check_equal(row["Remedy"], built.err.partition("hint: ")[2].strip())
    check("isolation" not in doctor_rows(asked), "the same is said twice")
    check_in("1 requirement is not met", sentence(asked))
    built = as_nobody_known(State(), "build", "--progress=plain", context)
    row = doctor_rows(as_nobody_known(State(), *doctor.split()))["subordinate ids"]
    check_in(row["Found"], sentence(built))
    check_equal(row["Remedy"], built.err.partition("hint: ")[2].strip())


def test_doctor_is_content_with_a_host_that_builds():
    state = State()
    state.built(f"FROM {busybox()}\nRUN true\n")
    result = state.ok("doctor", "--registry", registry().host, "--format", "json")
    rows = doctor_rows(result)
    check_equal([r for r in rows.values() if r["Status"] == "FAILED"], [])
    check_equal(rows["registry"]["Found"], registry().host + " answers")
    for name in ("kernel", "user namespaces", "subordinate ids", "/dev/fuse", "AppArmor", "seccomp", "/proc", "cgroups",
                 "isolation", "network helper", "state directory"):
        check(name in rows, f"no row {name}")
    lost = doctor_rows(state.ok("doctor", "--registry", HOST_GONE, "--format", "json"))["registry"]
    check_equal(lost["Status"], "warning")
    check_in("Connection refused", lost["Found"])
    check("registry" not in state.ok("doctor", "--offline").out, "asked though offline")


def test_a_copy_alone_needs_neither_device_nor_ids():
    state = State()
    context = make_context(f"FROM {busybox()}\nCOPY Dockerfile /\n", {})
    result = run_inside(state, 'mount --bind /dev/null /dev/fuse; exec "$IMG" build -t a "$1"', context)
    check_equal((result.code, result.err), (0, result.err))
    check_whole(state)


# -- a state that somebody spoiled --

def a_built_state():
    state = State()
    state.ok("build", "-t", "a", make_context("FROM scratch\nCOPY Dockerfile /\n", {}))
    return state


def test_a_state_of_a_newer_img_is_left_alone():
    state = a_built_state()
    path = os.path.join(state.path, "img.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1000")
        database.commit()
    with nothing_left(state):
        result = state.fails("ls")
    check_in("was made by a newer img", sentence(result))
    with contextlib.closing(sqlite3.connect(path)) as database:
        check_equal(database.execute("PRAGMA user_version").fetchone(), (1000,))


def test_a_damaged_database_is_said_to_be_one():
    for spoil in (lambda data: data[:len(data) // 2], lambda data: b"no database" * 1000,
                  lambda data: data[:4096] + os.urandom(len(data) - 4096)):
        state = a_built_state()
        path = os.path.join(state.path, "img.db")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with open(path, "rb") as f:
            data = f.read()
        with open(path, "wb") as f:
            f.write(spoil(data))
        with nothing_left(state):
            result = state.run("ls")
            if result.code == 0:
                result = state.run("fsck")
        check_equal((result.code, result.err), (1, result.err))
        check_in(state.path, result.err)


def test_a_state_that_is_a_file_is_refused():
    state = State()
    write(state.path, "")
    result = state.fails("ls")
    check_in(state.path, sentence(result))
    check_in("Not a directory", sentence(result))


# -- a command line that makes no sense --

def test_words_that_no_command_knows_are_usage_errors():
    state = State()
    context = make_context("FROM scratch\n", {})
    refuse = lambda wanted, *words, **more: check_refused(state, wanted, *words, code=2, **more)
    refuse("unknown command 'bild'", "bild", hint="did you mean 'img build'?")
    refuse("unknown option '--tga' for 'img build'", "build", "--tga", "x", context, hint="did you mean '--tag'?")
    refuse("unknown option '-x' for 'img build'", "build", "-x", context, hint="img build --help")
    refuse("option '--tag' needs a value", "build", context, "-t")
    refuse("takes true or false, not 'maybe'", "build", "--no-cache=maybe", context)
    refuse("'img unpack' needs IMAGE", "unpack")
    refuse("unknown command 'nope'", "help", "nope")
    refuse("unknown shell 'tcsh'", "completion", "tcsh")
    refuse("'b' is one too many", "history", "a", "b")
    check(not os.path.exists(state.path), "a usage error made a state")


def test_standard_input_cannot_be_both_context_and_dockerfile():
    state = State()
    with nothing_left(state):
        result = state.run("build", "-f", "-", "-")
    check_equal(sentence(result), "can't use stdin for both build context and dockerfile")
    check(result.code in (1, 2), str(result))


def test_a_dockerfile_that_cannot_be_read_is_named():
    state = State()
    context = make_context("FROM scratch\n", {"d/x": ""})
    check_refused(state, r"'?d'?.*: Is a directory", "build", "-f", os.path.join(context, "d"), context)
    check_refused(state, r"nope: No such file or directory", "build", "-f", os.path.join(context, "nope"), context)
    check_refused(state, r"none/Dockerfile: No such file or directory", "build", os.path.join(context, "none"))
    check_refused(state, r"Dockerfile cannot be empty", "build", "-")
    with open(os.path.join(context, "zeros"), "wb") as f:
        f.truncate(17 << 20)
    check_refused(state, r"zeros' is larger than 16 MiB", "build", "-f", os.path.join(context, "zeros"), context)


def test_a_line_of_ten_megabytes_is_refused():
    state = State()
    context = make_context("FROM scratch\nRUN " + "x" * (10 << 20) + "\n", {})
    result = check_refused(state, "line", "build", "--progress=plain", context)
    check(len(result.err) < 100000, f"{len(result.err)} bytes of message")


# -- a context that makes trouble --

def test_an_unreadable_file_matters_only_to_those_who_want_it():
    weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    state = State()
    context = make_context("FROM scratch\nCOPY open /\n", {"open": "1", "closed": "2"})
    os.chmod(os.path.join(context, "closed"), 0)
    state.ok("build", "-t", "a", context)
    write(os.path.join(context, "Dockerfile"), "FROM scratch\nCOPY . /\n")
    with nothing_left(state):
        result = Result(subprocess.run([*weak, IMG, "build", context], stdin=subprocess.DEVNULL,
                                       capture_output=True, env=state.env))
    check_equal((result.code, result.err), (1, result.err))
    check(re.search("closed.*: Permission denied", sentence(result)), str(result))
    write(os.path.join(context, ".dockerignore"), "closed\n")
    state.ok("build", "-t", "a", context)
    check_whole(state)


def test_symlink_loops_in_the_context_are_copied_as_links_and_never_followed():
    state = State()
    context = make_context("FROM scratch\nCOPY . /\n", {"f": "1"})
    os.symlink("two", os.path.join(context, "one"))
    os.symlink("one", os.path.join(context, "two"))
    os.symlink(".", os.path.join(context, "self"))
    with nothing_left(state):
        state.ok("build", "-t", "a", context)
    check_equal(Image(state, "a").entry("one").linkname, "two")
    check_equal(Image(state, "a").entry("self").linkname, ".")
    write(os.path.join(context, "Dockerfile"), "FROM scratch\nCOPY one /x\n")
    check_refused(state, r"one.*(symbolic links|not found)", "build", context)
    check_whole(state)


def test_a_path_above_the_context_is_the_context():
    """Dockerfile reference, "COPY": a leading ../ is cut off; what is not below is not found."""
    state = State()
    context = make_context("FROM scratch\nCOPY ../../f /f\n", {"f": "1"})
    state.ok("build", "-t", "a", context)
    check_equal(Image(state, "a").text("f"), "1")
    write(os.path.join(context, "Dockerfile"), "FROM scratch\nCOPY ../../etc/passwd /f\n")
    check_refused(state, r'"/etc/passwd": not found', "build", context)
    check_whole(state)


def test_a_fifo_and_a_socket_in_the_context_do_not_hang_a_build():
    state = State()
    context = make_context("FROM scratch\nCOPY . /\n", {"f": "1"})
    os.mkfifo(os.path.join(context, "fifo"))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        here = os.open(context, os.O_RDONLY)
        s.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        with nothing_left(state):
            result = state.run("build", "-t", "a", context)
    if result.code != 0:
        check_in("socket", sentence(result))
    else:
        check(stat.S_ISFIFO(Image(state, "a").entry("fifo").mode | stat.S_IFIFO), "fifo")
    check_whole(state)


# -- kill -9 --

def kill_at_random_moments(state, count, *words):
    """Kills `words` at `count` moments of the time they take; the first run tells how long."""
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    print(f"# seed {seed}")
    probe = State(**{k: v for k, v in state.env.items() if k not in ("HOME", "IMG_STATE")})
    start = time.monotonic()
    probe.ok(*words)
    whole = time.monotonic() - start
    for _ in range(count):
        with nothing_left(state):
            process = state.start(*words)
            try:
                process.wait(moments.uniform(0, whole))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
        result = state.run("fsck")
        check(result.code == 0 or "there is no store at" in result.err, str(result))
        state.ok("ls")  # whatever opens the store next removes what the dead one left
        check_whole(state)


def test_a_pull_killed_at_any_moment_leaves_a_state_that_works():
    state = State()
    kill_at_random_moments(state, 20, "pull", busybox())
    state.ok("pull", busybox())
    state.ok("build", "-t", "a", make_context(f"FROM {busybox()}\nRUN true\n", {}))
    check_whole(state)


def test_a_build_killed_at_any_moment_leaves_a_state_that_works():
    state = State()
    state.ok("pull", busybox())
    context = make_context(f"FROM {busybox()}\nCOPY data /data\nRUN cat /data /data > /twice\n"
                           "RUN mkdir /d && for i in 1 2 3 4 5 6 7 8; do echo $i > /d/$i; done && rm /twice\n",
                           {"data": random.Random(4).randbytes(1 << 20)})
    kill_at_random_moments(state, 20, "build", "--no-cache", "--progress=plain", "-t", "a", context)
    with nothing_left(state):
        state.ok("build", "-t", "a", context)
    image = Image(state, "a")
    check(image.has("d/8") and not image.has("twice"), "the build after it is not whole")
    check_whole(state)


def start_step(state):
    """A build in the middle of a step that makes files, and its context."""
    context = make_context(f"FROM {busybox()}\nRUN mkdir /d && i=0 && while [ $i -lt 4000 ]; do echo $i > /d/$i; "
                           "[ $i != 50 ] || echo it has begun; i=$((i+1)); done\n", {})
    process = state.start("build", "--no-cache", "--progress=plain", "-t", "stopped", context)
    for line in process.stdout:
        if b"it has begun" in line and b"echo" not in line:
            break
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    return process


def test_a_build_stopped_in_a_step_goes_on_where_it_was():
    """SECURITY R28: the server is gone for a while; the step waits, and loses nothing."""
    state = State()
    with nothing_left(state):
        process = start_step(state)
        process.send_signal(signal.SIGCONT)
        process.stdout.read()
        check_equal(process.wait(), 0)
    image = Image(state, "stopped")
    check_equal(sum(p.startswith("d/") for p in image.tree), 4000)
    check_equal(image.text("d/3999"), "3999\n")
    check_whole(state)


def test_a_build_killed_while_it_is_stopped_leaves_nothing():
    """The step hangs in a call to a server that does not answer, and ends with it all the same."""
    state = State()
    with nothing_left(state):
        process = start_step(state)
        process.kill()
        check_equal(process.wait(), -signal.SIGKILL)
    state.ok("ls")
    check_whole(state)


def layer_count(state):
    with contextlib.closing(sqlite3.connect(os.path.join(state.path, "img.db"))) as database:
        return database.execute("SELECT count(*) FROM layer").fetchone()[0]


def test_a_step_killed_before_its_record_is_kept_leaves_no_layer():
    """A layer nobody can find again would take space until the next prune: both or neither."""
    state = State()
    state.ok("pull", busybox())
    before = layer_count(state)
    for step in ("COPY Dockerfile /", f"COPY --from={busybox()} /bin/busybox /copy", "WORKDIR /new", "RUN echo a > /a"):
        result = state.build(f"FROM {busybox()}\n{step}\n", env={"IMG_FAILPOINT": "cache.put=kill"})
        check_equal((step, result.code), (step, -signal.SIGKILL))
        state.ok("ls")  # removes what the dead one left
        check_equal((step, layer_count(state)), (step, before))
        check_whole(state)
        state.built(f"FROM {busybox()}\n{step}\n")  # and the opposite
        check_equal((step, layer_count(state)), (step, before + 1))
        before += 1


if __name__ == "__main__":
    main(globals())
