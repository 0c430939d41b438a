/* sandbox_exec.h - the last calls before a step's command: limits, filter, ids, capabilities. */
#pragma once

#include "builder/sandbox/sandbox_child.h"

/* In the forked child of init, inside the step's root. Async-signal-safe. */
_Noreturn void sandbox_exec(const struct sandbox_plan *plan);
/* Once the command runs, init needs none but to signal it whoever it runs as; failure cannot happen
 * and would change nothing. */
void sandbox_drop_capabilities(void);
/* Tells img what failed, and ends this process. */
_Noreturn void sandbox_child_fail(const struct sandbox_plan *plan, enum sandbox_stage stage,
                                  size_t index, int error);
