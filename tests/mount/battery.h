/* battery.h - file operations with every answer printed, to be run on two filesystems and compared.
 *
 * Each case runs as root of its namespace in an empty directory of its own and prints what it got:
 * errno names, sizes, modes, content; never inode numbers, times or anything else two correct
 * filesystems may differ in. Run by the namespace's child (tests/lib/mountns.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct battery_case {
    const char *name;
    void (*run)(void);
};

/* One table per file; each ends with a NULL name. */
const struct battery_case *battery_name_cases(void);
const struct battery_case *battery_data_cases(void);
const struct battery_case *battery_share_cases(void);
const struct battery_case *battery_attr_cases(void);
const struct battery_case *battery_xattr_cases(void);
const struct battery_case *battery_lower_cases(void);
/* Makes, in the current directory, the tree which battery_lower_cases start from. */
void battery_make_lower(void);

/* Compares what a case printed on ours and on tmpfs line by line, so that one difference does not hide
 * the next; says on stderr what differs and is not among the reviewed differences, and counts it. */
size_t battery_compare(const char *name, const char *ours, const char *theirs, bool is_writeback);

/* Prints "expression: value" or "expression: ERRNO"; returns the value. */
long battery_report(const char *expression, long value);
#define TRY(expression) battery_report(#expression, (long)(expression))
/* The same for what gives a descriptor, whose number is not printed. */
int battery_report_fd(const char *expression, int fd);
#define TRY_FD(expression) battery_report_fd(#expression, (expression))
void battery_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Helpers that print nothing and stop the battery when they cannot do their work. */
void make_file(const char *path, const char *content); /* 0644 whatever the umask */
long size_of(const char *path);                        /* lstat; -1 with errno */
long mode_of(const char *path);                        /* 07777 bits */
long links_of(const char *path);
bool same_inode(const char *a, const char *b);
void say_mode(const char *path);
void say_content(const char *path);    /* the first bytes, zeros as dots */
void say_names(const char *directory); /* sorted, with their types */
/* Runs `fn` in a child that is user and group `id`, without capabilities. */
void as_user(unsigned id, void (*fn)(void));
