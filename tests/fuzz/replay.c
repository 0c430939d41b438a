/* replay.c - runs a fuzz target over the files of the directories given, without a fuzzer. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/base/io.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_SIZE_MAX (16u << 20)

static int replay_file(int dir_fd, const char *name)
{
    auto_str struct str text = {0};
    auto_free uint8_t *exact = NULL;
    struct error err = {0};

    if (io_read_file(dir_fd, name, INPUT_SIZE_MAX, &text, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    exact = mem_dup(str_text(&text), text.size); /* no byte to spare: a sanitizer sees the end */
    (void)printf("%s\n", name);
    (void)fflush(stdout); /* so that a crash is preceded by its input's name */
    return LLVMFuzzerTestOneInput(exact, text.size);
}

static int replay_dir(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int failures = 0;
    int count = 0;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        failures += replay_file(dirfd(dir), entry->d_name) != 0;
        count++;
    }
    if (dir)
        (void)closedir(dir);
    if (count == 0)
        (void)fprintf(stderr, "no inputs in '%s'\n", path);
    return failures == 0 && count > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int status = argc > 1 ? 0 : 2;

    for (int i = 1; i < argc; i++)
        status |= replay_dir(argv[i]);
    return status;
}
