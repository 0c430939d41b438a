/* cleanup.c - the releases behind auto_free and auto_close, and allocations that do not fail. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "fs/base/cleanup.h"

#include "fs/base/banned.h"

/* The one place that may write by itself: there is no memory left to carry a sentence elsewhere. */
static _Noreturn void die_out_of_memory(void)
{
    static const char text[] = "img: out of memory\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)written; /* it ends either way */
    _exit(1);      /* not abort(3): a core would hold what the user typed and was given */
}

void cleanup_free_ptr(void *p)
{
    void *block;

    memcpy(&block, p,
           sizeof(block)); /* p is a char ** or a struct x **; memcpy has no alias rules */
    free(block);
}

void cleanup_close_fd(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        (void)close(*fd); /* a written file was fsynced by its owner; nobody can act on this */
    *fd = -1;
    errno = saved;
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        die_out_of_memory();
    return p;
}

void *mem_resize(void *p, size_t count, size_t item_size)
{
    void *resized;

    if (count == 0 || item_size == 0)
        count = item_size = 1; /* realloc to nothing would free p and answer NULL */
    resized = reallocarray(p, count, item_size);
    if (!resized)
        die_out_of_memory();
    return resized;
}

void *mem_try(size_t count, size_t item_size)
{
    if (count == 0 || item_size == 0)
        count = item_size = 1;
    if (count > PTRDIFF_MAX / item_size)
        return NULL;
    return calloc(count, item_size);
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_strndup(const char *text, size_t length)
{
    size_t size = strnlen(text, length);
    char *copy = mem_alloc(size + 1);

    memcpy(copy, text, size);
    return copy;
}

void *mem_dup(const void *bytes, size_t size)
{
    void *copy = mem_alloc(size);

    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

void *array_grow(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count == *capacity) {
        if (*capacity > SIZE_MAX / 2)
            die_out_of_memory();
        *capacity = *capacity ? *capacity * 2 : 8;
        items = mem_resize(items, *capacity, item_size);
    }
    memset((char *)items + count * item_size, 0, item_size);
    return items;
}
