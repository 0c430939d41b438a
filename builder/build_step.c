/* build_step.c - RUN: a view, a sandbox on it, its output, and the layer its journal gives. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "builder/build_internal.h"
#include "builder/build_mount.h"
#include "builder/build_trace.h"
#include "builder/record.h"
#include "builder/redact.h"
#include "builder/sandbox/network.h"
#include "builder/sandbox/sandbox.h"
#include "builder/users.h"
#include "fs/base/io.h"
#include "fs/base/key.h"
#include "fs/base/log.h"
#include "fs/mount.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define PREDICTED 2 /* a step that was looked up only: the state has gone on */
#define OUTPUT_BUFFER_SIZE (64u << 10)
#define TAIL_SIZE 1000u /* of the log, shown with a failure; fits err->detail with the excerpt */

struct step {
    struct build_stage *stage;
    const struct instruction *in;
    struct run_script script;
    struct strv argv;
    struct strv env;
    struct str text;    /* "RUN make", for progress */
    struct str history; /* "RUN |1 A=b /bin/sh -c make # buildkit" */
    enum sandbox_network network;
    enum sandbox_security security;
    struct step_mounts mounts;
    uint32_t vertex;
    struct redact redact; /* of the secrets it is given */
    struct str tail;      /* last bytes of the log */
    bool has_quick;
    struct digest quick; /* a second key, by what its mounts are called */
};

static void step_release(struct step *s)
{
    step_mounts_release(&s->mounts);
    run_script_release(&s->script);
    strv_release(&s->argv);
    strv_release(&s->env);
    str_release(&s->text);
    str_release(&s->history);
    redact_release(&s->redact);
    str_release(&s->tail);
}
DEFINE_CLEANUP_VALUE(step_release, struct step)

static void warn_of(const struct step *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void warn_of(const struct step *s, const char *fmt, ...)
{
    auto_str struct str text = {0};
    va_list args;

    va_start(args, fmt);
    str_vaddf(&text, fmt, args);
    va_end(args);
    progress_warn(s->stage->build->options->progress, s->vertex, str_text(&text));
}

/* No device of the host is registered: one that is required is missing, others are done without. */
static int check_devices(const struct step *s, struct error *err)
{
    const struct run *run = &s->in->run;

    for (size_t i = 0; i < run->device_count; i++) {
        if (run->devices[i].is_required) {
            error_set(err, ENOTSUP,
                      "RUN --device=%s is not supported: descriptions of devices (CDI) are not "
                      "read",
                      run->devices[i].name);
            (void)error_hint(err, "img build --device /dev/NAME shows a device to every RUN");
            return dockerfile_locate_flag(s->stage->build->df, s->in, "device", err);
        }
        warn_of(s, "device '%s' is not there, continuing without it", run->devices[i].name);
    }
    return 0;
}

static void warn_of_mounts(const struct step *s)
{
    for (size_t i = 0; i < s->in->run.mounts.count; i++)
        if (s->in->run.mounts.items[i].ignored != NULL)
            warn_of(s, "'%s' of a mount means nothing here, continuing without it",
                    s->in->run.mounts.items[i].ignored);
}

static int choose_modes(struct step *s, struct error *err)
{
    const struct build_options *o = s->stage->build->options;
    const struct run *run = &s->in->run;

    s->network = o->network == BUILD_NETWORK_NONE   ? SANDBOX_NETWORK_NONE
                 : o->network == BUILD_NETWORK_HOST ? SANDBOX_NETWORK_HOST
                                                    : SANDBOX_NETWORK_DEFAULT;
    if (run->network == RUN_NETWORK_NONE)
        s->network = SANDBOX_NETWORK_NONE;
    if (run->network == RUN_NETWORK_HOST) {
        if (!o->allow_network_host && o->network != BUILD_NETWORK_HOST) {
            error_set(err, EPERM, "RUN --network=host is not allowed");
            (void)error_hint(err, "allow it with --allow network.host"); /* and where */
            return dockerfile_locate_flag(s->stage->build->df, s->in, "network", err);
        }
        s->network = SANDBOX_NETWORK_HOST;
    }
    s->security =
        o->no_new_privileges ? SANDBOX_SECURITY_NO_NEW_PRIVILEGES : SANDBOX_SECURITY_SANDBOX;
    if (run->security == RUN_SECURITY_INSECURE) {
        if (!o->allow_insecure) {
            error_set(err, EPERM, "RUN --security=insecure is not allowed");
            (void)error_hint(err, "allow it with --allow security.insecure"); /* and where */
            return dockerfile_locate_flag(s->stage->build->df, s->in, "security", err);
        }
        s->security = SANDBOX_SECURITY_INSECURE;
    }
    return 0;
}

static void make_argv(struct step *s)
{
    if (s->script.form == RUN_FORM_EXEC) {
        strv_copy(&s->argv, &s->script.argv);
        return;
    }
    config_shell(s->stage->state.config, &s->argv);
    if (s->script.form == RUN_FORM_SHELL) {
        strv_add(&s->argv, s->script.text);
        return;
    }
    s->mounts.script_name = path_base(s->script.name);
    s->mounts.script = s->script.text;
    strv_addf(&s->argv, SANDBOX_PIPES "/%s", s->mounts.script_name);
}

static bool env_has(const struct strv *env, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->items[i], name, size) == 0 && env->items[i][size] == '=')
            return true;
    return false;
}

static const char *hostname(const struct build *b)
{
    const char *given = build_arg(b, "BUILDKIT_SANDBOX_HOSTNAME");

    return given == NULL || given[0] == '\0' ? "buildkitsandbox" : given;
}

/* As BuildKit has it: declared in a stage to be switched there, these two are no variables. */
static bool is_for_the_builder(const char *name)
{
    return strcmp(name, "BUILDKIT_SBOM_SCAN_CONTEXT") == 0 ||
           strcmp(name, "BUILDKIT_SBOM_SCAN_STAGE") == 0;
}

/* An ARG below an ENV of its name hides it. */
static void show_args(const struct build_stage *stage, struct strv *env)
{
    for (size_t i = 0; i < env->count; i++) {
        auto_free char *name = mem_strndup(env->items[i], strcspn(env->items[i], "="));
        const char *value = variables_get(&stage->env, name);

        if (value == NULL || is_for_the_builder(name))
            continue;
        free(env->items[i]);
        env->items[i] = str_format("%s=%s", name, value);
    }
}

/* ENV of the image, then ARGs of the stage that have no namesake in it. */
static void make_env(struct step *s)
{
    const struct build_stage *stage = s->stage;

    config_env(stage->state.config, &s->env);
    if (stage->hides_env)
        show_args(stage, &s->env);
    for (size_t i = 0; i < stage->arg_names.count; i++) {
        const char *name = stage->arg_names.items[i];
        const char *value = variables_get(&stage->args, name);

        if (value != NULL && !is_for_the_builder(name) && !env_has(&s->env, name))
            strv_addf(&s->env, "%s=%s", name, value);
    }
}

/* Proxies reach the command and nothing else: neither key nor history (Dockerfile reference,
 * "Predefined ARGs"). */
static void add_proxy_env(const struct step *s, struct strv *env)
{
    static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                        "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy",
                                        "ALL_PROXY",  "all_proxy"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = build_arg(s->stage->build, names[i]);

        if (value != NULL && !env_has(env, names[i]))
            strv_addf(env, "%s=%s", names[i], value);
    }
}

static void describe(struct step *s)
{
    const struct build_stage *stage = s->stage;
    auto_free char *words = strv_join(&s->argv, " ");
    auto_str struct str args = {0};
    size_t count = 0;

    for (size_t i = 0; i < stage->arg_names.count; i++, count++) {
        const char *value = variables_get(&stage->env, stage->arg_names.items[i]);

        str_addf(&args, "%s=%s ", stage->arg_names.items[i], value == NULL ? "" : value);
    }
    str_add(&s->text, s->in->text);
    str_add(&s->text, s->script.summary);
    str_add(&s->history, "RUN ");
    if (count > 0)
        str_addf(&s->history, "|%zu %s", count, str_text(&args));
    str_addf(&s->history, "%s # buildkit", words);
}

static int make_key(struct step *s, bool by_content, struct key *key, struct digest *out,
                    struct error *err)
{
    const struct build_stage *stage = s->stage;
    const struct build_options *o = stage->build->options;
    auto_str struct str platform = {0};
    int r;

    platform_format(&stage->platform, &platform);
    key_init(key, "run");
    key_digest(key, "parent", &stage->state.key);
    key_words(key, "argv", &s->argv);
    key_text(key, "script", s->mounts.script);
    key_words(key, "env", &s->env);
    key_text(key, "cwd", config_working_dir(stage->state.config));
    key_text(key, "user", config_user(stage->state.config));
    key_text(key, "hostname", hostname(stage->build));
    key_text(key, "platform", str_text(&platform));
    key_number(key, "network", (uint64_t)s->network);
    key_number(key, "security", (uint64_t)s->security);
    if (o->single_id)
        key_number(key, "single-id", 1); /* chown fails there, and tools go on without */
    for (size_t i = 0; o->extra_hosts != NULL && i < o->extra_hosts->count; i++) {
        const char *host = o->extra_hosts->items[i];
        auto_free char *name = mem_strndup(host, strcspn(host, ":"));

        key_text(key, "extra-host", name);
    }
    /* Where a volume is decides what a command finds there; what is in it is the caller's affair. */
    for (size_t i = 0; i < o->volume_count; i++)
        key_text(key, "volume", o->volumes[i].target);
    r = step_mounts_key(&s->mounts, by_content, key, err);
    if (r == 0)
        key_final(key, out);
    return r;
}

/* ---- running ---- */

static int add_mountpoints(struct step *s, const struct sandbox_spec *spec, struct view *v,
                           struct error *err)
{
    auto_mountpoint_list struct sandbox_mountpoint_list list = {0};
    int r = sandbox_mountpoints(spec, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++)
        if (list.items[i].tree == 0)
            r = view_add_mountpoint(v, list.items[i].path, list.items[i].is_dir, err);
    return r < 0 ? r : step_mounts_points(&s->mounts, &list, err);
}

static void keep_tail(struct step *s, const char *bytes, size_t size)
{
    str_add_bytes(&s->tail, bytes, size);
    if (s->tail.size > 2 * TAIL_SIZE) {
        memmove(s->tail.data, s->tail.data + s->tail.size - TAIL_SIZE, TAIL_SIZE);
        str_truncate(&s->tail, TAIL_SIZE);
    }
}

static void pass_on(struct step *s, int stream, const char *bytes, size_t size)
{
    if (size == 0)
        return;
    progress_log(s->stage->build->options->progress, s->vertex, stream, bytes, size);
    keep_tail(s, bytes, size);
}

/* Passes on what is there; closes *fd at the end of the stream. */
static void drain(struct step *s, int *fd, int stream, char *buffer)
{
    ssize_t got = read(*fd, buffer, OUTPUT_BUFFER_SIZE);
    auto_str struct str shown = {0};

    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0)
        close(steal_fd(fd));
    if (s->redact.count == 0) {
        if (got > 0)
            pass_on(s, stream, buffer, (size_t)got);
        return;
    }
    if (got > 0)
        redact_feed(&s->redact, stream, buffer, (size_t)got, &shown);
    else
        redact_flush(&s->redact, stream, &shown);
    pass_on(s, stream, str_text(&shown), shown.size);
}

/* Copies output until the step and all it started are gone; a cancelled build kills them. */
static void follow(struct step *s, struct sandbox *box)
{
    struct build *b = s->stage->build;
    auto_close int out_fd = sandbox_take_stdout_fd(box);
    auto_close int err_fd = sandbox_take_stderr_fd(box);
    auto_free char *buffer = mem_alloc(OUTPUT_BUFFER_SIZE);
    bool ended = false;
    bool killed = false;

    while (!ended || out_fd >= 0 || err_fd >= 0) {
        struct pollfd fds[] = {
            {.fd = out_fd, .events = POLLIN},
            {.fd = err_fd, .events = POLLIN},
            {.fd = ended ? -1 : sandbox_poll_fd(box), .events = POLLIN},
            {.fd = killed ? -1 : b->options->cancel_fd, .events = POLLIN},
            {.fd = killed ? -1 : b->stop_fd, .events = POLLIN},
        };

        if (poll(fds, 5, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            drain(s, &out_fd, 1, buffer);
        if (fds[1].revents != 0)
            drain(s, &err_fd, 2, buffer);
        if (fds[2].revents != 0)
            ended = true;
        if (fds[3].revents != 0 || fds[4].revents != 0) {
            atomic_store(b->stop, true);
            sandbox_kill(box);
            killed = true;
        }
    }
}

/* ["a", 'b'] is a list to people and a strange command to a shell, which says little about it. */
static int hint_at_array(const struct step *s, struct error *err)
{
    const char *text = s->script.form == RUN_FORM_SHELL ? s->script.text : "";

    if (!text_starts(text, "[\"") && !text_starts(text, "['"))
        return -err->code;
    return error_hint(err,
                      "the arguments look like an array and are none in JSON (strings in double "
                      "quotes, commas between them), so a shell was given them");
}

static int failed(struct step *s, const struct sandbox_result *result, struct error *err)
{
    auto_free char *words = strv_join(&s->argv, " ");
    auto_str struct str quoted = {0};
    auto_str struct str escaped = {0};
    const char *end = str_text(&s->tail) + s->tail.size;
    const char *line = end - (s->tail.size > TAIL_SIZE ? TAIL_SIZE : s->tail.size);
    auto_free char *excerpt = NULL;
    auto_free char *name = step_name(s->stage, str_text(&s->text));

    str_add_quoted(&quoted, words);
    if (result->signal != 0)
        error_set(err, EPROTO, "process %s did not complete successfully: killed by signal %d (%s)",
                  str_text(&quoted), result->signal, strsignal(result->signal));
    else
        error_set(err, EPROTO, "process %s did not complete successfully: exit code: %d",
                  str_text(&quoted), result->status);
    if (result->signal == SIGSYS)
        error_hint(err, "it made a system call of another architecture (32-bit or x32), which "
                        "steps may not");
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline == NULL ? end : newline;

        str_add_escaped(&escaped, line, (size_t)(stop - line));
        str_add_char(&escaped, '\n');
        line = stop + 1;
    }
    /* The last lines of the log, then the place in the Dockerfile. */
    dockerfile_locate(s->stage->build->df, s->in, NULL, err);
    excerpt = mem_strdup(err->detail);
    return error_detail(err, "------\n > %s:\n%s------\n%s", name, str_text(&escaped), excerpt);
}

/* Said in the step's own output, next to what will fail for want of it. */
static void warn(struct step *s, const char *warning)
{
    auto_free char *line = str_format("warning: %s, continuing without a network\n", warning);

    if (warning[0] != '\0')
        progress_log(s->stage->build->options->progress, s->vertex, 2, line, strlen(line));
}

/* The sandbox around the served view; on success the command ran and everything of it is gone. */
static int run_in_sandbox(struct step *s, struct view *v, const struct user *user,
                          struct sandbox_result *result, struct error *err)
{
    struct build *b = s->stage->build;
    struct spawner *sp = build_spawner(b, err);
    auto_strv struct strv env = {0};
    auto_str struct str hosts = {0};
    auto_free gid_t *groups = user_process_groups(user);
    struct sandbox_spec spec = {
        .argv = strv_argv(&s->argv),
        .cwd = config_working_dir(s->stage->state.config),
        .uid = user->uid,
        .gid = user->gid,
        .groups = groups,
        .group_count = user->group_count + 1,
        .hostname = hostname(b),
        .network = s->network,
        .network_optional = true,
        .security = s->security,
        .tree_count = s->mounts.tree_count,
        .mounts = s->mounts.specs,
        .mount_count = s->mounts.spec_count,
        .ulimits = b->options->ulimits,
        .ulimit_count = b->options->ulimit_count,
        .shm_size = b->options->shm_size_bytes,
    };
    auto_sandbox struct sandbox *box = NULL;
    auto_mount struct mount *mount = NULL;
    const struct mount_options mount_options = {0};
    int r;

    if (sp == NULL)
        return -err->code;
    strv_copy(&env, &s->env);
    for (size_t i = 0; i < s->mounts.env.count; i++)
        strv_add(&env, s->mounts.env.items[i]);
    add_proxy_env(s, &env);
    if (!env_has(&env, "HOME"))
        strv_addf(&env, "HOME=%s", user->home);
    spec.env = strv_argv(&env);
    hosts_text(hostname(b), b->options->extra_hosts, &hosts);
    spec.hosts = str_text(&hosts);
    r = add_mountpoints(s, &spec, v, err);
    if (r == 0)
        r = sandbox_start(sp, &spec, &box, err);
    if (r == 0)
        r = mount_serve(v, sandbox_take_tree_fd(box, 0), &mount_options, &mount, err);
    if (r == 0)
        r = step_mounts_serve(&s->mounts, box, err);
    if (r < 0)
        return r;
    follow(s, box);
    r = sandbox_wait(box, result, err);
    warn(s, sandbox_warning(box));
    mount_stop(STEAL(&mount));
    return r < 0 ? r : step_mounts_finish(&s->mounts, err);
}

/* With one mapped id the kernel must see every file as root's; the true owners stay data. */
static int open_view(const struct step *s, struct view **out, struct error *err)
{
    const struct build_stage *stage = s->stage;
    const struct view_options options = {
        .label = str_text(&s->text),
        .squash = stage->build->options->single_id,
    };

    return build_view_open(s->stage, &options, out, err);
}

/* Without what failed there is the message alone: whatever goes wrong here is not worth another. */
static void keep_failed(struct step *s, struct view *v, const struct digest *key,
                        const struct sandbox_result *result)
{
    struct build *b = s->stage->build;
    const struct stage_state *state = &s->stage->state;
    auto_free char *outcome = result->signal != 0 ? str_format("signal: %d", result->signal)
                                                  : str_format("exit code: %d", result->status);
    auto_strv struct strv shell = {0};
    auto_free char *context =
        b->options->context == NULL ? NULL : realpath(b->options->context, NULL);
    const struct failed_step failed = {
        .context = context == NULL ? "" : context,
        .key = key,
        .text = str_text(&s->text),
        .outcome = outcome,
        .layers = state->layers,
        .layer_count = state->layer_count,
        .env = &s->env,
        .shell = &shell,
        .user = config_user(state->config),
        .cwd = config_working_dir(state->config),
    };
    struct error err = {0};
    bool has_replaced = false;
    int r;

    config_shell(state->config, &shell);
    r = failed_keep(b->options->store, v, &failed, &has_replaced, &err);
    if (r < 0)
        log_debug("cannot keep the failed step: %s", err.text);
    pthread_mutex_lock(&b->lock);
    if (r == 0 && b->failed_step[0] == '\0')
        step_id(key, b->failed_step);
    b->has_garbage = b->has_garbage || has_replaced;
    pthread_mutex_unlock(&b->lock);
}

static int execute(struct step *s, const struct cache_entry *entry, int64_t *layer,
                   struct error *err)
{
    struct build_stage *stage = s->stage;
    auto_view struct view *v = NULL;
    auto_user struct user user = {0};
    struct sandbox_result result = {0};
    struct cache_entry made = *entry;
    struct view_sealed sealed;
    struct error fault;
    uint64_t start_ns = io_ticks_ns();
    int r;

    error_clear(&fault);
    (void)build_spawner(stage->build, &fault); /* a head start; run_in_sandbox reports a failure */
    r = open_view(s, &v, err);
    if (r == 0)
        r = view_user_resolve(v, config_user(stage->state.config), &user, err);
    if (r == 0)
        r = view_ensure_dir(v, config_working_dir(stage->state.config), stage->build->now_ns, err);
    s->mounts.vertex = s->vertex;
    if (r == 0)
        r = step_mounts_open(&s->mounts, err);
    for (size_t i = 0; r == 0 && i < s->mounts.count; i++)
        if (s->mounts.items[i].secret != NULL)
            redact_add(&s->redact, s->mounts.items[i].secret, s->mounts.items[i].secret_size);
    record_step(stage->build->record, s->vertex, &entry->key, stage->state.config, &s->env);
    if (r == 0)
        r = run_in_sandbox(s, v, &user, &result, err);
    if (build_is_canceled(stage->build))
        return error_set(err, ECANCELED, "canceled");
    /* A broken store must not look like a broken command; and a command that went on over it made
     * a layer nobody should find again. */
    if (v != NULL && (view_fault(v, &fault) < 0 || step_mounts_fault(&s->mounts, &fault) < 0)) {
        *err = fault;
        return -fault.code;
    }
    if (r < 0)
        return r;
    if (result.status != 0) {
        keep_failed(s, v, &entry->key, &result);
        return failed(s, &result, err);
    }
    made.run_ns = io_ticks_ns() - start_ns;
    r = build_seal_cached(stage, v, &made, &sealed, err);
    if (r == 0)
        *layer = sealed.layer;
    return r;
}

/* Says how the step came out, and hands its result to the ones that follow. */
static void finish(struct step *s, const struct cache_hit *made, bool is_cached)
{
    struct build_stage *stage = s->stage;

    if (is_cached)
        build_step_note(stage, str_text(&s->text), BUILD_STEP_CACHED, NULL);
    atomic_fetch_add(is_cached ? &stage->build->cached_count : &stage->build->ran_count, 1);
    stage_push_layer(&stage->state, made);
    step_history(stage, str_text(&s->history), made->layer == 0);
}

/* Next time no byte of what is mounted need be read. */
static int remember_quick(struct step *s, const struct cache_hit *made, struct error *err)
{
    const struct cache_entry alias = {.key = s->quick,
                                      .canonical = &made->key,
                                      .description = str_text(&s->text),
                                      .time_ns = made->time_ns};

    if (!s->has_quick || s->stage->build->mode != BUILD_MODE_BUILD)
        return 0;
    return build_cache_put(s->stage, &alias, made->layer, err);
}

/* Bind mounts of stages and images that are others by name may show the same files. */
static int look_by_content(struct step *s, struct key *key, struct cache_entry *entry,
                           struct cache_hit *made, struct error *err)
{
    int r;

    s->quick = entry->key;
    s->has_quick = true;
    key_release(key);
    r = make_key(s, true, key, &entry->key, err);
    if (r == 1) {
        build_step_unknown(s->stage, str_text(&s->text), "what it mounts is not made yet");
        return PREDICTED;
    }
    if (r == 0)
        r = build_cache_find(s->stage, &entry->key, made, err);
    if (r != 1)
        return r;
    r = remember_quick(s, made, err);
    return r < 0 ? r : 1;
}

/* The key, and what the cache has under it: 1 a hit, 0 a miss whose inputs are in `entry`. */
static int look_up(struct step *s, struct key *key, struct cache_entry *entry,
                   struct cache_hit *made, struct error *err)
{
    int r = check_devices(s, err);

    if (r == 0)
        r = choose_modes(s, err);
    if (r == 0)
        r = step_mounts_plan(&s->mounts, s->stage, s->in, err);
    if (r == 0)
        r = make_key(s, false, key, &entry->key, err);
    if (r == 0)
        r = build_cache_find(s->stage, &entry->key, made, err);
    if (r == 0 && step_mounts_have_names(&s->mounts))
        r = look_by_content(s, key, entry, made, err);
    if (r != 0)
        return r;
    key_note(key, "base", s->stage->state.base);
    r = step_mounts_list(&s->mounts, key, err);
    entry->description = str_text(&s->text);
    entry->inputs = str_text(&key->inputs);
    return r;
}

int build_step_run(struct build_stage *stage, const struct instruction *in, struct error *err)
{
    __attribute__((cleanup(cleanup_step_release))) struct step s = {.stage = stage, .in = in};
    auto_key struct key key = {0};
    struct cache_entry entry = {0};
    struct cache_hit made;
    int r;
    bool is_cached;

    run_script_make(in, &s.script);
    make_argv(&s);
    make_env(&s);
    describe(&s);
    s.vertex = step_begin(stage, str_text(&s.text));
    if (build_is_unknown(stage, in)) {
        build_step_unknown(stage, str_text(&s.text), "what it starts from is not known");
        return 0;
    }
    warn_of_mounts(&s);
    r = look_up(&s, &key, &entry, &made, err);
    if (r == PREDICTED)
        return 0;
    is_cached = r == 1;
    if (r == 0 && build_step_missed(stage, str_text(&s.text), &entry))
        return 0;
    if (r == 0) {
        made = build_made(stage->build, &entry.key, 0);
        r = execute(&s, &entry, &made.layer, err);
        if (r == 0)
            r = remember_quick(&s, &made, err);
        else if (r != -ECANCELED)
            (void)hint_at_array(&s, err); /* the code stays */
    }
    progress_end(stage->build->options->progress, s.vertex,
                 r == -ECANCELED ? PROGRESS_CANCELED
                 : r < 0         ? PROGRESS_ERROR
                 : is_cached     ? PROGRESS_CACHED
                                 : PROGRESS_DONE,
                 err->text);
    if (r < 0)
        return r;
    finish(&s, &made, is_cached);
    build_trace_run(stage, in, &s.argv, &s.env, s.network != SANDBOX_NETWORK_NONE);
    return 0;
}
