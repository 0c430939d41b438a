"""What a power cut leaves (SECURITY S12). Every call that changes the state directory is recorded by
strace, with its bytes, and played back on a model of a disk that keeps what was synchronised and, of the
rest, nothing or any part. Cut after any call, the state must be sound, and have all that a finished
command had made durable."""
import random
import re

from harness import *

CALLS = ("openat", "open", "pwrite64", "write", "pwritev", "copy_file_range", "ftruncate", "fallocate", "fsync",
         "fdatasync", "linkat", "unlinkat", "unlink", "renameat", "renameat2", "rename", "mkdirat", "mkdir", "rmdir")
PIECE = 512  # what a disk writes whole


# -- the disk --

class File:
    def __init__(self):
        self.data, self.durable, self.pending = bytearray(), b"", []

    def change(self, change):
        change(self.data)
        self.pending.append(change)

    def sync(self):
        self.durable, self.pending = bytes(self.data), []

    def after_cut(self, keep):
        data = bytearray(self.durable)
        for change in self.pending:
            if keep():
                change(data)
        return data


class Rename:
    """Both of its halves are on the disk, or none (rename(2))."""
    def __init__(self):
        self.is_durable, self.cut, self.answer = False, None, False

    def is_kept(self, keep):
        if self.cut is not keep:
            self.cut, self.answer = keep, keep()
        return self.is_durable or self.answer


class Directory:
    def __init__(self):
        self.names, self.durable, self.pending = {}, {}, []

    def set(self, name, what, rename=None):
        self.pending.append((name, what, rename))
        if what is None:
            self.names.pop(name, None)
        else:
            self.names[name] = what

    def sync(self):
        for _, _, rename in self.pending:
            if rename:
                rename.is_durable = True
        self.durable, self.pending = dict(self.names), []

    def after_cut(self, keep):
        names = dict(self.durable)
        for name, what, rename in self.pending:
            if rename.is_kept(keep) if rename else keep():
                names.update({name: what}) if what is not None else names.pop(name, None)
        return names


def put(offset, data):
    def change(to):
        if len(to) < offset:
            to.extend(bytes(offset - len(to)))
        to[offset:offset + len(data)] = data
    return change


def resize(size):
    def change(to):
        if size < len(to):
            del to[size:]
        to.extend(bytes(size - len(to)))
    return change


class Disk:
    """`root` is what paths of the log begin with."""
    def __init__(self, root):
        self.root, self.top, self.nameless, self.descriptors, self.positions = root, Directory(), {}, {}, {}

    def find(self, path):
        """(the object, its directory, its name); the object may be None."""
        at, above, name = self.top, None, ""
        for name in [n for n in path.removeprefix(self.root).split("/") if n]:
            above, at = at, at.names.get(name) if at is not None else None
        return at, above, name

    def is_ours(self, path):
        return path == self.root or path.startswith(self.root + "/")

    def at(self, path):
        """The file of a descriptor, by the name strace gave: one without a name has a number."""
        return self.nameless.get(path) or self.find(path)[0]

    def made(self, path, what):
        at, above, name = self.find(path)
        if at is None:
            above.set(name, what)
        return at or what

    def cut(self, keep):
        """The tree as {path: bytes, or None for a directory}."""
        found = {}

        def walk(directory, path):
            found[path] = None
            for name, what in directory.after_cut(keep).items():
                if isinstance(what, Directory):
                    walk(what, path + "/" + name)
                else:
                    found[path + "/" + name] = bytes(what.after_cut(keep))
        walk(self.top, "")
        return found


# -- the log --

def text_of(quoted):
    return bytes(int(h, 16) for h in re.findall(rb"\\x(..)", quoted))


def arguments(line):
    """strace's arguments: strings and paths of descriptors as bytes, the rest as it is."""
    found = []
    for part in re.finditer(rb'"((?:\\x..)*)"(\.\.\.)?|(-?\w+)<((?:\\x..)*)>(?:\([^)]*\))?|([^,\s]+)', line):
        if part[2]:
            raise AssertionError("strace cut a string short")
        if part[3] is not None:
            found.append((part[3].decode(), text_of(part[4]).decode(errors="surrogateescape")))
        elif part[5] is not None:
            found.append(part[5].decode())
        else:
            found.append(text_of(part[1]))
    return found


def calls_of(path):
    """(process, call, arguments, result) in the order in which they ended, failed ones left out."""
    begun = {}
    with open(path, "rb") as f:
        for line in f:
            pid, rest = line.rstrip(b"\n").split(None, 1)
            if rest.endswith(b"<unfinished ...>"):
                begun[pid] = rest.removesuffix(b"<unfinished ...>")
                continue
            resumed = re.match(rb"<\.\.\. \w+ resumed>(.*)", rest, re.S)
            if resumed:
                rest = begun.pop(pid) + resumed[1]
            call = re.match(rb"(\w+)\((.*)\)\s+= (-?\d+)(.*)", rest, re.S)
            if call and int(call[3]) >= 0:
                yield pid, call[1].decode(), arguments(call[2]), (call[3].decode(), arguments(call[3] + call[4])[0])


def path_of(at, name):
    name = name.decode(errors="surrogateescape")
    return os.path.normpath(name if name.startswith("/") else os.path.join(at[1], name))


def play(disk, pid, call, a, result):
    """Does one call; True when it made something durable."""
    number = lambda i: int(a[i])
    if call in ("openat", "open"):
        path = path_of(*(a[0:2] if call == "openat" else (("AT_FDCWD", "/"), a[0])))
        flags, opened = a[2 if call == "openat" else 1], result[1]
        if not disk.is_ours(path) or isinstance(opened, str):
            return False
        if "O_TMPFILE" in flags:
            disk.nameless[opened[1]] = File()
        elif "O_CREAT" in flags:
            disk.made(path, File())
        if "O_TRUNC" in flags:
            disk.find(path)[0].change(resize(0))
        disk.positions[opened[0]] = 0
        return False
    if call in ("linkat", "renameat", "renameat2"):
        source, target = path_of(a[0], a[1]), path_of(a[2], a[3])
        if not disk.is_ours(target):
            return False
        taken = re.fullmatch(r"/proc/self/fd/(\d+)", source)
        what = disk.descriptors[taken[1]] if taken else disk.find(source)[0]
        rename = Rename() if call != "linkat" else None
        disk.find(target)[1].set(disk.find(target)[2], what, rename)
        if rename:
            disk.find(source)[1].set(disk.find(source)[2], None, rename)
        return False
    if call in ("mkdirat", "mkdir", "unlinkat", "unlink", "rmdir", "rename"):
        path = path_of(*(a[0:2] if call.endswith("at") else (("AT_FDCWD", "/"), a[0])))
        if not disk.is_ours(path):
            return False
        check(call != "rename", "rename(2) is not used")
        if call.startswith("mkdir"):
            if path != disk.root:
                disk.made(path, Directory())
        else:
            disk.find(path)[1].set(disk.find(path)[2], None)
        return False
    if not isinstance(a[0], tuple) or not (disk.is_ours(a[0][1]) or a[0][1] in disk.nameless):
        return False
    what = disk.at(a[0][1])
    if what is None:
        return False  # its name is gone
    disk.descriptors[a[0][0]] = what
    if call in ("fsync", "fdatasync"):
        what.sync()
        return True
    if call == "ftruncate":
        what.change(resize(number(1)))
    elif call == "fallocate":
        if a[1] == "0":
            what.change(resize(max(len(what.data), number(2) + number(3))))
        elif "PUNCH_HOLE" in a[1]:
            what.change(put(number(2), bytes(min(number(3), max(0, len(what.data) - number(2))))))
    else:
        check(call in ("write", "pwrite64"), f"{call} is not played back")
        size = int(result[0])
        offset = number(3) if call == "pwrite64" else disk.positions.get(a[0][0], len(what.data))
        if call == "write":
            disk.positions[a[0][0]] = offset + size
        for part in range(0, size, PIECE):  # each of them may be lost
            what.change(put(offset + part, a[1][part:min(part + PIECE, size)]))
    return False


# -- the claim --

def record(state, log, *words):
    result = subprocess.run(["strace", "-f", "-xx", "-y", "-s", str(8 << 20), "-o", log, "-e", "trace=" + ",".join(CALLS),
                             IMG, *words], env=traced(state.env), stdin=subprocess.DEVNULL, capture_output=True)
    check(result.returncode == 0, f"{words}: {result.stderr.decode()}")


def write_tree(tree, where):
    shutil.rmtree(where, ignore_errors=True)
    for path, data in sorted(tree.items()):
        if data is None:
            os.mkdir(where + path, 0o700)
        else:
            with open(where + path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(data)


def check_after_cut(tree, where, wanted, what):
    """Sound once it was opened, and with the images of every command that had ended."""
    write_tree(tree, where)
    state = State()
    state.env["IMG_STATE"] = where
    if "/img.db" not in tree and not wanted:
        return
    names = state.run("ls", "--format", "{{.Name}}")
    check(names.code == 0, f"{what}: {names}")
    check(all(w in names.out for w in wanted), f"{what}: {wanted} are not all in {names.out!r}")
    result = state.run("fsck")
    check(result.code == 0, f"{what}: {result}")


def test_a_power_cut_at_any_moment_leaves_a_sound_store():
    if shutil.which("strace") is None:
        raise Skip("strace is not installed")
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    chance = random.Random(seed)
    state = State()
    small = io.BytesIO()
    with tarfile.open(fileobj=small, mode="w") as tar:
        e = tarfile.TarInfo("file")
        e.size = 3000
        tar.addfile(e, io.BytesIO(chance.randbytes(3000)))
    ref = registry().push_layout(make_layout(directory("power"), [small.getvalue()]), "power:1")
    context = make_context(f"FROM {ref}\nCOPY data /a\nWORKDIR /w\n", {"data": chance.randbytes(5000)})
    other = make_context(f"FROM {ref}\nCOPY data /b\n", {"data": chance.randbytes(5000)})
    commands = [(("pull", ref), {ref}), (("build", "-t", "one", context), {ref, "one"}),
                (("build", "-t", "two", other), {ref, "one", "two"}), (("rm", "one"), {ref, "two"}),
                (("prune", "--all", "--force"), {ref, "two"})]
    disk, where, cuts, wanted = Disk(state.path), os.path.join(SCRATCH, "cut"), 0, set()
    for words, afterwards in commands:
        log = os.path.join(SCRATCH, "power.log")
        record(state, log, *words)
        wanted &= afterwards  # what is being removed may be there or not
        for count, call in enumerate(calls_of(log)):
            if call[1] in ("fsync", "fdatasync"):  # the worst moments are just before and after one
                for kept, keep in (("all", lambda: True), ("parts", lambda: chance.random() < 0.5)):
                    check_after_cut(disk.cut(keep), where, wanted, f"{words}, before call {count}, {call[1]}, {kept} kept")
                    cuts += 1
            if play(disk, *call):
                check_after_cut(disk.cut(lambda: False), where, wanted, f"{words}, after call {count}")
                cuts += 1
        check_trees(disk, state.path)
        wanted = afterwards
        check_after_cut(disk.cut(lambda: False), where, wanted, f"after {words}")
    print(f"# {cuts} cuts")


def check_trees(disk, path):
    """The play ends with what is there: the model and the log are right."""
    tree = disk.cut(lambda: True)
    for directory_path, names, files in os.walk(path):
        for name in names + files:
            real = os.path.join(directory_path, name)
            found = tree.pop(real.removeprefix(path), "nothing")
            check(found != "nothing", f"{real} is not in the model")
            if not os.path.isdir(real):
                with open(real, "rb") as f:
                    check(f.read() == found, f"{real} has other bytes in the model")
    check_equal(sorted(set(tree) - {""}), [])


if __name__ == "__main__":
    main(globals())
