/* Remembered digests: never for a file that may have changed (git's "racy" files). */
#include "builder/tree/statcache.h"
#include "tests/lib/test.h"

#define MS 1000000ll
#define S 1000000000ll

static const struct statcache_key file = {
    .device = 1, .inode = 2, .size_bytes = 3, .mtime_ns = 5 * S + 1, .ctime_ns = 5 * S + 2};
static const struct digest content = {.bytes = {7}};

static struct statcache *again(struct statcache *c, struct str *bytes)
{
    statcache_save(c, bytes);
    return statcache_new(str_text(bytes), bytes->size);
}

static bool is_known(const struct statcache_key *key)
{
    auto_statcache struct statcache *c = statcache_new(NULL, 0);
    auto_statcache struct statcache *loaded = NULL;
    auto_str struct str bytes = {0};
    struct digest found;

    statcache_add(c, &file, &content, 6 * S);
    loaded = again(c, &bytes);
    return statcache_find(loaded, key, &found) && digest_equal(&found, &content);
}

TEST(statcache, a_file_left_alone_is_known_in_the_next_build)
{
    check_true(is_known(&file));
}

TEST(statcache, every_field_that_differs_makes_it_unknown)
{
    for (int i = 0; i < 5; i++) {
        struct statcache_key other = file;

        other.device += i == 0;
        other.inode += i == 1;
        other.size_bytes += i == 2;
        other.mtime_ns += i == 3;
        other.ctime_ns += i == 4;
        check_false(is_known(&other));
    }
}

TEST(statcache, a_file_changed_within_a_clock_tick_of_its_digest_is_not_remembered)
{
    auto_statcache struct statcache *c = statcache_new(NULL, 0);

    statcache_add(c, &file, &content, file.ctime_ns + 5 * MS);
    check_false(statcache_is_changed(c));
    check_false(statcache_is_settled(&file, file.ctime_ns));
    check_true(statcache_is_settled(&file, file.ctime_ns + 100 * MS));
}

TEST(statcache, whole_seconds_are_a_clock_of_two_seconds)
{
    const struct statcache_key coarse = {.mtime_ns = 5 * S, .ctime_ns = 5 * S};

    check_false(statcache_is_settled(&coarse, 6 * S));
    check_true(statcache_is_settled(&coarse, 7 * S + 1));
}

TEST(statcache, a_new_digest_replaces_the_old_one)
{
    auto_statcache struct statcache *c = statcache_new(NULL, 0);
    auto_statcache struct statcache *second = NULL;
    auto_statcache struct statcache *third = NULL;
    auto_str struct str bytes = {0};
    auto_str struct str more = {0};
    struct statcache_key changed = file;
    struct digest found;

    statcache_add(c, &file, &content, 6 * S);
    second = again(c, &bytes);
    changed.ctime_ns += S;
    statcache_add(second, &changed, &(const struct digest){.bytes = {8}}, 9 * S);
    third = again(second, &more);
    check_false(statcache_find(third, &file, &found));
    check_true(statcache_find(third, &changed, &found));
    check_int(found.bytes[0], 8);
}

TEST(statcache, damaged_bytes_are_an_empty_cache)
{
    auto_statcache struct statcache *c = statcache_new(NULL, 0);
    auto_str struct str bytes = {0};

    statcache_add(c, &file, &content, 6 * S);
    statcache_save(c, &bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        auto_statcache struct statcache *damaged = NULL;
        struct digest found;

        bytes.data[i] ^= 1;
        damaged = statcache_new(bytes.data, bytes.size);
        check_false(statcache_find(damaged, &file, &found));
        bytes.data[i] ^= 1;
        statcache_free(statcache_new(bytes.data, i));
    }
}
