/* progress_group.c - see progress_group.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/progress_group.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

struct progress_group {
    const char *variable;
    const char *value; /* whatever its case; NULL: any */
    bool (*is_usable)(void);
    void (*open)(unsigned number, const char *name);
    void (*close)(unsigned number, const char *name, bool has_failed);
};

static long long now_s(void)
{
    return (long long)(io_now_ns() / 1000000000);
}

static void print_name(unsigned number, const char *name)
{
    fprintf(stderr, "#%u %s\n", number, name);
}

static void github_open(unsigned number, const char *name)
{
    fputs("::group::", stderr);
    print_name(number, name);
}

static void github_close(unsigned number, const char *name, bool has_failed)
{
    (void)number, (void)name, (void)has_failed;
    fputs("::endgroup::\n", stderr);
}

static void gitlab_open(unsigned number, const char *name)
{
    fprintf(stderr, "section_start:%lld:img_%u[collapsed=true]\r\033[0K", now_s(), number);
    print_name(number, name);
}

static void gitlab_close(unsigned number, const char *name, bool has_failed)
{
    (void)name, (void)has_failed;
    fprintf(stderr, "section_end:%lld:img_%u\r\033[0K\n", now_s(), number);
}

static void azure_open(unsigned number, const char *name)
{
    fputs("##[group]", stderr);
    print_name(number, name);
}

static void azure_close(unsigned number, const char *name, bool has_failed)
{
    (void)number, (void)name, (void)has_failed;
    fputs("##[endgroup]\n", stderr);
}

static void buildkite_open(unsigned number, const char *name)
{
    fputs("--- ", stderr);
    print_name(number, name);
}

/* A group lasts until the next; that of a failure is shown unfolded. */
static void buildkite_close(unsigned number, const char *name, bool has_failed)
{
    (void)number, (void)name;
    if (has_failed)
        fputs("^^^ +++\n", stderr);
}

static void travis_open(unsigned number, const char *name)
{
    fprintf(stderr, "travis_fold:start:img_%u\r\033[0K", number);
    print_name(number, name);
}

static void travis_close(unsigned number, const char *name, bool has_failed)
{
    (void)name, (void)has_failed;
    fprintf(stderr, "travis_fold:end:img_%u\r\033[0K\n", number);
}

/* Values are quoted; what could end one is escaped by a bar. Names hold no line ends. */
static void teamcity(const char *message, unsigned number, const char *name)
{
    auto_str struct str text = {0};

    for (; *name != '\0'; name++) {
        if (strchr("|'[]", *name) != NULL)
            str_add_char(&text, '|');
        str_add_char(&text, *name);
    }
    fprintf(stderr, "##teamcity[%s name='#%u %s']\n", message, number, str_text(&text));
}

static void teamcity_open(unsigned number, const char *name)
{
    teamcity("blockOpened", number, name);
}

static void teamcity_close(unsigned number, const char *name, bool has_failed)
{
    (void)has_failed;
    teamcity("blockClosed", number, name);
}

static bool is_one_stream(void)
{
    struct stat out;
    struct stat err;

    return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 &&
           out.st_dev == err.st_dev && out.st_ino == err.st_ino;
}

static const struct progress_group groups[] = {
    {"GITHUB_ACTIONS", "true", NULL, github_open, github_close},
    {"GITLAB_CI", "true", NULL, gitlab_open, gitlab_close},
    {"TF_BUILD", "true", NULL, azure_open, azure_close},
    {"BUILDKITE", "true", NULL, buildkite_open, buildkite_close},
    {"TRAVIS", "true", NULL, travis_open, travis_close},
    {"TEAMCITY_VERSION", NULL, is_one_stream, teamcity_open, teamcity_close},
};

const struct progress_group *progress_group_find(void)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        const struct progress_group *g = &groups[i];
        const char *value = getenv(g->variable);

        if (value != NULL && value[0] != '\0' &&
            (g->value == NULL || strcasecmp(value, g->value) == 0) &&
            (g->is_usable == NULL || g->is_usable()))
            return g;
    }
    return NULL;
}

void progress_group_open(const struct progress_group *g, unsigned number, const char *name)
{
    g->open(number, name);
}

void progress_group_close(const struct progress_group *g, unsigned number, const char *name,
                          bool has_failed)
{
    g->close(number, name, has_failed);
}
