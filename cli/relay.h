/* relay.h - passes bytes, window sizes and signals between the caller's terminal or streams and a
 * command in a sandbox, until that has ended.
 *
 * With a terminal the caller's own is raw meanwhile, so that ^C and ^Z are the command's; without
 * one, INT, QUIT, TERM and HUP are passed on, and a second one ends everything.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct sandbox;

struct relay {
    bool has_terminal;
    int signal_fd;
    sigset_t mask; /* as it was */
    bool is_raw;
    struct termios terminal; /* as it was */
    int signal_count;
    int signal; /* what ended the command at our hands, or 0 */
};

/* Standard input and output are a terminal that a command could have for its own. */
bool relay_has_terminal(void);
/* Before any thread is started: from now on the signals wait for relay_run. */
int relay_open(struct relay *r, bool has_terminal, struct error *err);
void relay_size(uint16_t *rows,
                uint16_t *columns); /* of the caller's terminal; 24, 80 if unknown */
/* Returns when the command and all it started are gone, and all they wrote has been written. */
int relay_run(struct relay *r, struct sandbox *box, struct error *err);
void relay_close(struct relay *r); /* the terminal and the signals are as they were */
