/* progress_group.h - how CI systems fold the lines of a step, each in its documented form.
 *
 *     GitHub Actions    GITHUB_ACTIONS=true   ::group::, ::endgroup::       "Workflow commands"
 *     GitLab            GITLAB_CI=true        section_start, section_end    "Custom collapsible sections"
 *     Azure Pipelines   TF_BUILD=True         ##[group], ##[endgroup]       "Formatting commands"
 *     Buildkite         BUILDKITE=true        ---, ^^^ +++                  "Managing log output"
 *     Travis CI         TRAVIS=true           travis_fold:start, :end       "Folding build output"
 *     TeamCity          TEAMCITY_VERSION      blockOpened, blockClosed      "Service messages"
 *
 * TeamCity reads its messages from standard output alone: there are groups only where standard error
 * goes to the same place (`img build ... 2>&1`).
 */
#pragma once

#include <stdbool.h>

struct progress_group; /* static */

/* What the environment asks for; NULL: nothing folds here. */
const struct progress_group *progress_group_find(void);
/* On standard error; `number` and `name` are the step's, the name safe to show. Groups do not nest. */
void progress_group_open(const struct progress_group *g, unsigned number, const char *name);
void progress_group_close(const struct progress_group *g, unsigned number, const char *name,
                          bool has_failed);
