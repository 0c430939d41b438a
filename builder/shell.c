/* shell.c - a view, a sandbox on it, and the two together until the command ends. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/build_internal.h"
#include "builder/shell.h"
#include "builder/users.h"
#include "fs/base/io.h"
#include "fs/mount.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define HOSTNAME "img-shell"

struct shell {
    struct view *view;
    struct spawner *spawner;
    struct sandbox *box;
    struct mount *mount;
};

static int open_view(struct store *store, const struct stack *stack,
                     const struct shell_options *options, struct view **out, struct error *err)
{
    const struct view_options view = {.label = stack->label, .squash = options->single_id};

    return view_open(store, stack->layers, stack->layer_count, &view, out, err);
}

static bool is_program(struct view *v, const char *path)
{
    struct union_attr attr;

    return view_resolve(v, path, true, &attr) == 0 && S_ISREG(attr.mode) && (attr.mode & 0111) != 0;
}

/* As in most images: bash if it is there, else what the configuration says, else sh. */
static int choose_shell(struct view *v, const struct stack *stack, struct strv *out,
                        struct error *err)
{
    static const char *const known[] = {"/bin/bash",   "/usr/bin/bash", "/bin/sh",
                                        "/usr/bin/sh", "/busybox/sh",   "/bin/busybox"};
    const char *configured = stack->shell.count > 0 ? stack->shell.items[0] : "/bin/sh";

    if (strcmp(configured, "/bin/sh") != 0 && is_program(v, configured)) {
        strv_add(out, configured);
        return 0;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!is_program(v, known[i]))
            continue;
        strv_add(out, known[i]);
        if (text_ends(known[i], "busybox"))
            strv_add(out, "sh");
        return 0;
    }
    (void)error_set(err, ENOENT, "'%s' has no shell", stack->label); /* returned below */
    return error_hint(err, "name a program of it, or look at its files: img mount '%s' -- ls",
                      stack->label);
}

static void put_env(struct strv *env, const char *pair)
{
    size_t size = strcspn(pair, "=") + 1;

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], pair, size) != 0)
            continue;
        free(env->items[i]);
        env->items[i] = mem_strdup(pair);
        return;
    }
    strv_add(env, pair);
}

static void make_env(const struct stack *stack, const struct shell_options *options,
                     const struct user *user, struct strv *env)
{
    auto_free char *home = str_format("HOME=%s", user->home);

    put_env(env, home);
    for (size_t i = 0; i < stack->env.count; i++)
        put_env(env, stack->env.items[i]);
    if (options->input == SANDBOX_INPUT_TERMINAL) {
        auto_free char *term = str_format(
            "TERM=%s", options->terminal_type != NULL ? options->terminal_type : "xterm");

        put_env(env, term);
    }
    for (size_t i = 0; options->env != NULL && i < options->env->count; i++)
        put_env(env, options->env->items[i]);
}

static int add_mountpoints(struct view *v, const struct sandbox_spec *spec, struct error *err)
{
    auto_mountpoint_list struct sandbox_mountpoint_list list = {0};
    int r = sandbox_mountpoints(spec, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++)
        r = view_add_mountpoint(v, list.items[i].path, list.items[i].is_dir, err);
    return r;
}

static int start(struct shell *s, const struct sandbox_spec *spec, struct error *err)
{
    const struct mount_options mount_options = {0};
    int r = add_mountpoints(s->view, spec, err);

    if (r == 0)
        r = sandbox_start(s->spawner, spec, &s->box, err);
    return r < 0 ? r
                 : mount_serve(s->view, sandbox_take_tree_fd(s->box, 0), &mount_options, &s->mount,
                               err);
}

int shell_start(struct store *store, const struct stack *stack, const struct shell_options *options,
                struct shell **out, struct error *err)
{
    const struct spawner_options spawner = {.single_id = options->single_id};
    auto_shell struct shell *s = mem_new(struct shell);
    auto_user struct user user = {0};
    auto_strv struct strv argv = {0};
    auto_strv struct strv env = {0};
    auto_str struct str hosts = {0};
    auto_free gid_t *groups = NULL;
    const char *cwd = options->cwd != NULL ? options->cwd : stack->cwd;
    /* The namespaces are made while the layers are opened; and before there is any thread. */
    int r = spawner_open(&spawner, &s->spawner, err);

    if (r == 0)
        r = open_view(store, stack, options, &s->view, err);
    if (r == 0)
        r = view_user_resolve(s->view, options->user != NULL ? options->user : stack->user, &user,
                              err);
    if (r == 0)
        r = view_ensure_dir(s->view, cwd, io_now_ns(), err);
    if (options->command->count > 0)
        strv_copy(&argv, options->command);
    else if (r == 0)
        r = choose_shell(s->view, stack, &argv, err);
    if (r < 0)
        return r;
    make_env(stack, options, &user, &env);
    groups = user_process_groups(&user);
    hosts_text(HOSTNAME, options->extra_hosts, &hosts);
    r = start(s,
              &(struct sandbox_spec){
                  .argv = strv_argv(&argv),
                  .env = strv_argv(&env),
                  .cwd = cwd,
                  .uid = user.uid,
                  .gid = user.gid,
                  .groups = groups,
                  .group_count = user.group_count + 1,
                  .hostname = HOSTNAME,
                  .hosts = str_text(&hosts),
                  .network = options->network,
                  .network_optional = true,
                  .root_read_only = options->read_only,
                  .input = options->input,
                  .rows = options->rows,
                  .columns = options->columns,
              },
              err);
    if (r == 0)
        *out = STEAL(&s);
    return r;
}

struct sandbox *shell_sandbox(struct shell *s)
{
    return s->box;
}

int shell_wait(struct shell *s, struct sandbox_result *result, struct error *err)
{
    struct error fault = {0};
    int r = sandbox_wait(s->box, result, err);

    mount_stop(STEAL(&s->mount));
    if (view_fault(s->view, &fault) < 0) {
        *err = fault;
        return -fault.code;
    }
    return r;
}

void shell_free(struct shell *s)
{
    if (s == NULL)
        return;
    if (s->box != NULL)
        sandbox_kill(s->box);
    mount_stop(s->mount); /* before the wait for its clients */
    sandbox_free(s->box);
    view_close(s->view);
    spawner_close(s->spawner);
    free(s);
}
