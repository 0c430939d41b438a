"""What a build fetches: URLs, repositories, contexts that are no directory. Rules are those of the
Dockerfile reference ("ADD", "Build context"), RFC 9110 and SECURITY R53, R54."""
import datetime
import email.utils
import hashlib
import http.server
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
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


# -- ssh --

def test_a_key_given_is_held_by_an_agent_that_ends_with_the_build():
    """Dockerfile reference, "RUN --mount=type=ssh": an agent, or keys."""
    if shutil.which("ssh-agent") is None:
        raise Skip("OpenSSH's client is not installed")
    state = State()
    where = directory("ssh-keys")
    temporary = directory("ssh-tmp")
    for name, phrase in (("one", ""), ("two", ""), ("locked", "secret")):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", name, "-f",
                        f"{where}/{name}"], check=True)
        os.chmod(f"{where}/{name}", 0o644)
    text = f"FROM {busybox()}\nRUN --mount=type=ssh,required stat -c %F $SSH_AUTH_SOCK\n"
    result = state.built(text, "--ssh", f"default={where}/one,{where}/two", env={"TMPDIR": temporary})
    check_in(" socket\n", result.err)
    check_equal(os.listdir(temporary), [])
    for key, why in (("locked", "cannot be used"), ("none", "No such file or directory")):
        result = state.fails("build", "--ssh", f"default={where}/{key}", where,
                             env={"TMPDIR": temporary})
        check_in(why, result.err)
    check_equal(os.listdir(temporary), [])


def openssh_tree(where, programs):
    """Programs of the host's OpenSSH with the libraries they load, as a root."""
    for program in programs:
        path = shutil.which(program)
        if path is None:
            raise Skip("OpenSSH's client is not installed")
        loaded = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
        for one in [path, *re.findall(r"(/\S+) \(0x", loaded)]:
            os.makedirs(where + os.path.dirname(one), exist_ok=True)
            shutil.copy(os.path.realpath(one), where + one)


def test_what_an_agent_started_for_a_key_signs_is_valid():
    """PROTOCOL.sshsig of OpenSSH: a step signs with the key it cannot read, ssh-keygen verifies."""
    where = make_context(f"FROM {busybox()}\nCOPY root /\nCOPY two.pub other.pub text /\n"
                         "RUN --mount=type=ssh,required ssh-add -L > /keys && "
                         "ssh-keygen -q -Y sign -f /two.pub -n file /text\n"
                         "RUN --mount=type=ssh ! ssh-keygen -q -Y sign -f /other.pub -n file /two.pub "
                         "&& ! ssh-add -D && ! ssh-add -d /two.pub && ssh-add -L | wc -l > /count\n",
                         {"text": "to be signed\n"})
    openssh_tree(where + "/root", ("ssh-add", "ssh-keygen"))
    keys = directory("ssh-signing")
    for name in ("one", "two", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f",
                        f"{keys}/{name}"], check=True)
    for name in ("two", "other"):
        shutil.copy(f"{keys}/{name}.pub", where)
    state = State()
    state.ok("build", "-t", "signed", "--ssh", f"default={keys}/one,{keys}/two", where)
    image = Image(state, "signed")
    public = "".join(open(f"{keys}/{name}.pub").read() for name in ("one", "two"))
    check_equal(image.text("keys"), public)
    check_equal(image.text("count"), "2\n")
    write(f"{keys}/signature", image.text("text.sig").encode())
    write(f"{keys}/allowed", ("step " + open(f"{keys}/two.pub").read()).encode())
    for text, valid in (("to be signed\n", True), ("something else\n", False)):
        done = subprocess.run(["ssh-keygen", "-Y", "verify", "-f", f"{keys}/allowed", "-I", "step",
                               "-n", "file", "-s", f"{keys}/signature"], input=text.encode(),
                              capture_output=True)
        check_equal((text, done.returncode == 0), (text, valid))


# -- SOURCE_DATE_EPOCH --

def epoch_of(state, text, *options, **more):
    state.built(text, "-t", "epoch", *options, **more)
    created = Image(state, "epoch").config["created"]
    return int(datetime.datetime.strptime(created[:19] + "Z", "%Y-%m-%dT%H:%M:%S%z").timestamp())


def test_the_epoch_may_be_the_time_of_what_a_stage_fetches():
    """BuildKit: Last-Modified, else the newest regular file of the archive that it is."""
    w = web()
    w.pages["/x.tar"] = make_tar({"d": None, "d/f": b"x"})
    w.pages["/bare.tar"] = lambda request: request.answer(200, w.pages["/x.tar"])
    state = State()
    text = ("ARG SOURCE_DATE_EPOCH=Src\nARG BASE=scratch\nFROM $BASE AS src\nARG NAME=x\n"
            f"ADD {w.base}/${{NAME}}.tar /\nFROM {busybox()}\nARG SOURCE_DATE_EPOCH\n"
            "RUN echo $SOURCE_DATE_EPOCH > /e\n")
    check_equal(epoch_of(state, text), w.stamp)
    check_equal(Image(state, "epoch").text("e"), f"{w.stamp}\n")
    check_equal(epoch_of(state, text, "--build-arg", "NAME=bare"), 1600000000)


def test_the_epoch_of_an_archive_as_context_is_its_newest_file():
    w = web()
    files = make_tar({"Dockerfile": b"FROM scratch\nCOPY Dockerfile /\n"})
    w.pages["/context.tar"] = lambda request: request.answer(200, files)
    state = State()
    for source in (f"{w.base}/context.tar", "-"):
        with tempfile.TemporaryFile(dir=SCRATCH) as stdin:
            stdin.write(files)
            stdin.seek(0)
            state.ok("build", "-t", "a", "--build-arg", "SOURCE_DATE_EPOCH=context", source, stdin=stdin)
        check_equal(Image(state, "a").config["created"][:19], "2020-09-13T12:26:40")


def test_a_stage_that_does_more_than_fetch_is_no_epoch():
    add = "ADD http://127.0.0.1:1/x /\n"
    for stage, sentence in (
            ("FROM busybox AS s\n" + add, "SOURCE_DATE_EPOCH stage must use FROM scratch"),
            ("FROM scratch AS s\n", "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"),
            ("FROM scratch AS s\n" + add + add,
             "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"),
            ("FROM scratch AS s\nADD f http://127.0.0.1:1/x /\n",
             "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source"),
            ("FROM scratch AS s\nADD f /\n",
             "SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD"),
            ("FROM scratch AS s\n" + add + "ENV a=b\n", "SOURCE_DATE_EPOCH stage does not meet "
             "source-only requirements: unsupported ENV instruction")):
        result = State().build(stage + "FROM scratch\nCOPY f /\n", "--build-arg",
                               "SOURCE_DATE_EPOCH=s", context={"f": ""})
        check_equal(result.code, 1)
        check_in(f"img: failed to build: {sentence}\n", result.err)


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
    """RFC 9110 13.1.3."""
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
                           (f"--checksum={wanted} Dockerfile", "checksum requires HTTP(S) or Git sources")):
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
        wait_until(self.answers, "git daemon does not answer")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

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


# -- build contexts --

def build_from(state, data, *words, **more):
    """With `data` on standard input."""
    path = os.path.join(directory("stdin"), str(len(os.listdir(directory("stdin")))))
    write(path, data)
    with open(path, "rb") as f:
        return state.run("build", "--progress=plain", "-t", "a", *words, stdin=f, **more)


def built_from(state, data, *words, **more):
    result = build_from(state, data, *words, **more)
    check(result.code == 0, f"build failed: {result}")
    return result


TREE = {"Dockerfile": b"FROM scratch\nCOPY . /\n", "d": None, "d/f": b"f", "link": "d/f"}


def test_standard_input_is_a_dockerfile_or_an_archive_by_its_content():
    state = State()
    built_from(state, b"FROM scratch\nLABEL a=b\n", "-")
    check_equal(Image(state, "a").config["config"]["Labels"], {"a": "b"})
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        built_from(state, make_tar(TREE, mode), "-")
        image = Image(state, "a")
        check_equal(image.line("d/f"), "file 0640 0:0")
        check_equal(image.entry("link").linkname, "d/f")
    again = built_from(state, make_tar(TREE), "-")
    check_in("CACHED", again.err)
    other = {"x/Other": b"FROM scratch\nCOPY d/f /g\n", **TREE}
    built_from(state, make_tar(other), "-f", "x/Other", "-")
    check_equal(Image(state, "a").text("g"), "f")
    lower = {"dockerfile": b"FROM scratch\nCOPY d /\n", "d/f": b"lower"}
    built_from(state, make_tar(lower), "-")
    check_equal(Image(state, "a").text("f"), "lower")


def test_an_archive_cannot_reach_out_of_the_context():
    """SECURITY R37, R53."""
    state = State()
    evil = {"Dockerfile": b"FROM scratch\nCOPY out /copied\nCOPY dir/passwd /p\n", "out": "/etc/hostname", "dir": "/etc"}
    result = build_from(state, make_tar(evil), "-")
    check_equal(result.code, 1)
    check_in("not found", result.err)
    result = build_from(state, make_tar({"Dockerfile": b"FROM scratch\n", "../../../../tmp/img-escaped": b"x"}), "-")
    check_in("'standard input': entry '../../../../tmp/img-escaped': its path contains '..'", result.err)
    check(not os.path.exists("/tmp/img-escaped"), "written outside")
    result = build_from(state, make_tar({"Dockerfile": "/etc/passwd"}), "-")
    check_in("the build context has no 'Dockerfile'", result.err)
    result = build_from(state, make_tar(TREE, "w:gz")[:-20], "-")
    check_equal(result.code, 1)
    check_in("standard input", result.err)


def test_two_dockerfiles_are_refused():
    state = State()
    result = build_from(state, b"FROM scratch\n", "-f", "-", "-")
    check_in("can't use stdin for both build context and dockerfile", result.err)
    result = build_from(state, b"FROM scratch\nLABEL a=b\n", "-f", "x", "-")
    check_in("ambiguous Dockerfile source: both '-' and --file are one", result.err)
    result = build_from(state, make_tar({"a": b"b"}), "-")
    check_in("the build context has no 'Dockerfile'", result.err)


def test_a_url_is_an_archive_or_a_dockerfile():
    w = web()
    w.pages["/ctx.tgz"] = make_tar(TREE, "w:gz")
    w.pages["/Dockerfile"] = b"FROM scratch\nLABEL from=url\n"
    state = State()
    state.ok("build", "-t", "a", w.base + "/ctx.tgz")
    check_equal(Image(state, "a").text("d/f"), "f")
    again = state.ok("build", "--progress=plain", "-t", "a", w.base + "/ctx.tgz")
    check_equal([status for _, status in w.log], [200, 304])
    check_equal(again.err.count("CACHED"), 2)
    state.ok("build", "-t", "a", w.base + "/Dockerfile")
    check_equal(Image(state, "a").config["config"]["Labels"], {"from": "url"})
    built_from(state, b"FROM scratch\nCOPY d/f /stdin\n", "-f", "-", w.base + "/ctx.tgz")
    check_equal(Image(state, "a").text("stdin"), "f")
    state.ok("build", "-t", "a", "-f", w.base + "/Dockerfile", make_context("FROM nothing\n", {}))
    check_equal(Image(state, "a").config["config"]["Labels"], {"from": "url"})
    w.pages["/endless"] = lambda r: endless(r)
    for words in (["build", w.base + "/endless"], ["build", "-f", w.base + "/endless", make_context("", {})]):
        result = state.run(*words)
        check_equal(result.code, 1)
        check_in(w.base + "/endless", result.err)


def endless(request):
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"RUN x\n" * 10000)
    except OSError:
        request.close_connection = True


def test_a_repository_is_a_context():
    repos = repositories()
    repos.make("context.git", {"Dockerfile": b"FROM scratch\nCOPY . /all/\n", "sub/Dockerfile": b"FROM scratch\nCOPY x /x\n",
                               "sub/x": b"x", ".dockerignore": b"*\n"})
    url = repos.base + "/context.git"
    state = State()
    state.ok("build", "-t", "a", url)
    image = Image(state, "a")
    check(image.has("all/sub/x") and not image.has("all/.git"), "an ignore file is not for repositories")
    state.ok("build", "-t", "a", url + "#main:sub")
    check_equal(Image(state, "a").text("x"), "x")
    state.ok("build", "-t", "a", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url)
    check(Image(state, "a").has("all/.git/HEAD"), "keep-git-dir")
    state.ok("build", "-t", "a", "--build-arg", "SOURCE_DATE_EPOCH=context", url)
    check_equal(Image(state, "a").config["created"], "2020-09-13T12:26:40Z")
    result = state.fails("build", url + "#nope")
    check_in("does not contain the ref 'nope'", result.err)


def test_the_dockerfile_may_lie_anywhere_and_its_own_ignore_file_wins():
    state = State()
    where = make_context("FROM nothing\n", {"a": "a", "b": "b", ".dockerignore": "a\n", "sub/D": "FROM scratch\nCOPY . /\n"})
    outside = directory("outside")
    write(os.path.join(outside, "D"), "FROM scratch\nCOPY . /\n")
    state.ok("build", "-t", "a", "-f", os.path.join(outside, "D"), where)
    check(not Image(state, "a").has("a") and Image(state, "a").has("b"), "the context's ignore file")
    write(os.path.join(outside, "D.dockerignore"), "b\n")
    state.ok("build", "-t", "a", "-f", os.path.join(outside, "D"), where)
    check(Image(state, "a").has("a") and not Image(state, "a").has("b"), "the Dockerfile's ignore file")
    state.ok("build", "-t", "a", "-f", "sub/D", where)
    check(Image(state, "a").has("b"), "relative to the context")


# -- named contexts --

def test_a_named_context_is_a_directory_with_its_own_ignore_file():
    state = State()
    named = directory("named")
    write(os.path.join(named, "in"), "in")
    write(os.path.join(named, "out"), "out")
    write(os.path.join(named, ".dockerignore"), "out\n")
    result = state.built(f"FROM {busybox()} AS b\nRUN --mount=from=src,target=/m ls /m > /list && cat /m/in > /mounted\n"
                         "FROM src\nCOPY --from=src . /copied/\nCOPY --from=b /list /mounted /\n",
                         "--build-context", "src=" + named, "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("in"), "in")
    check_equal(image.text("copied/in"), "in")
    check_equal(image.text("mounted"), "in")
    check(not image.has("out") and not image.has("copied/out") and "out" not in image.text("list"), "the ignore file")
    check_in("CACHED", state.built("FROM src\nCOPY --from=src . /copied/\n", "--build-context", "src=" + named).err)
    for pair, sentence in (("src", "NAME=VALUE is expected"), ("src=/nonexistent", "build context 'src': cannot open")):
        result = state.build("FROM src\n", "--build-context", pair)
        check_equal(result.code, 1)
        check_in(sentence, result.err)


def test_a_named_context_stands_for_an_image_and_replaces_a_stage():
    """docker build, "--build-context"."""
    state = State()
    layout = make_layout(directory("named-layout"), [make_tar({"from-layout": b"l"})], {"Env": ["A=layout"]})
    tree = directory("named-tree")
    write(os.path.join(tree, "from-tree"), "t")
    text = "FROM alpine:latest AS base\nFROM base\nCOPY --from=stage / /s/\n"
    state.built("FROM nowhere AS stage\n" + text, "--build-context", "alpine=oci-layout://" + layout,
                "--build-context", "stage=" + tree, "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("from-layout"), "l")
    check_equal(image.text("s/from-tree"), "t")
    check_equal(image.env()["A"], "layout")
    state.built(f"FROM base\nRUN touch /ran\n", "--build-context", f"base=docker-image://{busybox()}", "-t", "b")
    check(Image(state, "b").has("ran") and Image(state, "b").has("bin/sh"), "docker-image://")


def test_a_layout_is_read_by_tag_and_digest_and_checked():
    state = State()
    layout = make_layout(directory("checked-layout"), [make_tar({"f": b"1"})])
    with open(os.path.join(layout, "index.json")) as f:
        digest = json.load(f)["manifests"][0]["digest"]
    for suffix in ("", ":latest", "@" + digest):
        state.built("FROM x\n", "--build-context", f"x=oci-layout://{layout}{suffix}", "-t", "a")
        check_equal(Image(state, "a").text("f"), "1")
    result = state.build("FROM x\n", "--build-context", f"x=oci-layout://{layout}:none")
    check_in("has no image named none", result.err)
    broken = os.path.join(directory("broken"), "layout")
    shutil.copytree(layout, broken)
    with open(os.path.join(broken, "blobs", digest.replace(":", "/")), "ab") as f:
        f.write(b" ")
    result = State().build("FROM x\n", "--build-context", f"x=oci-layout://{broken}")
    check_equal(result.code, 1)
    check_in("is damaged: its bytes have another digest", result.err)


def test_a_named_context_may_be_fetched():
    w = web()
    repos = repositories()
    repos.make("named.git", {"d/g": b"git"})
    w.pages["/named.tgz"] = make_tar({"t": b"tar"}, "w:gz")
    state = State()
    state.built("FROM scratch\nCOPY --from=one / /\nCOPY --from=two / /\n", "--build-context", f"one={repos.base}/named.git#:d",
                "--build-context", f"two={w.base}/named.tgz", "-t", "a")
    check_equal(Image(state, "a").text("g") + Image(state, "a").text("t"), "gittar")


# -- cache mounts that begin with something --

def test_a_cache_mount_is_seeded_once_and_source_is_a_directory_of_it():
    """Dockerfile reference, "RUN --mount=type=cache": from, source."""
    state = State()
    text = (f"FROM {busybox()} AS seed\nRUN mkdir -p /s/d && echo seed > /s/d/f\nFROM {busybox()}\n"
            "RUN --mount=type=cache,target=/c,from=seed,source=/s/d,id=x cat /c/f > /a; ls /c | wc -l > /n; echo more > /c/g # %d\n"
            "RUN --mount=type=cache,target=/plain,id=y,source=sub touch /plain/in-sub\n"
            "RUN --mount=type=cache,target=/plain,id=y ls /plain > /plain-list # %d\n")
    state.built(text % (1, 1), "-t", "a")
    image = Image(state, "a")
    check_equal(image.text("a"), "seed\n")
    check_equal(image.text("n").strip(), "1")
    check_equal(image.text("plain-list"), "sub\n")
    state.built(text % (2, 2), "-t", "a")
    check_equal(Image(state, "a").text("n").strip(), "2")
    result = state.build(f"FROM {busybox()}\nRUN --mount=type=cache,target=/c,from=none:1,source=/x true\n", "--pull=never")
    check_equal(result.code, 1)


if __name__ == "__main__":
    main(globals())
