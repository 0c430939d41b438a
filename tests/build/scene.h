/* scene.h - a small root directory with busybox, a spawner, and one-line steps in it.
 *
 * Not the store's scene (tests/lib): here the file system under the step is a mirror of a plain
 * directory, so that a failure is the sandbox's.
 */
#pragma once

#include <sys/types.h>

#include "builder/sandbox/sandbox.h"
#include "fs/base/cleanup.h"
#include "fs/base/str.h"

struct scene {
    struct spawner *spawner;
    char *root;     /* path of the directory the step sees as "/" */
    struct str out; /* what the last step printed, stdout and stderr together */
    struct sandbox_result result;
    struct error err;
    char *warning; /* of the last step */
};

/* Skips the test when the host cannot run steps or has no static busybox. */
struct scene scene_new(const struct spawner_options *options);
void scene_release(struct scene *s);
DEFINE_CLEANUP_VALUE(scene_release, struct scene)
#define auto_scene CLEANUP(scene_release)

/* Runs `sh -c line` with the rest of `spec` (NULL: all defaults, no network); every tree shows
 * the root directory. Returns what sandbox_start or sandbox_wait returned. */
int scene_run(struct scene *s, const struct sandbox_spec *spec, const char *line);
/* Runs a spec as it is. */
int scene_run_spec(struct scene *s, const struct sandbox_spec *spec);
/* scene_run must succeed with status 0 and print `expected`. */
void scene_expect(struct scene *s, const struct sandbox_spec *spec, const char *line,
                  const char *expected);
/* Makes a file, directory or link in the root directory; the path is relative. */
void scene_file(struct scene *s, const char *path, mode_t mode, const char *text);
void scene_dir(struct scene *s, const char *path);
void scene_link(struct scene *s, const char *target, const char *path);
void scene_remove(struct scene *s, const char *path);
bool scene_has(struct scene *s, const char *path);
