/* attest_options.h - what `build --attest`, --provenance and --sbom ask for, in buildx's words. */
#pragma once

#include <stdbool.h>

#include "builder/attest/provenance.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct attest_options {
    bool has_provenance;
    struct {
        enum provenance_mode mode;
        enum provenance_version version;
        char *builder_id; /* or NULL */
        char *filename;   /* of the statement among files */
        bool is_reproducible;
        bool is_inline_only; /* not among files */
    } provenance;
    bool has_sbom;
    char *generator; /* canonical reference of an image that makes it; NULL: img does */
    /* What was spoken of already: each may be once. */
    bool names_provenance;
    bool names_sbom;
};
bool attest_is_wanted(const struct attest_options *o); /* some attestation is */
/* Files get statements beside them. */
bool attest_has_files(const struct attest_options *o);
void attest_options_release(struct attest_options *o);
DEFINE_CLEANUP_VALUE(attest_options_release, struct attest_options)

/* --attest: "type=provenance,mode=max", "type=sbom,disabled=true". Zeroed options are a valid start.
 * -EINVAL names what is wrong; -ENOTSUP what is not done here. */
int attest_parse(const char *text, struct attest_options *out, struct error *err);
/* --provenance and --sbom: true, false, or what --attest has behind the type. */
int attest_parse_short(const char *type, const char *text, struct attest_options *out,
                       struct error *err);
