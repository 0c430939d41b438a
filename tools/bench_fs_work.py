"""The work that tools/bench-fs does in the root of each filesystem, and what it prepares for it.

Each piece is what a build does to files, alone; who watches learns what it cost before the next.
"""
import os
import random
import shutil
import subprocess
import tarfile
import time

BIG_BYTES = 256 << 20
NEW_FILES = 10000
PACKAGES, PACKAGE_FILES = 300, 25
DEBS, DEB_FILES = 20, 50
SOURCES = 60


def run(*argv, **more):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **more)


# -- what lies below, or beside, before the work begins --

def make_tree_archive(path, count):
    """Files of this system, the way an image has them."""
    done = 0
    with tarfile.open(path, "w") as tar:
        for directory, _, names in os.walk("/usr"):
            for name in sorted(names):
                source = os.path.join(directory, name)
                if os.lstat(source).st_size <= 1 << 20:
                    tar.add(source, "tree/" + source[1:], recursive=False)
                    done += 1
            if done >= count:
                return


def make_repository(path, tree, count):
    """A git repository of the first `count` regular files of an archive."""
    where = path + ".work"
    with tarfile.open(tree) as tar:
        members = [m for m in tar if m.isfile() and b".git" not in os.fsencode(m.name)][:count]
        tar.extractall(where, members)
    git = ["git", "-C", where, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"]
    run("git", "init", "-q", "-b", "main", where)
    run(*git, "add", "-A", "-f")
    run(*git, "commit", "-q", "-m", "all")
    run("git", "clone", "-q", "--bare", where, path)
    shutil.rmtree(where)


def make_packages(path):
    """Archives as npm fetches them, one for each package."""
    os.mkdir(path)
    chance = random.Random(5)
    for number in range(PACKAGES):
        where = os.path.join(path, "package")
        os.makedirs(os.path.join(where, "lib/util"))
        for file in range(PACKAGE_FILES):
            name = ("package.json", f"lib/{file}.js", f"lib/util/{file}.js")[
                0 if file == 0 else 1 + file % 2]
            with open(os.path.join(where, name), "w") as out:
                out.write("".join(f"exports.f{k} = x => x + {chance.random()};\n"
                                  for k in range(chance.randrange(5, 120))))
        run("tar", "-czf", os.path.join(path, f"{number}.tgz"), "-C", path, "package")
        shutil.rmtree(where)


# -- the work --

def read_files(names):
    for name in names:
        with open(name, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def walk(root):
    for directory, subdirectories, names in os.walk(root):
        for name in subdirectories + names:
            os.lstat(os.path.join(directory, name))


def write_in(path, piece, size):
    data = b"w" * piece
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    for _ in range(size // piece):
        os.write(fd, data)
    os.close(fd)


def create(directory, count):
    os.mkdir(directory)
    for i in range(count):
        fd = os.open(f"{directory}/{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(fd, b"a small file\n" * 20)
        os.close(fd)


def append_to_big():
    fd = os.open("big", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"x")
    os.close(fd)


def install_packages(archives):
    """What npm ci does: a directory, an archive and a link for each package, then its own list."""
    os.makedirs("app/node_modules/.bin")
    for number in range(PACKAGES):
        where = f"app/node_modules/p{number}"
        os.mkdir(where)
        run("tar", "-xzf", f"{archives}/{number}.tgz", "--strip-components=1", "-C", where)
        os.symlink(f"../p{number}/lib/1.js", f"app/node_modules/.bin/p{number}")
    with open("app/.lock.new", "w") as file:
        file.writelines(f"p{n}\n" for n in range(PACKAGES))
    os.rename("app/.lock.new", "app/lock.json")


def write_durably(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def unpack_deb(root, files):
    """What dpkg does with the files of a package: each is written beside its place, all are made
    durable, then all are renamed."""
    for name, data in files:
        path = f"{root}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        for absent in (path, path + ".dpkg-tmp", path + ".dpkg-new"):
            os.path.lexists(absent)
        fd = os.open(path + ".dpkg-new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.write(fd, data)
        os.fchown(fd, 0, 0)
        os.fchmod(fd, 0o644)
        os.close(fd)
        os.utime(path + ".dpkg-new", (1, 1))
    for name, _ in files:
        fd = os.open(f"{root}/{name}.dpkg-new", os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
        os.rename(f"{root}/{name}.dpkg-new", f"{root}/{name}")


def install_debs(tree):
    """What apt-get install does: packages one by one, and after each the list of them anew."""
    with tarfile.open(tree) as tar:
        members = [m for m in tar if m.isfile()][-DEBS * DEB_FILES:]
        files = [(m.name, tar.extractfile(m).read()) for m in members]
    os.mkdir("dpkg")
    for number in range(DEBS):
        unpack_deb("installed", files[number * DEB_FILES:(number + 1) * DEB_FILES])
        write_durably(f"dpkg/{number}.list", b"".join(n.encode() + b"\n" for n, _ in files))
        write_durably("dpkg/status-new", b"Package: p\n\n" * 20000)
        os.rename("dpkg/status-new", "dpkg/status")


def make_sources():
    os.mkdir("src")
    names = " ".join(f"{i}.o" for i in range(SOURCES))
    with open("src/Makefile", "w") as file:
        file.write(f"a.a: {names}\n\tar cr $@ $^\n%.o: %.c\n\tgcc -O1 -c $< -o $@\n")
    for i in range(SOURCES):
        with open(f"src/{i}.c", "w") as file:
            file.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
            file.writelines(f"int f{i}_{k}(char *s) {{ return (int)strlen(s) + {k}; }}\n"
                            for k in range(100))


def halves(files):
    """The tree below cut in two, each a list of directories with about as many files."""
    sizes = {}
    for name in files:
        top = "/".join(name.split("/")[:5])
        if os.path.isdir(top):
            sizes[top] = sizes.get(top, 0) + 1
    parts = [[0], [0]]
    for top in sorted(sizes, key=lambda name: (-sizes[name], name)):
        part = min(parts, key=lambda names: names[0])
        part[0] += sizes[top]
        part.append(top)
    return parts[0][1:], parts[1][1:]


def forget_all(lab):
    """Has the server of bench-fs drop the kernel's caches of everything, which only root of the
    machine may; for others nothing happens."""
    if not os.path.exists(f"{lab}/drop"):
        return
    with open(f"{lab}/drop", "w") as ask:
        ask.write("?")
    with open(f"{lab}/dropped") as tell:
        tell.read()


def pieces(lab):
    """(name, what to do, what to do before that is not timed): in this order, for what one makes
    the next may use."""
    with tarfile.open(f"{lab}/tree.tar") as tar:
        files = [f"lower/{m.name}" for m in tar if m.isfile()]
    some = files[:10000]
    one, other = halves(files)
    return [
        ("walk, cold", lambda: walk("lower"), lambda: forget_all(lab)),
        ("walk, warm", lambda: walk("lower")),
        ("walk, warm, again", lambda: walk("lower")),
        ("read 10,000 files, cold", lambda: read_files(some), lambda: forget_all(lab)),
        ("read 10,000 files, warm", lambda: read_files(some)),
        ("read 10,000 files, warm, again", lambda: read_files(some)),
        ("append to a file of 256 MiB", append_to_big),
        ("chmod -R of half the tree below", lambda: run("chmod", "-R", "g+w", *one)),
        ("chown -R of the other half", lambda: run("chown", "-R", "1:1", *other)),
        ("untar", lambda: run("tar", "-xf", f"{lab}/tree.tar", "-C", "new")),
        ("read 10,000 new files", lambda: read_files("new/" + name[6:] for name in some)),
        ("rm -rf of new files", lambda: run("rm", "-rf", "new")),
        ("rm -rf of the tree below", lambda: run("rm", "-rf", "lower")),
        ("git clone", lambda: run("git", "clone", "-q", "--no-local", f"{lab}/repo.git", "clone")),
        # What was checked out in the second of the index is read again: how much differs.
        ("git status", lambda: run("git", "-C", "clone", "status"), lambda: time.sleep(1.1)),
        ("git status, again", lambda: run("git", "-C", "clone", "status")),
        ("npm ci", lambda: install_packages(f"{lab}/packages")),
        ("apt-get install", lambda: install_debs(f"{lab}/tree.tar")),
        ("make -j2", lambda: run("make", "-s", "-j2", "-C", "src")),
        ("create 10,000", lambda: create("many", NEW_FILES)),
        ("stat of 10,000 misses", lambda: [os.path.lexists(f"many/no{i}")
                                           for i in range(NEW_FILES)]),
        ("rename 10,000", lambda: [os.rename(f"many/{i}", f"many/r{i}")
                                   for i in range(NEW_FILES)]),
        ("unlink 10,000", lambda: [os.unlink(f"many/r{i}") for i in range(NEW_FILES)]),
        ("write 64 MiB by 4 KiB", lambda: write_in("4k", 4096, 64 << 20)),
        ("write 512 MiB", lambda: write_in("512m", 1 << 20, 512 << 20)),
        ("read 512 MiB", lambda: read_files(["512m"])),
        ("write 512 MiB, to the disk", lambda: (write_in("512d", 1 << 20, 512 << 20), os.sync()),
         lambda: (os.unlink("512m"), os.sync())),
        ("read 512 MiB, cold", lambda: read_files(["512d"]), lambda: forget_all(lab)),
    ]


# What a piece finds only where another was done before.
NEEDS = {
    "read 10,000 new files": "untar", "rm -rf of new files": "untar", "git status": "git clone",
    "git status, again": "git status",
    "stat of 10,000 misses": "create 10,000", "rename 10,000": "create 10,000",
    "unlink 10,000": "rename 10,000", "read 512 MiB": "write 512 MiB",
    "write 512 MiB, to the disk": "write 512 MiB",
    "read 512 MiB, cold": "write 512 MiB, to the disk",
}


def chosen(names, words):
    """Of all pieces those whose name has one of the words, and what they need; no words: all."""
    wanted = {name for name in names if not words or any(word in name for word in words)}
    while missing := {NEEDS[name] for name in wanted if name in NEEDS} - wanted:
        wanted |= missing
    return wanted


def get_ready():
    """What a connection agrees on once is agreed on before anything is timed."""
    os.mkdir("new")
    make_sources()
    with open("first", "w") as file:
        file.write("x")
    read_files(["first"])
    os.listdir("new")
