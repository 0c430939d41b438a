/* template_parse.c - text to tree. What a name means is template.c's. */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/template_internal.h"

#include "fs/base/banned.h"

struct parser {
    const char *text;
    const char *at;
    struct strv *mentioned;
    unsigned depth;
    struct error *err;
};

static int fail(const struct parser *p, const char *what, const char *object)
{
    return error_set(p->err, EINVAL, "invalid template: %s%s%s%s at character %zu", what,
                     *object != '\0' ? " '" : "", object, *object != '\0' ? "'" : "",
                     (size_t)(p->at - p->text) + 1);
}

static void skip_blanks(struct parser *p)
{
    p->at += strspn(p->at, " \t\r\n");
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static char *take_word(struct parser *p)
{
    const char *start = p->at;

    while (is_word(*p->at))
        p->at++;
    return mem_strndup(start, (size_t)(p->at - start));
}

static bool take(struct parser *p, const char *text)
{
    if (!text_starts(p->at, text))
        return false;
    p->at += strlen(text);
    return true;
}

/* The end of an action, with or without trimming. */
static bool is_end(const struct parser *p)
{
    return text_starts(p->at, "}}") || text_starts(p->at, "-}}");
}

static bool is_keyword(const struct parser *p, const char *word)
{
    return text_starts(p->at, word) && !is_word(p->at[strlen(word)]);
}

/* ---- literals ---- */

static int take_escape(struct parser *p, struct str *out)
{
    static const char from[] = "abfnrtv\\\"'";
    static const char to[] = "\a\b\f\n\r\t\v\\\"'";
    const char *found = *p->at == '\0' ? NULL : strchr(from, *p->at);

    if (found == NULL)
        return fail(p, "unknown escape in a string", "");
    str_add_char(out, to[found - from]);
    p->at++;
    return 0;
}

static int take_string(struct parser *p, struct json **out)
{
    auto_str struct str text = {0};
    char quote = *p->at++;
    int r;

    while (*p->at != quote) {
        if (*p->at == '\0' || (*p->at == '\n' && quote == '"'))
            return fail(p, "a string does not end", "");
        if (*p->at != '\\' || quote == '`') {
            str_add_char(&text, *p->at++);
            continue;
        }
        p->at++;
        r = take_escape(p, &text);
        if (r < 0)
            return r;
    }
    p->at++;
    *out = json_new_text(str_text(&text));
    return 0;
}

static int take_number(struct parser *p, struct json **out)
{
    char *end;
    long long number;

    errno = 0;
    number = strtoll(p->at, &end, 10);
    if (errno != 0 || end == p->at || is_word(*end) || *end == '.')
        return fail(p, "numbers are whole and decimal: this is none", "");
    p->at = end;
    *out = json_new_int(number);
    return 0;
}

/* ---- operands ---- */

static int take_pipeline(struct parser *p, struct pipeline *out);

static int take_fields(struct parser *p, struct operand *o)
{
    while (*p->at == '.' && is_word(p->at[1])) {
        auto_free char *word = NULL;

        p->at++;
        word = take_word(p);
        strv_add(&o->fields, word);
        strv_add(p->mentioned, word);
    }
    return *p->at == '.' ? fail(p, "a name must follow the dot", "") : 0;
}

static int take_name(struct parser *p, struct operand *o)
{
    static const char *const absent[] = {"template", "define", "block", "break", "continue"};
    auto_free char *word = take_word(p);

    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        o->kind = OPERAND_LITERAL;
        o->literal = json_new_bool(word[0] == 't');
        return 0;
    }
    o->kind = strcmp(word, "nil") == 0 ? OPERAND_LITERAL : OPERAND_FUNCTION;
    if (o->kind == OPERAND_LITERAL)
        return 0;
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        if (strcmp(word, absent[i]) == 0)
            return fail(p, "there is no", word);
    o->function = template_function(word);
    if (o->function == NULL) {
        auto_str struct str names = {0};

        template_function_names(&names);
        (void)fail(p, "unknown function", word); /* the hint's return value is the same */
        return error_hint(p->err, "fields begin with a dot; functions are %s", str_text(&names));
    }
    return 0;
}

static int take_parentheses(struct parser *p, struct operand *o)
{
    int r;

    p->at++;
    if (p->depth++ > TEMPLATE_DEPTH_MAX)
        return fail(p, "too many parentheses", "");
    o->kind = OPERAND_PIPE;
    o->pipe = mem_new(struct pipeline);
    r = take_pipeline(p, o->pipe);
    p->depth--;
    if (r < 0)
        return r;
    return take(p, ")") ? take_fields(p, o) : fail(p, "a ) is missing", "");
}

static int take_operand(struct parser *p, struct operand *o)
{
    char c = *p->at;

    o->kind = OPERAND_LITERAL;
    if (c == '(')
        return take_parentheses(p, o);
    if (c == '"' || c == '`')
        return take_string(p, &o->literal);
    if (isdigit((unsigned char)c) || ((c == '-' || c == '+') && isdigit((unsigned char)p->at[1])))
        return take_number(p, &o->literal);
    if (c == '.') {
        o->kind = OPERAND_DOT;
        if (!is_word(p->at[1])) {
            p->at++;
            return 0;
        }
        return take_fields(p, o);
    }
    if (c == '$') {
        p->at++;
        o->kind = OPERAND_VARIABLE;
        o->name = take_word(p);
        return take_fields(p, o);
    }
    if (is_word(c))
        return take_name(p, o);
    return fail(p, c == '\0' ? "an action does not end" : "this is not understood", "");
}

static int take_command(struct parser *p, struct command *out)
{
    for (;;) {
        int r;

        skip_blanks(p);
        if (out->count > 0 && (*p->at == '|' || *p->at == ')' || is_end(p)))
            return 0;
        r = take_operand(p, array_add(out));
        if (r < 0)
            return r;
        if (!is_end(p) && strchr(" \t\r\n|)", *p->at) == NULL)
            return fail(p, "a blank is missing", "");
    }
}

static int check_command(const struct parser *p, const struct command *c, bool is_first)
{
    const struct operand *head = &c->items[0];
    size_t given = c->count - 1 + !is_first;

    if (head->kind != OPERAND_FUNCTION)
        return given > 0 ? fail(p, "only a function takes arguments", "") : 0;
    if (given < head->function->argument_min)
        return fail(p, "too few arguments for", head->function->name);
    if (given > head->function->argument_max)
        return fail(p, "too many arguments for", head->function->name);
    /* `index` without parentheses inside arguments would be a word of no meaning. */
    for (size_t i = 1; i < c->count; i++)
        if (c->items[i].kind == OPERAND_FUNCTION && c->items[i].function->argument_min > 0)
            return fail(p, "put parentheses around", c->items[i].function->name);
    return 0;
}

static int take_pipeline(struct parser *p, struct pipeline *out)
{
    do {
        struct command *c = array_add(out);
        int r = take_command(p, c);

        if (r == 0)
            r = check_command(p, c, out->count == 1);
        if (r < 0)
            return r;
    } while (take(p, "|"));
    return 0;
}

/* ---- actions ---- */

static int take_nodes(struct parser *p, struct node_list *out, const char **ended_by);

/* `$x :=`, `$i, $x :=` or `$x =` in front of a pipeline; nothing is taken when there is none. */
static int take_declaration(struct parser *p, struct node *n)
{
    const char *start = p->at;

    for (size_t i = 0; i < 2 && *p->at == '$'; i++) {
        p->at++;
        free(n->variables[i]);
        n->variables[i] = take_word(p);
        skip_blanks(p);
        if (take(p, ":=") || (n->kind == NODE_OUTPUT && i == 0 && take(p, "="))) {
            n->is_assignment = p->at[-2] != ':';
            if (i == 1 && n->kind != NODE_RANGE)
                return fail(p, "only range declares two variables", "");
            if (n->variables[0][0] == '\0')
                return fail(p, "a name must follow the $", "");
            n->kind = n->kind == NODE_OUTPUT ? NODE_SET : n->kind;
            return 0;
        }
        if (!take(p, ","))
            break;
        skip_blanks(p);
    }
    for (size_t i = 0; i < 2; i++) {
        free(n->variables[i]);
        n->variables[i] = NULL;
    }
    p->at = start;
    return 0;
}

/* Past "}}"; with a dash before it, past the blanks behind too. */
static int take_end(struct parser *p)
{
    bool trims;

    skip_blanks(p);
    trims = take(p, "-");
    if (!take(p, "}}"))
        return fail(p, *p->at == '\0' ? "an action does not end" : "this is one too many", "");
    if (trims)
        skip_blanks(p);
    return 0;
}

static int take_condition(struct parser *p, struct node *n)
{
    int r;

    skip_blanks(p);
    r = take_declaration(p, n);
    return r < 0 ? r : take_pipeline(p, &n->pipe);
}

/* Behind `if`, `range` or `with`: its condition, its body, and what follows `else`. */
static int take_block(struct parser *p, struct node *n)
{
    const char *ended_by = NULL;
    int r;

    if (p->depth++ > TEMPLATE_DEPTH_MAX)
        return fail(p, "too many actions inside each other", "");
    r = take_condition(p, n);
    if (r == 0)
        r = take_end(p);
    if (r == 0)
        r = take_nodes(p, &n->body, &ended_by);
    if (r == 0 && ended_by == NULL)
        r = fail(p, "an 'end' is missing", "");
    if (r == 0 && strcmp(ended_by, "else") == 0) {
        skip_blanks(p);
        if (is_keyword(p, "if") || is_keyword(p, "with")) {
            struct node *inner = array_add(&n->other);

            inner->kind = *p->at == 'i' ? NODE_IF : NODE_WITH;
            p->at += *p->at == 'i' ? 2 : 4;
            r = take_block(p, inner);
            p->depth--;
            return r; /* its end was ours too */
        }
        r = take_end(p);
        ended_by = NULL;
        if (r == 0)
            r = take_nodes(p, &n->other, &ended_by);
        if (r == 0 && (ended_by == NULL || strcmp(ended_by, "end") != 0))
            r = fail(p, "an 'end' is missing", "");
    }
    p->depth--;
    return r < 0 ? r : take_end(p);
}

static int take_action(struct parser *p, struct node_list *out, const char **ended_by)
{
    static const struct {
        const char *word;
        enum node_kind kind;
    } blocks[] = {{"if", NODE_IF}, {"range", NODE_RANGE}, {"with", NODE_WITH}};
    struct node *n;
    int r;

    skip_blanks(p);
    *ended_by = is_keyword(p, "end") ? "end" : is_keyword(p, "else") ? "else" : NULL;
    if (*ended_by != NULL) {
        p->at += strlen(*ended_by);
        return 0;
    }
    n = array_add(out);
    n->kind = NODE_OUTPUT;
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        if (is_keyword(p, blocks[i].word)) {
            n->kind = blocks[i].kind;
            p->at += strlen(blocks[i].word);
            return take_block(p, n);
        }
    r = take_condition(p, n);
    return r < 0 ? r : take_end(p);
}

/* Text up to the next action; blanks at its end go when the action says so. */
static void take_text(struct parser *p, struct node_list *out)
{
    const char *stop = strstr(p->at, "{{");
    const char *end = stop == NULL ? p->at + strlen(p->at) : stop;
    struct node *n;

    if (stop != NULL && stop[2] == '-' && strchr(" \t\r\n", stop[3]) != NULL && stop[3] != '\0')
        while (end > p->at && strchr(" \t\r\n", end[-1]) != NULL)
            end--;
    if (end > p->at) {
        n = array_add(out);
        n->kind = NODE_TEXT;
        for (const char *c = p->at; c < end; c++) {
            bool is_escape = c[0] == '\\' && c + 1 < end && (c[1] == 't' || c[1] == 'n');

            str_add_char(&n->text, !is_escape ? *c : c[1] == 't' ? '\t' : '\n');
            c += is_escape;
        }
    }
    p->at = stop == NULL ? p->at + strlen(p->at) : stop;
}

static int take_comment(struct parser *p)
{
    const char *end = strstr(p->at, "*/");

    if (end == NULL)
        return fail(p, "a comment does not end", "");
    p->at = end + 2;
    return take_end(p);
}

/* Until the end of the text, or behind the word that ended a block. */
static int take_nodes(struct parser *p, struct node_list *out, const char **ended_by)
{
    for (;;) {
        int r;

        take_text(p, out);
        if (*p->at == '\0')
            return 0;
        p->at += 2;
        if (p->at[0] == '-' && p->at[1] != '\0' && strchr(" \t\r\n", p->at[1]) != NULL)
            p->at += 2;
        skip_blanks(p);
        r = text_starts(p->at, "/*") ? take_comment(p) : take_action(p, out, ended_by);
        if (r < 0 || *ended_by != NULL)
            return r;
    }
}

/* ---- the whole ---- */

static void pipeline_release(struct pipeline *pipe)
{
    for (size_t i = 0; i < pipe->count; i++) {
        for (size_t k = 0; k < pipe->items[i].count; k++) {
            struct operand *o = &pipe->items[i].items[k];

            if (o->pipe != NULL)
                pipeline_release(o->pipe);
            free(o->pipe);
            free(o->name);
            json_unref(o->literal);
            strv_release(&o->fields);
        }
        free(pipe->items[i].items);
    }
    free(pipe->items);
}

static void nodes_release(struct node_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct node *n = &list->items[i];

        str_release(&n->text);
        pipeline_release(&n->pipe);
        free(n->variables[0]);
        free(n->variables[1]);
        nodes_release(&n->body);
        nodes_release(&n->other);
    }
    free(list->items);
}

void template_free(struct template *t)
{
    if (t == NULL)
        return;
    nodes_release(&t->nodes);
    strv_release(&t->mentioned);
    free(t);
}

int template_parse(const char *text, struct template **out, struct error *err)
{
    auto_template struct template *t = mem_new(struct template);
    struct parser p = {.text = text, .at = text, .mentioned = &t->mentioned, .err = err};
    const char *ended_by = NULL;
    int r;

    if (strlen(text) > TEMPLATE_SIZE_MAX)
        return error_set(err, EINVAL, "invalid template: longer than %u bytes", TEMPLATE_SIZE_MAX);
    r = take_nodes(&p, &t->nodes, &ended_by);
    if (r == 0 && ended_by != NULL)
        r = fail(&p, "nothing is open here for", ended_by);
    if (r < 0)
        return r;
    *out = STEAL(&t);
    return 0;
}

bool template_mentions(const struct template *t, const char *name)
{
    return strv_contains(&t->mentioned, name);
}
