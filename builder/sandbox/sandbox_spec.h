/* sandbox_spec.h - what both ends know about a spec: which mount lies in which. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/sandbox/sandbox.h"
#include "fs/base/error.h"

#define SANDBOX_NO_MOUNT ((size_t)-1)

/* Refuses what sandbox_start must refuse: -EINVAL, -E2BIG. */
int sandbox_spec_check(const struct sandbox_spec *spec, struct error *err);
/* The mount in whose file system mount `index` finds its target: the deepest earlier one above it,
 * or SANDBOX_NO_MOUNT for the root. */
size_t sandbox_mount_container(const struct sandbox_spec *spec, size_t index);
bool sandbox_mount_is_dir(const struct sandbox_mount *mount); /* needs a directory to lie on */
