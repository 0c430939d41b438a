/* build_scan.h - lists of what an image holds, made by an image of others: BuildKit's scanner protocol
 * (docs/attestations/sbom-protocol.md).
 */
#pragma once

#include "builder/attest/statement.h"
#include "builder/build_attest.h"

/* Runs `generator`, a reference, on the result, and appends what it wrote. Its steps are those of a build
 * like any other: confined, logged, and found in the cache when generator and files are the same.
 * Errors: those of build_run; -EINVAL a generator that has nothing to run, or wrote no SPDX. */
int build_scan(const struct build_done *done, const char *generator, struct predicates *out,
               struct error *err);
