/* test_log.c - lines on stderr, or where a display wants them. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "tests/lib/test.h"

static void collect(void *context, const char *line)
{
    struct str *lines = context;

    str_addf(lines, "[%s]", line);
}

TEST(log, a_sink_gets_lines_without_newline)
{
    auto_str struct str lines = {0};

    log_set_sink(collect, &lines);
    log_warn("cannot %s, continuing", "x");
    log_set_debug(true);
    log_debug("%d", 1);
    log_set_debug(false);
    log_set_sink(NULL, NULL);
    check_text(str_text(&lines), "[warning: cannot x, continuing][debug: 1]");
}

TEST(log, debug_is_silent_unless_asked_for)
{
    auto_str struct str lines = {0};

    check_false(log_is_debug());
    log_set_sink(collect, &lines);
    log_debug("x");
    log_set_sink(NULL, NULL);
    check_text(str_text(&lines), "");
}

/* SECURITY R58: a line stays one line, and commands no terminal. */
TEST(log, names_from_outside_are_escaped)
{
    auto_str struct str lines = {0};

    log_set_sink(collect, &lines);
    log_warn("'%s'", "a\nwarning: forged\x1b[2J");
    log_set_sink(NULL, NULL);
    check_text(str_text(&lines), "[warning: 'a\\nwarning: forged\\x1b[2J']");
}

TEST(log, without_a_sink_lines_go_to_stderr)
{
    auto_close int saved = dup(STDERR_FILENO);
    auto_close int file = openat(test_dir_fd(), "err", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    auto_str struct str text = {0};

    check_ok(dup2(file, STDERR_FILENO));
    log_warn("one");
    log_warn("two");
    check_ok(dup2(saved, STDERR_FILENO));
    check_ok(io_read_file(test_dir_fd(), "err", 1000, &text, &test_err));
    check_text(str_text(&text), "warning: one\nwarning: two\n");
}
