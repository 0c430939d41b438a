/* progress_tty_internal.h - what the live display knows, and the block it draws from it. */
#pragma once

#include "cli/progress_internal.h"

struct tty_status {
    char *item;
    uint64_t current;
    uint64_t total;
    uint64_t started_ns;
    uint64_t ended_ns; /* 0: going on */
};

struct tty_vertex {
    uint32_t id;
    char *name;
    uint64_t started_ns;
    uint64_t heard_ns; /* when it last said something */
    uint64_t ended_ns; /* 0: running */
    enum progress_state state;
    struct str partial[2];
    struct strv log; /* the last lines */
    struct {
        struct tty_status *items;
        size_t count;
        size_t capacity;
    } statuses;
};

struct tty {
    struct renderer renderer; /* all below is guarded by its lock */
    unsigned log_lines;
    const char *colours[4]; /* SGR parameters by progress_state; NULL: none */
    uint64_t started_ns;
    uint64_t expected; /* vertices that are planned and did not begin yet */
    struct strv above; /* lines to print over the block, e.g. warnings */
    struct {
        struct tty_vertex *items;
        size_t count;
        size_t capacity;
    } vertices;

    /* What is on the screen. */
    struct {
        unsigned *items; /* columns of each line */
        size_t count;
        size_t capacity;
    } drawn;
    uint64_t
        drawn_ns; /* when it had been written, also to a terminal that was held (^S); 0: never */
    unsigned columns; /* of the terminal then */

    /* Transfers all together. */
    uint64_t sampled_ns;
    uint64_t sampled_bytes;
    double bytes_per_s;
};

/* Draws the block over the last one; the last block has all steps, whatever the terminal's height.
 * Sizes are those of the terminal now. */
void tty_draw(struct tty *t, unsigned columns, unsigned rows, bool is_last, struct str *out);
/* The form of BUILDKIT_COLORS, "run=green:error=red:cancel=yellow"; what is not understood is left
 * out. `text` may be NULL. */
void tty_set_colours(struct tty *t, const char *text);
