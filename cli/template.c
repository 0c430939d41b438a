/* template.c - walks the tree over a value. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/template_internal.h"

#include "fs/base/banned.h"

struct variable {
    const char *name;   /* of the tree */
    struct json *value; /* owned; NULL is null */
};

struct run {
    const struct template_options *options;
    struct {
        struct variable *items;
        size_t count;
        size_t capacity;
    } variables; /* a stack; "" is $ */
    struct str *out;
    struct error *err;
};

static bool template_is_map(const char *name)
{
    static const char *const names[] = {"Annotations",  "ContainerConfig", "Data",
                                        "ExposedPorts", "GraphDriver",     "Labels",
                                        "Storage",      "Volumes",         "annotations"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* ---- values ---- */

static struct json *own(const struct json *value)
{
    return value == NULL ? NULL : json_ref((struct json *)(uintptr_t)value);
}

static void push(struct run *r, const char *name, struct json *value)
{
    struct variable *v = array_add(&r->variables);

    v->name = name;
    v->value = value;
}

static void pop_to(struct run *r, size_t count)
{
    while (r->variables.count > count)
        json_unref(r->variables.items[--r->variables.count].value);
}

static struct variable *find_variable(struct run *r, const char *name)
{
    for (size_t i = r->variables.count; i > 0; i--)
        if (strcmp(r->variables.items[i - 1].name, name) == 0)
            return &r->variables.items[i - 1];
    return NULL;
}

/* Unlike json_get, tells a key with null from a key that is absent. */
static bool has_key(const struct json *object, const char *name, struct json **value)
{
    void *iter = NULL;
    const char *key;

    while (json_next(object, &iter, &key, value))
        if (strcmp(key, name) == 0)
            return true;
    return false;
}

static int unknown_field(const struct run *r, const struct json *object, const char *name)
{
    auto_str struct str names = {0};
    auto_strv struct strv known = {0};
    const char *near;
    void *iter = NULL;
    const char *key;
    struct json *value;

    while (json_next(object, &iter, &key, &value)) {
        str_addf(&names, "%s.%s", names.size == 0 ? "" : " ", key);
        strv_add(&known, key);
    }
    near = text_suggest(name, (const char *const *)strv_argv(&known), known.count);
    (void)error_set(r->err, EINVAL, "there is no field '.%s'", name); /* the hint returns it */
    return near != NULL
               ? error_hint(r->err, "did you mean '.%s'? there are %s", near, str_text(&names))
               : error_hint(r->err, "there are %s", str_text(&names));
}

/* Replaces *value by its field; `holder` is the name it was found under itself. */
static int step_into(const struct run *r, const char *holder, const char *name, struct json **value)
{
    auto_json struct json *from = STEAL(value);
    struct json *found = NULL;

    if (json_is_object(from) && has_key(from, name, &found)) {
        *value = json_is_null(found) ? NULL : own(found);
        return 0;
    }
    if (json_is_object(from) || json_is_null(from) ? template_is_map(holder)
                                                   : r->options->is_header) {
        *value = json_new_text(r->options->is_header ? name : "<no value>");
        return 0;
    }
    if (json_is_null(from) && holder[0] != '\0')
        return error_set(r->err, EINVAL, "'.%s' is empty here, so there is no '.%s' in it", holder,
                         name);
    if (!json_is_object(from))
        return error_set(r->err, EINVAL, "'.%s' is asked of what is no object%s", name,
                         json_is_array(from) ? " but a list: use range or index" : "");
    return unknown_field(r, from, name);
}

static int pipeline_value(struct run *r, const struct pipeline *pipe, const struct json *dot,
                          struct json **out);

static int operand_value(struct run *r, const struct operand *o, const struct json *dot,
                         struct json **out)
{
    auto_json struct json *value = NULL;
    const struct variable *v;
    const char *holder = "";
    int e = 0;

    if (o->kind == OPERAND_DOT) {
        value = own(dot);
    } else if (o->kind == OPERAND_LITERAL) {
        value = own(o->literal);
    } else if (o->kind == OPERAND_PIPE) {
        e = pipeline_value(r, o->pipe, dot, &value);
    } else if (o->kind == OPERAND_FUNCTION) {
        const struct call c = {.options = r->options};

        e = o->function->run(&c, &value, r->err);
    } else {
        v = find_variable(r, o->name);
        if (v == NULL)
            return error_set(r->err, EINVAL, "there is no variable '$%s'", o->name);
        value = own(v->value);
    }
    for (size_t i = 0; e == 0 && i < o->fields.count; i++) {
        e = step_into(r, holder, o->fields.items[i], &value);
        holder = o->fields.items[i];
    }
    if (e == 0)
        *out = STEAL(&value);
    return e;
}

/* `and` and `or` stop at the argument that decides. */
static int lazy_value(struct run *r, const struct command *c, const struct json *dot,
                      struct json *last, bool has_last, struct json **out)
{
    bool is_or = c->items[0].function->name[0] == 'o';
    auto_json struct json *value = NULL;

    for (size_t i = 1; i < c->count; i++) {
        int e;

        json_unref(STEAL(&value));
        e = operand_value(r, &c->items[i], dot, &value);
        if (e < 0)
            return e;
        if (template_truth(value) == is_or) {
            has_last = false;
            break;
        }
    }
    *out = has_last ? own(last) : STEAL(&value);
    return 0;
}

static int call_value(struct run *r, const struct command *c, const struct json *dot,
                      struct json *last, bool has_last, struct json **out)
{
    const struct function *f = c->items[0].function;
    struct call call = {.options = r->options, .count = c->count - 1 + has_last};
    int e = 0;

    call.arguments = mem_alloc((call.count + 1) * sizeof(*call.arguments));
    for (size_t i = 1; e == 0 && i < c->count; i++)
        e = operand_value(r, &c->items[i], dot, &call.arguments[i - 1]);
    if (has_last)
        call.arguments[call.count - 1] = own(last);
    if (e == 0 && r->options->is_header && f->kind == FUNCTION_PLAIN)
        *out = own(call.arguments[0]);
    else if (e == 0)
        e = f->run(&call, out, r->err);
    for (size_t i = 0; i < call.count; i++)
        json_unref(call.arguments[i]);
    free(call.arguments);
    return e;
}

static int command_value(struct run *r, const struct command *c, const struct json *dot,
                         struct json *last, bool has_last, struct json **out)
{
    const struct operand *head = &c->items[0];

    if (head->kind != OPERAND_FUNCTION || c->count - 1 + has_last == 0)
        return operand_value(r, head, dot, out);
    if (head->function->kind == FUNCTION_LAZY)
        return lazy_value(r, c, dot, last, has_last, out);
    return call_value(r, c, dot, last, has_last, out);
}

static int pipeline_value(struct run *r, const struct pipeline *pipe, const struct json *dot,
                          struct json **out)
{
    auto_json struct json *last = NULL;

    for (size_t i = 0; i < pipe->count; i++) {
        struct json *next = NULL;
        int e = command_value(r, &pipe->items[i], dot, last, i > 0, &next);

        if (e < 0)
            return e;
        json_unref(last);
        last = next;
    }
    *out = STEAL(&last);
    return 0;
}

/* ---- nodes ---- */

static int run_nodes(struct run *r, const struct node_list *list, const struct json *dot);

static int run_body(struct run *r, const struct node *n, const struct json *key,
                    const struct json *value)
{
    size_t count = r->variables.count;
    int e;

    if (n->variables[1] != NULL)
        push(r, n->variables[0], own(key));
    if (n->variables[0] != NULL)
        push(r, n->variables[n->variables[1] != NULL], own(value));
    e = run_nodes(r, &n->body, value);
    pop_to(r, count);
    return e;
}

static int range_list(struct run *r, const struct node *n, const struct json *list)
{
    int e = 0;

    for (size_t i = 0; e == 0 && i < json_count(list); i++) {
        auto_json struct json *index = json_new_int((int64_t)i);

        e = run_body(r, n, index, json_at(list, i));
    }
    return e;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of the keys, as Go walks a map. */
static int range_object(struct run *r, const struct node *n, const struct json *object)
{
    auto_free const char **keys = mem_alloc((json_count(object) + 1) * sizeof(*keys));
    struct json *value;
    void *iter = NULL;
    size_t count = 0;
    int e = 0;

    while (json_next(object, &iter, &keys[count], &value))
        count++;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 0; e == 0 && i < count; i++) {
        auto_json struct json *key = json_new_text(keys[i]);

        e = run_body(r, n, key, json_get(object, keys[i]));
    }
    return e;
}

static int run_range(struct run *r, const struct node *n, const struct json *over,
                     const struct json *dot)
{
    if (r->options->is_header)
        return run_body(r, n, over, over);
    if (json_is_null(over) ||
        ((json_is_array(over) || json_is_object(over)) && !template_truth(over)))
        return run_nodes(r, &n->other, dot);
    if (json_is_array(over))
        return range_list(r, n, over);
    if (json_is_object(over))
        return range_object(r, n, over);
    return error_set(r->err, EINVAL, "range needs a list or an object");
}

static int run_node(struct run *r, const struct node *n, const struct json *dot)
{
    auto_json struct json *value = NULL;
    struct variable *v;
    int e = 0;

    if (n->kind == NODE_TEXT) {
        str_add_bytes(r->out, n->text.data, n->text.size);
        return 0;
    }
    e = pipeline_value(r, &n->pipe, dot, &value);
    if (e < 0)
        return e;
    switch (n->kind) {
    case NODE_TEXT:
        break;
    case NODE_OUTPUT:
        template_print(value, r->options, r->out);
        break;
    case NODE_SET:
        v = n->is_assignment ? find_variable(r, n->variables[0]) : NULL;
        if (n->is_assignment && v == NULL)
            return error_set(r->err, EINVAL, "there is no variable '$%s'", n->variables[0]);
        if (v == NULL) {
            push(r, n->variables[0], STEAL(&value));
        } else {
            json_unref(v->value);
            v->value = STEAL(&value);
        }
        break;
    case NODE_IF:
    case NODE_WITH:
        if (!template_truth(value) && !r->options->is_header)
            return run_nodes(r, &n->other, dot);
        if (n->variables[0] != NULL)
            push(r, n->variables[0], own(value)); /* run_nodes of the list around us drops it */
        return run_nodes(r, &n->body, n->kind == NODE_IF ? dot : value);
    case NODE_RANGE:
        return run_range(r, n, value, dot);
    }
    return 0;
}

static int run_nodes(struct run *r, const struct node_list *list, const struct json *dot)
{
    size_t count = r->variables.count;
    int e = 0;

    for (size_t i = 0; e == 0 && i < list->count; i++)
        e = run_node(r, &list->items[i], dot);
    pop_to(r, count);
    return e;
}

int template_run(const struct template *t, const struct json *data,
                 const struct template_options *options, struct str *out, struct error *err)
{
    struct run r = {.options = options, .out = out, .err = err};
    int e;

    push(&r, "", own(data));
    e = run_nodes(&r, &t->nodes, data);
    pop_to(&r, 0);
    free(r.variables.items);
    return e < 0 ? error_wrap(err, "the template does not fit") : 0;
}
