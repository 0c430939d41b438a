/* build_stage.c - one stage: its instructions in order, those that only record included. */
#include <errno.h>
#include <string.h>

#include "builder/build_context.h"
#include "builder/build_trace.h"

#include "fs/base/banned.h"

bool build_is_canceled(const struct build *b)
{
    return atomic_load(b->stop);
}

/* Of ENV and ARG with one name the later one holds: for the rest of the stage, not in the image. */
static void hide_env(struct build_stage *s, const char *name, const char *value)
{
    const char *shown = variables_get(&s->env, name);

    if (shown != NULL && strcmp(shown, value) == 0)
        return;
    variables_set(&s->env, name, value);
    s->hides_env = true;
}

static int do_arg(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_str struct str text = {0};

    int r = 0;

    for (size_t i = 0; r == 0 && i < in->pairs.count; i++) {
        const struct pair *pair = &in->pairs.items[i];
        const char *value = build_arg(s->build, pair->name);

        if (value == NULL)
            value = pair->value;
        if (value == NULL)
            value = variables_get(&s->build->globals, pair->name);
        r = build_trace_check_arg(s->build, pair->name, value, err);
        if (!variables_has(&s->args, pair->name))
            strv_add(&s->arg_names, pair->name);
        /* Declared again without a value, it keeps the one it has. */
        if (value != NULL || !variables_has(&s->args, pair->name))
            variables_set(&s->args, pair->name, value);
        if (value != NULL)
            hide_env(s, pair->name, value);
        str_addf(&text, "%s%s", i == 0 ? "ARG " : " ", pair->name);
        if (value != NULL)
            str_addf(&text, "=%s", value);
    }
    step_history(s, str_text(&text), true);
    return r;
}

static int do_pairs(struct build_stage *s, const struct instruction *in, struct error *err)
{
    bool is_env = in->kind == INSTRUCTION_ENV;
    auto_str struct str text = {0};

    (void)err;
    str_add(&text, is_env ? "ENV" : "LABEL");
    for (size_t i = 0; i < in->pairs.count; i++) {
        const struct pair *pair = &in->pairs.items[i];

        str_addf(&text, " %s=%s", pair->name, pair->value);
        if (is_env) {
            config_env_put(s->state.config, pair->name, pair->value);
            variables_set(&s->env, pair->name, pair->value);
        } else {
            config_map_put(s->state.config, "Labels", pair->name, json_new_text(pair->value));
        }
    }
    step_history(s, str_text(&text), true);
    return 0;
}

/* argv of a shell or exec form command. */
static void command_words(const struct build_stage *s, const struct command *c, struct strv *out)
{
    if (!c->is_exec)
        config_shell(s->state.config, out);
    if (!c->is_exec && c->words.count == 0)
        strv_add(out, ""); /* a shell with nothing to do */
    for (size_t i = 0; i < c->words.count; i++)
        strv_add(out, c->words.items[i]);
}

static void history_of_words(struct build_stage *s, const char *name, const struct strv *words,
                             bool quoted)
{
    auto_str struct str text = {0};

    str_addf(&text, "%s [", name);
    for (size_t i = 0; i < words->count; i++) {
        if (i > 0)
            str_add_char(&text, ' ');
        if (quoted)
            str_add_quoted(&text, words->items[i]);
        else
            str_add(&text, words->items[i]);
    }
    str_add_char(&text, ']');
    step_history(s, str_text(&text), true);
}

static int do_command(struct build_stage *s, const struct instruction *in, struct error *err)
{
    bool is_cmd = in->kind == INSTRUCTION_CMD;
    auto_strv struct strv words = {0};
    bool is_empty = in->command.is_exec && in->command.words.count == 0;

    (void)err;
    if (!is_empty)
        command_words(s, &in->command, &words);
    config_set_words(s->state.config, is_cmd ? "Cmd" : "Entrypoint", is_empty ? NULL : &words);
    if (is_cmd) {
        config_set_bool(s->state.config, "ArgsEscaped", true);
        s->has_cmd = true;
    } else if (!s->has_cmd) {
        config_set_words(s->state.config, "Cmd", NULL);
    }
    history_of_words(s, is_cmd ? "CMD" : "ENTRYPOINT", &words, true);
    return 0;
}

static int do_shell(struct build_stage *s, const struct instruction *in, struct error *err)
{
    (void)err;
    config_set_words(s->state.config, "Shell", &in->command.words);
    history_of_words(s, "SHELL", &in->command.words, false);
    return 0;
}

static int do_expose(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_str struct str text = {0};

    (void)err;
    str_add(&text, "EXPOSE [");
    for (size_t i = 0; i < in->expose.ports.count; i++) {
        str_addf(&text, "%s%s", i == 0 ? "" : " ", in->expose.ports.items[i]);
        config_map_put(s->state.config, "ExposedPorts", in->expose.ports.items[i],
                       json_new_object());
    }
    str_add_char(&text, ']');
    step_history(s, str_text(&text), true);
    return 0;
}

static int do_volume(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_strv struct strv words = {0};

    (void)err;
    for (size_t i = 0; i < in->volumes.count; i++) {
        strv_add(&words, in->volumes.items[i].text);
        config_map_put(s->state.config, "Volumes", in->volumes.items[i].text, json_new_object());
    }
    history_of_words(s, "VOLUME", &words, false);
    return 0;
}

static int do_value(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_free char *text = str_format("%s %s", instruction_name(in->kind), in->value.text);

    (void)err;
    if (in->kind == INSTRUCTION_MAINTAINER)
        config_set_author(s->state.config, in->value.text);
    else
        config_set_text(s->state.config, in->kind == INSTRUCTION_USER ? "User" : "StopSignal",
                        in->value.text);
    step_history(s, text, true);
    return 0;
}

static int do_onbuild(struct build_stage *s, const struct instruction *in, struct error *err)
{
    (void)err;
    config_add_word(s->state.config, "OnBuild", in->onbuild.expression);
    return 0;
}

typedef int instruction_fn(struct build_stage *s, const struct instruction *in, struct error *err);

static instruction_fn *const actions[INSTRUCTION_KINDS] = {
    [INSTRUCTION_ADD] = build_copy,        [INSTRUCTION_ARG] = do_arg,
    [INSTRUCTION_CMD] = do_command,        [INSTRUCTION_COPY] = build_copy,
    [INSTRUCTION_ENTRYPOINT] = do_command, [INSTRUCTION_ENV] = do_pairs,
    [INSTRUCTION_EXPOSE] = do_expose,      [INSTRUCTION_HEALTHCHECK] = build_healthcheck,
    [INSTRUCTION_LABEL] = do_pairs,        [INSTRUCTION_MAINTAINER] = do_value,
    [INSTRUCTION_ONBUILD] = do_onbuild,    [INSTRUCTION_RUN] = build_step_run,
    [INSTRUCTION_SHELL] = do_shell,        [INSTRUCTION_STOPSIGNAL] = do_value,
    [INSTRUCTION_USER] = do_value,         [INSTRUCTION_VOLUME] = do_volume,
    [INSTRUCTION_WORKDIR] = build_workdir,
};

/* What is left of a step when it is only read. */
static int read_step(struct build_stage *s, const struct instruction *in, struct error *err)
{
    struct build *b = s->build;
    int r;

    if (in->kind == INSTRUCTION_WORKDIR) {
        auto_free char *path = NULL;

        r = build_workdir_path(s, in, &path, err);
        if (r < 0)
            return r;
        config_set_text(s->state.config, "WorkingDir", path);
    }
    if ((in->kind != INSTRUCTION_COPY && in->kind != INSTRUCTION_ADD) || in->copy.from.text != NULL)
        return 0;
    r = build_context(b, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&b->lock);
    check_copy_ignored(&b->checks, in, build_context_ignore(b));
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static bool is_step(enum instruction_kind kind)
{
    return actions[kind] == build_copy || actions[kind] == build_step_run ||
           actions[kind] == build_workdir;
}

/* The checks that need the instruction as it is carried out. */
static void check_expanded(struct build_stage *s, const struct instruction *expanded,
                           const struct expand_use *use, const struct variables *known)
{
    struct build *b = s->build;

    pthread_mutex_lock(&b->lock);
    if (!s->state.has_no_env)
        check_undefined(&b->checks, expanded, use, known);
    if (expanded->kind == INSTRUCTION_EXPOSE)
        check_expose(&b->checks, expanded);
    pthread_mutex_unlock(&b->lock);
}

static int run_instruction(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_expand_use struct expand_use use = {0};
    auto_instruction struct instruction *expanded = NULL;
    struct expand_env lookup = variables_env(&s->env);
    int r;

    if (build_is_canceled(s->build))
        return error_set(err, ECANCELED, "canceled");
    r = instruction_expand(s->build->df, in, &lookup, &use, &expanded, err);
    if (r < 0)
        return r;
    check_expanded(s, expanded, &use, &s->env);
    if (s->build->mode == BUILD_MODE_READ && is_step(in->kind))
        r = read_step(s, expanded, err);
    else
        r = actions[in->kind](s, expanded, err);
    if (r == 0 && is_step(in->kind) && in->kind != INSTRUCTION_RUN)
        build_trace_files(s, expanded);
    return r < 0 ? dockerfile_locate(s->build->df, in, NULL, err) : 0;
}

int build_stage_run(struct build_stage *s, struct error *err)
{
    int r = build_base(s, err);

    s->runs_triggers = true;
    for (size_t i = 0; r == 0 && i < s->triggers.count; i++)
        r = run_instruction(s, s->triggers.items[i], err);
    s->runs_triggers = false;
    for (size_t i = 0; r == 0 && !s->is_context && i < s->source->body.count; i++)
        r = run_instruction(s, s->source->body.items[i], err);
    return r;
}
