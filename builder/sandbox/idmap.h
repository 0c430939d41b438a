/* idmap.h - which ids a step gets, and how the kernel is told (user_namespaces(7), subuid(5)).
 *
 * Container root is the first *subordinate* id, so an escaped step is a third user who cannot open
 * the caller's home (SECURITY R1). Three ways: newuidmap and newgidmap with the caller's ranges of
 * /etc/subuid and /etc/subgid; written directly when the caller is root; or the caller's own id
 * alone, on request only (P4).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/error.h"

#define ID_RANGES_MAX 32u      /* of the kernel's 340; real files have one or two */
#define ID_COUNT_WANTED 65536u /* so that nobody (65534) exists */

struct id_range {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};
struct id_ranges {
    struct id_range items[ID_RANGES_MAX];
    size_t count;
};

enum id_map_way { ID_MAP_HELPER, ID_MAP_DIRECT, ID_MAP_SINGLE };
struct id_map {
    enum id_map_way way;
    struct id_ranges uids;
    struct id_ranges gids;
    const char *newuidmap; /* static path; HELPER */
    const char *newgidmap;
};

/* Reads subuid(5) text: the ranges of the account called `name` or numbered `uid`, laid end to end
 * from inside id 0. Malformed, empty and overflowing lines are skipped, as newuidmap(1) does. */
void id_ranges_parse(const char *text, size_t size, const char *name, uid_t uid,
                     struct id_ranges *out);
/* Reads a uid_map file's text. -EINVAL when it is not one. */
int id_ranges_parse_map(const char *text, size_t size, struct id_ranges *out);
/* The maps of this process's user namespace. 0 or -errno. */
int id_ranges_own(struct id_ranges *uids, struct id_ranges *gids);
uint64_t id_ranges_total(const struct id_ranges *ranges);
/* Chooses from `available` (a uid_map of this namespace) what root may hand to a step: 65536 ids
 * from 524288 when they exist, else the largest run without id 0. False when there is none. */
bool id_ranges_choose(const struct id_ranges *available, struct id_ranges *out);

/* All ids of `wanted` (outside) exist in this namespace, whose map is `available` (inside). */
bool id_ranges_contain(const struct id_ranges *available, const struct id_ranges *wanted);

/* Decides the way and the ranges for this process.
 * Errors: -ENOENT no range or no newuidmap, -EPERM no_new_privs; each with its hint. */
int id_map_plan(bool single_id, struct id_map *out, struct error *err);
/* Root inside becomes the caller, and the ids of `map` follow from 1 on; a single id is that already.
 * -E2BIG when the kernel takes no more ranges. */
int id_map_add_caller(struct id_map *map, struct error *err);
/* For a program of the caller's own (mount_run.h): root inside is the caller, his subordinate ids
 * follow from 1 on. Without a range, or the programs to use it, his own id alone. */
void id_map_plan_caller(struct id_map *out);
/* Writes both maps for process `pid`, a child or parent that made its user namespace a moment ago
 * and waits; called from the namespace it came from. Runs the helpers, checks their exit status and
 * reads the maps back (R2). */
int id_map_write(const struct id_map *map, pid_t pid, struct error *err);
