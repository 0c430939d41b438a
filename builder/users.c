/* users.c - one pass over passwd and group text. Reading those files safely: see the caller. */
#include <errno.h>

#include "builder/dockerfile/quote.h"
#include "builder/users.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define ID_MAX (UINT32_MAX - 1) /* the last value means "no change" to chown(2) */
#define GROUPS_MAX 65536u       /* NGROUPS_MAX of Linux, setgroups(2) */

/* The fields of one line, borrowed from the file. */
struct entry_field {
    const char *text;
    size_t size;
};

#define FIELDS_MAX 7

struct entry_line {
    struct entry_field fields[FIELDS_MAX];
    size_t count;
};

/* Splits the line at `*at` and moves to the next; false at the end. */
static bool next_line(const char **at, const char *end, struct entry_line *line)
{
    const char *stop;

    if (*at >= end)
        return false;
    stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop ? stop : end;
    for (line->count = 0; line->count < FIELDS_MAX;) {
        const char *colon = memchr(*at, ':', (size_t)(stop - *at));
        const char *field_end = colon ? colon : stop;

        line->fields[line->count++] = (struct entry_field){*at, (size_t)(field_end - *at)};
        *at = field_end + 1;
        if (!colon)
            break;
    }
    *at = stop + 1;
    return true;
}

static bool field_is(const struct entry_field *field, const char *text)
{
    return strlen(text) == field->size && memcmp(field->text, text, field->size) == 0;
}

static bool field_id(const struct entry_field *field, uint32_t *out)
{
    char digits[16];
    uint64_t value;

    if (field->size == 0 || field->size >= sizeof(digits))
        return false;
    memcpy(digits, field->text, field->size);
    digits[field->size] = '\0';
    if (!text_to_u64(digits, ID_MAX, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool is_number(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* A row of digits as an id; -EINVAL when it is too large. */
static int read_id(const char *text, uint32_t *out, struct error *err)
{
    uint64_t value;
    auto_free char *shown = quote_bare(text);

    if (!text_to_u64(text, ID_MAX, &value))
        return error_set(err, EINVAL, "id '%s' is larger than %u", shown, ID_MAX);
    *out = (uint32_t)value;
    return 0;
}

/* The first entry of passwd with that name, or that uid when `name` is NULL. */
static bool find_user(const struct users_files *files, const char *name, uint32_t uid,
                      struct user *out)
{
    const char *at = files->passwd;
    const char *end = at ? at + files->passwd_size : at;
    struct entry_line line;

    while (at && next_line(&at, end, &line)) {
        struct user found = {0};

        if (line.count < 4 || line.fields[0].size == 0 || !field_id(&line.fields[2], &found.uid) ||
            !field_id(&line.fields[3], &found.gid))
            continue;
        if (name ? !field_is(&line.fields[0], name) : found.uid != uid)
            continue;
        found.name = mem_strndup(line.fields[0].text, line.fields[0].size);
        if (line.count > 5 && line.fields[5].size > 0)
            found.home = mem_strndup(line.fields[5].text, line.fields[5].size);
        *out = found;
        return true;
    }
    return false;
}

static bool find_group(const struct users_files *files, const char *name, uint32_t *gid)
{
    const char *at = files->group;
    const char *end = at ? at + files->group_size : at;
    struct entry_line line;

    while (at && next_line(&at, end, &line))
        if (line.count >= 3 && field_is(&line.fields[0], name) && field_id(&line.fields[2], gid))
            return true;
    return false;
}

/* Whether a comma-separated list holds the name. */
static bool lists(const struct entry_field *members, const char *name)
{
    size_t size = strlen(name);
    const char *at = members->text;
    const char *end = at + members->size;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;

        if ((size_t)(stop - at) == size && memcmp(at, name, size) == 0)
            return true;
        at = stop + 1;
    }
    return false;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* Sorts the ids and drops repeats and the primary one. */
static void tidy_groups(struct user *user)
{
    size_t kept = 0;

    if (user->group_count > 0)
        qsort(user->groups, user->group_count, sizeof(user->groups[0]), compare_ids);
    for (size_t i = 0; i < user->group_count; i++) {
        uint32_t gid = user->groups[i];

        if (gid != user->gid && (kept == 0 || user->groups[kept - 1] != gid))
            user->groups[kept++] = gid;
    }
    user->group_count = kept;
}

static int add_groups(const struct users_files *files, struct user *user, struct error *err)
{
    struct {
        uint32_t *items;
        size_t count;
        size_t capacity;
    } groups = {0};
    const char *at = files->group;
    const char *end = at ? at + files->group_size : at;
    struct entry_line line;
    uint32_t gid;

    while (at && next_line(&at, end, &line)) {
        if (line.count < 4 || !field_id(&line.fields[2], &gid) ||
            !lists(&line.fields[3], user->name))
            continue;
        *(uint32_t *)array_add(&groups) = gid;
    }
    user->groups = groups.items;
    user->group_count = groups.count;
    tidy_groups(user);
    if (user->group_count > GROUPS_MAX)
        return error_set(err, EINVAL, "user '%s' is in more than %u groups", user->name,
                         GROUPS_MAX);
    return 0;
}

static int resolve_name(const struct users_files *files, const char *name, struct user *out,
                        struct error *err)
{
    auto_free char *shown = quote_bare(name);
    uint32_t uid = 0;
    int r;

    if (find_user(files, name, 0, out))
        return 0;
    if (!is_number(name))
        return error_set(err, ENOENT, "unable to find user %s: no matching entries in passwd file",
                         shown);
    r = read_id(name, &uid, err);
    if (r < 0)
        return r;
    if (!find_user(files, NULL, uid, out))
        out->uid = uid;
    return 0;
}

static int resolve_group(const struct users_files *files, const char *name, uint32_t *gid,
                         struct error *err)
{
    auto_free char *shown = quote_bare(name);

    if (find_group(files, name, gid))
        return 0;
    if (is_number(name))
        return read_id(name, gid, err);
    return error_set(err, ENOENT, "unable to find group %s: no matching entries in group file",
                     shown);
}

/* Splits "user:group"; `*group` is NULL when none is given. */
static int split_spec(const char *spec, char **user, char **group, struct error *err)
{
    const char *colon = strchr(spec, ':');
    auto_free char *shown = quote_bare(spec);

    if (colon && strchr(colon + 1, ':'))
        return error_set(err, EINVAL, "'%s' is not of the form user:group", shown);
    *user = colon ? mem_strndup(spec, (size_t)(colon - spec)) : mem_strdup(spec);
    *group = colon && colon[1] ? mem_strdup(colon + 1) : NULL;
    return 0;
}

int user_resolve(const struct users_files *files, const char *spec, struct user *out,
                 struct error *err)
{
    auto_user struct user user = {0};
    auto_free char *name = NULL;
    auto_free char *group = NULL;
    int r = split_spec(spec, &name, &group, err);

    if (r < 0)
        return r;
    r = resolve_name(files, *name ? name : "0", &user, err);
    if (r == 0 && group)
        r = resolve_group(files, group, &user.gid, err);
    else if (r == 0 && user.name)
        r = add_groups(files, &user, err);
    if (r < 0)
        return r;
    if (!user.home)
        user.home = mem_strdup("/");
    *out = STEAL(&user);
    return 0;
}

/* The primary group is among them, so that a process which changes its group still counts as a member
 * when a file's mode keeps members out. */
uint32_t *user_process_groups(const struct user *user)
{
    uint32_t *groups = mem_alloc((user->group_count + 1) * sizeof(*groups));

    groups[0] = user->gid;
    for (size_t i = 0; i < user->group_count; i++)
        groups[i + 1] = user->groups[i];
    return groups;
}

void user_release(struct user *user)
{
    free(user->groups);
    free(user->name);
    free(user->home);
    *user = (struct user){0};
}

int owner_resolve(const struct users_files *files, const char *spec, uint32_t *uid, uint32_t *gid,
                  struct error *err)
{
    auto_user struct user user = {0};
    auto_free char *name = NULL;
    auto_free char *group = NULL;
    int r = split_spec(spec, &name, &group, err);

    if (r < 0)
        return r;
    if (is_number(name)) {
        r = read_id(name, &user.uid, err);
        user.gid = user.uid;
    } else if (*name) {
        r = resolve_name(files, name, &user, err);
    }
    if (r == 0 && group)
        r = resolve_group(files, group, &user.gid, err);
    if (r < 0)
        return r;
    *uid = user.uid;
    *gid = user.gid;
    return 0;
}

bool owner_is_numeric(const char *spec)
{
    const char *colon = strchr(spec, ':');
    auto_free char *user = mem_strndup(spec, colon ? (size_t)(colon - spec) : strlen(spec));

    return (*user == '\0' || is_number(user)) &&
           (!colon || colon[1] == '\0' || is_number(colon + 1));
}
