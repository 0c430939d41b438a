/* instruction.c - the life of an instruction: copy, free, and what it refers to. */
#include "builder/dockerfile/dockerfile_internal.h"

#include "fs/base/banned.h"

static void word_release(struct word *word)
{
    free(word->text);
}

static char *copy_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static struct word copy_word(const struct word *from)
{
    return (struct word){.text = copy_text(from->text), .at = from->at};
}

static void flags_release(struct flags *flags)
{
    for (size_t i = 0; i < flags->count; i++) {
        free(flags->items[i].name);
        free(flags->items[i].value);
    }
    free(flags->items);
}

static void flags_copy(struct flags *to, const struct flags *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct flag *flag = array_add(to);

        *flag = from->items[i];
        flag->name = mem_strdup(from->items[i].name);
        flag->value = mem_strdup(from->items[i].value);
    }
}

static void heredocs_release(struct heredocs *docs)
{
    for (size_t i = 0; i < docs->count; i++) {
        free(docs->items[i].name);
        free(docs->items[i].content);
    }
    free(docs->items);
}

static void heredocs_copy(struct heredocs *to, const struct heredocs *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct heredoc *doc = array_add(to);

        *doc = from->items[i];
        doc->name = mem_strdup(from->items[i].name);
        doc->content = mem_strdup(from->items[i].content);
    }
}

static void pairs_release(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].name);
        free(pairs->items[i].value);
        free(pairs->items[i].comment);
    }
    free(pairs->items);
}

static void pairs_copy(struct pairs *to, const struct pairs *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct pair *pair = array_add(to);

        pair->name = mem_strdup(from->items[i].name);
        pair->value = copy_text(from->items[i].value);
        pair->comment = copy_text(from->items[i].comment);
        pair->at = from->items[i].at;
        pair->value_at = from->items[i].value_at;
    }
}

static void from_release(struct from *from)
{
    word_release(&from->image);
    word_release(&from->name);
    word_release(&from->platform);
    free(from->name_written);
    free(from->as_written);
    free(from->comment);
}

static void from_copy(struct from *to, const struct from *from)
{
    to->image = copy_word(&from->image);
    to->name = copy_word(&from->name);
    to->platform = copy_word(&from->platform);
    to->name_written = copy_text(from->name_written);
    to->as_written = copy_text(from->as_written);
    to->comment = copy_text(from->comment);
}

static void run_release(struct run *run)
{
    strv_release(&run->command.words);
    for (size_t i = 0; i < run->mounts.count; i++)
        run_mount_release(&run->mounts.items[i]);
    free(run->mounts.items);
    for (size_t i = 0; i < run->device_count; i++)
        free(run->devices[i].name);
    free(run->devices);
}

static void command_copy(struct command *to, const struct command *from)
{
    to->is_exec = from->is_exec;
    strv_copy(&to->words, &from->words);
}

static void run_copy(struct run *to, const struct run *from)
{
    command_copy(&to->command, &from->command);
    to->network = from->network;
    to->security = from->security;
    for (size_t i = 0; i < from->mounts.count; i++)
        run_mount_copy(array_add(&to->mounts), &from->mounts.items[i]);
    if (from->device_count > 0)
        to->devices = mem_dup(from->devices, from->device_count * sizeof(*to->devices));
    to->device_count = to->device_capacity = from->device_count;
    for (size_t i = 0; i < to->device_count; i++)
        to->devices[i].name = mem_strdup(from->devices[i].name);
}

static void copy_release(struct copy *copy)
{
    words_release(&copy->sources);
    for (size_t i = 0; i < copy->content_count; i++) {
        free(copy->contents[i].name);
        free(copy->contents[i].data);
    }
    free(copy->contents);
    word_release(&copy->destination);
    word_release(&copy->from);
    word_release(&copy->chown);
    word_release(&copy->chmod);
    word_release(&copy->checksum);
    words_release(&copy->excludes);
}

static void copy_copy(struct copy *to, const struct copy *from)
{
    words_copy(&to->sources, &from->sources);
    if (from->content_count > 0)
        to->contents = mem_dup(from->contents, from->content_count * sizeof(*to->contents));
    to->content_count = to->content_capacity = from->content_count;
    for (size_t i = 0; i < to->content_count; i++) {
        to->contents[i].name = mem_strdup(from->contents[i].name);
        to->contents[i].data = mem_strdup(from->contents[i].data);
    }
    to->destination = copy_word(&from->destination);
    to->from = copy_word(&from->from);
    to->chown = copy_word(&from->chown);
    to->chmod = copy_word(&from->chmod);
    to->checksum = copy_word(&from->checksum);
    words_copy(&to->excludes, &from->excludes);
    to->link = from->link;
    to->parents = from->parents;
    to->keep_git_dir = from->keep_git_dir;
    to->unpack = from->unpack;
}

static void health_copy(struct healthcheck *to, const struct healthcheck *from)
{
    *to = *from;
    to->command.words = (struct strv){0};
    strv_copy(&to->command.words, &from->command.words);
}

static void payload_release(struct instruction *in)
{
    switch (in->kind) {
    case INSTRUCTION_FROM:
        from_release(&in->from);
        break;
    case INSTRUCTION_ARG:
    case INSTRUCTION_ENV:
    case INSTRUCTION_LABEL:
        pairs_release(&in->pairs);
        break;
    case INSTRUCTION_CMD:
    case INSTRUCTION_ENTRYPOINT:
    case INSTRUCTION_SHELL:
        strv_release(&in->command.words);
        break;
    case INSTRUCTION_RUN:
        run_release(&in->run);
        break;
    case INSTRUCTION_ADD:
    case INSTRUCTION_COPY:
        copy_release(&in->copy);
        break;
    case INSTRUCTION_HEALTHCHECK:
        strv_release(&in->health.command.words);
        break;
    case INSTRUCTION_EXPOSE:
        words_release(&in->expose.specs);
        strv_release(&in->expose.ports);
        break;
    case INSTRUCTION_VOLUME:
        words_release(&in->volumes);
        break;
    case INSTRUCTION_MAINTAINER:
    case INSTRUCTION_STOPSIGNAL:
    case INSTRUCTION_USER:
    case INSTRUCTION_WORKDIR:
        word_release(&in->value);
        break;
    case INSTRUCTION_ONBUILD:
        free(in->onbuild.expression);
        instruction_free(in->onbuild.trigger);
        break;
    case INSTRUCTION_KINDS:
        break;
    }
}

static void payload_copy(struct instruction *to, const struct instruction *from)
{
    switch (from->kind) {
    case INSTRUCTION_FROM:
        from_copy(&to->from, &from->from);
        break;
    case INSTRUCTION_ARG:
    case INSTRUCTION_ENV:
    case INSTRUCTION_LABEL:
        pairs_copy(&to->pairs, &from->pairs);
        break;
    case INSTRUCTION_CMD:
    case INSTRUCTION_ENTRYPOINT:
    case INSTRUCTION_SHELL:
        command_copy(&to->command, &from->command);
        break;
    case INSTRUCTION_RUN:
        run_copy(&to->run, &from->run);
        break;
    case INSTRUCTION_ADD:
    case INSTRUCTION_COPY:
        copy_copy(&to->copy, &from->copy);
        break;
    case INSTRUCTION_HEALTHCHECK:
        health_copy(&to->health, &from->health);
        break;
    case INSTRUCTION_EXPOSE:
        words_copy(&to->expose.specs, &from->expose.specs);
        strv_copy(&to->expose.ports, &from->expose.ports);
        break;
    case INSTRUCTION_VOLUME:
        words_copy(&to->volumes, &from->volumes);
        break;
    case INSTRUCTION_MAINTAINER:
    case INSTRUCTION_STOPSIGNAL:
    case INSTRUCTION_USER:
    case INSTRUCTION_WORKDIR:
        to->value = copy_word(&from->value);
        break;
    case INSTRUCTION_ONBUILD:
        to->onbuild.expression = mem_strdup(from->onbuild.expression);
        to->onbuild.trigger = instruction_copy(from->onbuild.trigger);
        break;
    case INSTRUCTION_KINDS:
        break;
    }
}

struct instruction *instruction_copy(const struct instruction *in)
{
    struct instruction *copy = mem_new(struct instruction);

    copy->kind = in->kind;
    copy->keyword = mem_strdup(in->keyword);
    copy->text = mem_strdup(in->text);
    copy->line_first = in->line_first;
    copy->line_last = in->line_last;
    flags_copy(&copy->flags, &in->flags);
    heredocs_copy(&copy->heredocs, &in->heredocs);
    strv_copy(&copy->comments, &in->comments);
    copy->check_skip = in->check_skip;
    copy->is_trigger = in->is_trigger;
    copy->blank_line = in->blank_line;
    copy->is_legacy_pair = in->is_legacy_pair;
    payload_copy(copy, in);
    return copy;
}

void instruction_free(struct instruction *in)
{
    if (!in)
        return;
    payload_release(in);
    free(in->keyword);
    free(in->text);
    flags_release(&in->flags);
    heredocs_release(&in->heredocs);
    strv_release(&in->comments);
    free(in);
}

const struct flag *instruction_flag(const struct instruction *in, const char *name)
{
    for (size_t i = in->flags.count; i-- > 0;)
        if (text_equal(in->flags.items[i].name, name))
            return &in->flags.items[i];
    return NULL;
}

size_t instruction_refs(const struct instruction *in, struct instruction_ref *refs, size_t max)
{
    size_t count = 0;

    if (in->kind == INSTRUCTION_COPY && in->copy.from.text) {
        if (count < max)
            refs[count] =
                (struct instruction_ref){.name = in->copy.from.text, .at = in->copy.from.at};
        count++;
    }
    for (size_t i = 0; in->kind == INSTRUCTION_RUN && i < in->run.mounts.count; i++) {
        const struct run_mount *mount = &in->run.mounts.items[i];

        if (!mount->from)
            continue;
        if (count < max)
            refs[count] = (struct instruction_ref){
                .name = mount->from,
                .at = {mount->line, mount->column},
                .mount = mount,
            };
        count++;
    }
    return count;
}
