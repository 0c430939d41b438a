/* heredoc.c - <<NAME on RUN, COPY and ADD: finding the words, reading the lines, running the result
 * (Dockerfile reference, "Here-Documents"). COPY's use of them: see instruction_parse.c.
 */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"

#include "fs/base/banned.h"

/* Splits `text` the way a shell would, leaving quotes and escapes in the words if `raw`. */
static int split(const char *text, bool raw, struct strv *out)
{
    const struct expand how = {
        .escape = '\\', .keep_quotes = raw, .keep_escapes = raw, .keep_unset = true};
    struct error ignored; /* what cannot be split holds no heredoc; RUN leaves it to its shell */

    return expand_words(&how, text, out, NULL, &ignored);
}

bool heredoc_parse_word(const char *word, struct heredoc *out)
{
    const char *at = word + strspn(word, "0123456789");
    auto_strv struct strv plain = {0};
    auto_strv struct strv raw = {0};

    if (at[0] != '<' || at[1] != '<')
        return false;
    *out = (struct heredoc){.chomp = at[2] == '-'};
    at += out->chomp ? 3 : 2;
    if (*at == '\0' || strchr(at, '<') || split(at, false, &plain) < 0 || plain.count != 1 ||
        split(at, true, &raw) < 0 || raw.count != 1)
        return false;
    out->expand = text_equal(plain.items[0], raw.items[0]);
    out->fd = (unsigned)strtoul(word, NULL, 10); /* the shell decides what a large one means */
    out->name = mem_strdup(plain.items[0]);
    return true;
}

/* Reads up to the line that is the name. */
static int read_content(struct parsing *p, struct heredoc *doc)
{
    auto_str struct str content = {0};
    size_t name_size = strlen(doc->name);
    const char *bytes;
    size_t size;
    size_t full_size;
    int r;

    doc->line_first = p->source->line + 1;
    while ((r = source_next(p->source, &bytes, &size, &full_size, p->err)) > 0) {
        size_t tabs = 0;

        while (doc->chomp && tabs < size && bytes[tabs] == '\t')
            tabs++;
        if (size - tabs == name_size && memcmp(bytes + tabs, doc->name, name_size) == 0) {
            doc->content = str_take(&content);
            return 0;
        }
        str_add_bytes(&content, bytes, full_size);
    }
    if (r < 0)
        return r;
    (void)parse_fail_plainly(p, NULL, "unterminated heredoc"); /* the hint's code is the same */
    p->fault = doc->at;
    return error_hint(p->err, "a line that is only '%.200s' ends it", doc->name);
}

int heredocs_read(struct parsing *p)
{
    auto_strv struct strv words = {0};
    const char *from = p->text;

    if (!strstr(p->text, "<<") || split(p->text, true, &words) < 0)
        return 0;
    for (size_t i = 0; i < words.count; i++) {
        struct heredoc doc;
        const char *at = strstr(from, words.items[i]);
        struct heredoc *added;
        int r;

        from = at ? at : from;
        if (!heredoc_parse_word(words.items[i], &doc))
            continue;
        added = array_add(&p->in->heredocs);
        *added = doc;
        if (at)
            added->at = line_position(p->line, at);
        r = read_content(p, added);
        if (r < 0)
            return r;
    }
    return 0;
}

static void add_chomped(struct str *out, const char *content)
{
    while (*content) {
        size_t size;

        content += strspn(content, "\t");
        size = strcspn(content, "\n");
        size += content[size] == '\n';
        str_add_bytes(out, content, size);
        content += size;
    }
}

char *heredoc_text(const struct heredoc *doc)
{
    struct str text = {0};

    if (doc->chomp)
        add_chomped(&text, doc->content);
    else
        str_add(&text, doc->content);
    return str_take(&text);
}

/* The first line, and three dots when there are more. */
static char *summarize(const char *content)
{
    const char *start = content;
    const char *end = content + strlen(content);
    size_t size;

    while (isspace((unsigned char)*start))
        start++;
    while (end > start && isspace((unsigned char)end[-1]))
        end--;
    size = strcspn(start, "\r\n");
    if (start + size >= end)
        return str_format(" (%.*s)", (int)(end - start), start);
    return str_format(" (%.*s...)", (int)size, start);
}

/* A command which uses heredocs among other words: the shell gets them the way they were written. */
static char *reassemble(const struct instruction *in, const char *command)
{
    struct str text = {0};

    str_add(&text, command);
    for (size_t i = 0; i < in->heredocs.count; i++) {
        str_add_char(&text, '\n');
        str_add(&text, in->heredocs.items[i].content);
        str_add(&text, in->heredocs.items[i].name);
    }
    return str_take(&text);
}

void run_script_make(const struct instruction *in, struct run_script *out)
{
    const struct command *command = &in->run.command;
    const char *text = command->words.count > 0 ? command->words.items[0] : "";
    const struct heredoc *doc = in->heredocs.items;
    struct heredoc alone = {0};

    *out = (struct run_script){.form = command->is_exec ? RUN_FORM_EXEC : RUN_FORM_SHELL};
    if (command->is_exec) {
        strv_copy(&out->argv, &command->words);
    } else if (in->heredocs.count == 0) {
        out->text = mem_strdup(text);
    } else if (!heredoc_parse_word(text, &alone)) {
        out->text = reassemble(in, text);
    } else {
        out->text = heredoc_text(doc);
        out->form = text_starts(out->text, "#!") ? RUN_FORM_SCRIPT : RUN_FORM_SHELL;
        out->name = mem_strdup(doc->name);
        out->summary = summarize(doc->content);
    }
    if (!out->summary)
        out->summary = mem_strdup("");
    free(alone.name);
}

void run_script_release(struct run_script *script)
{
    strv_release(&script->argv);
    free(script->text);
    free(script->name);
    free(script->summary);
    *script = (struct run_script){0};
}
