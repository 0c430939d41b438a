"""Bases for the cases, made without a network from the Debian packages of the host.

busybox: Debian's static busybox and the users it needs. debian: the essential packages, apt, a C
compiler with make and cmake, and python3 with pip, as a root that dpkg and apt can work on. Each is
imported once; a case gets a copy of that state, to which they are `busybox` and `debian:12`.
"""
import io
import os
import re
import shutil
import stat
import subprocess
import tarfile

from harness import *

DPKG = "/var/lib/dpkg"
TOOLS = ["apt", "gcc", "libc6-dev", "make", "cmake", "python3", "python3-pip", "python3-setuptools",
         "python3-wheel", "adduser"]
# Nothing here reads documentation, and nothing links with sanitizers or at link time.
LEFT_OUT = re.compile(r"^/usr/share/(doc|man|locale|info|lintian|bug|cmake-[0-9.]+/Help)(/|$)"
                      r"|/(lto1|ctest|cpack|gconv|gprofng|.*-lto-dump-.*|.*-dwp|.*-ld\.gold)(/|$)"
                      r"|/lib(a|t|l|ub|hwa)san[^/]*$")


PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Base:
    """A base image, and a state that has it."""

    def __init__(self, name, tar, command):
        path = os.path.join(directory("bases"), name.replace(":", "-") + ".tar")
        write(path, tar)
        self.diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest()]
        self.seed = State()
        self.seed.ok("import", "-c", "ENV " + PATH, "-c", f'CMD ["{command}"]', path, name)
        os.unlink(path)
        image = Image(self.seed, name)
        self.tree = dict(image.tree)
        Image.known[self.diff_ids[0]] = self.tree

    def state(self):
        state = State()
        shutil.copytree(self.seed.path, state.path)
        return state


def busybox_base():
    return Base("busybox:latest", busybox_tar(), "sh")


def debian_base():
    return Base("debian:12", debian_tar(), "bash")


# -- the host's packages as a root --

def installed():
    """Name -> fields of each installed package; what it provides counts as its name too."""
    packages, provided = {}, {}
    with open(DPKG + "/status") as f:
        for text in f.read().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ ]*(.*)$", text, re.M))
            if fields.get("Status") != "install ok installed":
                continue
            fields["text"] = text
            packages.setdefault(fields["Package"], fields)
            for name in re.findall(r"([a-z0-9][a-z0-9+.-]+)(?: \(.*?\))?", fields.get("Provides", "")):
                provided.setdefault(name, fields["Package"])
    return packages, provided


def closure(wanted):
    packages, provided = installed()
    found, queue = {}, list(wanted) + [n for n, p in packages.items() if p.get("Essential") == "yes"]
    while queue:
        name = queue.pop()
        name = name if name in packages else provided.get(name, name)
        if name not in packages:
            raise Skip(f"the Debian package {name} is not installed")
        if name in found:
            continue
        found[name] = packages[name]
        for field in ("Pre-Depends", "Depends"):
            for group in filter(None, packages[name].get(field, "").split(",")):
                names = [re.match(r"\s*([a-z0-9+.-]+)", one).group(1) for one in group.split("|")]
                have = [n for n in names if n in packages or n in provided]
                queue.append((have or names)[0])
    return found


class Root:
    """A tar of a root; parents are added before what is in them."""

    def __init__(self):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)
        self.names = {""}

    def add(self, name, kind=tarfile.DIRTYPE, mode=0o755, data=b"", target=""):
        name = name.strip("/")
        if name in self.names:
            return
        if "/" in name:
            self.add(name.rpartition("/")[0])
        self.names.add(name)
        e = tarfile.TarInfo(name)
        e.type, e.mode, e.size, e.linkname, e.mtime = kind, mode, len(data), target, 1700000000
        self.tar.addfile(e, io.BytesIO(data))

    def file(self, name, text):
        self.add(name, tarfile.REGTYPE, 0o644, text.encode())

    def copy(self, path):
        """The host's entry, where its links lead to; what the caller may not read stays out."""
        where = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        try:
            st = os.lstat(where)
            if stat.S_ISLNK(st.st_mode):
                self.add(where, tarfile.SYMTYPE, 0o777, target=os.readlink(where))
            elif stat.S_ISDIR(st.st_mode):
                self.add(where, mode=stat.S_IMODE(st.st_mode))
            elif stat.S_ISREG(st.st_mode):
                with open(where, "rb") as f:
                    self.add(where, tarfile.REGTYPE, stat.S_IMODE(st.st_mode), f.read())
        except (FileNotFoundError, PermissionError):
            pass

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


def master(name):
    with open("/usr/share/base-passwd/" + name) as f:
        return f.read().replace(":*:", ":x:")


def debian_tar(wanted=TOOLS):
    """A root of the packages `wanted` and all they depend on, as if they had been unpacked there."""
    if not os.path.exists(DPKG + "/status"):
        raise Skip("the host has no Debian packages")
    packages = closure(wanted)
    root = Root()
    for name in ("bin", "sbin", "lib", "lib64", "usr", "etc", "var", "root", "home", "run", "proc",
                 "sys", "dev", "opt", "srv", "mnt"):
        if os.path.islink("/" + name):
            root.copy("/" + name)
        else:
            root.add(name, mode=0o700 if name == "root" else 0o755)
    root.add("tmp", mode=0o1777)
    root.add("var/tmp", mode=0o1777)
    for name, package in sorted(packages.items()):
        stem = name if os.path.exists(f"{DPKG}/info/{name}.list") else \
            f"{name}:{package['Architecture']}"
        with open(f"{DPKG}/info/{stem}.list") as f:
            for path in f.read().splitlines():
                if path != "/." and not LEFT_OUT.search(path):
                    root.copy(path)
        for one in ("list", "md5sums", "conffiles", "postinst", "prerm", "postrm", "preinst", "triggers"):
            root.copy(f"{DPKG}/info/{stem}.{one}")
    for name in sorted(os.listdir("/etc/alternatives")):
        if os.path.exists("/etc/alternatives/" + name):
            root.copy("/etc/alternatives/" + name)
    for name in sorted(os.listdir("/usr/bin")):
        if os.path.islink("/usr/bin/" + name) and os.readlink("/usr/bin/" + name).startswith("/etc/alt"):
            root.copy("/usr/bin/" + name)
    root.file("etc/passwd", master("passwd.master") + "_apt:x:100:65534::/nonexistent:/usr/sbin/nologin\n")
    root.file("etc/group", master("group.master"))
    root.add("etc/shadow", tarfile.REGTYPE, 0o640, b"root:*:19000:0:99999:7:::\n")
    root.add("etc/gshadow", tarfile.REGTYPE, 0o640, b"root:*::\n")
    for name in ("updates", "triggers", "parts", "alternatives"):
        root.add(f"var/lib/dpkg/{name}")
    root.file("var/lib/dpkg/status", "".join(p["text"] + "\n\n" for _, p in sorted(packages.items())))
    root.file("var/lib/dpkg/available", "")
    root.file("var/lib/dpkg/info/format", "1\n")
    return root.bytes()
