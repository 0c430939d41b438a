/* build_trace.c - see build_trace.h. The form of a step is that of BuildKit's build definition
 * (solver/pb/ops.proto, as JSON), as far as it has a meaning here. */
#include <errno.h>
#include <string.h>

#include "builder/attest/purl.h"
#include "builder/attest/trace.h"
#include "builder/build_copy.h"
#include "builder/build_trace.h"
#include "fs/base/json.h"
#include "fs/store.h"
#include "registry/base64.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

static struct trace *trace_of(const struct build *b)
{
    return b->mode == BUILD_MODE_BUILD ? b->options->trace : NULL;
}

/* ---- what it is made from ---- */

static void add_origin(struct trace *t, const struct build_origin *origin)
{
    if (origin->uri != NULL && origin->digest != NULL)
        trace_add_material(t, origin->uri, origin->digest);
}

void build_trace_begin(struct build *b)
{
    const struct build_options *o = b->options;
    struct trace *t = trace_of(b);

    if (t == NULL)
        return;
    t->started_ns = b->started_ns;
    add_origin(t, &o->context_origin);
    add_origin(t, &o->dockerfile_origin);
    if (o->fetched == NULL && o->dockerfile_origin.uri == NULL)
        trace_add_local(t, "dockerfile");
    if ((o->fetched != NULL && o->context_origin.uri == NULL) || o->volume_count > 0)
        trace_set_incomplete(t); /* came through standard input; or lies on the host */
}

static const char *const scan_names[] = {"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"};

int build_trace_check_arg(const struct build *b, const char *name, const char *value,
                          struct error *err)
{
    bool is_wanted = true;

    if (!b->options->has_sbom || b->mode != BUILD_MODE_BUILD || value == NULL || value[0] == '\0' ||
        (strcmp(name, scan_names[0]) != 0 && strcmp(name, scan_names[1]) != 0) ||
        (text_to_bool(value, &is_wanted) && !is_wanted))
        return 0;
    return error_set(err, ENOTSUP,
                     "ARG %s=%s: an sbom is of the result alone, not of stages or contexts", name,
                     value);
}

int build_trace_check_globals(const struct build *b, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < 2; i++)
        r = build_trace_check_arg(b, scan_names[i], variables_get(&b->globals, scan_names[i]), err);
    return r;
}

/* A tag stands for an index where there is one: that is what can be compared later. */
static struct digest resolved(const struct build *b, const struct reference *name,
                              const struct digest *manifest)
{
    auto_reference_row struct reference_row row = {0};
    auto_str struct str text = {0};
    struct error ignored; /* no row: the manifest itself */

    if (name->has_digest)
        return name->digest;
    reference_format(name, &text);
    if (store_reference_get(b->options->store, str_text(&text), &row, &ignored) == 0 &&
        row.has_index && digest_equal(&row.manifest, manifest))
        return row.index;
    return *manifest;
}

void build_trace_image(struct build *b, const struct reference *name,
                       const struct platform *platform, const struct digest *manifest)
{
    struct trace *t = trace_of(b);
    auto_str struct str uri = {0};
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;

    if (t == NULL)
        return;
    digest = resolved(b, name, manifest);
    digest_format(&digest, text);
    purl_of_image(name, platform, &uri);
    trace_add_material(t, str_text(&uri), text);
}

void build_trace_layout(struct build *b, const char *name, const struct platform *platform,
                        const struct digest *manifest)
{
    struct trace *t = trace_of(b);
    auto_str struct str uri = {0};
    auto_str struct str where = {0};
    char text[DIGEST_TEXT_SIZE];

    if (t == NULL)
        return;
    digest_format(manifest, text);
    platform_format(platform, &where);
    purl_format(&(struct purl){.type = "oci",
                               .name = name,
                               .version = text,
                               .qualifiers = &(struct purl_qualifier){"platform", str_text(&where)},
                               .qualifier_count = 1},
                &uri);
    trace_add_material(t, str_text(&uri), text);
}

void build_trace_fetched(struct build *b, const char *address, const struct source *source)
{
    struct trace *t = trace_of(b);
    auto_free char *uri = NULL;
    auto_free char *digest = NULL;

    if (t == NULL)
        return;
    uri = source_shown(address);
    digest = source_digest_text(source);
    trace_add_material(t, uri, digest);
}

void build_trace_local(struct build *b, const char *name)
{
    if (trace_of(b) != NULL)
        trace_add_local(trace_of(b), name == NULL ? "context" : name);
}

/* ---- names of sources ---- */

static char *context_identifier(const struct context *c)
{
    auto_free char *shown = NULL;

    switch (c->kind) {
    case CONTEXT_FETCHED:
        if (c->name == NULL)
            return mem_strdup("context");
        shown = source_shown(c->value);
        return mem_strdup(shown);
    case CONTEXT_IMAGE:
        return mem_strdup(c->value);
    case CONTEXT_LAYOUT:
        return str_format("oci-layout://%s", c->name);
    case CONTEXT_DIRECTORY:
    case CONTEXT_EMPTY:
        break;
    }
    return str_format("local://%s", c->name == NULL ? "context" : c->name);
}

/* What an instruction names: a stage, a context, an image; NULL is the build context. */
static char *identifier_of(const struct build_stage *s, const char *from)
{
    struct build *b = s->build;
    const struct context *c = &b->contexts[0];
    auto_reference struct reference ref = {0};
    auto_str struct str name = {0};
    struct error ignored; /* it was found, so it has a name */
    int position;

    if (from != NULL) {
        position = build_stage_find(b, from, s->position);
        if (position >= 0)
            return str_format(TRACE_STAGE "%d", position);
        c = context_find(b, from, &s->platform);
    }
    if (c != NULL)
        return context_identifier(c);
    if (reference_parse(from, &ref, &ignored) == 0)
        reference_format(&ref, &name);
    return str_format("docker-image://%s", str_text(&name));
}

void build_trace_base(struct build_stage *s)
{
    struct trace *t = trace_of(s->build);
    auto_str struct str platform = {0};
    struct trace_base base = {.is_stage = s->base_stage >= 0,
                              .line_first = s->source->from->line_first,
                              .line_last = s->source->from->line_last,
                              .layer_count = s->state.layer_count};

    if (t == NULL)
        return;
    platform_format(&s->platform, &platform);
    base.platform = mem_strdup(str_text(&platform));
    s->has_trace = s->base_stage >= 0 && s->build->stages[s->base_stage].has_trace;
    if (s->base_stage >= 0)
        base.stage = (size_t)s->base_stage;
    else if (s->base_context != NULL)
        base.source = context_identifier(s->base_context);
    else if (s->state.base != NULL)
        base.source = str_format("docker-image://%s", s->state.base);
    s->has_trace = s->has_trace || base.source != NULL;
    trace_set_base(t, s->position, &base);
}

/* ---- steps ---- */

static void add_step(struct build_stage *s, const struct instruction *in, struct trace_step *step)
{
    step->stage = s->position;
    step->number = s->traced_count++;
    step->line_first = in->line_first;
    step->line_last = in->line_last;
    step->layer_count = s->state.layer_count;
    s->has_trace = true;
    trace_add_step(trace_of(s->build), step);
}

#define NO_INPUT (-1) /* an empty tree, or an output that nobody sees */

/* Place of what the step goes on from in the list of its inputs. */
static int base_input(const struct build_stage *s)
{
    return s->has_trace ? 0 : NO_INPUT;
}

/* Place of another input there. */
static int add_input(const struct build_stage *s, struct trace_step *step, char *identifier)
{
    size_t place = 0;

    while (place < step->inputs.count && strcmp(step->inputs.items[place], identifier) != 0)
        place++;
    if (place < step->inputs.count)
        free(identifier);
    else
        strv_take(&step->inputs, identifier);
    return (int)place + base_input(s) + 1;
}

static struct json *new_mount(const struct build_stage *s, const struct run_mount *m,
                              struct trace_step *step)
{
    /* solver/pb/ops.proto, "enum MountType". */
    static const int types[] = {[RUN_MOUNT_BIND] = 0,
                                [RUN_MOUNT_SECRET] = 1,
                                [RUN_MOUNT_SSH] = 2,
                                [RUN_MOUNT_CACHE] = 3,
                                [RUN_MOUNT_TMPFS] = 4};
    static const char *const ids[] = {[RUN_MOUNT_SECRET] = "secretOpt",
                                      [RUN_MOUNT_SSH] = "SSHOpt",
                                      [RUN_MOUNT_CACHE] = "cacheOpt"};
    struct json *mount = json_new_object();

    json_put_text(mount, "dest", m->target);
    json_put_int(mount, "mountType", types[m->type]);
    json_put_int(mount, "input",
                 m->type == RUN_MOUNT_BIND || m->from != NULL
                     ? add_input(s, step, identifier_of(s, m->from))
                     : NO_INPUT);
    json_put_int(mount, "output", NO_INPUT);
    json_put_text(mount, "selector", m->source);
    if (m->is_read_only)
        json_put_bool(mount, "readonly", true);
    if (m->id != NULL && m->type != RUN_MOUNT_BIND && m->type != RUN_MOUNT_TMPFS) {
        struct json *option = json_new_object();

        json_put_text(option, "ID", m->id);
        json_put(mount, ids[m->type], option);
    }
    return mount;
}

static void note_ids(struct trace *t, const struct run_mount *m)
{
    if (m->type == RUN_MOUNT_SECRET || m->type == RUN_MOUNT_SSH)
        trace_add_id(t, m->type == RUN_MOUNT_SSH ? &t->ssh : &t->secrets, m->id, !m->is_required);
}

static struct json *new_meta(const struct build_stage *s, const struct strv *argv,
                             const struct strv *env)
{
    struct json *meta = json_new_object();
    const char *user = config_user(s->state.config);

    json_put(meta, "args", json_new_strv(argv));
    json_put(meta, "env", json_new_strv(env));
    json_put_text(meta, "cwd", config_working_dir(s->state.config));
    if (user[0] != '\0')
        json_put_text(meta, "user", user);
    return meta;
}

void build_trace_run(struct build_stage *s, const struct instruction *in, const struct strv *argv,
                     const struct strv *env, bool has_network)
{
    struct trace *t = trace_of(s->build);
    struct trace_step step = {0};
    struct json *exec;
    struct json *mounts;
    struct json *root;

    if (t == NULL)
        return;
    exec = json_new_object();
    mounts = json_new_array();
    root = json_new_object();
    if (has_network)
        trace_set_network(t);
    json_put(exec, "meta", new_meta(s, argv, env));
    json_put_text(root, "dest", "/");
    json_put_int(root, "input", base_input(s));
    json_put_int(root, "output", 0);
    json_push(mounts, root);
    for (size_t i = 0; i < in->run.mounts.count; i++) {
        note_ids(t, &in->run.mounts.items[i]);
        json_push(mounts, new_mount(s, &in->run.mounts.items[i], &step));
    }
    json_put(exec, "mounts", mounts);
    json_put_text(exec, "network", has_network ? NULL : "NONE");
    step.op = json_new_object();
    json_put(step.op, "exec", exec);
    add_step(s, in, &step);
}

static struct json *new_action(const struct build_stage *s, const char *kind, struct json *what,
                               int source)
{
    struct json *action = json_new_object();
    struct json *named = json_new_object();

    json_put_int(action, "input", base_input(s));
    if (source != NO_INPUT)
        json_put_int(action, "secondaryInput", source);
    json_put_int(action, "output", 0);
    json_put(named, kind, what);
    json_put(action, "Action", named);
    return action;
}

static bool is_address(const struct instruction *in, const char *source)
{
    return in->kind == INSTRUCTION_ADD && copy_is_address(source);
}

static void add_copies(const struct build_stage *s, const struct instruction *in,
                       struct trace_step *step, struct json *actions)
{
    const struct copy *copy = &in->copy;
    auto_free char *destination = stage_path(s, copy->destination.text);

    for (size_t i = 0; i < copy->sources.count; i++) {
        const char *source = copy->sources.items[i].text;
        bool is_fetched = is_address(in, source);
        char *identifier = is_fetched ? source_shown(source) : identifier_of(s, copy->from.text);
        struct json *what = json_new_object();

        json_put_text(what, "src", is_fetched ? "/" : source);
        json_put_text(what, "dest", destination);
        json_push(actions, new_action(s, "copy", what, add_input(s, step, identifier)));
    }
    for (size_t i = 0; i < copy->content_count; i++) {
        const struct copy_content *content = &copy->contents[i];
        auto_str struct str data = {0};
        struct json *what = json_new_object();

        base64_encode(content->data, strlen(content->data), &data);
        json_put_text(what, "path", destination);
        json_put_text(what, "data", str_text(&data));
        json_push(actions, new_action(s, "mkfile", what, NO_INPUT));
    }
}

void build_trace_files(struct build_stage *s, const struct instruction *in)
{
    struct trace *t = trace_of(s->build);
    struct trace_step step = {0};
    struct json *file;
    struct json *actions;

    if (t == NULL)
        return;
    file = json_new_object();
    actions = json_new_array();
    if (in->kind == INSTRUCTION_WORKDIR) {
        struct json *what = json_new_object();

        json_put_text(what, "path", config_working_dir(s->state.config));
        json_put_bool(what, "makeParents", true);
        json_push(actions, new_action(s, "mkdir", what, NO_INPUT));
    } else {
        add_copies(s, in, &step, actions);
    }
    json_put(file, "actions", actions);
    step.op = json_new_object();
    json_put(step.op, "file", file);
    add_step(s, in, &step);
}
