/* test_hash.c - XXH3 and the table of text keys. */
#include <stdio.h>

#include "fs/base/hash.h"
#include "tests/lib/test.h"

/* Known answers of XXH3 with 64 bits. */
TEST(hash, it_is_xxh3)
{
    check_true(hash64("", 0, 0) == 0x2d06800538d394c2);
    check_true(hash64("a", 1, 0) == 0xe6c632b61e964e1f);
    check_false(hash64("a", 1, 0) == hash64("a", 1, 1));
}

TEST(hash, a_stream_in_pieces_has_the_hash_of_the_whole)
{
    auto_hash_stream struct hash_stream *h = hash_stream_new();
    char text[1000];

    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(text); i += 100)
        hash_stream_update(h, text + i, 100);
    check_true(hash_stream_final(h) == hash64(text, sizeof(text), 0));
}

TEST(table, an_empty_one_has_nothing)
{
    struct table t = {0};

    check_true(table_get(&t, "a") == NULL);
    check_false(table_has(&t, "a"));
    table_remove(&t, "a");
    table_release(&t);
}

TEST(table, put_copies_the_key_and_replaces_the_value)
{
    auto_table struct table t = {0};
    char key[] = "key";
    int one;
    int two;

    table_put(&t, key, &one);
    key[0] = 'X';
    check_true(table_get(&t, "key") == &one);
    table_put(&t, "key", &two);
    check_true(table_get(&t, "key") == &two);
    check_int(t.count, 1);
}

TEST(table, a_null_value_is_there)
{
    auto_table struct table t = {0};

    table_put(&t, "a", NULL);
    check_true(table_get(&t, "a") == NULL);
    check_true(table_has(&t, "a"));
    check_false(table_has(&t, ""));
    table_put(&t, "", NULL);
    check_true(table_has(&t, ""));
}

/* Against a plain array that says which keys are there. */
TEST(table, any_order_of_puts_and_removes_leaves_the_right_keys)
{
    auto_table struct table t = {0};
    static char is_there[500];
    size_t count = 0;
    unsigned random = 1;

    for (int i = 0; i < 40000; i++) {
        char key[16];
        unsigned number;

        random = random * 1103515245 + 12345;
        number = (random >> 16) % 500;
        (void)snprintf(key, sizeof(key), "%u", number);
        check_int(table_has(&t, key), is_there[number]);
        if (random & 0x8000) {
            count += !is_there[number];
            is_there[number] = 1;
            table_put(&t, key, &is_there[number]);
        } else {
            count -= is_there[number] != 0;
            is_there[number] = 0;
            table_remove(&t, key);
        }
        check_int(t.count, count);
    }
    for (unsigned number = 0; number < 500; number++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%u", number);
        check_true(table_get(&t, key) == (is_there[number] ? &is_there[number] : NULL));
    }
}

static void count_pair(void *context, const char *key, void *value)
{
    int *count = context;

    check_text(key, value);
    (*count)++;
}

TEST(table, each_sees_every_pair_once)
{
    auto_table struct table t = {0};
    static char keys[100][4];
    int count = 0;

    for (int i = 0; i < 100; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%d", i);
        table_put(&t, keys[i], keys[i]);
    }
    table_each(&t, count_pair, &count);
    check_int(count, 100);
}
