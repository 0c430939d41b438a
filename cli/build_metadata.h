/* build_metadata.h - the provenance in --metadata-file, as docker buildx has it there. */
#pragma once

#include <stdbool.h>

#include "builder/build_attest.h"
#include "cli/build_request.h"

/* Whether the build has to take notes: for an attestation, or for the metadata. */
bool build_wants_trace(const struct build_flags *f, const struct build_request *q);
/* "buildx.build.provenance" of one build, with its platform behind it where it is one of several; as
 * BUILDX_METADATA_PROVENANCE says: min (default), max or disabled. */
void build_metadata_put(const struct build_done *done, bool is_several, struct json *document);
