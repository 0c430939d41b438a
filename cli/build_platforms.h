/* build_platforms.h - img build for several platforms at once: an index over one image for each. */
#pragma once

#include "builder/build.h"
#include "cli/build_request.h"
#include "cli/main.h"
#include "fs/base/error.h"

struct progress;

/* Builds q->platforms one after the other, each with the cache of those before it. When all are there
 * the outputs are made: nothing is written or stored under a name of a build of which one platform
 * fails. `*progress` may be open already; it is closed. */
int build_platforms_run(struct program *p, const struct build_flags *f, struct build_request *q,
                        struct build_options *o, struct progress **progress, struct error *err);
