/* build_copy_from.c - where the sources of a COPY or ADD are: the context, another stage, an image,
 * a URL, a repository. */
#include <errno.h>
#include <string.h>

#include "builder/build_copy.h"
#include "builder/build_trace.h"
#include "builder/source/git_address.h"
#include "builder/source/source.h"

#include "fs/base/banned.h"

bool copy_is_address(const char *source)
{
    return source_is_url(source) || git_address_is(source);
}

bool copy_is_remote(const struct copying *c, const char *source)
{
    return c->in->kind == INSTRUCTION_ADD && copy_is_address(source);
}

void copy_parts_release(struct copying *c)
{
    for (size_t i = 0; i < c->part_count; i++) {
        selections_release(&c->parts[i].sources);
        build_tree_release(&c->parts[i].tree);
        source_release(&c->parts[i].source);
    }
    free(c->parts);
}

/* ---- the plan ---- */

/* A flag that means nothing for these sources is refused, never passed over. */
static int check_flags(const struct copying *c, struct error *err)
{
    const struct copy *copy = c->copy;
    size_t git_count = 0;
    size_t url_count = 0;

    for (size_t i = 0; i < copy->sources.count; i++) {
        const char *source = copy->sources.items[i].text;

        git_count += copy_is_remote(c, source) && git_address_is(source);
        url_count += copy_is_remote(c, source) && !git_address_is(source);
    }
    if (copy->checksum.text != NULL && copy->sources.count + copy->content_count != 1)
        return error_set(err, EINVAL, "checksum can't be specified for multiple sources");
    if (copy->checksum.text != NULL && git_count + url_count == 0)
        return error_set(err, EINVAL, "checksum requires HTTP(S) or Git sources");
    if (copy->keep_git_dir != TOGGLE_UNSET && git_count == 0) {
        error_set(err, EINVAL, "keep-git-dir requires a git repository as the source");
        return dockerfile_locate_flag(c->stage->build->df, c->in, "keep-git-dir", err);
    }
    return 0;
}

/* COPY fetches nothing. */
static int refuse_remote(const struct copying *c, const struct word *source, struct error *err)
{
    error_set(err, EINVAL, "source can't be a %s for COPY",
              git_address_is(source->text) ? "git ref" : "URL");
    (void)error_hint(err, "ADD fetches it"); /* returned below */
    return copy_fail_at(c, source, err);
}

int copy_parts_plan(struct copying *c, struct error *err)
{
    const struct copy *copy = c->copy;
    bool is_add = c->in->kind == INSTRUCTION_ADD;
    int r = check_flags(c, err);

    if (r < 0)
        return copy->checksum.text != NULL ? copy_fail_at(c, &copy->checksum, err) : r;
    for (size_t i = 0; !is_add && i < copy->sources.count; i++)
        if (copy_is_address(copy->sources.items[i].text))
            return refuse_remote(c, &copy->sources.items[i], err);
    c->parts = mem_alloc((copy->sources.count + 1) * sizeof(*c->parts));
    for (size_t i = 0; i < copy->sources.count; i++) {
        bool fetched = copy_is_remote(c, copy->sources.items[i].text);
        struct copy_part *part = c->part_count == 0 ? NULL : &c->parts[c->part_count - 1];

        if (part != NULL && !fetched && !part->is_fetched) {
            part->count++;
            continue;
        }
        part = &c->parts[c->part_count++];
        *part = (struct copy_part){
            .first = i,
            .count = 1,
            .is_fetched = fetched,
            .keep_owner = copy->from.text != NULL || fetched,
            /* Dockerfile reference, "ADD --unpack": local archives are, remote ones are not. */
            .unpack = is_add && (fetched ? copy->unpack == TOGGLE_ON : copy->unpack != TOGGLE_OFF),
        };
    }
    return 0;
}

/* ---- the trees ---- */

static int fetch_url(struct copying *c, struct copy_part *part, struct fetch *fetch,
                     const struct word *word, struct error *err)
{
    struct http_source from = {.url = word->text};
    struct digest checksum;
    int r = 0;

    if (c->copy->checksum.text != NULL) {
        r = digest_parse(c->copy->checksum.text, &checksum, err);
        if (r == 0 && checksum.algorithm != DIGEST_SHA256) /* the one the instruction has */
            r = error_set(err, EINVAL, "a checksum is sha256, not '%.160s'",
                          c->copy->checksum.text);
        from.checksum = &checksum;
    }
    if (r < 0)
        return copy_fail_at(c, &c->copy->checksum, err);
    r = source_http(fetch, &from, &part->source, err);
    if (r < 0)
        return copy_fail_at(c, r == -EBADMSG ? &c->copy->checksum : word, err);
    part->path = part->source.name;
    part->time_ns = part->source.mtime_ns;
    return 0;
}

/* What the flags say of a repository, beside its address. */
static int apply_flags(const struct copying *c, struct git_address *address, struct error *err)
{
    const struct copy *copy = c->copy;
    enum git_choice keep = copy->keep_git_dir == TOGGLE_ON ? GIT_ON : GIT_OFF;
    const char *checksum = copy->checksum.text;

    if (copy->keep_git_dir != TOGGLE_UNSET) {
        if (address->keep_git_dir != GIT_UNSET && address->keep_git_dir != keep)
            return error_set(err, EINVAL, "inconsistent keep-git-dir configuration");
        address->keep_git_dir = keep;
    }
    if (checksum == NULL)
        return 0;
    if (address->checksum != NULL && strcmp(address->checksum, checksum) != 0)
        return error_set(err, EINVAL, "inconsistent checksum configuration");
    return git_address_set_checksum(address, checksum, err);
}

static int fetch_git(struct copying *c, struct copy_part *part, struct fetch *fetch,
                     const struct word *word, struct error *err)
{
    auto_git_address struct git_address address = {0};
    int r = git_address_parse(word->text, &address, err);

    if (r == 0 && address.userinfo != NULL) {
        r = error_set(err, EINVAL, "a git address with a user name or password is not used here");
        (void)error_hint(err, "give a token with --secret id=GIT_AUTH_TOKEN"); /* the code stays */
    }
    if (r < 0)
        return copy_fail_at(c, word, err);
    r = apply_flags(c, &address, err);
    if (r < 0)
        return copy_fail_at(c, c->copy->checksum.text != NULL ? &c->copy->checksum : word, err);
    r = source_git(fetch, &address, &part->source, err);
    if (r < 0)
        return copy_fail_at(
            c, r == -EBADMSG && c->copy->checksum.text != NULL ? &c->copy->checksum : word, err);
    part->path = ".";
    part->time_ns = address.commit_times ? part->source.mtime_ns : 0;
    return 0;
}

static int open_fetched(struct copying *c, struct copy_part *part, struct error *err)
{
    struct build *b = c->stage->build;
    const struct word *word = &c->copy->sources.items[part->first];
    struct fetch fetch = build_fetch(b, c->vertex);
    int r = git_address_is(word->text) ? fetch_git(c, part, &fetch, word, err)
                                       : fetch_url(c, part, &fetch, word, err);

    if (r < 0)
        return r;
    build_trace_fetched(b, word->text, &part->source);
    part->tree.key = part->source.key;
    part->tree.has_key = true;
    return build_tree_layers(b, &part->source.layer, part->source.layer != 0, c->text, &part->tree,
                             err);
}

int copy_part_open(struct copying *c, struct copy_part *part, struct error *err)
{
    int r;

    if (part->is_fetched)
        return open_fetched(c, part, err);
    r = build_tree_open(c->stage, c->copy->from.text, &part->tree, err);
    return r < 0 && c->copy->from.text != NULL ? copy_fail_at(c, &c->copy->from, err) : r;
}

int copy_remote_time(struct build_stage *s, const struct instruction *add, uint32_t vertex,
                     int64_t *out, struct error *err)
{
    struct copying c = {
        .stage = s, .in = add, .copy = &add->copy, .vertex = vertex, .text = mem_strdup("ADD")};
    struct fetch fetch = build_fetch(s->build, vertex);
    int r = copy_parts_plan(&c, err);

    if (r == 0)
        r = copy_part_open(&c, &c.parts[0], err);
    if (r == 0)
        r = source_time(&fetch, &c.parts[0].source, out, err);
    copy_parts_release(&c);
    free(c.text);
    return r;
}
