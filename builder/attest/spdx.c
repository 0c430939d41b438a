/* spdx.c - see spdx.h. Clause numbers are those of SPDX 2.3. */
#include <ctype.h>
#include <string.h>

#include "builder/attest/packages.h"
#include "builder/attest/purl.h"
#include "builder/attest/spdx.h"
#include "builder/image/config.h"
#include "fs/base/digest.h"
#include "fs/base/json.h"

#include "fs/base/banned.h"

#define NONE_KNOWN "NOASSERTION"
#define NS_PER_S 1000000000ll

/* ---- names ---- */

/* Clause 3.2: letters, digits, "." and "-". The digest makes it one of its kind. */
static char *new_id(const char *prefix, const char *name, const char *unique)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    auto_str struct str out = {0};

    digest_of(unique, strlen(unique), &digest);
    digest_format_hex(&digest, hex);
    str_addf(&out, "%s-", prefix);
    for (size_t i = 0; name[i] != '\0' && i < 64; i++)
        str_add_char(
            &out, (unsigned char)name[i] < 0x80 && isalnum((unsigned char)name[i]) ? name[i] : '-');
    str_addf(&out, "-%.16s", hex);
    return str_take(&out);
}

/* pypi: lower case, "-" for "_" (purl-spec, "PURL types"). */
static char *pypi_name(const char *name)
{
    char *out = mem_strdup(name);

    for (char *c = out; *c != '\0'; c++)
        *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    return out;
}

static void add_purl(const struct packages *list, const struct package *p, struct str *out)
{
    static const char *const types[] = {"deb", "apk", "pypi", "npm"};
    bool is_system = p->kind == PACKAGE_DEB || p->kind == PACKAGE_APK;
    const char *slash = p->kind == PACKAGE_NPM ? strchr(p->name, '/') : NULL;
    auto_free char *scope = slash == NULL ? NULL : mem_strndup(p->name, (size_t)(slash - p->name));
    auto_free char *name = p->kind == PACKAGE_PYPI
                               ? pypi_name(p->name)
                               : mem_strdup(slash == NULL ? p->name : slash + 1);
    auto_free char *distribution =
        list->distribution == NULL || list->distribution_version == NULL
            ? NULL
            : str_format("%s-%s", list->distribution, list->distribution_version);
    const char *vendor = list->distribution != NULL ? list->distribution
                         : p->kind == PACKAGE_DEB   ? "debian"
                                                    : "alpine";
    bool has_source = p->source != NULL && strcmp(p->source, p->name) != 0;
    const struct purl_qualifier qualifiers[] = {{"arch", is_system ? p->architecture : NULL},
                                                {"distro", is_system ? distribution : NULL},
                                                {"upstream", has_source ? p->source : NULL}};

    purl_format(&(struct purl){.type = types[p->kind],
                               .space = is_system ? vendor : scope,
                               .name = name,
                               .version = p->version,
                               .qualifiers = qualifiers,
                               .qualifier_count = 3},
                out);
}

/* ---- licences ---- */

/* Identifiers that are sure to be on SPDX's list; text with any other word is quoted whole. */
static bool is_known_license(const char *word)
{
    static const char *const known[] = {
        "0BSD",
        "AFL-2.1",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "Artistic-1.0-Perl",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-4-Clause",
        "BSL-1.0",
        "BlueOak-1.0.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "EPL-2.0",
        "FTL",
        "GFDL-1.3-or-later",
        "GPL-1.0-or-later",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ICU",
        "IJG",
        "ISC",
        "LGPL-2.0-or-later",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-1.1",
        "MPL-2.0",
        "NCSA",
        "OFL-1.1",
        "OpenSSL",
        "PSF-2.0",
        "PostgreSQL",
        "Python-2.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "Vim",
        "WTFPL",
        "X11",
        "Zlib",
        "curl",
        "libtiff",
        "blessing",
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(word, known[i]) == 0)
            return true;
    return false;
}

/* Annex D: identifiers parted by AND and OR. Parentheses and exceptions are left to be quoted. */
static bool is_expression(const char *text)
{
    auto_free char *copy = mem_strdup(text);
    char *save = NULL;
    bool wants_id = true;

    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        bool is_operator = strcmp(word, "AND") == 0 || strcmp(word, "OR") == 0;

        if (wants_id ? !is_known_license(word) : !is_operator)
            return false;
        wants_id = !wants_id;
    }
    return !wants_id;
}

/* Clause 10: what is no expression is told as it was found, under a name of this document. */
static char *license_of(const struct package *p, struct json *extracted)
{
    auto_free char *id = NULL;
    struct json *info;

    if (p->license == NULL)
        return mem_strdup(NONE_KNOWN);
    if (is_expression(p->license))
        return mem_strdup(p->license);
    id = new_id("LicenseRef", "found", p->license);
    for (size_t i = 0; i < json_count(extracted); i++)
        if (strcmp(json_get_text(json_at(extracted, i), "licenseId"), id) == 0)
            return STEAL(&id);
    info = json_new_object();
    json_put_text(info, "licenseId", id);
    json_put_text(info, "extractedText", p->license);
    json_put_text(info, "name", p->license);
    json_push(extracted, info);
    return STEAL(&id);
}

/* ---- packages ---- */

/* Clause 7.5: "Person: Jane Doe (jane@example.com)". */
static void put_supplier(const struct package *p, struct json *into)
{
    const char *mail = p->maintainer == NULL ? NULL : strchr(p->maintainer, '<');
    const char *end = mail == NULL ? NULL : strchr(mail, '>');
    auto_free char *name = NULL;
    auto_free char *supplier = NULL;

    if (p->maintainer != NULL)
        name = text_trim(p->maintainer,
                         mail == NULL ? strlen(p->maintainer) : (size_t)(mail - p->maintainer));
    if (name == NULL || name[0] == '\0')
        supplier = mem_strdup(NONE_KNOWN);
    else if (end == NULL)
        supplier = str_format("Person: %s", name);
    else
        supplier = str_format("Person: %s (%.*s)", name, (int)(end - mail - 1), mail + 1);
    json_put_text(into, "supplier", supplier);
}

static void put_reference(const char *purl, struct json *into)
{
    struct json *list = json_new_array();
    struct json *reference = json_new_object();

    json_put_text(reference, "referenceCategory", "PACKAGE-MANAGER");
    json_put_text(reference, "referenceType", "purl");
    json_put_text(reference, "referenceLocator", purl);
    json_push(list, reference);
    json_put(into, "externalRefs", list);
}

/* What clause 7 asks of every package. */
static struct json *new_package(const char *id, const char *name, const char *version)
{
    struct json *out = json_new_object();

    json_put_text(out, "SPDXID", id);
    json_put_text(out, "name", name);
    json_put_text(out, "versionInfo", version);
    json_put_text(out, "downloadLocation", NONE_KNOWN);
    json_put_bool(out, "filesAnalyzed", false);
    json_put_text(out, "licenseConcluded", NONE_KNOWN);
    json_put_text(out, "copyrightText", NONE_KNOWN);
    return out;
}

static struct json *package_json(const struct package *p, const char *id, const char *purl,
                                 struct json *extracted)
{
    struct json *out = new_package(id, p->name, p->version);
    auto_free char *license = license_of(p, extracted);
    auto_free char *found = str_format("found in /%s", p->origin);

    json_put_text(out, "licenseDeclared", license);
    put_supplier(p, out);
    if (p->homepage != NULL &&
        (text_starts(p->homepage, "https://") || text_starts(p->homepage, "http://")) &&
        strchr(p->homepage, ' ') == NULL)
        json_put_text(out, "homepage", p->homepage);
    json_put_text(out, "sourceInfo", found);
    put_reference(purl, out);
    return out;
}

static void relate(struct json *list, const char *from, const char *type, const char *to)
{
    struct json *one = json_new_object();

    json_put_text(one, "spdxElementId", from);
    json_put_text(one, "relationshipType", type);
    json_put_text(one, "relatedSpdxElement", to);
    json_push(list, one);
}

/* ---- the document ---- */

/* Clause 6.8: a time without fractions. */
static struct json *new_creation(const struct spdx *about, const struct packages *list)
{
    struct json *info = json_new_object();
    struct json *creators = json_new_array();
    auto_free char *tool = str_format("Tool: img-%s", about->program);
    auto_free char *unread = strv_join(&list->unread, ", /");
    auto_free char *comment = str_format("not read: /%s", unread);
    auto_str struct str created = {0};

    time_format(about->created_ns / NS_PER_S * NS_PER_S, &created);
    json_put_text(info, "created", str_text(&created));
    json_push(creators, json_new_text(tool));
    json_put(info, "creators", creators);
    if (list->unread.count > 0)
        json_put_text(info, "comment", comment);
    return info;
}

/* Clause 6.5: no two documents have one. What is in it decides, so that the same document has the same. */
static char *new_namespace(const struct json *packages)
{
    auto_str struct str bytes = {0};
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];

    json_write(packages, &bytes);
    digest_of(str_text(&bytes), bytes.size, &digest);
    digest_format_hex(&digest, hex);
    return str_format("https://spdx.org/spdxdocs/img-%s", hex);
}

struct json *spdx_new(const struct spdx *about, const struct packages *list)
{
    struct json *document = json_new_object();
    struct json *packages = json_new_array();
    struct json *relations = json_new_array();
    struct json *extracted = json_new_array();
    struct json *image = new_package("SPDXRef-Image", about->name, about->version);
    auto_free char *space = NULL;

    json_put_text(image, "licenseDeclared", NONE_KNOWN);
    json_put_text(image, "primaryPackagePurpose", "CONTAINER");
    json_push(packages, image);
    relate(relations, "SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image");
    for (size_t i = 0; i < list->count; i++) {
        const struct package *p = &list->items[i];
        auto_str struct str purl = {0};
        auto_free char *unique = NULL;
        auto_free char *id = NULL;

        add_purl(list, p, &purl);
        unique = str_format("%s %s", str_text(&purl), p->origin);
        id = new_id("SPDXRef-Package", p->name, unique);
        json_push(packages, package_json(p, id, str_text(&purl), extracted));
        relate(relations, "SPDXRef-Image", "CONTAINS", id);
    }
    space = new_namespace(packages);
    json_put_text(document, "spdxVersion", "SPDX-2.3");
    json_put_text(document, "dataLicense", "CC0-1.0");
    json_put_text(document, "SPDXID", "SPDXRef-DOCUMENT");
    json_put_text(document, "name", about->name);
    json_put_text(document, "documentNamespace", space);
    json_put(document, "creationInfo", new_creation(about, list));
    json_put(document, "packages", packages);
    if (json_count(extracted) > 0)
        json_put(document, "hasExtractedLicensingInfos", json_ref(extracted));
    json_unref(extracted);
    json_put(document, "relationships", relations);
    return document;
}
