"""What people and scripts see of img: lists, formats, filters, help, progress and the exit status."""
import base64
import json
import os
import subprocess

from harness import IMG, Image, State, busybox, check, check_equal, check_in, main, make_context, write


def scratch(state, name, *lines, epoch=1700000000):
    """An image of one file that says when it was made."""
    state.built("\n".join(["FROM scratch", "COPY f /", *lines]) + "\n", "-t", name, "--source-date-epoch",
                str(epoch), context={"f": name})


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


# -- img ls --

def test_ls_shows_the_columns_of_the_first_img_and_aligns_them():
    """genuinetools/img, README: NAME SIZE CREATED AT UPDATED AT DIGEST."""
    state = State()
    scratch(state, "a")
    scratch(state, "reg.example/a/much/longer/name:1")
    lines = state.ok("ls").out.splitlines()
    check_equal(lines[0].split(), ["NAME", "SIZE", "CREATED", "AT", "UPDATED", "AT", "DIGEST"])
    check_equal([line.split()[0] for line in lines[1:]], ["a:latest", "reg.example/a/much/longer/name:1"])
    for title in ("SIZE", "DIGEST"):
        column = lines[0].index(title)
        for line in lines[1:]:
            check(line[column - 1] == " " and line[column] != " ", f"{title} is not aligned:\n{line}")
    check_in("sha256:", lines[1])
    check_equal(len(lines[1].split()[-1]), 71)  # a pipe gets all of it


def test_ls_prints_a_template_a_table_of_one_or_json():
    """docs.docker.com, "docker image ls", "Format the output": the placeholders."""
    state = State()
    scratch(state, "a:1", "LABEL who=me a.b=c")
    check_equal(state.ok("ls", "--format", "{{.Repository}}|{{.Tag}}|{{.CreatedAt}}").out,
                "a|1|2023-11-14T22:13:20Z\n")
    check_equal(state.ok("images", "--format", "table {{.Repository}}\\t{{.Tag}}").out,
                "REPOSITORY   TAG\na            1\n")
    check_equal(state.ok("ls", "--format", '{{index .Labels "a.b"}} {{len .Labels}}').out, "c 2\n")
    [row] = rows(state.ok("ls", "--format", "json").out)
    check_equal((row["Name"], row["Labels"]), ("a:1", {"who": "me", "a.b": "c"}))
    check_equal([r["Tag"] for r in json.loads(state.ok("ls", "--json").out)], ["1"])
    whole = state.ok("ls", "--no-trunc", "--format", "{{.ID}} {{.Digest}}").out.split()
    check_equal([len(word) for word in whole], [71, 71])
    check_equal(state.ok("ls", "--format", "{{.ID}}").out.strip(), whole[0][7:19])
    check_equal(state.ok("ls", "-q").out.strip(), whole[1])
    result = state.run("ls", "--format", "{{.Nam}}")
    check_equal(result.code, 1)
    check_in("there is no field '.Nam'", result.err)
    check_in("did you mean '.Name'?", result.err)


def names(state, *words):
    return state.ok("ls", "--format", "{{.Name}}", *words).out.split()


def test_ls_filters_by_name_label_time_and_dangling():
    """docs.docker.com, "docker image ls", "Filtering"."""
    state = State()
    scratch(state, "old:1", "LABEL n=1 both=", epoch=1500000000)
    scratch(state, "mid:1", "LABEL n=2 both=", epoch=1600000000)
    scratch(state, "new:2", epoch=1700000000)
    scratch(state, "reg.example/x/new:2", epoch=1700000000)
    everything = ["mid:1", "new:2", "old:1", "reg.example/x/new:2"]
    check_equal(names(state), everything)
    for words, expected in (
            (["reference=new"], ["new:2"]), (["reference=*:1"], ["mid:1", "old:1"]),
            (["reference=*/*/new"], ["reg.example/x/new:2"]), (["reference=old", "reference=mid"], ["mid:1", "old:1"]),
            (["label=both"], ["mid:1", "old:1"]), (["label=n=2"], ["mid:1"]),
            (["label=both", "label=n=1"], ["old:1"]), (["label!=both"], ["new:2", "reg.example/x/new:2"]),
            (["before=mid:1"], ["old:1"]), (["since=mid:1"], ["new:2", "reg.example/x/new:2"]),
            (["until=2020-01-01"], ["old:1"]), (["dangling=true"], []), (["dangling=false"], everything)):
        check_equal(names(state, *[w for f in words for w in ("--filter", f)]), expected)
    check_equal(names(state, "o*"), ["old:1"])
    check_in("unknown filter 'size=1'", state.fails("ls", "-f", "size=1").err)
    check_in("true or false, not 'x'", state.fails("ls", "-f", "dangling=x").err)
    check_in("no such image", state.fails("ls", "-f", "before=zzz").err)
    scratch(state, "old:1", "LABEL changed=1")
    check_equal(names(state, "--filter", "dangling=true"), ["<none>"])
    check_equal(names(state, "-a", "--sort", "created")[-1], "<none>")  # the oldest
    check("<none>" not in names(state), "an image without a name is shown unasked")


# -- img history, inspect, version --

def test_history_prints_what_the_configuration_says():
    """OCI image-spec, config.md, "history"; docs.docker.com, "docker image history"."""
    state = State()
    scratch(state, "a", "ENV A=1", "LABEL long=" + "x" * 200)
    lines = state.ok("history", "a").out.splitlines()
    check_equal(lines[0].split(), ["LAYER", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"])
    check_in("LABEL long=xxx", lines[1])
    check_in("…", lines[1])
    check_in("x" * 200, state.ok("history", "--no-trunc", "a").out)
    steps = rows(state.ok("history", "--format", "json", "a").out)
    check_equal([s["Empty"] for s in steps], [True, True, False])
    check_equal(steps[2]["CreatedAt"], "2023-11-14T22:13:20Z")
    [document] = json.loads(state.ok("inspect", "a").out)
    check_equal(steps[2]["Layer"], document["RootFS"]["Layers"][0])
    check_equal(steps[2]["SizeBytes"], steps[2]["SizeBytes"] // 512 * 512)  # of a tar
    check_equal(state.ok("history", "--human=false", "--format", "{{.CreatedSince}} {{.Size}}", "a").out.splitlines()[2],
                f"2023-11-14T22:13:20Z {steps[2]['SizeBytes']}")
    check_equal(state.ok("history", "-q", "a").out.splitlines(), ["<none>", "<none>", steps[2]["Layer"][:19]])


def test_inspect_has_the_fields_docker_has():
    """Engine API, ImageInspect; skopeo reads the same image."""
    state = State()
    scratch(state, "a:1", "LABEL a.b=c", "USER me", 'CMD ["x", "y"]', "EXPOSE 80/tcp")
    scratch(state, "b")
    state.ok("tag", "a:1", "reg.example/x/a:2")
    [image] = json.loads(state.ok("inspect", "a:1").out)
    state.ok("save", "-o", state.path + ".tar", "a:1")
    other = json.loads(subprocess.run(["skopeo", "inspect", "docker-archive:" + state.path + ".tar"],
                                      check=True, capture_output=True).stdout)
    config = json.loads(subprocess.run(["skopeo", "inspect", "--config", "docker-archive:" + state.path + ".tar"],
                                       check=True, capture_output=True).stdout)
    check_equal(image["Config"]["Labels"], other["Labels"])
    check_equal((image["Architecture"], image["Os"]), (other["Architecture"], other["Os"]))
    check_equal(image["RootFS"]["Layers"], config["rootfs"]["diff_ids"])
    check_equal(image["Config"]["Cmd"], config["config"]["Cmd"])
    check_equal(image["RepoTags"], ["a:1", "reg.example/x/a:2"])
    check_equal(image["RepoDigests"], [name + "@" + image["Digest"] for name in ("a", "reg.example/x/a")])
    check_equal(image["Config"]["Entrypoint"], None)
    raw = state.ok("inspect", "--raw", "a:1").out
    check_equal("sha256:" + __import__("hashlib").sha256(raw.encode()).hexdigest(), image["Digest"])
    check_equal(json.loads(raw)["config"]["digest"], image["Id"])
    check_equal(json.loads(state.ok("inspect", "--type=config", "a:1").out), [config])


def test_inspect_takes_several_and_tells_of_the_one_that_is_missing():
    state = State()
    scratch(state, "a:1", "LABEL a.b=c")
    scratch(state, "b:1")
    check_equal(state.ok("inspect", "-f", '{{index .RepoTags 0}} {{json .Config.Labels}} {{.Config.Labels.zz}}', "a:1", "b:1").out,
                'a:1 {"a.b":"c"} <no value>\nb:1 null <no value>\n')
    result = state.fails("inspect", "a:1", "nope", "b:1")
    check_equal([i["RepoTags"] for i in json.loads(result.out)], [["a:1"], ["b:1"]])
    check_in("no such image: 'nope'", result.err)
    check_in("type 'container'", state.fails("inspect", "--type", "container", "a:1").err)


def test_version_is_a_block_or_a_template():
    state = State()
    version = json.loads(state.ok("version", "--format", "json").out)
    check_in(f" version     : {version['Version']}\n", state.ok("version").out)
    check_equal(state.ok("version", "-f", "{{.Client.Version}} {{.Os}}").out, f"{version['Version']} linux\n")
    check_equal(state.ok("--version").out, state.ok("version").out)


# -- img du and prune --

def blocks(path, skip=()):
    """Bytes on the disk of everything below, by lstat."""
    total = 0
    for where, _, files in os.walk(path):
        total += sum(os.lstat(os.path.join(where, f)).st_blocks * 512 for f in files if not f.startswith(skip))
    return total


def test_du_counts_blocks_on_the_disk_and_filters():
    state = State()
    state.built("FROM scratch\nCOPY f /\n", "-t", "a", context={"f": os.urandom(300000)})
    state.built("FROM scratch\nCOPY f /\n", "-t", "b", context={"f": os.urandom(100000)})
    state.ok("rm", "b")
    records = rows(state.ok("du", "--format", "json").out)
    used = sum(r["SizeBytes"] for r in records if r["Type"] != "source.local")
    check_equal(used, blocks(state.path, skip=("img.db", "lock", "reserve")))
    text = state.ok("du").out
    check_equal(text.split()[:4], ["ID", "RECLAIMABLE", "SIZE", "DESCRIPTION"])
    for label in ("Shared:", "Private:", "Reclaimable:", "Total:"):
        check_in("\n" + label, text)
    ids = state.ok("du", "--format", "{{.ID}}", "--filter", "type=regular", "-f", "description~=COPY").out.split()
    check_equal(len(ids), 2)
    check("Total:" not in state.ok("du", "-f", "id=" + ids[0]).out, "totals of a selection")
    check_in("ID:           " + ids[0], state.ok("du", "--verbose", "-f", "id=" + ids[0]).out)
    check_equal(state.ok("du", "-f", "until=2001-01-01", "--format", "{{.ID}}").out, "")
    check_equal(len(state.ok("du", "-f", "until=0s", "--format", "{{.ID}}").out.split()), len(records))
    check_in("unknown filter", state.fails("du", "-f", "colour=red").err)
    check_in("no operator", state.fails("du", "-f", "type~regular").err)


def test_prune_frees_exactly_what_it_says():
    """Before and after, in blocks; a dry run says the same and changes nothing."""
    state = State()
    for i in range(4):
        state.built(f"FROM scratch\nCOPY f /{i}\n", "-t", "a", context={"f": os.urandom(200000 + i * 50000)})
    before = blocks(state.path, skip=("img.db",))
    dry = state.ok("prune", "--dry-run").out
    told = rows(state.ok("prune", "--dry-run", "--format", "json").out)
    check_equal(blocks(state.path, skip=("img.db",)), before)
    real = rows(state.ok("prune", "--format", "json").out)
    check_equal([r["ID"] for r in real], [r["ID"] for r in told])
    freed = sum(r["SizeBytes"] for r in real if r["Type"] != "source.local")
    check(freed >= 750000, f"only {freed} freed")
    check_equal(before - blocks(state.path, skip=("img.db",)), freed)
    check_in("Would reclaim:", dry)
    check_equal(rows(state.ok("prune", "--format", "json").out), [])
    check_equal(Image(state, "a").has("3"), True)


def test_prune_keeps_what_a_limit_allows_and_drops_the_oldest_first():
    state = State()
    for i in range(4):
        state.built(f"FROM scratch\nCOPY f /{i}\n", "-t", f"a{i}", context={"f": os.urandom(200000)})
        state.ok("untag", f"a{i}")
    gone = rows(state.ok("prune", "--max-used-space", "500KB", "--format", "json", "--dry-run").out)
    check_equal([r["Description"][-1] for r in gone if r["Description"].startswith("COPY")], ["0", "1"])
    check_equal(rows(state.ok("prune", "--max-used-space", "1GB", "--format", "json").out), [])
    check_equal(rows(state.ok("prune", "--min-free-space", "1", "--format", "json").out), [])
    check_equal(rows(state.ok("prune", "--max-used-space", "1", "--keep-storage", "1GB", "--format", "json").out), [])
    check("COPY" in state.ok("prune", "--keep-storage", "300KB").out, "nothing went")
    left = sum(r["SizeBytes"] for r in rows(state.ok("du", "--format", "json").out))
    check(left <= 300000, f"{left} bytes are left")
    check_in("not a size", state.fails("prune", "--max-used-space", "lots").err)


# -- words people bring along --

def test_a_word_from_elsewhere_is_understood_or_answered():
    state = State()
    scratch(state, "a:1")
    for words in (["images", "-q"], ["image", "ls", "-q"], ["list", "-q"]):
        check_equal(state.ok(*words).out, state.ok("ls", "-q").out)
    check_equal(state.ok("system", "df").out, state.ok("du").out)
    check_in("Reclaimed:", state.ok("builder", "prune").out)
    state.ok("buildx", "build", "-t", "b", make_context("FROM scratch\nCOPY Dockerfile /\n", {}))
    state.ok("bud", "-t", "c", make_context("FROM scratch\nCOPY Dockerfile /\n", {}))
    for word, hint in (("run", "img shell"), ("ps", "no containers"), ("pul", "did you mean 'img pull'?"),
                       ("imags", "did you mean 'img images'?"), ("zzzzzz", "img help")):
        result = state.fails(word, code=2)
        check_in(f"unknown command '{word}'", result.err)
        check_in(hint, result.err)
    for words, sentence in ((["system", "prun"], "did you mean 'img prune'?"), (["image"], "needs a command behind it"),
                            (["buildx", "ls"], "no builder and no daemon"), (["system", "info"], "img doctor"),
                            (["volume", "ls"], "--mount=type=cache"), (["container", "ls"], "runs no containers")):
        check_in(sentence, state.fails(*words, code=2).err)


def test_the_backends_of_the_first_img_are_accepted_with_a_warning():
    """genuinetools/img, --backend: -b auto native overlayfs fuse-overlayfs; early versions: naive fuse overlayfs."""
    state = State()
    for name in ("native", "overlayfs", "fuse-overlayfs", "naive"):
        check_in(f"no backend '{name}' any more", state.ok("-b", name, "ls").err)
    check_equal(state.ok("-b", "auto", "ls").err + state.ok("ls", "--backend", "fuse").err, "")
    check_in("backend 'zfs' is not supported", state.fails("-b", "zfs", "ls", code=2).err)


def test_names_of_results_may_be_devices_and_streams():
    """docker build --iidfile /dev/stdout: written to, never replaced."""
    state = State()
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    image = state.ok("build", "-q", context).out
    for option in ("--iidfile", "--digest-file", "--metadata-file"):
        out = state.ok("build", "--progress=quiet", option, "/dev/stdout", "-t", "a", context).out
        check_in("sha256:", out)
    check_equal(state.ok("build", "--iidfile", "/dev/stdout", "-t", "a", context).out, image.strip())
    target = os.path.join(context, "target")
    write(target, "old")
    check_in("No such file", state.fails("build", "--iidfile", "/nonexistent/x", context).err)
    state.ok("build", "--iidfile", target, context)
    check_equal(open(target).read() + "\n", image)


def test_hosts_are_understood_in_both_forms_and_checked():
    """docker build --add-host: NAME:IP and NAME=IP, IPv6 in brackets or not."""
    state = State()
    context = make_context(f"FROM {busybox()}\nRUN cat /etc/hosts\n", {})
    result = state.ok("build", "--progress=plain", "--add-host", "a:1.2.3.4", "--add-host", "b=1.2.3.5", "--add-host",
                      "c=[2001:db8::1]", "--add-host", "d:2001:db8::2", context)
    for line in ("1.2.3.4\ta", "1.2.3.5\tb", "2001:db8::1\tc", "2001:db8::2\td"):
        check_in(line, result.err)
    for value, sentence in (("bad", "is not NAME:IP"), ("a:1.2.3", "is not NAME:IP"), (":1.2.3.4", "is not NAME:IP"),
                            ("a:host-gateway", "--network=host it can")):
        for command in (["build", "--add-host", value, context], ["shell", "--add-host", value, "x", "true"]):
            check_in(sentence, state.fails(*command).err)


def test_variables_and_labels_are_changed_as_buildah_does():
    """buildah-build(1): --env, --unsetenv, --unsetlabel, --cache-ttl."""
    state = State()
    context = make_context(f"FROM {busybox()}\nLABEL own=1\nRUN echo A=$A B=$B >/seen\nENV B=file\n", {})
    words = ["--env", "A=1", "--env", "B=2", "--env", "C", "--env", "NOT_SET"]
    state.ok("build", *words, "-t", "a", context, env={"C": "caller"})
    check_equal(Image(state, "a").text("seen"), "A=1 B=2\n")
    env = Image(state, "a").env()
    check_equal((env["A"], env["B"], env["C"], "NOT_SET" in env), ("1", "file", "caller", False))
    child = make_context("FROM a\nLABEL more=2\n", {})
    state.ok("build", "--unsetenv", "A", "--unsetenv", "none", "--unsetlabel", "own", "-t", "b", child)
    check_equal(("A" in Image(state, "b").env(), Image(state, "b").config["config"]["Labels"]), (False, {"more": "2"}))
    check_equal(Image(state, "b").env()["PATH"], env["PATH"])
    check_in("CACHED", state.ok("build", "--progress=plain", "--cache-ttl=1h", *words, context, env={"C": "caller"}).err)
    again = state.ok("build", "--progress=plain", "--cache-ttl=1ms", *words, context, env={"C": "caller"}).err
    check_in("DONE", again.partition("RUN echo")[2].partition("exporting")[0])
    check_in("'x' is not a length of time", state.fails("build", "--cache-ttl=x", context).err)


def test_a_secret_may_be_named_by_its_variable_in_docker_s_way():
    """docs.docker.com, "docker buildx build --secret": type=env,src=NAME is env=NAME."""
    state = State()
    context = make_context(f"FROM {busybox()}\nRUN --mount=type=secret,id=s sha256sum /run/secrets/s\n", {})
    import hashlib
    name = hashlib.sha256(b"value").hexdigest()
    for number, how in enumerate(("id=s,type=env,src=SECRET_VALUE", "type=env,id=s,env=SECRET_VALUE", "id=s,env=SECRET_VALUE")):
        result = state.ok("build", "--progress=plain", "--no-cache", "--secret", how, context, env={"SECRET_VALUE": "value"})
        check_in(name, result.err)


# The long options of the commands' references, read on 2026-11-20: docker build and docker buildx
# build (docs.docker.com), podman build and buildah build (their manual pages), kaniko's README, and
# the original img build. Those that only choose a machine to talk to are left out.
DOCKER = """add-host allow annotation attest build-arg build-context builder cache-from cache-to call check
    cgroup-parent compress cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems disable-content-trust file
    force-rm iidfile isolation label load memory memory-swap metadata-file network no-cache no-cache-filter output
    platform progress provenance pull push quiet rm sbom secret security-opt shm-size squash ssh tag target ulimit"""
BUILDAH = """add-history all-platforms arch authfile build-arg-file cache-ttl cap-add cap-drop cert-dir compat-volumes
    cpp-flag creds cw decryption-key device disable-compression dns dns-option dns-search env format from group-add
    hooks-dir identity-label ignorefile inherit-annotations inherit-labels ipc jobs layer-label layers log-rusage
    logfile logsplit manifest no-hostname no-hosts no-pivot omit-history os os-feature os-version pid pull-always
    pull-never retry retry-delay rewrite-timestamp runtime runtime-flag rusage-logfile sign-by signature-policy
    skip-unused-stages source-date-epoch source-policy-file squash-all stdin timestamp tls-verify
    transient-run-mounts unsetannotation unsetenv unsetlabel userns userns-gid-map userns-gid-map-group
    userns-uid-map userns-uid-map-user uts variant volume http-proxy compression-format"""
KANIKO = """cache cache-copy-layers cache-dir cache-repo cache-run-layers cache-ttl cleanup compressed-caching compression
    compression-level context context-sub-path custom-platform destination digest-file dockerfile force git
    ignore-path ignore-var-run image-fs-extract-retry image-name-tag-with-digest-file image-name-with-digest-file
    insecure insecure-pull insecure-registry log-format log-timestamp no-push no-push-cache oci-layout-path
    push-ignore-immutable-tag-errors push-retry registry-certificate registry-client-cert registry-map
    registry-mirror reproducible single-snapshot skip-default-registry-fallback skip-push-permission-check
    skip-tls-verify skip-tls-verify-pull skip-tls-verify-registry snapshot-mode snapshotMode tar-path tarPath
    use-new-run verbosity whitelist-var-run"""
IMG_0_5 = "build-arg cache-from cache-to file label no-cache no-console output platform secret ssh tag target"


def test_no_option_of_another_builder_is_unknown():
    """Flags of docker, buildx, buildah, podman: implemented, accepted with a warning, or refused with a sentence."""
    state = State()
    unknown = [word for word in sorted(set(" ".join((DOCKER, BUILDAH, KANIKO, IMG_0_5)).split()))
               if "unknown option" in state.run("build", f"--{word}=zz", "/nonexistent").err]
    check_equal(unknown, [])


def test_what_has_no_effect_is_said_once_and_what_cannot_be_done_is_refused():
    state = State()
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    result = state.ok("build", "--rm", "--memory", "1g", context)
    check_equal(result.err.count("has no effect"), 2)
    check_in("option '--memory' has no effect: set limits on img itself", result.err)
    for words, sentence in ((["--destination", "x"], "it is -t NAME --push"), (["--dns", "1.1.1.1"], "resolv.conf"),
                            (["--provenance=mode=most"], "mode is min or max"),
                            (["--network", "container:x"], "takes default, none, host"),
                            (["--timestamp", "x"], "'x'"), (["--ulimit", "nofile"], "NAME=SOFT[:HARD]"),
                            (["--ulimit", "nofile=9:3"], "above the hard one"), (["--shm-size", "0"], "more than 0"),
                            (["--arch", "arm64", "--platform", "linux/amd64"], "two answers"),
                            (["--pull-always", "--pull-never"], "answers to one question"),
                            (["--build-arg-file", "/nonexistent"], "No such file")):
        result = state.run("build", *words, context)
        check(result.code in (1, 2), f"{words}: {result}")
        check_in(sentence, result.err)
    state.ok("build", "--provenance=false", "--sbom=false", context)


def test_options_of_other_builders_do_what_they_do_there():
    """docker build --shm-size --ulimit; buildah build --build-arg-file --timestamp --arch; kaniko --digest-file."""
    state = State()
    context = make_context(f"FROM {busybox()}\nARG A\nARG B\nRUN echo shm=$(df -k /dev/shm | tail -1 | awk '{{print $2}}') "
                           "nofile=$(ulimit -Sn):$(ulimit -Hn) A=$A B=$B\n", {"args": "# no\nA=1\n\n B=2\n"})
    digest = state.path + ".digest"
    result = state.ok("build", "--progress=plain", "--shm-size=8m", "--ulimit", "nofile=77:88", "--build-arg-file",
                      os.path.join(context, "args"), "--build-arg", "B=3", "--timestamp=1", "--digest-file", digest,
                      "-t", "a", context)
    check_in("shm=8192 nofile=77:88 A=1 B=3", result.err)
    with open(digest) as f:
        check_equal(f.read(), state.ok("inspect", "-f", "{{.Digest}}", "a").out.strip())
    check_equal(state.ok("inspect", "-f", "{{.Created}}", "a").out, "1970-01-01T00:00:01Z\n")
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    write(os.path.join(context, "only"), "Dockerfile\n")
    check_in("Dockerfile", state.fails("build", "--ignorefile", os.path.join(context, "only"), context).err)
    state.ok("build", "--arch", "arm", "--variant", "v7", "-t", "b", context)
    check_equal(state.ok("ls", "b", "--format", "{{.Platform}}").out, "linux/arm/v7\n")


def test_what_is_typed_by_habit_is_understood():
    """pflag's short switches with a value; podman-build(1) without a context; docker buildx: --platform local,
    --no-cache-filter a,b; buildah-build(1): --jobs 0."""
    state = State()
    context = make_context("FROM scratch AS one\nCOPY Dockerfile /\nFROM one\nCOPY Dockerfile /b\n", {})
    image = state.ok("build", "-q=true", context).out
    check_equal(image[:7], "sha256:")
    check_equal(state.ok("build", "-q=false", "-t=x", context).out, "")
    check_in("takes true or false, not 'maybe'", state.fails("build", "-q=maybe", context, code=2).err)
    check_equal(subprocess.run([IMG, "build", "-q"], cwd=context, env=state.env, capture_output=True).stdout.decode(), image)
    check_equal(state.ok("build", "-q", "--platform", "local", "-j", "0", context).out, image)
    plain = state.ok("build", "--progress=plain", "--no-cache-filter", "none,one", context).err
    check_in("there is no stage 'none', continuing without it", plain)
    check("CACHED" not in plain.partition("[one 1/1]")[2].partition("[stage-1")[0], plain)
    check("no stage" not in state.ok("build", "--no-cache-filter=ONE", context).err, "a stage that is there")


def test_what_was_named_on_purpose_must_be_there():
    state = State()
    context = make_context("FROM scratch\nCOPY Dockerfile /\n", {})
    for words in (["--authfile", "/nonexistent/a"], ["--cert-dir", "/nonexistent/a"]):
        for command in (["build", context], ["pull", "x"], ["push", "x"]):
            check_in("cannot use '/nonexistent/a': No such file", state.fails(command[0], *words, *command[1:]).err)


def test_findings_are_in_the_metadata_when_asked_for():
    """docker buildx build, "--metadata-file": BUILDX_METADATA_WARNINGS."""
    state = State()
    context = make_context("FROM scratch AS Base\nCOPY Dockerfile /\n", {})
    path = state.path + ".json"
    for value, count in (("", 0), ("false", 0), ("true", 1), ("1", 1)):
        state.ok("build", "--metadata-file", path, context, env={"BUILDX_METADATA_WARNINGS": value})
        found = json.load(open(path)).get("buildx.build.warnings", [])
        check_equal(len(found), count)
    check_equal(base64.b64decode(found[0]["short"]).decode(),
                "StageNameCasing: Stage name 'Base' should be lowercase (line 1)")
    check_equal(found[0]["range"], [{"start": {"line": 1}, "end": {"line": 1}}])


if __name__ == "__main__":
    main(globals())
