"""What tools/bench measures with: processes and their costs, img, its peers, and bare mounts.

A tool is one program on one state directory nobody used before. Tools answer to the same verbs, so
that a workload is written once. Nothing here knows a workload.
"""
import ctypes
import os
import re
import resource
import shlex
import statistics
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
INSIDE = re.compile(r"\bbench-ns (\d+)\b")
USERNS = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--propagation", "slave"]


class Failed(Exception):
    pass


class Sample:
    """One run: seconds of the clock and of CPU, peak resident bytes of its largest process, the
    seconds its command took inside, when it said so, and the bytes of disk it added, if asked."""

    def __init__(self, wall, cpu, rss, inside=None, disk=None):
        self.wall, self.cpu, self.rss, self.inside, self.disk = wall, cpu, rss, inside, disk


def timed(command):
    """A shell line that runs command and prints how long it took; needs date(1) of coreutils."""
    return f"s=$(date +%s%N) && {{ {command}; }} && e=$(date +%s%N) && echo bench-ns $((e-s))"


def own_children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as f:
            return set(map(int, f.read().split()))
    except OSError:
        return set()


class Lab:
    def __init__(self, work, img):
        self.work = work
        self.img = img
        self.log = os.path.join(work, "log")
        self.services = set()
        self.runtime = []
        self.count = 0
        own = ("XDG_", "IMG_", "BUILDAH_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        env.update(HOME=self.directory("home"), XDG_RUNTIME_DIR=self.directory("xdg"), TMPDIR=
                   self.directory("tmp"), LC_ALL="C.UTF-8")
        env.pop("SOURCE_DATE_EPOCH", None)
        self.env = env
        # Servers of mounts outlive what started them: they become our children, and are counted.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def path(self, *names):
        return os.path.join(self.work, *names)

    def directory(self, *names):
        path = self.path(*names)
        os.makedirs(path, exist_ok=True)
        return path

    def fresh(self, name):
        self.count += 1
        return self.directory(f"{name}.{self.count}")

    def remove(self, *paths):
        """Removes trees that may hold files of our subordinate ids."""
        existing = [path for path in paths if os.path.lexists(path)]
        if existing:
            subprocess.run(["rm", "-rf", *existing], stderr=subprocess.DEVNULL, check=False)
        existing = [path for path in existing if os.path.lexists(path)]
        if existing:
            self.plain([*USERNS, "sh", "-c", 'chmod -R u+rwx "$@" 2>/dev/null; rm -rf "$@"', "sh",
                        *existing])

    def disk_bytes(self, path):
        os.sync()
        done = self.plain([*USERNS, "du", "-s", "-B1", path], output=True)
        return int(done.split()[0])

    def plain(self, argv, env=None, output=False):
        """Runs what is not measured."""
        done = subprocess.run(argv, env=env or self.env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
        if done.returncode != 0:
            raise Failed(f"{shlex.join(argv)[:300]}: exit {done.returncode}\n{done.stdout[-2000:]}")
        return done.stdout if output else None

    def child(self, function, *words):
        """Calls function in a process of its own, so that ours stays small: a child's peak memory
        starts at what its parent held when it was made."""
        pid = os.fork()
        if pid == 0:
            try:
                function(*words)
                os._exit(0)
            except BaseException as problem:  # whatever it was, the parent must not go on as two
                os.write(2, f"{function.__name__}: {problem!r}\n".encode())
                os._exit(1)
        if os.waitpid(pid, 0)[1] != 0:
            raise Failed(f"{function.__name__} failed")

    def measure(self, argv, env=None, cwd=None, keep=False):
        """Runs argv and says what it cost, with the servers it left behind unless they are to be
        kept. What earlier work has still to write is written first."""
        self.reap()  # what earlier work left is not ours to count
        os.sync()
        with open(self.log, "wb") as log:
            start = time.perf_counter()
            process = subprocess.Popen(argv, env=env or self.env, cwd=cwd, stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        with open(self.log, errors="replace") as log:
            text = log.read()
        if process.returncode != 0:
            raise Failed(f"{shlex.join(argv)[:300]}: exit {process.returncode}\n{text[-2000:]}")
        cpu, rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        for usage in [] if keep else self.reap():
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss)
        inside = INSIDE.findall(text)
        return Sample(wall, cpu, rss * 1024, int(inside[-1]) / 1e9 if inside else None)

    def reap(self):
        usages = []
        for _ in range(100):
            if not own_children() - self.services:
                break
            pid, _, usage = os.wait4(-1, os.WNOHANG)
            if pid in self.services:
                raise Failed("the registry ended")
            if pid:
                usages.append(usage)
            else:
                time.sleep(0.01)
        return usages

    def bare(self, kind, lower, command):
        """Runs command in a root that is `kind` above the tree lower, with no builder."""
        base = self.fresh("bare")
        upper, temp, root = (os.path.join(base, name) for name in ("upper", "temp", "root"))
        for path in (upper, temp, root):
            os.mkdir(path)
        layers = f"lowerdir={lower},upperdir={upper},workdir={temp}"
        mount = {"overlay": f"mount -t overlay overlay -o {layers},userxattr {root}",
                 "fuse-overlayfs": f"fuse-overlayfs -o {layers} {root}",
                 "plain": f"mount --bind {root} {root}",
                 "memory": f"mount -t tmpfs -o size=90% memory {root} && cp -a {lower}/. {root}",
                 }[kind]
        if kind == "plain":
            self.plain([*USERNS, "cp", "-a", lower + "/.", root])
        script = f"{mount} && mount --rbind /dev {root}/dev && " \
                 f"mount --rbind /proc {root}/proc && " \
                 f"chroot {root} /bin/sh -c {shlex.quote(timed(command))} && umount -l {root}"
        try:
            sample = self.measure([*USERNS, "sh", "-c", script], env={
                **self.env, "HOME": "/root", "TMPDIR": "/tmp",
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        finally:
            self.remove(base)
        return sample


class Img:
    name = "img"

    def __init__(self, lab):
        self.lab = lab
        self.state = os.path.join(lab.fresh("img"), "state")  # made by img, for nobody else
        self.env = {**lab.env, "IMG_STATE": self.state}

    def build(self, context, name, *options, cached=True):
        return [self.lab.img, "build", "-t", name, *([] if cached else ["--no-cache"]), *options,
                context]

    def jobs(self, count):
        return ["--jobs", str(count)]

    def pull(self, name):
        return [self.lab.img, "pull", name]

    def push(self, name, target):
        if name != target:
            self.lab.plain([self.lab.img, "tag", name, target], env=self.env)
        return [self.lab.img, "push", target]

    def load(self, path):
        return [self.lab.img, "load", "-i", path]

    def version(self):
        return [self.lab.img, "version"]

    def images(self):
        return [self.lab.img, "ls"]

    def save(self, name, kind, output):
        return [self.lab.img, "save", "--format", kind, "-o", output, name]

    def measure(self, argv, **more):
        return self.lab.measure(argv, env=self.env, **more)

    def plain(self, argv):
        self.lab.plain(argv, env=self.env)

    def mounted_listing(self, name):
        """What mounting an image and listing its root costs."""
        where = self.lab.fresh("mnt")
        line = '"$0" mount "$1" "$2" && ls "$2"'
        sample = self.measure(["sh", "-c", line, self.lab.img, name, where], keep=True)
        self.plain([self.lab.img, "umount", where])
        self.lab.reap()
        return sample

    def disk_bytes(self):
        return self.lab.disk_bytes(self.state)

    def remove(self):
        self.lab.remove(os.path.dirname(self.state))


class Buildah:
    def __init__(self, lab, driver):
        self.lab = lab
        self.name = f"buildah {driver}"
        self.state = lab.fresh("buildah")
        self.env = lab.env
        self.argv = ["buildah", "--root", self.state + "/root", "--runroot", self.state + "/run",
                     "--storage-driver", "vfs" if driver == "vfs" else "overlay"]
        if driver == "fuse":
            self.argv += ["--storage-opt", "overlay.mount_program=/usr/bin/fuse-overlayfs"]

    def build(self, context, name, *options, cached=True):
        return [*self.argv, "build", "--layers", "--tls-verify=false", *self.lab.runtime,
                "-t", name, *([] if cached else ["--no-cache"]), *options, context]

    def jobs(self, count):
        return ["--jobs", str(count)]

    def pull(self, name):
        return [*self.argv, "pull", "--tls-verify=false", name]

    def push(self, name, target):
        return [*self.argv, "push", "--tls-verify=false", name, "docker://" + target]

    def version(self):
        return ["buildah", "version"]

    def images(self):
        return [*self.argv, "images"]

    def save(self, name, kind, output):
        self.lab.remove(output)
        return [*self.argv, "push", name, f"{kind}-archive:{output}"]

    def measure(self, argv, **more):
        return self.lab.measure(argv, env=self.env, **more)

    def plain(self, argv):
        self.lab.plain(argv, env=self.env)

    def mounted_listing(self, name):
        tool = shlex.join(self.argv)
        line = f'c=$({tool} from --pull-never "$0") && ls "$({tool} mount $c)"'
        sample = self.measure(["buildah", "unshare", "sh", "-c", line, name])
        self.plain([*self.argv, "rm", "--all"])
        return sample

    def disk_bytes(self):
        return self.lab.disk_bytes(self.state)

    def remove(self):
        self.lab.plain(["buildah", "unshare", "sh", "-c",
                        'umount -l "$0"/root/overlay 2>/dev/null; rm -rf "$0"', self.state])


def choose_runtime(lab, base):
    """How buildah runs a step here: the first way that works, best first."""
    context = lab.fresh("probe")
    with open(os.path.join(context, "Dockerfile"), "w") as f:
        f.write(f"FROM {base}\nRUN true\n")
    problem = None
    for words in (["--isolation", "rootless", "--runtime", "crun"],
                  ["--isolation", "rootless", "--runtime", "runc"], ["--isolation", "chroot"]):
        lab.runtime = words
        tool = Buildah(lab, "overlay")
        try:
            tool.plain(tool.build(context, "probe"))
            return
        except Failed as reason:
            problem = reason
        finally:
            tool.remove()
    raise problem


class Results:
    """Samples by row and by who was measured."""

    def __init__(self):
        self.rows = {}

    def add(self, row, name, sample):
        self.rows.setdefault(row, {}).setdefault(name, []).append(sample)


def median(samples, quantity):
    return statistics.median(getattr(sample, quantity) for sample in samples)


def own_peak_bytes():
    """No child is seen to use less than we did when it was made."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
