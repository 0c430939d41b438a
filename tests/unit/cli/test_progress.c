/* test_progress.c - what people and scripts read while they wait.
 *
 * Plain lines: the forms of BuildKit's plain progress that scripts parse. Groups:
 * GitHub, "Workflow commands", "Grouping log lines"; GitLab, "CI/CD job logs", "Custom collapsible
 * sections"; Azure Pipelines, "Logging commands", "Formatting commands"; Buildkite, "Managing log
 * output"; Travis CI, travis_fold; TeamCity, "Service messages", blocks and escaped values. The live block is applied to a small model of a terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/progress_tty_internal.h"
#include "fs/base/io.h"
#include "tests/lib/test.h"

#define MS 1000000u

/* ---- standard error into a file while events are told ---- */

struct capture {
    int saved;
    int file;
};

static void capture_start(struct capture *c)
{
    fflush(stderr);
    c->saved = dup(STDERR_FILENO);
    c->file = memfd_create("stderr", MFD_CLOEXEC);
    check_true(c->saved >= 0 && c->file >= 0);
    check_true(dup2(c->file, STDERR_FILENO) >= 0);
}

static void capture_end(struct capture *c, struct str *out)
{
    char buffer[4096];
    ssize_t got;

    fflush(stderr);
    (void)dup2(c->saved, STDERR_FILENO);
    (void)lseek(c->file, 0, SEEK_SET);
    while ((got = read(c->file, buffer, sizeof(buffer))) > 0)
        str_add_bytes(out, buffer, (size_t)got);
    close(c->file);
    close(c->saved);
}

static const struct progress_event build[] = {
    {.kind = PROGRESS_BEGIN, .vertex = 1, .text = "[internal] load metadata for base:1"},
    {.kind = PROGRESS_STATUS,
     .vertex = 1,
     .text = "sha256:ab",
     .current = 1050000,
     .total = 3200000,
     .time_ns = 400 * MS},
    {.kind = PROGRESS_STATUS,
     .vertex = 1,
     .text = "sha256:ab",
     .current = 3200000,
     .total = 3200000,
     .completed = true,
     .time_ns = 900 * MS},
    {.kind = PROGRESS_END, .vertex = 1, .state = PROGRESS_DONE, .time_ns = 1000 * MS},
    {.kind = PROGRESS_BEGIN, .vertex = 2, .text = "[1/3] FROM base:1", .time_ns = 1000 * MS},
    {.kind = PROGRESS_END, .vertex = 2, .state = PROGRESS_CACHED, .time_ns = 1000 * MS},
    {.kind = PROGRESS_BEGIN, .vertex = 3, .text = "[2/3] RUN a", .time_ns = 1000 * MS},
    {.kind = PROGRESS_BEGIN, .vertex = 4, .text = "[3/3] RUN b", .time_ns = 1000 * MS},
    {.kind = PROGRESS_LOG,
     .vertex = 3,
     .text = "one\nt",
     .size = 5,
     .stream = 1,
     .time_ns = 1123 * MS},
    {.kind = PROGRESS_LOG,
     .vertex = 4,
     .text = "b\x1b[2Jc\a\n",
     .size = 8,
     .stream = 2,
     .time_ns = 1200 * MS},
    {.kind = PROGRESS_LOG, .vertex = 3, .text = "wo", .size = 2, .stream = 1, .time_ns = 1300 * MS},
    {.kind = PROGRESS_WARNING, .vertex = 3, .text = "careful", .time_ns = 1300 * MS},
    {.kind = PROGRESS_END,
     .vertex = 3,
     .state = PROGRESS_ERROR,
     .text = "exit code: 2",
     .time_ns = 1400 * MS},
    {.kind = PROGRESS_END, .vertex = 4, .state = PROGRESS_CANCELED, .time_ns = 1500 * MS},
};

static void tell(struct renderer *r, const struct progress_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        r->event(r, &events[i]);
}

static void check_plain(const char *expected)
{
    auto_str struct str out = {0};
    struct capture c;
    struct renderer *r = renderer_plain_new();

    capture_start(&c);
    tell(r, build, sizeof(build) / sizeof(build[0]));
    r->close(r);
    capture_end(&c, &out);
    check_text(str_text(&out), expected);
}

TEST(progress, plain_lines_have_the_form_scripts_know)
{
    unsetenv("GITHUB_ACTIONS");
    unsetenv("GITLAB_CI");
    unsetenv("TF_BUILD");
    unsetenv("BUILDKITE");
    unsetenv("TRAVIS");
    unsetenv("TEAMCITY_VERSION");
    check_plain("#1 [internal] load metadata for base:1\n"
                "#1 sha256:ab 1.05MB / 3.20MB 0.0s\n"
                "#1 sha256:ab 3.20MB / 3.20MB 0.5s done\n"
                "#1 DONE 1.0s\n\n"
                "#2 [1/3] FROM base:1\n"
                "#2 CACHED\n\n"
                "#3 [2/3] RUN a\n"
                "#3 ...\n\n"
                "#4 [3/3] RUN b\n"
                "#4 ...\n\n"
                "#3 [2/3] RUN a\n"
                "#3 0.123 one\n"
                "#3 ...\n\n"
                "#4 [3/3] RUN b\n"
                "#4 0.200 bc\\x07\n"
                "#4 ...\n\n"
                "#3 [2/3] RUN a\n"
                "#3 WARN: careful\n"
                "#3 0.400 two\n"
                "#3 ERROR: exit code: 2\n\n"
                "#4 [3/3] RUN b\n"
                "#4 CANCELED\n\n");
}

TEST(progress, github_gets_a_group_for_each_step_that_says_something)
{
    setenv("GITHUB_ACTIONS", "true", 1);
    check_plain("::group::#1 [internal] load metadata for base:1\n"
                "#1 sha256:ab 1.05MB / 3.20MB 0.0s\n"
                "#1 sha256:ab 3.20MB / 3.20MB 0.5s done\n"
                "::endgroup::\n"
                "#1 DONE 1.0s\n\n"
                "#2 [1/3] FROM base:1\n"
                "#2 CACHED\n\n"
                "::group::#3 [2/3] RUN a\n"
                "#3 0.123 one\n"
                "#3 ...\n"
                "::endgroup::\n\n"
                "::group::#4 [3/3] RUN b\n"
                "#4 0.200 bc\\x07\n"
                "#4 ...\n"
                "::endgroup::\n\n"
                "::group::#3 [2/3] RUN a\n"
                "#3 WARN: careful\n"
                "#3 0.400 two\n"
                "::endgroup::\n"
                "#3 ERROR: exit code: 2\n\n"
                "#4 [3/3] RUN b\n"
                "#4 CANCELED\n\n");
    unsetenv("GITHUB_ACTIONS");
}

/* Every section that is opened is closed, under the same name, before the next is opened. */
TEST(progress, gitlab_gets_sections_that_never_overlap)
{
    auto_str struct str out = {0};
    struct capture c;
    struct renderer *r;
    const char *at;
    unsigned opened = 0;
    unsigned count = 0;

    setenv("GITLAB_CI", "true", 1);
    r = renderer_plain_new();
    capture_start(&c);
    tell(r, build, sizeof(build) / sizeof(build[0]) - 2); /* killed in the middle of two steps */
    r->close(r);
    capture_end(&c, &out);
    unsetenv("GITLAB_CI");
    for (at = strstr(str_text(&out), "section_"); at != NULL; at = strstr(at + 1, "section_")) {
        long long when;
        unsigned number;
        char kind[8];

        check_int(sscanf(at, "section_%5[a-z]:%lld:img_%u", kind, &when, &number), 3);
        check_text(kind, opened == 0 ? "start" : "end");
        check_true(opened == 0 || number == opened);
        opened = opened == 0 ? number : 0;
        count++;
    }
    check_int(opened, 0);
    check_int(count, 8);
    check_contains(str_text(&out), "img_1[collapsed=true]\r\033[0K#1 [internal]");
}

/* What the plain renderer says of one step that speaks and fails, and of one that was cached. */
static void tell_in(const char *variable, const char *value, bool one_stream, struct str *out)
{
    static const struct progress_event events[] = {
        {.kind = PROGRESS_BEGIN, .vertex = 1, .text = "[1/2] RUN ['a'|b]"},
        {.kind = PROGRESS_LOG, .vertex = 1, .text = "--- x\n", .size = 6, .stream = 1},
        {.kind = PROGRESS_END, .vertex = 1, .state = PROGRESS_ERROR, .text = "no"},
        {.kind = PROGRESS_BEGIN, .vertex = 2, .text = "[2/2] RUN c"},
        {.kind = PROGRESS_END, .vertex = 2, .state = PROGRESS_CACHED},
    };
    struct capture c;
    struct renderer *r;
    int saved = dup(STDOUT_FILENO);

    fflush(stdout);
    setenv(variable, value, 1);
    capture_start(&c);
    if (one_stream)
        (void)dup2(c.file, STDOUT_FILENO);
    r = renderer_plain_new();
    tell(r, events, sizeof(events) / sizeof(events[0]));
    r->close(r);
    fflush(stdout);
    (void)dup2(saved, STDOUT_FILENO);
    close(saved);
    capture_end(&c, out);
    unsetenv(variable);
}

TEST(progress, other_ci_systems_get_the_groups_they_document)
{
    static const struct {
        const char *variable;
        const char *value;
        const char *expected;
        bool one_stream;
    } cases[] = {
        {"TF_BUILD", "True",
         "##[group]#1 [1/2] RUN ['a'|b]\n#1 0.000 --- x\n##[endgroup]\n#1 ERROR: no\n\n", false},
        {"BUILDKITE", "true", "--- #1 [1/2] RUN ['a'|b]\n#1 0.000 --- x\n^^^ +++\n#1 ERROR: no\n\n",
         false},
        {"TRAVIS", "true",
         "travis_fold:start:img_1\r\033[0K#1 [1/2] RUN ['a'|b]\n#1 0.000 --- x\n"
         "travis_fold:end:img_1\r\033[0K\n#1 ERROR: no\n\n",
         false},
        {"TEAMCITY_VERSION", "2024.03",
         "##teamcity[blockOpened name='#1 |[1/2|] RUN |[|'a|'||b|]']\n#1 0.000 --- x\n"
         "##teamcity[blockClosed name='#1 |[1/2|] RUN |[|'a|'||b|]']\n#1 ERROR: no\n\n",
         true},
        /* its messages are read on standard output alone */
        {"TEAMCITY_VERSION", "2024.03", "#1 [1/2] RUN ['a'|b]\n#1 0.000 --- x\n#1 ERROR: no\n\n",
         false},
        {"TF_BUILD", "", "#1 [1/2] RUN ['a'|b]\n#1 0.000 --- x\n#1 ERROR: no\n\n", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_str struct str out = {0};
        auto_free char *expected = str_format("%s#2 [2/2] RUN c\n#2 CACHED\n\n", cases[i].expected);

        tell_in(cases[i].variable, cases[i].value, cases[i].one_stream, &out);
        check_text(str_text(&out), expected);
    }
}

TEST(progress, a_step_that_is_silent_for_a_minute_is_told_of_once_a_minute)
{
    uint64_t now_ns = io_ticks_ns();
    const struct progress_event events[] = {
        {.kind = PROGRESS_BEGIN,
         .vertex = 7,
         .text = "[1/1] RUN x",
         .time_ns = now_ns - 95000ull * MS},
        {.kind = PROGRESS_BEGIN,
         .vertex = 8,
         .text = "[1/1] RUN y",
         .time_ns = now_ns - 5000ull * MS},
    };
    auto_str struct str out = {0};
    struct capture c;
    struct renderer *r = renderer_plain_new();

    capture_start(&c);
    tell(r, events, 2);
    r->tick(r);
    r->tick(r);
    r->close(r);
    capture_end(&c, &out);
    check_contains(str_text(&out), "(nothing heard for 1m35s)\n");
    check_lacks(strstr(str_text(&out), "1m35s") + 1, "nothing heard");
    check_lacks(str_text(&out), "#2 95");
}

TEST(progress, output_without_a_newline_is_not_kept_for_ever)
{
    auto_str struct str out = {0};
    auto_free char *bytes = mem_alloc(100000);
    struct progress_event events[] = {
        {.kind = PROGRESS_BEGIN, .vertex = 1, .text = "x"},
        {.kind = PROGRESS_LOG, .vertex = 1, .text = bytes, .size = 100000, .stream = 1},
    };
    struct capture c;
    struct renderer *r = renderer_plain_new();

    memset(bytes, 'a', 100000);
    capture_start(&c);
    tell(r, events, 2);
    capture_end(&c, &out);
    check_true(out.size > 100000);
    capture_start(&c);
    r->close(r);
    capture_end(&c, &out);
}

TEST(progress, names_are_shortened_only_when_asked)
{
    const struct progress_event event = {
        .kind = PROGRESS_BEGIN,
        .vertex = 1,
        .text = "[1/1] RUN 0123456789012345678901234567890123456789012345678901234567890123456789"};
    auto_str struct str whole = {0};
    auto_str struct str shortened = {0};
    struct str *outs[] = {&whole, &shortened};

    for (size_t i = 0; i < 2; i++) {
        struct capture c;
        struct renderer *r = renderer_plain_new();

        capture_start(&c);
        tell(r, &event, 1);
        r->close(r);
        capture_end(&c, outs[i]);
        setenv("PROGRESS_NO_TRUNC", "0", 1);
    }
    unsetenv("PROGRESS_NO_TRUNC");
    check_int(whole.size, strlen(event.text) + strlen("#1 \n"));
    check_int(shortened.size, 72 + strlen("#1 \n"));
    check_true(text_ends(str_text(&shortened), "...\n"));
}

/* ---- the live block ---- */

#define SCREEN_ROWS 200

/* Just enough of a terminal (ECMA-48): text, newline, carriage return, CUU, EL, ED, SGR. */
struct screen {
    char lines[SCREEN_ROWS][256];
    size_t row;
    size_t column;
};

static void apply(struct screen *s, const char *text)
{
    while (*text != '\0') {
        if (*text == '\n') {
            s->row++;
            s->column = 0;
            text++;
        } else if (*text == '\r') {
            s->column = 0;
            text++;
        } else if (*text == '\033') {
            char *end;
            unsigned number = (unsigned)strtoul(text + 2, &end, 10);

            text = end;
            if (*text == 'A')
                s->row -= number;
            else if (*text == 'K' || *text == 'J')
                s->lines[s->row][s->column] = '\0';
            for (size_t i = s->row + 1; *text == 'J' && i < SCREEN_ROWS; i++)
                s->lines[i][0] = '\0';
            text++;
        } else {
            check_true(s->row < SCREEN_ROWS && s->column < 255);
            s->lines[s->row][s->column++] = *text++;
            s->lines[s->row][s->column] = '\0';
        }
    }
}

static struct tty *make_tty(void)
{
    struct renderer *r;

    setenv("NO_COLOR", "1", 1);
    r = renderer_tty_new();
    r->title = "Building";
    unsetenv("NO_COLOR");
    return (struct tty *)(void *)r;
}

static void drop_tty(struct tty *t)
{
    auto_str struct str out = {0};
    struct capture c;

    capture_start(&c);
    t->renderer.close(&t->renderer);
    capture_end(&c, &out);
}

/* What is left and what is right stand at the edges of 79 columns: the last one stays free. */
static void check_line(const char *line, const char *left, const char *right)
{
    check_int(strlen(line), 79);
    check_true(text_starts(line, left) && line[strlen(left)] == ' ');
    check_true(text_ends(line, right) && line[79 - strlen(right) - 1] == ' ');
}

TEST(progress, the_block_is_drawn_over_itself)
{
    struct tty *t = make_tty();
    struct screen s = {0};

    for (size_t i = 0; i < sizeof(build) / sizeof(build[0]); i++) {
        auto_str struct str out = {0};

        t->renderer.event(&t->renderer, &build[i]);
        tty_draw(t, 80, 24, false, &out);
        apply(&s, str_text(&out));
    }
    check_contains(s.lines[0], "warning: careful"); /* above, and once */
    check_true(text_starts(s.lines[1], "[+] Building "));
    check_contains(s.lines[1], "(4/4)");
    check_line(s.lines[2], " => [internal] load metadata for base:1", "1.0s");
    check_line(s.lines[3], " => => sha256:ab", "3.20MB / 3.20MB  0.5s");
    check_line(s.lines[4], " => CACHED [1/3] FROM base:1", "0.0s");
    check_line(s.lines[5], " => ERROR [2/3] RUN a", "0.4s");
    check_text(s.lines[6], " => => # one");
    check_text(s.lines[7], " => => # two");
    check_line(s.lines[8], " => CANCELED [3/3] RUN b", "0.5s");
    check_text(s.lines[9], "");
    check_int(s.row, 9);
    drop_tty(t);
}

/* BuildKit's "(3/12)": steps that are over, of all that are known, begun or not. */
TEST(progress, the_title_counts_what_is_over_of_what_is_planned)
{
    static const struct {
        struct progress_event event;
        const char *count;
    } steps[] = {
        {{.kind = PROGRESS_BEGIN, .vertex = 1, .text = "[internal] load"}, "(0/1)"},
        {{.kind = PROGRESS_EXPECT, .total = 3}, "(0/4)"},
        {{.kind = PROGRESS_END, .vertex = 1, .time_ns = MS}, "(1/4)"},
        {{.kind = PROGRESS_BEGIN, .vertex = 2, .text = "[1/3] RUN a", .was_expected = true},
         "(1/4)"},
        {{.kind = PROGRESS_BEGIN, .vertex = 3, .text = "[internal] more"}, "(1/5)"},
        {{.kind = PROGRESS_END, .vertex = 2, .time_ns = MS}, "(2/5)"},
        {{.kind = PROGRESS_EXPECT, .total = 1}, "(2/6)"},
    };
    struct tty *t = make_tty();

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        auto_str struct str out = {0};

        tell(&t->renderer, &steps[i].event, 1);
        tty_draw(t, 80, 24, false, &out);
        check_true(strstr(str_text(&out), steps[i].count) != NULL);
    }
    drop_tty(t);
}

TEST(progress, the_block_is_never_higher_or_wider_than_the_terminal)
{
    struct tty *t = make_tty();
    static const unsigned sizes[][2] = {{80, 24}, {40, 10}, {20, 5}, {1, 1}, {200, 60}};

    for (uint32_t i = 1; i <= 50; i++) {
        t->renderer.event(&t->renderer,
                          &(struct progress_event){
                              .kind = PROGRESS_BEGIN,
                              .vertex = i,
                              .text = "[1/2] RUN \xe6\x97\xa5\xe6\x9c\xac a name that is long"});
        for (int k = 0; k < 10; k++)
            t->renderer.event(
                &t->renderer,
                &(struct progress_event){
                    .kind = PROGRESS_LOG, .vertex = i, .text = "line\n", .size = 5, .stream = 1});
        if (i < 30)
            t->renderer.event(&t->renderer,
                              &(struct progress_event){.kind = PROGRESS_END, .vertex = i});
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        auto_str struct str out = {0};
        size_t lines = 0;

        tty_draw(t, sizes[i][0], sizes[i][1], false, &out);
        for (const char *c = str_text(&out); *c != '\0'; c++)
            lines += *c == '\n';
        check_true(lines < sizes[i][1] || sizes[i][1] == 1);
        for (size_t k = 0; k < t->drawn.count; k++)
            check_true(t->drawn.items[k] < sizes[i][0] || sizes[i][0] == 1);
    }
    drop_tty(t);
}

/* A terminal that became narrower has wrapped each long line: one of 79 columns takes two of 40. */
TEST(progress, after_a_resize_the_block_begins_where_it_began)
{
    const struct progress_event event = {
        .kind = PROGRESS_BEGIN, .vertex = 1, .text = "[1/1] RUN x", .time_ns = io_ticks_ns()};
    struct tty *t = make_tty();
    auto_str struct str wide = {0};
    auto_str struct str narrow = {0};

    tell(&t->renderer, &event, 1);
    tty_draw(t, 80, 24, false, &wide); /* title of some 25 columns, a step of 79 */
    check_int(t->drawn.count, 2);
    tty_draw(t, 40, 24, false, &narrow);
    /* cleared first: what was wrapped would be unwrapped when it is wide again */
    check_true(text_starts(str_text(&narrow), "\033[3A\r\033[J"));
    drop_tty(t);
}

/* What the shell wrote while the process was stopped (^Z, fg) is not drawn over. */
TEST(progress, after_a_stop_the_block_begins_anew)
{
    const struct progress_event event = {
        .kind = PROGRESS_BEGIN, .vertex = 1, .text = "[1/1] RUN x", .time_ns = io_ticks_ns()};
    struct tty *t = make_tty();
    auto_str struct str first = {0};
    auto_str struct str again = {0};
    auto_str struct str stopped = {0};

    tell(&t->renderer, &event, 1);
    tty_draw(t, 80, 24, false, &first);
    t->drawn_ns = io_ticks_ns();
    tty_draw(t, 80, 24, false, &again);
    check_true(text_starts(str_text(&again), "\033[2A\r"));
    t->drawn_ns = io_ticks_ns() - 3000ull * MS;
    tty_draw(t, 80, 24, false, &stopped);
    check_true(text_starts(str_text(&stopped), "\r[+]"));
    drop_tty(t);
}

TEST(progress, colours_follow_the_environment)
{
    struct tty *t = make_tty();

    tty_set_colours(t, NULL);
    check_text(t->colours[PROGRESS_ERROR], "31");
    tty_set_colours(t, "run=light-blue:error=nonsense:cancel=cyan:bogus");
    check_text(t->colours[PROGRESS_DONE], "94");
    check_text(t->colours[PROGRESS_CACHED], "94");
    check_text(t->colours[PROGRESS_ERROR], "31");
    check_text(t->colours[PROGRESS_CANCELED], "36");
    drop_tty(t);
}

TEST(progress, a_mode_is_known_or_named_with_those_that_are)
{
    struct progress *p = NULL;

    check_fails(progress_open("fancy", &p, &test_err), EINVAL);
    check_error(&test_err, EINVAL,
                "unknown progress mode 'fancy': auto, plain, tty, quiet or rawjson");
    check_ok(progress_open("quiet", &p, &test_err));
    check_true(p == NULL);
    progress_close(NULL);
}

/* ECMA-48, 5.4: what is between ESC [ and a letter is for the terminal. EL (8.3.41) and CHA (8.3.9)
 * are how programs draw a bar again; what is no whole sequence is shown. */
TEST(progress, a_line_is_what_a_terminal_shows_of_it_in_the_end)
{
    static const struct {
        const char *line;
        const char *shown;
    } cases[] = {
        {"plain \tx", "plain \tx"},
        {"\x1b[1;33mwarning\x1b[0m: \x1b[38;5;9mred\x1b[m", "warning: red"},
        {"10%\r20%\r\r", "20%"},
        {"long line\rshort", "short"},
        {"10%\x1b[1G20%\x1b[G30%", "30%"},
        {"10%\x1b[5G20%", "10%20%"},
        {"old\x1b[2Knew", "new"},
        {"old\r\x1b[Knew", "new"},
        {"old\r\x1b[0K", ""},
        {"kept\x1b[K", "kept"},
        {"kept\r", "kept"},
        {"\x1b]0;title\ax\033]8;;http://a\x1b\\y", "xy"},
        {"\033(Ba\033=b\0337c", "abc"},
        {"a\x1b", "a\\x1b"},
        {"a\x1b[12;", "a\\x1b[12;"},
        {"a\x1b]0;t", "a\\x1b]0;t"},
        {"a\x1b[\x01m", "a\\x1b[\\x01m"},
        {"\xc3\xa9\xff", "\xc3\xa9\\xff"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_str struct str out = {0};

        str_add(&out, "| ");
        progress_line(&out, cases[i].line, strlen(cases[i].line));
        check_text(str_text(&out) + 2, cases[i].shown);
    }
}
