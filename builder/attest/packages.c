/* packages.c - the formats: stanzas of "Key: value" lines, and JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/attest/packages.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

static void package_release(struct package *p)
{
    free(p->name);
    free(p->version);
    free(p->origin);
    free(p->architecture);
    free(p->source);
    free(p->license);
    free(p->maintainer);
    free(p->homepage);
}

void packages_release(struct packages *list)
{
    for (size_t i = 0; i < list->count; i++)
        package_release(&list->items[i]);
    free(list->items);
    free(list->distribution);
    free(list->distribution_version);
    strv_release(&list->unread);
    *list = (struct packages){0};
}

/* ---- stanzas ---- */

struct span {
    const char *text; /* NULL: there is none */
    size_t size;
};

/* Places of the values that matter; each format has names for some of them. */
enum field {
    FIELD_NAME,
    FIELD_VERSION,
    FIELD_ARCHITECTURE,
    FIELD_SOURCE,
    FIELD_LICENSE,
    FIELD_MAINTAINER,
    FIELD_HOMEPAGE,
    FIELD_STATUS,
    FIELD_COUNT,
};

struct format {
    enum package_kind kind;
    const char *keys[FIELD_COUNT]; /* with the colon; NULL: it has none */
    bool is_one;                   /* the first stanza is all there is */
};

/* One line of something; a control in it is in no name, version or licence. NULL when it is none. */
static char *take_text(struct span s)
{
    while (s.size > 0 && (*s.text == ' ' || *s.text == '\t')) {
        s.text++;
        s.size--;
    }
    while (s.size > 0 && (s.text[s.size - 1] == ' ' || s.text[s.size - 1] == '\r'))
        s.size--;
    if (s.text == NULL || s.size == 0 || s.size > LIMIT_PACKAGE_WORD)
        return NULL;
    for (size_t i = 0; i < s.size; i++)
        if ((unsigned char)s.text[i] < 0x20 || s.text[i] == 0x7f)
            return NULL;
    return mem_strndup(s.text, s.size);
}

/* dpkg(1), "Package states": "want flag state". Files of status.d have no such line. */
static bool is_installed(struct span status)
{
    auto_free char *text = take_text(status);
    const char *state = text == NULL ? NULL : strrchr(text, ' ');

    return status.text == NULL || (state != NULL && strcmp(state, " installed") == 0);
}

/* "glibc (2.36-9)" is of glibc. */
static char *take_source(struct span s)
{
    const void *end = s.text == NULL ? NULL : memchr(s.text, '(', s.size);

    if (end != NULL)
        s.size = (size_t)((const char *)end - s.text);
    return take_text(s);
}

static int add_package(const struct format *f, const struct span *values, const char *origin,
                       struct packages *out, struct error *err)
{
    struct package p = {.kind = f->kind};

    if (!is_installed(values[FIELD_STATUS]))
        return 0;
    p.name = take_text(values[FIELD_NAME]);
    p.version = take_text(values[FIELD_VERSION]);
    if (p.name == NULL || p.version == NULL) {
        package_release(&p);
        return 0;
    }
    if (out->count >= LIMIT_PACKAGES) {
        package_release(&p);
        return error_set(err, E2BIG, "'/%s' has more than %u packages", origin, LIMIT_PACKAGES);
    }
    p.origin = mem_strdup(origin);
    p.architecture = take_text(values[FIELD_ARCHITECTURE]);
    p.source = take_source(values[FIELD_SOURCE]);
    p.license = take_text(values[FIELD_LICENSE]);
    p.maintainer = take_text(values[FIELD_MAINTAINER]);
    p.homepage = take_text(values[FIELD_HOMEPAGE]);
    *array_add(out) = p;
    return 0;
}

static void read_line(const struct format *f, struct span line, struct span *values)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        size_t size = f->keys[i] == NULL ? 0 : strlen(f->keys[i]);

        if (size > 0 && line.size >= size && memcmp(line.text, f->keys[i], size) == 0 &&
            values[i].text == NULL)
            values[i] = (struct span){line.text + size, line.size - size};
    }
}

static int add_stanzas(const struct format *f, const char *text, size_t size, const char *origin,
                       struct packages *out, struct error *err)
{
    struct span values[FIELD_COUNT] = {0};
    const char *end = text + size;
    int r = 0;

    while (r == 0 && text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        struct span line = {text, (size_t)((newline == NULL ? end : newline) - text)};

        text = newline == NULL ? end : newline + 1;
        if (line.size > 0) {
            read_line(f, line, values);
            continue;
        }
        if (f->is_one)
            break;
        r = add_package(f, values, origin, out, err);
        memset(values, 0, sizeof(values));
    }
    return r < 0 ? r : add_package(f, values, origin, out, err);
}

/* deb-control(5). */
int packages_add_dpkg(const char *text, size_t size, const char *origin, struct packages *out,
                      struct error *err)
{
    static const struct format dpkg = {
        .kind = PACKAGE_DEB,
        .keys = {[FIELD_NAME] = "Package:",
                 [FIELD_VERSION] = "Version:",
                 [FIELD_ARCHITECTURE] = "Architecture:",
                 [FIELD_SOURCE] = "Source:",
                 [FIELD_MAINTAINER] = "Maintainer:",
                 [FIELD_HOMEPAGE] = "Homepage:",
                 [FIELD_STATUS] = "Status:"},
    };

    return add_stanzas(&dpkg, text, size, origin, out, err);
}

/* Alpine's wiki, "Apk spec", "Installed Database". */
int packages_add_apk(const char *text, size_t size, const char *origin, struct packages *out,
                     struct error *err)
{
    static const struct format apk = {
        .kind = PACKAGE_APK,
        .keys = {[FIELD_NAME] = "P:",
                 [FIELD_VERSION] = "V:",
                 [FIELD_ARCHITECTURE] = "A:",
                 [FIELD_SOURCE] = "o:",
                 [FIELD_LICENSE] = "L:",
                 [FIELD_MAINTAINER] = "m:",
                 [FIELD_HOMEPAGE] = "U:"},
    };

    return add_stanzas(&apk, text, size, origin, out, err);
}

/* Python packaging, "Core metadata specifications": a header, and a description behind a blank line. */
int packages_add_python(const char *text, size_t size, const char *origin, struct packages *out,
                        struct error *err)
{
    static const struct format python = {
        .kind = PACKAGE_PYPI,
        .keys = {[FIELD_NAME] = "Name:",
                 [FIELD_VERSION] = "Version:",
                 [FIELD_LICENSE] = "License-Expression:",
                 [FIELD_MAINTAINER] = "Author:",
                 [FIELD_HOMEPAGE] = "Home-page:"},
        .is_one = true,
    };

    return add_stanzas(&python, text, size, origin, out, err);
}

/* docs.npmjs.com, "package.json". */
int packages_add_node(const char *text, size_t size, const char *origin, struct packages *out,
                      struct error *err)
{
    static const struct format node = {.kind = PACKAGE_NPM};
    static const char *const keys[FIELD_COUNT] = {[FIELD_NAME] = "name",
                                                  [FIELD_VERSION] = "version",
                                                  [FIELD_LICENSE] = "license",
                                                  [FIELD_MAINTAINER] = "author",
                                                  [FIELD_HOMEPAGE] = "homepage"};
    auto_json struct json *document = NULL;
    struct span values[FIELD_COUNT] = {0};
    struct error ignored; /* somebody's file, not npm's: it is no package */

    if (json_parse(text, size, LIMIT_PACKAGE_FILE, origin, &document, &ignored) < 0)
        return 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *value = keys[i] == NULL ? NULL : json_get_text(document, keys[i]);

        if (value != NULL)
            values[i] = (struct span){value, strlen(value)};
    }
    return add_package(&node, values, origin, out, err);
}

/* ---- the distribution ---- */

/* os-release(5): values may be in quotes. */
static char *unquoted(struct span s)
{
    auto_free char *text = take_text(s);
    size_t size = text == NULL ? 0 : strlen(text);

    if (size >= 2 && (text[0] == '"' || text[0] == '\'') && text[size - 1] == text[0])
        return mem_strndup(text + 1, size - 2);
    return STEAL(&text);
}

void packages_set_distribution(const char *text, size_t size, struct packages *out)
{
    const char *end = text + size;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        struct span line = {text, (size_t)((newline == NULL ? end : newline) - text)};

        text = newline == NULL ? end : newline + 1;
        if (line.size > 3 && memcmp(line.text, "ID=", 3) == 0 && out->distribution == NULL)
            out->distribution = unquoted((struct span){line.text + 3, line.size - 3});
        if (line.size > 11 && memcmp(line.text, "VERSION_ID=", 11) == 0 &&
            out->distribution_version == NULL)
            out->distribution_version = unquoted((struct span){line.text + 11, line.size - 11});
    }
}

/* ---- order ---- */

static int compare_texts(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b);
}

static int compare(const void *left, const void *right)
{
    const struct package *a = left;
    const struct package *b = right;
    int order = (int)a->kind - (int)b->kind;

    if (order == 0)
        order = strcmp(a->name, b->name);
    if (order == 0)
        order = strcmp(a->version, b->version);
    if (order == 0)
        order = compare_texts(a->architecture, b->architecture);
    return order != 0 ? order : strcmp(a->origin, b->origin);
}

void packages_sort(struct packages *list)
{
    size_t kept = 0;

    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && compare(&list->items[kept - 1], &list->items[i]) == 0) {
            package_release(&list->items[i]);
            continue;
        }
        list->items[kept++] = list->items[i];
    }
    list->count = kept;
}
