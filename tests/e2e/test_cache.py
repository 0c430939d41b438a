"""Steps that others built: --cache-from and --cache-to, between states that know nothing of each other."""
import json
import os
import re
import subprocess

from front import Front
from harness import Image, State, busybox, check, check_equal, check_in, directory, main, make_context, registry, write

serial = 0


def fresh(name):
    """A repository nobody used before."""
    global serial
    serial += 1
    return f"{registry().host}/{name}{serial}"


def two_stages():
    """The big file is in a stage that is copied from, the marker differs each time it is made."""
    return f"""FROM {busybox()} AS tools
RUN head -c 300000 /dev/urandom > /big; echo tool > /tool
FROM {busybox()}
WORKDIR /w
COPY f ./
RUN cat f > g; date +%N > marker
RUN true
COPY --from=tools /tool ./
COPY --link f /linked
RUN cat tool g > all
"""


def ran(result):
    """Names of the steps that were not cached; a base that was fetched is none."""
    names = dict(re.findall(r"^#(\d+) (\[[^i].*)$", result.err, re.M))
    return [names[n] for n in re.findall(r"^#(\d+) DONE", result.err, re.M) if n in names
            and " FROM " not in names[n]]


def build(state, context, *options):
    return state.ok("build", "--progress=plain", *options, context)


def test_a_cache_of_all_steps_spares_another_machine_every_one_of_them():
    """docs.docker.com, "Registry cache", mode=max. The digest is the same, and the stage that is copied from is
    not fetched: its big file stays where it is."""
    context, cache = make_context(two_stages(), {"f": "hello\n"}), fresh("max")
    first, second = State(), State()
    build(first, context, "-t", "a:1", "--cache-to", f"type=registry,ref={cache}:c,mode=max")
    with Front(registry().port) as front:
        there = cache.replace(registry().host, front.host)
        result = build(second, context, "-t", "a:1", "--cache-from", f"type=registry,ref={there}:c")
        check_equal(ran(result), [])
        check(front.blob_bytes() < 100000, f"{front.blob_bytes()} bytes were fetched")
        for state in (first, second):
            state.ok("tag", "a:1", f"{cache}:image")
        check_equal(second.ok("push", "-q", f"{cache}:image").out, first.ok("push", "-q", f"{cache}:image").out)
        check_equal(Image(second, "a:1").text("w/all"), "tool\nhello\n")
        # what was used is the store's now: no registry is needed for it any more
        front.clear()
        check_equal(ran(build(second, context, "-t", "a:2", "--cache-from", f"{there}:c")), [])
        check_equal(front.requests("GET", "/blobs/sha256:"), front.requests("GET", "/blobs/sha256:")[:1])
    check_equal(second.ok("fsck").code, 0)
    check_equal(second.ok("ls", "-a", "--format", "{{.Name}}").out.split().count("<none>"), 0)


def test_a_cache_of_the_image_alone_has_no_other_stages():
    """mode=min, which is the default: the steps of the result; what it copies from is made again."""
    context, cache = make_context(two_stages(), {"f": "hello\n"}), fresh("min")
    build(State(), context, "--cache-to", f"type=registry,ref={cache}")
    steps = ran(build(State(), context, "--cache-from", cache))
    check_equal([s.split(" RUN ")[0] for s in steps], ["[tools 2/2]"])


def test_an_inline_cache_travels_in_the_image():
    """docs.docker.com, "Inline cache"; BUILDKIT_INLINE_CACHE=1 is its older name."""
    context = make_context(f"FROM {busybox()}\nCOPY f /\nRUN date +%N > /marker\n", {"f": "x"})
    for number, words in enumerate((["--cache-to", "type=inline"], ["--build-arg", "BUILDKIT_INLINE_CACHE=1"])):
        name = fresh("inline")
        build(State(), context, "-t", name, "--push", *words)
        other = State()
        check_equal(ran(build(other, context, "-t", name, "--cache-from", name)), [])
        config = json.loads(subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", "--config", "--raw", f"docker://{name}"],
            check=True, capture_output=True).stdout)
        check_equal(len(config["img.cache.v1"]["records"]), 2)
        # an image made from it does not pass the records on: they are of steps it never had
        other.built(f"FROM {name}\nLABEL a=b\n", "-t", "child")
        check("img.cache.v1" not in Image(other, "child").config, "the records were inherited")
        plain = State()
        plain.built(f"FROM {busybox()}\n", "-t", "plain")
        check("img.cache.v1" not in Image(plain, "plain").config, "nobody asked for records")


def test_a_cache_in_a_directory_is_a_layout_that_others_read():
    """docs.docker.com, "Local cache": dest, src, tag. A second export replaces the first under its name."""
    context, where = make_context(two_stages(), {"f": "hello\n"}), os.path.join(directory("local-cache"), "c")
    first = State()
    for _ in range(2):
        build(first, context, "--cache-to", f"type=local,dest={where},mode=max")
    build(first, context, "--cache-to", f"type=local,dest={where},tag=other")
    index = json.load(open(os.path.join(where, "index.json")))
    check_equal(len(index["manifests"]), 2)
    second = State()
    check_equal(ran(build(second, context, "-t", "a:1", "--cache-from", f"type=local,src={where}")), [])
    check_equal(second.ok("ls", "-a", "--format", "{{.Name}}").out.split(), [busybox(), "a:1"])
    subprocess.run(["skopeo", "copy", "--insecure-policy", f"oci:{where}:latest",
                    f"dir:{directory('as-dir')}"], check=True, capture_output=True)
    digest = [m["digest"] for m in index["manifests"]
              if m["annotations"]["org.opencontainers.image.ref.name"] == "other"][0]
    steps = ran(build(State(), context, "--cache-from", f"type=local,src={where},digest={digest}"))
    check_equal([s.split(" RUN ")[0] for s in steps], ["[tools 2/2]"])


def test_what_changed_is_run_and_joins_the_cache():
    cache, name = fresh("grow"), "type=registry,mode=max,ref="
    old = make_context(two_stages(), {"f": "hello\n"})
    new = make_context(two_stages(), {"f": "other\n"})
    build(State(), old, "--cache-to", name + cache)
    second = State()
    steps = ran(build(second, new, "-t", "a:1", "--cache-from", cache, "--cache-to", name + cache))
    check_equal([re.split(" (?:RUN|COPY) ", s)[0] for s in steps],
                [f"[stage-1 {n}/8]" for n in (3, 4, 5, 6, 7, 8)])
    check_equal(Image(second, "a:1").text("w/all"), "tool\nother\n")
    with Front(registry().port) as front:
        there = cache.replace(registry().host, front.host)
        result = build(State(), new, "--cache-from", there, "--cache-to", name + there)
        check_equal(ran(result), [])
        check_in("nothing is new", result.err)
        check_equal([r for r in front.log if r.method in ("POST", "PUT", "PATCH")], [])


def test_a_cache_that_is_not_there_is_told_of_and_passed_over():
    """The first build of a pipeline has none; what cannot be exported is an error unless it may be."""
    context = make_context(f"FROM {busybox()}\nRUN true\n", {})
    missing, state = fresh("missing"), State()
    result = build(state, context, "--cache-from", f"type=registry,ref={missing}")
    check_in(f"importing cache manifest from {missing}", result.err)
    check_in("ERROR: ", result.err)
    result = state.fails("build", "--progress=plain", "--cache-to", "type=registry,ref=127.0.0.1:1/x", "--retry=0",
                         context)
    check_in("--cache-to 'type=registry,ref=127.0.0.1:1/x': ", result.err)
    check_in("cannot connect to '127.0.0.1:1': Connection refused", result.err)
    build(state, context, "--retry=0", "--cache-to", "type=registry,ref=127.0.0.1:1/x,ignore-error=true")
    result = build(state, context, "-t", "plain", "--cache-from", busybox())
    check_in("0 steps", result.err)  # an image without records


def test_a_layer_that_went_away_ends_with_the_way_out():
    context, cache = make_context(two_stages(), {"f": "hello\n"}), fresh("gone")
    build(State(), context, "--cache-to", f"type=registry,ref={cache},mode=max")

    def hook(handler):
        if handler.command == "GET" and "/blobs/" in handler.path and seen:
            handler.reply(404)
            return True
        if "/blobs/" in handler.path:
            seen.append(handler.path)  # the configuration
        return False

    seen = []
    with Front(registry().port, hook) as front:
        there = cache.replace(registry().host, front.host)
        result = State().fails("build", "--progress=plain", "--cache-from", there, context)
    check_in("cannot fetch a cached layer: ", result.err)
    check_in("has no blob sha256:", result.err)
    check_in("build without --cache-from", result.err)


def test_no_cache_uses_none_and_a_dry_run_fetches_none():
    context, cache = make_context(two_stages(), {"f": "hello\n"}), fresh("dry")
    build(State(), context, "--cache-to", f"type=registry,ref={cache},mode=max")
    check_equal(len(ran(build(State(), context, "--no-cache", "--cache-from", cache))), 8)
    state = State()
    build(state, make_context(f"FROM {busybox()}\n", {}), "-t", "base")
    with Front(registry().port) as front:
        there = cache.replace(registry().host, front.host)
        out = state.ok("build", "--dry-run", "--cache-from", there, context).out
        check_equal(len(front.requests("GET", "/blobs/")), 1)  # the records
    check("RUN cat tool g > all" in out and "run" not in re.findall(r"^\S+", out, re.M), out)


def test_addresses_of_caches_are_checked_before_anything_is_built():
    state, context = State(), make_context("FROM scratch\n", {})
    for words, part in (
            (["--cache-from", "type=registry"], "ref is required for type=registry"),
            (["--cache-to", "type=local"], "dest is required for type=local"),
            (["--cache-from", "type=local"], "src is required for type=local"),
            (["--cache-from", "type=inline"], "name that with type=registry,ref=NAME"),
            (["--cache-to", "type=inline,mode=max"], "mode=min"),
            (["--cache-to", "type=registry,ref=a/b,mode=all"], "mode is min or max, not 'all'"),
            (["--cache-to", "type=registry,ref=a/b,compresion=zstd"], "did you mean 'compression'?"),
            (["--cache-from", "type=registry,ref=a/b,mode=max"], "'mode' means nothing to type=registry"),
            (["--cache-to", "type=disk,dest=x"], "unknown cache type 'disk'"),
            (["--cache-to", "dest=x"], "type is required")):
        result = state.run("build", *words, context)
        check_equal(result.code, 1)
        check_in(part, result.err)
        check_in(f"{words[0]} '{words[1]}'", result.err)
    result = state.ok("build", "--cache-to", "type=gha,mode=max", "--cache-from", "type=gha", context)
    check_equal(result.err.count("continuing without it"), 2)


def test_records_that_are_no_records_are_refused():
    """A cache is somebody else's document (SECURITY R35): a layer that is not there, a key that is none."""
    good = make_context(f"FROM {busybox()}\nRUN true > /x\n", {})
    where = os.path.join(directory("hostile-cache"), "c")
    for change in ({"layer": 7}, {"key": "sha256:xyz"}, {"key": None}, {"created": "soon"}):
        subprocess.run(["rm", "-rf", where], check=True)
        build(State(), good, "--cache-to", f"type=local,dest={where}")
        edit_records(where, change)
        result = build(State(), good, "--cache-from", f"type=local,src={where}")
        check_in("ERROR: ", result.err)
        check_equal(len(ran(result)), 1)


def edit_records(where, change):
    """Writes another configuration into the layout, with the digests that it has now."""
    import hashlib

    def put(document):
        data = json.dumps(document).encode()
        name = hashlib.sha256(data).hexdigest()
        write(os.path.join(where, "blobs/sha256", name), data)
        return {"digest": "sha256:" + name, "size": len(data)}

    def get(descriptor):
        return json.load(open(os.path.join(where, "blobs/sha256", descriptor["digest"][7:])))

    index = json.load(open(os.path.join(where, "index.json")))
    manifest = get(index["manifests"][0])
    config = get(manifest["config"])
    config["img.cache.v1"]["records"][0].update(change)
    manifest["config"].update(put(config))
    index["manifests"][0].update(put(manifest))
    write(os.path.join(where, "index.json"), json.dumps(index))


if __name__ == "__main__":
    main(globals())
