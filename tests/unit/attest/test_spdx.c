/* SPDX 2.3 documents: what the specification asks of every one of them, by clause. */
#include <ctype.h>
#include <string.h>

#include "builder/attest/packages.h"
#include "builder/attest/spdx.h"
#include "fs/base/json.h"
#include "tests/lib/test.h"

static const struct spdx about = {
    .name = "app:1", .version = "sha256:ab", .program = "1.2", .created_ns = 1700000000123456789};

static struct json *document_of(const char *apk, const char *dpkg)
{
    auto_packages struct packages list = {0};

    check_ok(packages_add_apk(apk, strlen(apk), "lib/apk/db/installed", &list, &test_err));
    check_ok(packages_add_dpkg(dpkg, strlen(dpkg), "var/lib/dpkg/status", &list, &test_err));
    packages_set_distribution("ID=debian\nVERSION_ID=12\n", 24, &list);
    packages_sort(&list);
    return spdx_new(&about, &list);
}

/* Clause 3.2: "SPDXRef-" and letters, digits, "." and "-". */
static void check_id(const char *id)
{
    check_true(id != NULL && text_starts(id, "SPDXRef-"));
    for (const char *c = id + strlen("SPDXRef-"); *c != '\0'; c++)
        check_true(((unsigned char)*c < 0x80 && isalnum((unsigned char)*c)) || *c == '.' ||
                   *c == '-');
}

static void check_document(const struct json *j)
{
    const struct json *packages = json_get_array(j, "packages");
    const struct json *relations = json_get_array(j, "relationships");

    check_text(json_get_text(j, "spdxVersion"), "SPDX-2.3");                    /* 6.1 */
    check_text(json_get_text(j, "dataLicense"), "CC0-1.0");                     /* 6.2 */
    check_text(json_get_text(j, "SPDXID"), "SPDXRef-DOCUMENT");                 /* 6.3 */
    check_text(json_get_text(j, "name"), "app:1");                              /* 6.4 */
    check_true(text_starts(json_get_text(j, "documentNamespace"), "https://")); /* 6.5 */
    check_lacks(json_get_text(j, "documentNamespace"), "#");
    check_text(json_get_text(json_get_object(j, "creationInfo"), "created"),
               "2023-11-14T22:13:20Z");
    check_text(
        json_text(json_at(json_get_array(json_get_object(j, "creationInfo"), "creators"), 0)),
        "Tool: img-1.2"); /* 6.8 */
    for (size_t i = 0; i < json_count(packages); i++) {
        const struct json *p = json_at(packages, i);

        check_id(json_get_text(p, "SPDXID"));
        check_true(json_get_text(p, "name") != NULL &&
                   json_get_text(p, "downloadLocation") != NULL);
        check_false(json_get_bool(p, "filesAnalyzed", true));
        for (size_t k = 0; k < i; k++)
            check_true(strcmp(json_get_text(json_at(packages, k), "SPDXID"),
                              json_get_text(p, "SPDXID")) != 0);
    }
    check_text(json_get_text(json_at(relations, 0), "relationshipType"), "DESCRIBES"); /* 11.1 */
    check_text(json_get_text(json_at(relations, 0), "spdxElementId"), "SPDXRef-DOCUMENT");
    check_text(json_get_text(json_at(relations, 0), "relatedSpdxElement"), "SPDXRef-Image");
    check_int(json_count(relations), json_count(packages));
    for (size_t i = 1; i < json_count(relations); i++) {
        check_text(json_get_text(json_at(relations, i), "relationshipType"), "CONTAINS");
        check_text(json_get_text(json_at(relations, i), "relatedSpdxElement"),
                   json_get_text(json_at(packages, i), "SPDXID"));
    }
}

static const char *purl_of(const struct json *j, size_t package)
{
    const struct json *p = json_at(json_get_array(j, "packages"), package);

    return json_get_text(json_at(json_get_array(p, "externalRefs"), 0), "referenceLocator");
}

TEST(spdx, a_document_describes_an_image_and_what_it_contains)
{
    auto_json struct json *j =
        document_of("P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nm:A B <a@b.c>\nU:https://musl.libc.org\n",
                    "Package: libc6\nVersion: 2.36\nArchitecture: amd64\nSource: glibc (2.36)\n"
                    "Maintainer: nobody\n");
    const struct json *deb = json_at(json_get_array(j, "packages"), 1);
    const struct json *apk = json_at(json_get_array(j, "packages"), 2);

    check_document(j);
    check_text(purl_of(j, 1),
               "pkg:deb/debian/libc6@2.36?arch=amd64&distro=debian-12&upstream=glibc");
    check_text(purl_of(j, 2), "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64&distro=debian-12");
    check_text(json_get_text(apk, "licenseDeclared"), "MIT");
    check_text(json_get_text(apk, "supplier"), "Person: A B (a@b.c)");
    check_text(json_get_text(apk, "homepage"), "https://musl.libc.org");
    check_text(json_get_text(deb, "licenseDeclared"), "NOASSERTION");
    check_text(json_get_text(deb, "supplier"), "Person: nobody");
}

TEST(spdx, an_image_without_packages_is_a_document_too)
{
    auto_json struct json *j = document_of("", "");

    check_document(j);
    check_int(json_count(json_get_array(j, "packages")), 1);
}

/* Clause 10.1: what is no expression of known identifiers is a reference that the document explains. */
TEST(spdx, a_licence_nobody_knows_is_told_as_it_was_found)
{
    auto_json struct json *j =
        document_of("P:a\nV:1\nL:custom thing\n\nP:b\nV:1\nL:custom thing\n\n"
                    "P:c\nV:1\nL:GPL-2.0-only AND MIT\n\nP:d\nV:1\nL:MIT AND\n",
                    "");
    const struct json *infos = json_get_array(j, "hasExtractedLicensingInfos");
    const struct json *packages = json_get_array(j, "packages");
    const char *first = json_get_text(json_at(packages, 1), "licenseDeclared");

    check_document(j);
    check_int(json_count(infos), 2);
    check_true(text_starts(first, "LicenseRef-"));
    check_text(json_get_text(json_at(infos, 0), "licenseId"), first);
    check_text(json_get_text(json_at(infos, 0), "extractedText"), "custom thing");
    check_text(json_get_text(json_at(packages, 2), "licenseDeclared"), first);
    check_text(json_get_text(json_at(packages, 3), "licenseDeclared"), "GPL-2.0-only AND MIT");
    check_text(json_get_text(json_at(infos, 1), "extractedText"), "MIT AND");
}

TEST(spdx, odd_names_have_identifiers_of_their_own)
{
    auto_json struct json *j =
        document_of("P:a_b\nV:1\n\nP:a+b\nV:1\n\nP:a/b\nV:1\n\nP:\xc3\xa4\nV:1\n", "");

    check_document(j);
    check_int(json_count(json_get_array(j, "packages")), 5);
}

/* The same packages give the same bytes, others another namespace. */
TEST(spdx, a_document_depends_on_what_is_in_it_alone)
{
    auto_json struct json *one = document_of("P:a\nV:1\n\nP:b\nV:1\n", "");
    auto_json struct json *same = document_of("P:b\nV:1\n\nP:a\nV:1\n", "");
    auto_json struct json *other = document_of("P:a\nV:2\n\nP:b\nV:1\n", "");
    auto_str struct str a = {0};
    auto_str struct str b = {0};

    json_write(one, &a);
    json_write(same, &b);
    check_text(str_text(&a), str_text(&b));
    check_true(strcmp(json_get_text(one, "documentNamespace"),
                      json_get_text(other, "documentNamespace")) != 0);
}
