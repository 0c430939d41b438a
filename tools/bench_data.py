"""Trees, archives and images that tools/bench works on; the same bytes for the same Debian root.

File sizes are spread as in real images (nine in ten small, one in a hundred large). What is in them is cut
from the files of that root at places drawn by chance: programs, libraries and text, as compressible as what
people ship.
"""
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile

MTIME = 1700000000


def corpus_of(root):
    """The contents of all files of a root's tar, one after another."""
    with tarfile.open(root) as tar:
        return b"".join(tar.extractfile(e).read() for e in tar if e.isreg())


class Content:
    """An endless supply of bytes, drawn from a corpus far larger than any compressor's window."""

    def __init__(self, root, seed):
        self.random = random.Random(seed)
        self.corpus = corpus_of(root)

    def sizes(self, count, mean_bytes):
        for _ in range(count):
            part = self.random.random()
            share = 0.33 if part < 0.9 else 3.4 if part < 0.99 else 39.7
            yield int(self.random.expovariate(1 / (mean_bytes * share)))

    def bytes(self, number, size):
        parts = [b"%d\n" % number]
        left = size - len(parts[0])
        while left > 0:
            start = self.random.randrange(len(self.corpus))
            parts.append(self.corpus[start:start + left])
            left -= len(parts[-1])
        return b"".join(parts)[:max(size, 1)]

    def files(self, top, first, count, mean_bytes):
        """Pairs of path and content, and of path and None for the directories before them."""
        for number, size in enumerate(self.sizes(count, mean_bytes), first):
            outer = f"{top}/d{number // 1000}"
            inner = f"{outer}/s{number // 25 % 40}"
            if number == first:
                yield top, None
            if number % 1000 == 0 or number == first:
                yield outer, None
            if number % 25 == 0 or number == first:
                yield inner, None
            yield f"{inner}/f{number}", self.bytes(number, size)


def entry(name, data=None, mode=None):
    e = tarfile.TarInfo(name)
    e.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    e.mode = mode or (0o755 if data is None else 0o644)
    e.size = len(data or b"")
    e.mtime = MTIME
    return e


def write_tar(path, root, seed, top, first, count, mean_bytes, start=b""):
    """A tar of `count` files below `top`, after the entries of the archive `start`."""
    with open(path, "wb") as raw:
        raw.write(start[:tar_end(start)])
        with tarfile.open(fileobj=raw, mode="w|") as tar:
            for name, data in Content(root, seed).files(top, first, count, mean_bytes):
                tar.addfile(entry(name, data), io.BytesIO(data or b""))


def tar_end(data):
    """Where an archive's last entry ends."""
    if not data:
        return 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
    return last.offset_data + (last.size + 511) // 512 * 512


def write_tree(path, root, seed, count, mean_bytes):
    os.makedirs(path, exist_ok=True)
    for name, data in Content(root, seed).files("tree", 0, count, mean_bytes):
        name = os.path.join(path, name)
        if data is None:
            os.makedirs(name, exist_ok=True)
        else:
            with open(name, "wb") as f:
                f.write(data)


def add_files(path, names):
    """A tar that puts host files into a root; names is a dict of path in it -> host path."""
    with tarfile.open(path, "w") as tar:
        for name in sorted({os.path.dirname(name) for name in names} - {""}):
            tar.addfile(entry(name))
        for name, source in sorted(names.items()):
            tar.add(source, name, recursive=False, filter=lambda e: entry_of(e))


def entry_of(e):
    e.uid = e.gid = 0
    e.uname = e.gname = ""
    e.mode, e.mtime = 0o644, MTIME
    return e


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_layout(path, tars, command):
    """An OCI image layout over tars, its layers compressed as docker does: gzip, level 6."""
    blobs = os.path.join(path, "blobs/sha256")
    os.makedirs(blobs)

    def take(name):
        digest = digest_of(name)
        size = os.path.getsize(name)
        shutil.move(name, os.path.join(blobs, digest))
        return {"digest": "sha256:" + digest, "size": size}

    def put(value):
        name = os.path.join(path, "value")
        with open(name, "w") as f:
            json.dump(value, f)
        return take(name)

    layers, diff_ids = [], []
    for tar in tars:
        diff_ids.append("sha256:" + digest_of(tar))
        packed = os.path.join(path, "layer")
        with open(packed, "wb") as f:
            subprocess.run(["gzip", "-6", "-n", "-c", tar], stdout=f, check=True)
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **take(packed)})
    machine = os.uname().machine
    config = put({"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
                  "os": "linux", "created": "2024-01-02T03:04:05Z",
                  "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
                                     "/bin"], "Cmd": command},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids},
                  "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "base"}
                              for _ in tars]})
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = put({"schemaVersion": 2, "mediaType": kind, "layers": layers, "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json", **config}})
    with open(os.path.join(path, "index.json"), "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [
            {"mediaType": kind, **manifest,
             "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}, f)
    with open(os.path.join(path, "oci-layout"), "w") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
    return [layer["digest"] for layer in layers]


# -- bases, each an image on a registry --

BIG_SHARES = (0.4, 0.2, 0.15, 0.1, 0.1, 0.05)


