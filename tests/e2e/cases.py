"""Reads the cases of tests/build/cases and compares an image with what a case expects.

A case is a folder: `Dockerfile`, whose first comment says what it defends; `context/`, if there is
one; `prepare`, a shell script run in a copy of the context for what a checkout cannot carry (modes,
links, archives, big files); `expected`, read here. A line of `expected` is one of

    base NAME                 busybox (the default) or debian; Dockerfiles name it so
    env NAME=VALUE            for what follows; {context} is the copy of the context
    agent                     an ssh agent with one key, in SSH_AUTH_SOCK
    build WORD...             builds the case with these options; without any such line, one build
    sh COMMAND                in the copy of the context, between two builds
    img WORD...               another command of img, whose output says and silent then look at
    exit N                    of the last command, 0 unless said
    says TEXT                 stands in what the last command printed
    silent TEXT               does not
    cached N                  so many steps of the last build were cached, FROM not counted
    clean TEXT                stands in no file of the state directory, nor in the image
    layers N                  above the base
    config KEY JSON           of the image's config.config; null when it is not there
    image KEY JSON            of the image's config
    history TEXT              one line for each entry above the base, in order; "- TEXT" has no layer
    tree                      all that differs from the base is in the lines below, until the next word
    dir MODE UID:GID PATH
    file MODE UID:GID PATH CONTENT    a JSON string, @FILE of the context, size N, or * for any
    link PATH TARGET
    hard PATH OTHER           one file with OTHER
    fifo MODE UID:GID PATH
    gone PATH                 the base has it, the image does not
    any PATTERN               may differ: a path, a * of one component, or DIR/** for all below

A line that ends with a backslash goes on in the next one. Modes, owners and contents come from the
layers as tarfile reads them, the config from the manifest; no word of it is img's own.
"""
import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import threading

from harness import *

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "cases")
TREE_WORDS = {"dir", "file", "link", "hard", "fifo", "gone", "any"}


def read_expected(path):
    lines = []
    with open(path) as f:
        text = f.read().replace("\\\n", "")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            lines.append((word, rest.strip()))
    return lines


def copy_context(case, to):
    """The context with the modes a fresh checkout has under any umask."""
    source = os.path.join(case, "context")
    os.makedirs(to)
    if os.path.isdir(source):
        shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
    for where, dirs, files in os.walk(to):
        os.chmod(where, 0o755)
        for name in files:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                executable = os.stat(path).st_mode & stat.S_IXUSR
                os.chmod(path, 0o755 if executable else 0o644)
    prepare = os.path.join(case, "prepare")
    if os.path.exists(prepare):
        subprocess.run(["sh", "-eu", prepare], cwd=to, check=True)


# -- the image as lines --

def content_of(entry, data):
    try:
        return json.dumps(data.decode())
    except UnicodeDecodeError:
        return f"size {entry.size}"


def describe(tree, path):
    """Type, mode, owner and content of one path; None when it is not there."""
    if path not in tree:
        return None
    e, data = tree[path]
    owner = f"{e.mode & 0o7777:04o} {e.uid}:{e.gid}"
    if e.issym():
        return ("link", e.linkname)
    if e.isdir():
        return ("dir", owner)
    if e.isfifo():
        return ("fifo", owner)
    return ("file", owner, data)


def same_file(tree, path, other):
    """True when the layer that holds `path` says that it is one file with `other`."""
    def head(name):
        e = tree[name][0]
        return e.linkname.strip("/").removeprefix("./") if e.islnk() else name
    return path in tree and other in tree and head(path) == head(other)


def matches(path, pattern):
    if pattern.endswith("/**"):
        return path == pattern[:-3] or path.startswith(pattern[:-2])
    return len(path.split("/")) == len(pattern.split("/")) and fnmatch.fnmatchcase(path, pattern)


class Case:
    def __init__(self, folder, base_of):
        self.folder = folder
        self.name = os.path.basename(folder)
        self.lines = read_expected(os.path.join(folder, "expected"))
        words = dict(line for line in self.lines if line[0] == "base")
        self.base = base_of(words.get("base", "busybox"))
        self.state = self.base.state()
        self.context = os.path.join(directory("cases"), self.name)
        self.env = {}
        self.agent = None
        self.result = None
        self.code_checked = True
        self.image = None

    def run(self):
        copy_context(self.folder, self.context)
        if not any(word == "build" for word, _ in self.lines):
            self.build("")
        at = 0
        try:
            while at < len(self.lines):
                word, rest = self.lines[at]
                at += 1
                if word == "tree":
                    end = at
                    while end < len(self.lines) and self.lines[end][0] in TREE_WORDS:
                        end += 1
                    self.check_tree(self.lines[at:end])
                    at = end
                elif word == "history":
                    end = at
                    while end < len(self.lines) and self.lines[end][0] == "history":
                        end += 1
                    self.check_history([text for _, text in self.lines[at - 1:end]])
                    at = end
                else:
                    getattr(self, "do_" + word)(rest)
            self.check_code(0)
        finally:
            if self.agent:
                self.agent.stop()

    # -- words that do something --

    def do_base(self, rest):
        pass

    def do_env(self, rest):
        name, _, value = rest.partition("=")
        self.env[name] = value.replace("{context}", self.context)

    def do_agent(self, rest):
        self.agent = Agent(os.path.join(directory("agents"), self.name))
        self.env["SSH_AUTH_SOCK"] = self.agent.path

    def command(self, *words):
        self.check_code(0)
        self.result = self.state.run(*words, env=self.env)
        self.code_checked = False

    def build(self, rest):
        words = [w.replace("{context}", self.context) for w in shlex.split(rest)]
        self.image = None
        self.command("build", "--progress=plain", "-t", self.name, "-f",
                     os.path.join(self.folder, "Dockerfile"), *words, self.context)

    def do_build(self, rest):
        self.build(rest)

    def do_img(self, rest):
        self.command(*[w.replace("{context}", self.context) for w in shlex.split(rest)])

    def do_sh(self, rest):
        self.check_code(0)
        subprocess.run(["sh", "-eu", "-c", rest], cwd=self.context, check=True)

    # -- words that check --

    def check_code(self, wanted):
        if self.result is not None and not self.code_checked and self.result.code != wanted:
            raise AssertionError(f"wanted exit {wanted}: {self.result}")
        self.code_checked = True

    def do_exit(self, rest):
        self.check_code(int(rest))

    def said(self):
        return self.result.out + self.result.err

    def do_says(self, rest):
        check_in(rest, self.said())

    def do_silent(self, rest):
        check(rest not in self.said(), f"it says {rest!r}:\n{self.said()}")

    def do_cached(self, rest):
        self.check_code(0)
        lines = self.result.err.splitlines()
        bases = {l.split()[0] for l in lines if re.match(r"#\d+ \[[^]]*\] FROM ", l)}
        hits = [l for l in lines if l.endswith(" CACHED") and l.split()[0] not in bases]
        check(len(hits) == int(rest), f"wanted {rest} cached steps: {self.result}")

    def do_clean(self, rest):
        self.check_code(0)
        check(rest not in self.said(), f"the log says {rest!r}")
        for where, _, names in os.walk(self.state.path):
            for name in names:
                with open(os.path.join(where, name), "rb") as f:
                    check(rest.encode() not in f.read(), f"{rest!r} is in {where}/{name}")
        image = self.built()
        check(rest not in json.dumps(image.config), f"{rest!r} is in the config")
        for path, (_, data) in image.tree.items():
            check(data is None or rest.encode() not in data, f"{rest!r} is in {path}")

    def built(self):
        self.check_code(0)
        if self.image is None:
            self.image = Image(self.state, self.name)
        return self.image

    def base_layers(self):
        """How many of the image's layers are the base's: all of them or, FROM scratch, none."""
        mine, base = self.built().config["rootfs"]["diff_ids"], self.base.diff_ids
        return len(base) if mine[:len(base)] == base else 0

    def do_layers(self, rest):
        check_equal(len(self.built().layers) - self.base_layers(), int(rest))

    def do_config(self, rest):
        key, _, value = rest.partition(" ")
        actual = self.built().config.get("config", {}).get(key)
        check(actual == json.loads(value), f"{key}: wanted {value}, it is {json.dumps(actual)}")

    def do_image(self, rest):
        key, _, value = rest.partition(" ")
        actual = self.built().config.get(key)
        check(actual == json.loads(value), f"{key}: wanted {value}, it is {json.dumps(actual)}")

    def check_history(self, wanted):
        entries = self.built().config["history"]
        skip = self.base_layers()  # the bases have one entry a layer
        actual = [("- " if e.get("empty_layer") else "") + e["created_by"] for e in entries[skip:]]
        check_equal("\n".join(actual), "\n".join(wanted))
        check_equal(len([e for e in entries if not e.get("empty_layer")]), len(self.built().layers))

    def check_tree(self, lines):
        tree = self.built().tree
        base = self.base.tree if self.base_layers() else {}
        wanted, any_of = {}, []
        for word, rest in lines:
            if word == "any":
                any_of.append(rest)
                continue
            path = self.check_line(tree, word, rest)
            check(path not in wanted, f"{path} is there twice")
            wanted[path] = True
        for path in sorted(set(tree) | set(base)):
            if path in wanted or any(matches(path, p) for p in any_of):
                continue
            now, before = describe(tree, path), describe(base, path)
            check(now == before, f"{path} is not expected: it was {short(before)}, now {short(now)}")

    def check_line(self, tree, word, rest):
        if word == "gone":
            check(rest not in tree, f"{rest} is still there")
            check(rest in self.base.tree, f"{rest} never was there")
            return rest
        if word in ("link", "hard"):
            path, _, other = rest.partition(" ")
            if word == "hard":
                check(same_file(tree, path, other), f"{path} is not one file with {other}")
            else:
                check_equal((path, describe(tree, path)), (path, ("link", other)))
            return path
        mode, owner, rest = rest.split(" ", 2)
        path, _, content = rest.partition(" ")
        path = "" if path == "." else path
        actual = describe(tree, path)
        check(actual is not None, f"{path} is not in the image; it has: "
              + " ".join(p for p in sorted(tree) if p not in self.base.tree)[:2000])
        check_equal((path,) + actual[:2], (path, word, f"{mode} {owner}"))
        if word == "file":
            self.check_content(path, actual[2], content)
        return path

    def check_content(self, path, data, content):
        if content == "*":
            return
        if content.startswith("size "):
            check_equal((path, len(data)), (path, int(content[5:])))
        elif content.startswith("@"):
            with open(os.path.join(self.context, content[1:]), "rb") as f:
                check(data == f.read(), f"{path} is not what {content[1:]} is")
        else:
            check_equal((path, data), (path, json.loads(content).encode()))


def short(line):
    return "not there" if line is None else " ".join(str(part)[:100] for part in line)


# -- an ssh agent --

class Agent:
    """Answers a request for identities (draft-miller-ssh-agent, 4.4) with one key; refuses others."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        key = struct.pack(">I", 3) + b"key" + struct.pack(">I", 7) + b"comment"
        with client, client.makefile("rb") as requests:
            while len(head := requests.read(4)) == 4:
                request = requests.read(struct.unpack(">I", head)[0])
                reply = b"\x0c" + struct.pack(">I", 1) + key if request[:1] == b"\x0b" else b"\x05"
                client.sendall(struct.pack(">I", len(reply)) + reply)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
