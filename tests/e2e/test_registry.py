"""Pull and push against real docker-registry processes behind a front that counts, slows, cuts, redirects and
guards: what is asked for, what is told to whom, and what is there afterwards."""
import glob
import io
import os
import random
import signal
import tarfile
import time

from front import Front
from harness import *


def random_bytes(size, seed):
    return random.Random(seed).randbytes(size)


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            e = tarfile.TarInfo(name)
            e.size, e.mtime = len(data), 1700000000
            tar.addfile(e, io.BytesIO(data))
    return out.getvalue()


BIG = 24 << 20
big_data = random_bytes(BIG, 1)


def big_image():
    """An image of one layer that does not compress."""
    if "big" not in shared:
        layout = make_layout(directory("big-layout"), [tar_of({"big": big_data})])
        shared["big"] = registry().push_layout(layout, "big:1")
    return "big:1"


def wait_for(condition, text):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(text)


def partials(state):
    return glob.glob(os.path.join(state.path, "tmp/partial/*"))


def kill_in_the_middle(state, front, name, after=BIG // 3):
    """img pull, killed when `after` bytes of blobs have passed the front; the bytes that it kept."""
    front.rate = 20 << 20
    front.clear()
    process = state.start("pull", "--progress=plain", f"{front.host}/{name}")
    wait_for(lambda: front.blob_bytes() > after or process.poll() is not None, "nothing is pulled")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check_equal(process.returncode, -signal.SIGKILL)
    front.rate = None
    front.clear()
    kept = partials(state)
    check_equal(len(kept), 1)
    return os.path.getsize(kept[0])


def check_big(state, ref):
    check(Image(state, ref).tree["big"][1] == big_data, "other bytes than those pushed")
    check_equal(partials(state), [])
    state.ok("fsck")


def test_a_killed_pull_goes_on_where_it_was():
    """RFC 9110 14.2: only what is missing is asked for; until then nothing of it is to be seen."""
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kept = kill_in_the_middle(state, front, name)
        check(kept > 1 << 20, f"only {kept} bytes were kept")
        check("big" not in state.ok("ls").out, "half an image is to be seen")
        check_in("0 problems", state.ok("fsck").out)
        check_in("interrupted download of sha256:", state.ok("du").out)
        state.ok("pull", f"{front.host}/{name}")
        layers = [r for r in front.requests("GET", "/blobs/") if r.sent > 100000]
        check_equal([r.headers.get("range") for r in layers], [f"bytes={kept}-"])
        check(layers[0].sent < BIG + (1 << 16) - kept, f"{layers[0].sent} bytes were sent again")
        check_big(state, f"{front.host}/{name}")


def test_a_damaged_beginning_is_fetched_again():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kept = kill_in_the_middle(state, front, name)
        with open(partials(state)[0], "r+b") as f:
            f.seek(kept // 2)
            f.write(b"not what the registry has")
        state.ok("pull", f"{front.host}/{name}")
        ranges = [r.headers.get("range") for r in front.requests("GET", "/blobs/") if r.sent > 100000]
        check_equal(ranges[-1], None)
        check_big(state, f"{front.host}/{name}")


def test_an_interrupt_keeps_what_there_is():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        front.rate = 20 << 20
        process = state.start("pull", f"{front.host}/{name}")
        wait_for(lambda: front.blob_bytes() > BIG // 3, "nothing is pulled")
        process.send_signal(signal.SIGINT)
        process.communicate()
        check_equal(process.returncode, 130)
        check_equal(len(partials(state)), 1)
        front.rate = None
        front.clear()
        state.ok("pull", f"{front.host}/{name}")
        check(front.blob_bytes() < BIG, "all of it was sent again")
        check_big(state, f"{front.host}/{name}")


def test_two_pulls_at_once_fetch_a_layer_once():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        front.rate = 20 << 20
        first = state.start("pull", f"{front.host}/{name}")
        wait_for(lambda: front.blob_bytes() > BIG // 3, "nothing is pulled")
        second = state.start("pull", "--progress=plain", f"{front.host}/{name}")
        told = second.communicate()[0].decode()
        said = first.communicate()[0].decode()
        check(first.returncode == 0, said)
        check(second.returncode == 0, told)
        check_in("waiting for another process that fetches sha256:", told)
        check_equal(len([r for r in front.requests("GET", "/blobs/") if r.sent > 100000]), 1)
        check_big(state, f"{front.host}/{name}")


def test_prune_all_gives_an_interrupted_download_up():
    name = big_image()
    with Front(registry().port) as front:
        state = State()
        kill_in_the_middle(state, front, name)
        state.ok("prune")
        check_equal(len(partials(state)), 1)
        check_in("interrupted download", state.ok("prune", "--all").out)
        check_equal(partials(state), [])


if __name__ == "__main__":
    main(globals())
