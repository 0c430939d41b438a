/* cleanup.h - scope-bound release, ownership hand-over, and small allocations that do not fail.
 *
 * `auto_close int fd = -1;` releases at scope exit; `STEAL(&x)` hands x over and leaves it empty.
 * Small allocations end the process when memory is gone (branches nobody can test are not written). A size
 * that comes from outside is checked against limits.h first, then allocated with mem_try.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* `unused`: a variable may exist for its release alone. */
#define CLEANUP(fn) __attribute__((cleanup(cleanup_##fn), unused))

/* For releases that take a pointer by value: `struct layer *` and friends. */
#define DEFINE_CLEANUP(fn, type)                                                                   \
    static inline __attribute__((unused)) void cleanup_##fn(type *p)                               \
    {                                                                                              \
        fn(*p);                                                                                    \
    }

/* For releases that take the address of a struct held by value. */
#define DEFINE_CLEANUP_VALUE(fn, type)                                                             \
    static inline __attribute__((unused)) void cleanup_##fn(type *p)                               \
    {                                                                                              \
        fn(p);                                                                                     \
    }

/* Takes the pointer or struct out of *p, leaving NULL or {0}. */
#define STEAL(p)                                                                                   \
    __extension__({                                                                                \
        __typeof__(p) steal_from_ = (p);                                                           \
        __typeof__(*steal_from_) steal_value_ = *steal_from_;                                      \
        *steal_from_ = (__typeof__(*steal_from_)){0};                                              \
        steal_value_;                                                                              \
    })

static inline int steal_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

void cleanup_free_ptr(void *p); /* p is the address of a malloc'ed pointer */
void cleanup_close_fd(int *fd); /* closes *fd unless negative; keeps errno */
#define auto_free __attribute__((cleanup(cleanup_free_ptr), unused))
#define auto_close __attribute__((cleanup(cleanup_close_fd), unused))

void *mem_alloc(size_t size);                              /* zeroed; exits when out of memory */
void *mem_resize(void *p, size_t count, size_t item_size); /* overflow-checked; exits */
void *mem_try(size_t count, size_t item_size);             /* zeroed; NULL when it cannot */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t length);
void *mem_dup(const void *bytes, size_t size);
#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

/* Growing vectors: a struct with the fields `items`, `count`, `capacity`, zero-initialised.
 * array_add yields a pointer to a new, zeroed last item. */
void *array_grow(void *items, size_t count, size_t *capacity, size_t item_size);
#define array_add(array)                                                                           \
    ((array)->items =                                                                              \
         array_grow((array)->items, (array)->count, &(array)->capacity, sizeof(*(array)->items)),  \
     &(array)->items[(array)->count++])
