/* purl.c - see purl.h. */
#include <ctype.h>
#include <string.h>

#include "builder/attest/purl.h"
#include "registry/platform.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

static void add_encoded(struct str *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x80 && isalnum(c)) || (c != '\0' && strchr(".-_~:", c) != NULL))
            str_add_char(out, (char)c);
        else
            str_addf(out, "%%%02X", c);
    }
}

/* Each segment by itself, so that the slashes between them stay. */
static void add_space(struct str *out, const char *space)
{
    while (*space != '\0') {
        size_t size = strcspn(space, "/");

        if (size > 0) {
            add_encoded(out, space, size);
            str_add_char(out, '/');
        }
        space += size + (space[size] == '/');
    }
}

void purl_format(const struct purl *purl, struct str *out)
{
    char mark = '?';

    str_addf(out, "pkg:%s/", purl->type);
    add_space(out, purl->space == NULL ? "" : purl->space);
    add_encoded(out, purl->name, strlen(purl->name));
    if (purl->version != NULL && purl->version[0] != '\0') {
        str_add_char(out, '@');
        add_encoded(out, purl->version, strlen(purl->version));
    }
    for (size_t i = 0; i < purl->qualifier_count; i++) {
        const struct purl_qualifier *q = &purl->qualifiers[i];

        if (q->value == NULL || q->value[0] == '\0')
            continue;
        str_addf(out, "%c%s=", mark, q->key);
        add_encoded(out, q->value, strlen(q->value));
        mark = '&';
    }
}

void purl_of_image(const struct reference *ref, const struct platform *platform, struct str *out)
{
    auto_str struct str name = {0};
    auto_str struct str where = {0};
    auto_free char *space = NULL;
    char digest[DIGEST_TEXT_SIZE] = "";
    const char *base;

    reference_familiar_name(ref, &name);
    base = path_base(str_text(&name));
    space = mem_strndup(str_text(&name), (size_t)(base - str_text(&name)));
    if (ref->has_digest)
        digest_format(&ref->digest, digest);
    if (platform != NULL)
        platform_format(platform, &where);
    purl_format(
        &(struct purl){
            .type = "docker",
            .space = space,
            .name = base,
            .version = ref->tag,
            .qualifiers =
                (struct purl_qualifier[]){{"digest", digest}, {"platform", str_text(&where)}},
            .qualifier_count = 2,
        },
        out);
}
