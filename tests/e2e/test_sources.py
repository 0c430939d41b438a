"""What a build fetches: URLs, repositories, contexts that are no directory. Rules are those of the
Dockerfile reference ("ADD", "Build context"), RFC 9110 and SECURITY R53, R54."""
import email.utils
import hashlib
import http.server
import io
import os
import signal
import subprocess
import tarfile
import threading

from harness import *


class Web:
    """A web server on loopback: `pages` maps a path to a function of the request, or to bytes that
    are answered with ETag and Last-Modified; `log` holds (path, status)."""
    stamp = 1700000000

    def __init__(self):
        self.pages = {}
        self.log = []
        self.requests = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                web.requests.append(self)
                page = web.pages.get(self.path)
                if callable(page):
                    return page(self)
                if page is None:
                    return self.answer(404, b"no\n")
                tag = '"%s"' % hashlib.md5(page).hexdigest()
                if self.headers.get("If-None-Match") == tag:
                    return self.answer(304)
                self.answer(200, page, ETag=tag, Last_Modified=email.utils.formatdate(web.stamp, usegmt=True))

            def answer(self, status, body=b"", **headers):
                web.log.append((self.path, status))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if "Content_Length" not in headers and status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def web():
    if "web" not in shared:
        shared["web"] = Web()
    shared["web"].log.clear()
    shared["web"].requests.clear()
    return shared["web"]


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(files, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            e = tarfile.TarInfo(name)
            e.mtime, e.mode, e.uid, e.gid = 1600000000, 0o640, 7, 8
            if content is None:
                e.type, e.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                e.type, e.linkname = tarfile.SYMTYPE, content
            else:
                e.size = len(content)
            tar.addfile(e, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


# -- ADD of URLs --

def test_a_download_is_a_0600_file_with_the_servers_time():
    w = web()
    w.pages["/dir/a%20b.txt"] = b"hello\n"
    w.pages["/x"] = b"x"
    state = State()
    state.built(f"FROM scratch\nADD {w.base}/dir/a%20b.txt /d/\nADD --chmod=755 --chown=3:4 {w.base}/x {w.base}/dir/a%20b.txt /two/\n"
                f"ADD {w.base}/x /d/y\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("d/a b.txt"), "hello\n")
    check_equal(image.line("d/a b.txt"), "file 0600 0:0")
    check_equal(image.entry("d/a b.txt").mtime, w.stamp)
    check_equal(image.line("two/x"), "file 0755 3:4")
    check_equal(image.text("d/y"), "x")


def test_a_cached_download_costs_one_304_or_nothing_when_it_is_pinned():
    """RFC 9110 13.1.2."""
    w = web()
    w.pages["/cached"] = b"one"
    state = State()
    text = f"FROM scratch\nADD {w.base}/cached /f\n"
    state.built(text, "-t", "a")
    second = state.built(text, "-t", "a")
    check_equal(w.log, [("/cached", 200), ("/cached", 304)])
    check_in("CACHED", second.err)
    state.built(f"FROM scratch\nADD --checksum={sha256(b'one')} {w.base}/cached /g\n", "-t", "a")
    check_equal(len(w.log), 2)
    w.pages["/cached"] = b"two"
    third = state.built(text, "-t", "a")
    check_equal(w.log[-1], ("/cached", 200))
    check("CACHED" not in third.err, third.err)
    check_equal(Image(state, "a").text("f"), "two")


def test_last_modified_alone_is_a_validator_too_and_counts_as_content():
    """RFC 9110 13.1.3; FEATURES 1.9, "HTTP"."""
    w = web()
    times = [1500000000]

    def page(request):
        stamp = email.utils.formatdate(times[0], usegmt=True)
        if request.headers.get("If-Modified-Since") == stamp:
            return request.answer(304)
        request.answer(200, b"same", Last_Modified=stamp)
    w.pages["/dated"] = page
    state = State()
    text = f"FROM scratch\nADD {w.base}/dated /f\n"
    state.built(text, "-t", "a")
    check_in("CACHED", state.built(text, "-t", "a").err)
    check_equal([status for _, status in w.log], [200, 304])
    times[0] += 60
    check("CACHED" not in state.built(text, "-t", "a").err, "a new time was a hit")
    check_equal(Image(state, "a").entry("f").mtime, 1500000060)


def test_a_checksum_is_checked_and_names_both_digests():
    w = web()
    w.pages["/f"] = b"what it is"
    state = State()
    state.built(f"FROM scratch\nADD --checksum={sha256(b'what it is')} {w.base}/f /f\n", "-t", "a")
    wanted = sha256(b"another")
    result = state.build(f"FROM scratch\nADD --checksum={wanted} {w.base}/f /f\n")
    check_equal(result.code, 1)
    check_in(f"'{w.base}/f' has the digest {sha256(b'what it is')} instead of {wanted}", result.err)
    for line, sentence in (("--checksum=md5:abc " + w.base + "/f", "md5:abc"),
                           (f"--checksum={wanted} {w.base}/f {w.base}/g", "checksum can't be specified for multiple sources"),
                           (f"--checksum={wanted} Dockerfile", "checksum requires a URL or a git repository as the source")):
        result = state.build(f"FROM scratch\nADD {line} /f\n")
        check_equal(result.code, 1)
        check_in(sentence, result.err)


def test_a_remote_archive_is_unpacked_only_when_asked():
    w = web()
    w.pages["/t.tgz"] = make_tar({"in/side": b"x"}, "w:gz")
    state = State()
    state.built(f"FROM scratch\nADD {w.base}/t.tgz /as-file/\nADD --unpack {w.base}/t.tgz /out/\n"
                f"ADD --unpack=true {w.base}/t.tgz /out2\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.line("as-file/t.tgz"), "file 0600 0:0")
    check_equal(image.line("out/in/side"), "file 0640 7:8")
    check(image.has("out2/in/side") and not image.has("as-file/in"), "unpacking")


def test_redirects_are_followed_and_a_token_stays_at_its_host():
    """SECURITY R43: another port is another origin."""
    w = web()
    other = Web()
    other.pages["/end"] = b"end"
    w.pages["/hop"] = lambda r: r.answer(302, Location=other.base + "/end")
    w.pages["/own"] = lambda r: r.answer(302, Location="/secret")
    w.pages["/secret"] = lambda r: r.answer(200 if r.headers.get("Authorization") == "Bearer t0ken" else 401, b"s")
    state = State(T="t0ken")
    secret = ["--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,env=T"]
    state.built(f"FROM scratch\nADD {w.base}/hop /f\nADD {w.base}/own /g\n", *secret, "-t", "a")
    check_equal(Image(state, "a").text("f"), "end")
    check_equal(other.requests[0].headers.get("Authorization"), None)
    check_equal(w.requests[0].headers.get("Authorization"), "Bearer t0ken")
    refused = state.build(f"FROM scratch\nADD {w.base}/own /g\n")
    check_in("the server answers 401", refused.err)
    check_in("--secret id=HTTP_AUTH_TOKEN_127.0.0.1", refused.err)
    for root, _, names in os.walk(state.path):
        for name in names:
            with open(os.path.join(root, name), "rb") as f:
                check(b"t0ken" not in f.read(), f"the token is in {name}")


def test_servers_that_lie_or_fail_are_one_sentence_each():
    w = web()
    w.pages["/loop"] = lambda r: r.answer(302, Location="/loop")
    w.pages["/scheme"] = lambda r: r.answer(302, Location="file:///etc/passwd")
    state = State()
    for path, sentence in (("/none", "the server answers 404"), ("/loop", "redirects more than 5 times"),
                           ("/scheme", "redirects")):
        result = state.build(f"FROM scratch\nADD {w.base}{path} /f\n")
        check_equal(result.code, 1)
        check_in(f"cannot download '{w.base}{path}'", result.err)
        check_in(sentence, result.err)
    result = state.build(f"FROM scratch\nADD http://user:pw@127.0.0.1/f /f\n")
    check_in("a URL with a user name or password is not fetched", result.err)


def test_a_transfer_that_ends_early_is_begun_again():
    """RFC 9112 8: fewer bytes than Content-Length promised are no answer."""
    w = web()
    w.pages["/lies"] = lambda r: r.answer(200, b"half" if len(w.log) == 0 else b"half and half", Content_Length="13")
    state = State()
    state.built(f"FROM scratch\nADD {w.base}/lies /f\n", "-t", "a")
    check_equal(Image(state, "a").text("f"), "half and half")
    check_equal(len(w.log), 2)


# -- ADD of repositories --

class Repositories:
    """Bare repositories behind `git daemon` on loopback."""

    def __init__(self):
        if shutil.which("git") is None:
            raise Skip("git is not installed")
        self.root = directory("repositories")
        self.port = free_port()
        self.base = f"git://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1",
             f"--port={self.port}", f"--base-path={self.root}", self.root],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(600):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("git daemon does not answer")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def git(self, name, *words):
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
               "GIT_COMMITTER_EMAIL": "a@b", "GIT_AUTHOR_DATE": "1600000000 +0000",
               "GIT_COMMITTER_DATE": "1600000000 +0000"}
        return subprocess.run(["git", "-C", os.path.join(self.root, name), *words], check=True,
                              capture_output=True, env={**os.environ, **who}).stdout.decode().strip()

    def make(self, name, files):
        os.makedirs(os.path.join(self.root, name))
        self.git(name, "init", "-q", "-b", "main")
        return self.commit(name, files)

    def commit(self, name, files):
        for path, content in files.items():
            where = os.path.join(self.root, name, path)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            if isinstance(content, str):
                os.symlink(content, where)
            else:
                write(where, content)
        self.git(name, "add", "-A")
        self.git(name, "commit", "-q", "-m", "c")
        return self.git(name, "rev-parse", "HEAD")


def repositories():
    if "repositories" not in shared:
        shared["repositories"] = Repositories()
    return shared["repositories"]


def test_a_repository_is_added_at_branch_tag_commit_and_directory():
    repos = repositories()
    one = repos.make("plain.git", {"f": b"one", "d/e/g": b"g", ".gitattributes": b"f export-ignore\n"})
    repos.git("plain.git", "tag", "-a", "v1", "-m", "v1")
    repos.git("plain.git", "checkout", "-q", "-b", "dev")
    repos.commit("plain.git", {"f": b"two"})
    repos.git("plain.git", "checkout", "-q", "main")
    url = repos.base + "/plain.git"
    state = State()
    state.built(f"FROM scratch\nADD {url} /main\nADD {url}#dev /dev\nADD {url}#v1:d /sub\nADD {url}#{one} /commit\n"
                f"ADD --checksum={one[:10]} --chown=5:6 --exclude=d {url}?tag=v1&mtime=commit /query\n", "-t", "a")
    image = Image(state, "a")
    check_equal([image.text(p + "/f") for p in ("main", "dev", "commit", "query")], ["one", "two", "one", "one"])
    check_equal(image.line("main/f"), "file 0644 0:0")
    check_equal(image.text("sub/e/g"), "g")
    check_equal(image.line("query/f"), "file 0644 5:6")
    check_equal(image.entry("query/f").mtime, 1600000000)
    check(not image.has("query/d") and not image.has("main/.git"), "too much")


def test_a_repository_is_keyed_by_its_commit():
    repos = repositories()
    repos.make("moving.git", {"f": b"one"})
    text = f"FROM scratch\nADD {repos.base}/moving.git#main /r\n"
    state = State()
    state.built(text, "-t", "a")
    check_in("CACHED", state.built(text, "-t", "a").err)
    repos.commit("moving.git", {"f": b"two"})
    check("CACHED" not in state.built(text, "-t", "a").err, "a new commit was a hit")
    check_equal(Image(state, "a").text("r/f"), "two")
    check_in("mirror of " + repos.base + "/moving.git", state.ok("du").out)
    state.ok("prune", "--all", "--force")
    check_equal(os.listdir(os.path.join(state.path, "git")), [])


def test_submodules_come_along_unless_told_otherwise():
    repos = repositories()
    repos.make("inner.git", {"s": b"inner"})
    repos.make("outer.git", {"f": b"outer"})
    repos.git("outer.git", "-c", "protocol.file.allow=always", "submodule", "add", "-q",
              os.path.join(repos.root, "inner.git"), "mods/inner")
    repos.git("outer.git", "config", "-f", ".gitmodules", "submodule.mods/inner.url", "../inner.git")
    repos.commit("outer.git", {})
    url = repos.base + "/outer.git"
    state = State()
    state.built(f"FROM scratch\nADD {url} /with\nADD {url}?submodules=false /without\nADD {url}#:mods /part\n", "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("with/mods/inner/s"), "inner")
    check_equal(image.text("part/inner/s"), "inner")
    check(not image.has("without/mods/inner/s"), "submodules=false")
    repos.git("outer.git", "config", "-f", ".gitmodules", "submodule.mods/inner.url", "ext::sh -c 'touch /tmp/img-owned'")
    repos.commit("outer.git", {})
    result = state.build(f"FROM scratch\nADD {url} /r\n")
    check_in("submodule 'mods/inner': not the address of a git repository", result.err)


def test_the_git_directory_is_kept_when_asked_and_is_a_repository():
    repos = repositories()
    commit = repos.make("kept.git", {"f": b"one"})
    url = repos.base + "/kept.git"
    state = State()
    state.built(f"FROM scratch\nADD --keep-git-dir {url} /r\n", "-t", "a")
    where = directory("kept-out")
    state.ok("unpack", "-o", os.path.join(where, "root"), "a")
    git = ["git", "-c", "safe.directory=*", "-C", os.path.join(where, "root/r")]
    check_equal(subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True).stdout.decode().strip(), commit)
    check_equal(subprocess.run([*git, "status", "--porcelain"], capture_output=True).stdout, b"")
    check(not Image(state, "a").has("r/.git/hooks"), "hooks")
    result = state.build(f"FROM scratch\nADD --keep-git-dir {url}?keep-git-dir=false /r\n")
    check_in("inconsistent keep-git-dir configuration", result.err)
    result = state.build("FROM scratch\nADD --keep-git-dir Dockerfile /r\n")
    check_in("keep-git-dir requires a git repository as the source", result.err)


def test_hostile_repositories_and_addresses_are_one_sentence_each():
    """SECURITY R54: a link for a directory, an option for a ref, a commit that is another."""
    repos = repositories()
    repos.make("evil.git", {"proj": "/", "f": b"x"})
    url = repos.base + "/evil.git"
    state = State()
    for source, sentence in (
            (url + "#main:proj", "subdir 'proj' is not a directory"),
            (url + "#main:none", "subdir 'none' is not a directory"),
            (url + "#--upload-pack=touch", "'--upload-pack=touch' is not the name of a git ref"),
            (url + "#nope", f"the repository '{url}' does not contain the ref 'nope'"),
            (url + "?checksum=1234567890", "expected checksum to match 1234567890, got"),
            (url + "#" + "1" * 40, "1" * 40),
            (repos.base + "/missing.git", "git:"),
            ("https://u:p@127.0.0.1:1/r.git", "a git address with a user name or password is not used here"),
            ("git@127.0.0.1:r.git", "is reached by ssh, and no agent was given")):
        result = state.build(f"FROM scratch\nADD {source} /r\n")
        check_equal(result.code, 1)
        check_in(sentence, result.err)
    state.built(f"FROM scratch\nADD {url} /r\n", "-t", "a")
    check_equal(Image(state, "a").entry("r/proj").linkname, "/")


def test_a_missing_git_is_named():
    result = State().build("FROM scratch\nADD git://127.0.0.1:1/r.git /r\n", env={"PATH": "/nonexistent"})
    check_equal(result.code, 1)
    check_in("fetched by the program 'git', which is not here", result.err)


if __name__ == "__main__":
    main(globals())
