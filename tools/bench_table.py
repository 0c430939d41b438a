"""The tables of tools/bench: which row shows what, what it should reach, and whether it did."""
import os
import re
import subprocess

from bench_lab import median, own_peak_bytes

COLUMNS = ["img", "buildah overlay", "buildah fuse", "buildah vfs"]
MIB = 1 << 20


# -- targets: of a row's medians by name, a text and whether it is met --

def at_most(limit, quantity):
    def judge(medians):
        return f"at most {show(limit, quantity)}", medians["img"] <= limit
    return judge


def faster(peer, factor):
    """img at least `factor` times faster than peer."""
    def judge(medians):
        if peer not in medians:
            return f"{factor:g} times faster than {peer}", None
        return f"{factor:g} times faster than {peer}", medians["img"] * factor <= medians[peer]
    return judge


def within(peer, factor):
    """img takes at most `factor` times as long as peer."""
    text = f"no slower than {peer}" if factor == 1 else f"within {factor:g} times of {peer}"

    def judge(medians):
        if peer not in medians:
            return text, None
        return text, medians["img"] <= medians[peer] * factor
    return judge


def rows(bench):
    """(key of the results, what is written, quantity, targets)."""
    time, disk, rss = "wall", "disk", "rss"
    ms = 0.001
    yield "cached", "rebuild, all cached, of 12 instructions on Debian, process start included", \
        time, [at_most(40 * ms, time)]
    yield "cached context", "the same with a context of 20,000 files, 1 GiB", time, \
        [at_most(120 * ms, time)]
    yield "twenty", "twenty RUN of `echo`", time, [at_most(0.5, time)]
    for count in (1000, 60000, 500000):
        yield f"one file of {count}", \
            f"RUN that writes one file on a base of {count:,} files: more than the same cached", \
            time, []
    for count in (1000, 60000, 500000):
        yield f"each file of {count}", \
            f"each further such RUN of a build that runs, on {count:,} files, the command included", \
            time, [at_most(25 * ms, time)]
    yield "untar", "untar of 50,000 files of 2 KiB in a RUN: the command itself", time, \
        [faster("bare fuse-overlayfs", 5), within("bare overlay", 1), within("buildah overlay", 1)]
    yield "untar, build", "the same: the whole build, layer committed", time, \
        [faster("buildah fuse", 5), within("buildah overlay", 1)]
    for kind in ("compilers", "sources"):
        yield f"dpkg-{kind}", f"`dpkg -i` of {kind} ({bench.sets.get(kind)}) in a RUN: the command " \
            "itself", time, [faster("bare fuse-overlayfs", 3), within("bare overlay", 1),
                             within("buildah overlay", 1)]
        yield f"dpkg-{kind}, build", "the same: the whole build, layer committed", time, \
            [faster("buildah fuse", 3), within("buildah overlay", 1)]
    yield "pull", "pull of 1 GiB, 60,000 files, 6 layers from loopback", time, \
        [faster("buildah overlay", 8), within("limit", 1.3)]
    yield "mount", "mount of that image and `ls` of its root", time, [at_most(50 * ms, time)]
    yield "pull", "peak memory of that pull", rss, [at_most(64 * MIB, rss)]
    yield "push", "peak memory of its push", rss, [at_most(64 * MIB, rss)]
    yield "save docker", "peak memory of its save (docker)", rss, [at_most(64 * MIB, rss)]
    yield "save oci", "peak memory of its save (oci)", rss, [at_most(64 * MIB, rss)]
    yield "load docker", "peak memory of its load (docker)", rss, [at_most(64 * MIB, rss)]
    yield "load oci", "peak memory of its load (oci)", rss, [at_most(64 * MIB, rss)]
    yield "version", "start-up: `version`", time, [at_most(10 * ms, time)]
    yield "ls", "start-up: the list of images, one there", time, [at_most(10 * ms, time)]
    yield "push", "push of that image to an empty registry", time, []
    yield "push changed", "push of it with one changed layer, 1 MiB", time, [at_most(150 * ms, time)]
    yield "push built", "push of a layer of 1 GiB built here", time, [faster("buildah overlay", 4)]
    for kind in ("docker", "oci"):
        yield f"save {kind}", f"save of that image, {kind} archive (cp: copy of the result; sync: until " \
            "it is durable, which what img saves is when it ends)", time, [within("cp + sync", 2)]
        yield f"load {kind}", "load of it", time, []
    yield "copy", "COPY of a context of 20,000 files, 1 GiB, cold", time, \
        [faster("buildah overlay", 5)]
    yield "one changed", "the same with one file changed", time, [at_most(1.5, time)]
    yield "one changed, disk", "the same: new disk", disk, [at_most(4 * MIB, disk)]
    yield "stages", "four independent stages, --jobs 4", time, [faster("img --jobs 1", 1.7)]
    yield "parse", "parse and plan of 1,000 lines (more than two lines take)", time, \
        [at_most(5 * ms, time)]


# -- numbers --

def unit(value, quantity):
    """What to multiply by, digits, and the unit."""
    if quantity in ("rss", "disk"):
        return 1 / MIB, 0 if abs(value) >= 10 * MIB else 1, "MiB"
    if abs(value) < 1:
        return 1000, 0 if abs(value) >= 0.1 else 1, "ms"
    return 1, 2 if abs(value) < 100 else 0, "s"


def show(value, quantity):
    factor, digits, name = unit(value, quantity)
    return f"{value * factor:.{digits}f} {name}"


def cell(samples, quantity, base):
    middle = median(samples, quantity)
    if quantity == "rss" and middle <= own_peak_bytes():
        return f"under {show(own_peak_bytes(), quantity)}"
    factor, digits, _ = unit(middle, quantity)
    values = [getattr(sample, quantity) * factor for sample in samples]
    text = show(middle, quantity)
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} - {max(values):.{digits}f})"
    if base and base > 0:
        text += f" **{middle / base:.1f}x**"
    return text


def line(cells):
    return "| " + " | ".join(cells) + " |\n"


def comparison(bench):
    text = line(["workload", *COLUMNS, "others", "target", "met"]) + line(["---"] * 8)
    met = missed = 0
    for key, title, quantity, targets in rows(bench):
        samples = bench.results.rows.get(key)
        if not samples or "img" not in samples:
            continue
        medians = {name: median(of, quantity) for name, of in samples.items()}
        cells = {name: cell(of, quantity, None if name == "img" else medians["img"])
                 for name, of in samples.items()}
        judged = [target(medians) for target in targets]
        for _, ok in judged:
            met, missed = met + (ok is True), missed + (ok is False)
        others = "; ".join(f"{name} {cells[name]}" for name in samples if name not in COLUMNS)
        text += line([title, *(cells.get(name, "") for name in COLUMNS), others,
                      "; ".join(what for what, _ in judged),
                      "; ".join({True: "yes", False: "**no**", None: "not run"}[ok]
                                for _, ok in judged)])
    return text, met, missed


def costs(bench):
    text = line(["workload", "who", "CPU s", "peak MiB"]) + line(["---"] * 4)
    for key, samples in bench.results.rows.items():
        if key.endswith((", disk", ", build")):
            continue
        for name, of in samples.items():
            peak = median(of, "rss")
            peak = f"under {own_peak_bytes() // MIB + 1}" if peak <= own_peak_bytes() \
                else f"{peak / MIB:.0f}"
            text += line([key, name, f"{median(of, 'cpu'):.3f}", peak])
    return text


# -- the machine --

def first_line(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def version(*argv):
    found = re.search(r"\d+\.[\d.]*\d", first_line(*argv))
    return found.group() if found else "unknown"


def facts(bench):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s*(\d+)", f.read()).group(1))
    with open("/etc/os-release") as f:
        system = re.search(r'PRETTY_NAME="?([^"\n]*)', f.read())
    kind = first_line("findmnt", "-n", "-o", "FSTYPE", "-T", bench.options.work)
    kernel = re.match(r"\d+\.\d+", os.uname().release)
    fuse = subprocess.run(["fuse-overlayfs", "--version"], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, check=False).stdout
    fuse = re.search(r"fuse-overlayfs: version ([\d.]+)", fuse)
    return [
        f"CPU: {model.group(1).strip() if model else os.uname().machine}, {os.cpu_count()} cores",
        f"memory: {memory / MIB:.0f} GiB; filesystem: {kind}",
        f"system: {system.group(1) if system else 'unknown'}, kernel "
        f"{kernel.group() if kernel else 'unknown'}",
        f"peers: buildah {version('buildah', '--version')} (steps by `"
        f"{' '.join(bench.lab.runtime)}`), fuse-overlayfs {fuse.group(1) if fuse else 'unknown'}, "
        f"docker-registry {version('docker-registry', '--version')}",
        f"limit: each layer `curl | tee blob | igzip -d`, `openssl dgst -sha256` of both sides, "
        f"{os.cpu_count()} layers at once; igzip {version('igzip', '--version')}",
    ]


def render(bench, failed):
    table, met, missed = comparison(bench)
    options = bench.options
    text = "# img and its peers\n\nMade by `tools/bench"
    text += "".join(f" --{name} {getattr(options, name)}" for name in ("only",)
                    if getattr(options, name))
    text += f" --output tools/BENCH.md`: {options.repeats} interleaved repeats; median (least - " \
        "most) and, bold, how many times what img takes. \"The command itself\" is what the step " \
        "prints about its own time; the rest is the clock around the process. fuse: buildah with " \
        "fuse-overlayfs. Peak memory is that of the largest process.\n\n"
    if options.scale != 1:
        text += f"**A trial: sizes times {options.scale:g}; targets are for the full sizes.**\n\n"
    if failed:
        text += f"**Failed, or not run to the end: {', '.join(failed)}.**\n\n"
    text += "".join(f"- {fact}\n" for fact in facts(bench)) + "\n" + table
    text += f"\nTargets met: {met}; missed: {missed}.\n\n## CPU and memory\n\n" \
        "CPU seconds of the whole process tree, servers of mounts included (median).\n\n"
    return text + costs(bench)
