/* test_run_mount.c - claims of the Dockerfile reference, "RUN --mount"; the closed
 * list of keys is SECURITY R24.
 */
#include "builder/dockerfile/expand.h"
#include "tests/unit/dockerfile/language.h"

DEFINE_CLEANUP_VALUE(run_mount_release, struct run_mount)
#define auto_mount __attribute__((cleanup(cleanup_run_mount_release))) struct run_mount

static struct run_mount mount(const char *text, const char *variables)
{
    auto_variables struct variables v = variables_of(variables);
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};
    struct run_mount out = {0};

    check_ok(run_mount_parse(text, &how, NULL, &out, &test_err));
    check_true(out.is_complete);
    return out;
}

static void refuse_mount(const char *text, const char *sentence)
{
    struct expand how = {.escape = '\\'};
    struct run_mount out = {0};
    struct error err = {0};

    check_fails(run_mount_parse(text, &how, NULL, &out, &err), EINVAL);
    check_text(err.text, sentence);
    check_true(out.text == NULL);
}

TEST(run_mount, bind_is_the_default_and_read_only)
{
    auto_mount m = mount("target=/x", "");
    auto_mount rw = mount("type=bind,from=build,source=/a,dst=y,rw", "");
    auto_mount no = mount("readwrite=false,destination=/x", "");
    auto_mount yes = mount("ro=0,target=/x", "");

    check_int(m.type, RUN_MOUNT_BIND);
    check_text(m.target, "/x");
    check_text(m.source, NULL);
    check_text(m.from, NULL);
    check_true(m.is_read_only);
    check_text(rw.from, "build");
    check_text(rw.source, "/a");
    check_text(rw.target, "y");
    check_false(rw.is_read_only);
    check_true(no.is_read_only);
    check_false(yes.is_read_only);
}

TEST(run_mount, cache_has_its_defaults)
{
    auto_mount m = mount("type=cache,target=/root/./.cache/", "");
    auto_mount full = mount("type=CACHE,target=/x,id=y,sharing=Locked,mode=0700,uid=1,gid=2,ro,"
                            "from=a,source=b",
                            "");

    check_int(m.type, RUN_MOUNT_CACHE);
    check_text(m.id, "/root/.cache");
    check_int(m.sharing, RUN_MOUNT_SHARED);
    check_int(m.mode, 0755);
    check_false(m.has_mode);
    check_int(m.uid, 0);
    check_false(m.is_read_only);
    check_text(full.id, "y");
    check_int(full.sharing, RUN_MOUNT_LOCKED);
    check_int(full.mode, 0700);
    check_int(full.uid, 1);
    check_int(full.gid, 2);
    check_true(full.is_read_only);
    check_text(full.from, "a");
}

TEST(run_mount, tmpfs_takes_a_size_in_binary_units)
{
    static const struct {
        const char *text;
        uint64_t size;
    } sizes[] = {{"1024", 1024},     {"64m", 64 << 20}, {"1G", 1 << 30}, {"1.5k", 1536},
                 {"2 MiB", 2 << 20}, {"3kb", 3 << 10},  {"7b", 7},       {"1T", UINT64_C(1) << 40}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        auto_free char *text = str_format("type=tmpfs,target=/x,size=%s", sizes[i].text);
        auto_mount m = mount(text, "");

        check_int(m.size_max_bytes, sizes[i].size);
        check_false(m.is_read_only);
    }
    refuse_mount("type=tmpfs,size=x", "invalid value for size: x");
    refuse_mount("type=tmpfs,size=-1", "invalid value for size: -1");
    refuse_mount("type=tmpfs,size=1.2.3", "invalid value for size: 1.2.3");
    refuse_mount("type=tmpfs,size=9999999999t", "invalid value for size: 9999999999t");
}

TEST(run_mount, secret_has_its_defaults)
{
    auto_mount by_id = mount("type=secret,id=token", "");
    auto_mount by_source = mount("type=secret,source=token", "");
    auto_mount by_target = mount("type=secret,target=/etc/npmrc,required", "");
    auto_mount env = mount("type=secret,id=a/b,env=TOKEN", "");

    check_text(by_id.target, "/run/secrets/token");
    check_int(by_id.mode, 0400);
    check_true(by_id.is_read_only);
    check_false(by_id.is_required);
    check_text(by_source.id, "token");
    check_text(by_target.id, "npmrc");
    check_text(by_target.target, "/etc/npmrc");
    check_true(by_target.is_required);
    check_text(env.env, "TOKEN");
    check_text(env.target, NULL);
}

TEST(run_mount, ssh_has_its_defaults)
{
    auto_mount m = mount("type=ssh", "");
    auto_mount full = mount("type=ssh,id=x,target=/s,required=false,mode=0666", "");

    check_text(m.id, "default");
    check_text(m.target, NULL);
    check_int(m.mode, 0600);
    check_text(full.id, "x");
    check_text(full.target, "/s");
    check_int(full.mode, 0666);
}

TEST(run_mount, unknown_keys_and_types_get_a_suggestion)
{
    refuse_mount("x=y", "unexpected key 'x' in 'x=y'");
    refuse_mount("\"x\"=\"y\"", "unexpected key '\"x\"' in '\"x\"=\"y\"'");
    refuse_mount("type=cache,traget=/x",
                 "unexpected key 'traget' in 'traget=/x' (did you mean target?)");
    refuse_mount("type=cahce", "unsupported mount type \"cahce\" (did you mean cache?)");
    refuse_mount("type=volume", "unsupported mount type \"volume\"");
    refuse_mount("type=", "unsupported mount type \"\"");
    refuse_mount("type=cache,target=/x,sharing=lock",
                 "unsupported sharing value \"lock\" (did you mean locked?)");
    refuse_mount("type=cache,target=/x,sharing=share",
                 "unsupported sharing value \"share\" (did you mean shared?)");
}

/* SECURITY R24: a closed list; no propagation, relabelling, exec or suid flags, nothing twice. */
TEST(run_mount, options_of_other_tools_are_refused)
{
    refuse_mount("target=/x,bind-propagation=shared",
                 "unexpected key 'bind-propagation' in 'bind-propagation=shared'");
    refuse_mount("target=/x,suid", "invalid field 'suid' must be a key=value pair");
    refuse_mount("target=/x,exec=true", "unexpected key 'exec' in 'exec=true'");
    refuse_mount("target=/x,target=/y", "duplicate key 'target' in 'target=/x,target=/y'");
    refuse_mount("target=/x,dst=/y", "duplicate key 'dst' in 'target=/x,dst=/y'");
    refuse_mount("target=/x,ro,rw", "duplicate key 'rw' in 'target=/x,ro,rw'");
}

/* containers-build(1): accepted, and named so that the step can say so. */
TEST(run_mount, labels_and_owners_of_buildah_mean_nothing)
{
    static const char *const fields[] = {"z", "Z", "U", "U=true"};

    for (size_t i = 0; i < 4; i++) {
        auto_free char *text = str_format("target=/x,%s", fields[i]);
        auto_mount m = mount(text, "");

        check_text(m.target, "/x");
        check_text(m.ignored, fields[i]);
    }
}

/* Where the caret of an error goes: the field that is wrong. */
TEST(run_mount, a_failure_tells_which_field_is_to_blame)
{
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"type=cahce,target=/x", 0},           {"target=/x,tpye=cache", 10},
        {"\"target=/x,tpye=cache\"", 11},      {"type=cache,target=/x,sharing=lcoked", 21},
        {"type=bind,mode=0755,target=/x", 10}, {"target=/x,ro=maybe", 10},
        {"type=cache,target=/,id=x", 11},      {"type=tmpfs,target=/x,size=1q", 21},
        {"type=cache,target=/x,uid=root", 21}, {"type=secret", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct expand how = {.escape = '\\'};
        struct run_mount out = {0};
        struct error err = {0};

        check_fails(run_mount_parse(cases[i].text, &how, NULL, &out, &err), EINVAL);
        check_int(out.fault_offset, cases[i].offset);
    }
}

TEST(run_mount, keys_belong_to_their_types)
{
    refuse_mount("mode=0755,target=/x", "mode not allowed for \"bind\" type mounts");
    refuse_mount("type=tmpfs,uid=1,target=/x", "uid not allowed for \"tmpfs\" type mounts");
    refuse_mount("gid=1,target=/x", "gid not allowed for \"bind\" type mounts");
    refuse_mount("sharing=shared,target=/x", "invalid cache sharing set for bind mount");
    refuse_mount("required,target=/x", "unexpected key 'required' for mount type 'bind'");
    refuse_mount("size=1,target=/x", "unexpected key 'size' for mount type 'bind'");
    refuse_mount("type=ssh,env=A", "unexpected key 'env' for mount type 'ssh'");
    refuse_mount("type=tmpfs,from=a", "unexpected key 'from' for mount type 'tmpfs'");
    refuse_mount("type=secret,id=a,from=b", "secret mount should not have a from");
    refuse_mount("type=secret,id=a,rw", "unexpected key 'rw' for mount type 'secret'");
    refuse_mount("type=secret,id=a,source=b", "both source and id can't be set");
    refuse_mount("type=secret", "invalid secret mount. one of source, target required");
    refuse_mount("type=secret,id=", "invalid secret mount. one of source, target required");
}

TEST(run_mount, values_are_checked)
{
    refuse_mount("target=/", "invalid mount target \"/\"");
    refuse_mount("target=/x/..", "invalid mount target \"/\"");
    refuse_mount("target", "invalid field 'target' must be a key=value pair");
    refuse_mount("", "invalid field '' must be a key=value pair");
    refuse_mount("target=/x,", "invalid field '' must be a key=value pair");
    refuse_mount("ro=maybe", "invalid value for ro: maybe");
    refuse_mount("type=ssh,required=x", "invalid value for required: x");
    refuse_mount("type=cache,mode=9", "invalid value 9 for mode");
    refuse_mount("type=cache,mode=10000", "invalid value 10000 for mode");
    refuse_mount("type=cache,mode=", "invalid value  for mode");
    refuse_mount("type=cache,uid=-1", "invalid value -1 for uid");
    refuse_mount("type=cache,gid=4294967295", "invalid value 4294967295 for gid");
}

TEST(run_mount, quotes_keep_commas_and_blanks)
{
    auto_mount csv = mount("type=bind,\"target=/a,b\"", "");
    auto_mount inner = mount("type=bind,target=\"/a, b\"", "");
    auto_mount whole = mount("\"type=cache,target=/x\"", "");
    auto_mount single = mount("target='/a\"b'", "");

    check_text(csv.target, "/a,b");
    check_text(inner.target, "/a, b");
    check_int(whole.type, RUN_MOUNT_CACHE);
    check_text(whole.target, "/x");
    check_text(single.target, "/a\"b");
}

TEST(run_mount, values_are_expanded_but_from_is_not)
{
    auto_mount m = mount("type=$t,target=${d:-/x},id=\"$i\",uid=$u", "t=cache i=a,b u=7");
    struct expand how = {.escape = '\\'};
    struct run_mount out = {0};
    struct error err = {0};

    check_int(m.type, RUN_MOUNT_CACHE);
    check_text(m.target, "/x");
    check_text(m.id, "a,b");
    check_int(m.uid, 7);
    check_fails(run_mount_parse("from=$x,target=/y", &how, NULL, &out, &err), EINVAL);
    check_text(err.text, "'from' doesn't support variable expansion, define alias stage instead");
}

TEST(run_mount, what_holds_a_variable_waits_and_the_rest_is_checked)
{
    struct expand how = {.escape = '\\'};
    struct run_mount out = {0};

    check_ok(run_mount_parse("type=$t,target=$d,mode=0700,from=a", &how, NULL, &out, &test_err));
    check_false(out.is_complete);
    check_text(out.from, "a");
    run_mount_release(&out);
    refuse_mount("type=$t,uid=x", "invalid value x for uid");
    refuse_mount("target=$d,mode=0700", "mode not allowed for \"bind\" type mounts");
}

TEST(run_mount, an_instruction_reports_it_with_a_caret)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "FROM a\nRUN --network=none --mount=type=cach,target=/x y\n";

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_text(err.text, "unsupported mount type \"cach\" (did you mean cache?)");
    check_contains(err.detail, "     |                                ^\n");
}

TEST(run_mount, an_expanded_run_has_complete_mounts)
{
    auto_instruction struct instruction *in =
        expanded("RUN --mount=type=cache,target=/c/$a --mount=target=/b x", "a=1");

    check_int(in->run.mounts.count, 2);
    check_text(in->run.mounts.items[0].id, "/c/1");
    check_true(in->run.mounts.items[0].is_complete);
    check_int(in->run.mounts.items[1].column, 45);
    refuse_expansion("RUN --mount=type=$t,target=/x y", "t=z", "unsupported mount type \"z\"");
}
