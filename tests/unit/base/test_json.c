/* test_json.c - strict parsing with bounds (SECURITY R35), and one way of writing. */
#include <errno.h>
#include <stdint.h>
#include <sys/resource.h>

#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "tests/lib/test.h"

static struct json *parse(const char *text)
{
    struct json *j = NULL;

    check_ok(json_parse(text, strlen(text), LIMIT_MANIFEST_SIZE, "document", &j, &test_err));
    return j;
}

static void check_refused(const char *text, size_t size, int code, const char *sentence)
{
    struct error err = {0};
    struct json *j = NULL;

    check_fails(json_parse(text, size, LIMIT_MANIFEST_SIZE, "manifest", &j, &err), code);
    check_true(j == NULL);
    if (sentence)
        check_error(&err, code, sentence);
}

static void check_written(const struct json *j, const char *expected)
{
    auto_str struct str s = {0};

    json_write(j, &s);
    check_text(str_text(&s), expected);
}

/* RFC 8259; what is not an object or array is no document of ours. */
TEST(json, what_is_not_json_is_refused)
{
    static const char *const refused[] = {
        "",           " ",
        "{",          "[1,]",
        "{\"a\":1,}", "{'a':1}",
        "[01]",       "[1] x",
        "[1][2]",     "nul",
        "\"text\"",   "1",
        "[\"\\x\"]",  "[\"\xff\"]",
        "[\"a\nb\"]", "{\"a\" 1}",
        "[NaN]",      "/* */ []",
        "[+1]",       "[\"\\ud800\"]",
        "]",          "[\"\xc0\xaf\"]",
        "[\"",        "[\"\\",
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        check_refused(refused[i], strlen(refused[i]), EINVAL, NULL);
    check_refused("[1]\0", 4, EINVAL, NULL);
}

TEST(json, the_sentence_names_the_document_and_the_place)
{
    check_refused("{\"a\": 1,\n \"b\" }", 15, EINVAL,
                  "manifest is not valid JSON: line 2, column 6: ':' expected near '}'");
}

/* Two readers of one document must not see two values. */
TEST(json, a_key_given_twice_is_refused)
{
    static const char text[] = "{\"layers\":[],\"layers\":[1]}";

    check_refused(text, sizeof(text) - 1, EINVAL,
                  "manifest is not valid JSON: line 1, column 21: duplicate object key near "
                  "'\"layers\"'");
}

/* C strings end at a NUL, so a name with one would be seen cut. */
TEST(json, a_nul_in_a_text_or_key_is_refused)
{
    check_refused("[\"a\\u0000b\"]", 12, EINVAL,
                  "manifest has a NUL character (\\u0000) in line 1, column 11");
    check_refused("{\n\"a\\u0000b\":1}", 15, EINVAL,
                  "manifest has a NUL character (\\u0000) in line 2, column 10");
}

TEST(json, a_document_over_its_size_is_refused)
{
    struct error err = {0};
    struct json *j = NULL;

    check_fails(json_parse("[1,2]", 5, 4, "manifest", &j, &err), E2BIG);
    check_error(&err, E2BIG, "manifest has 5 bytes, more than the 4 allowed");
    check_ok(json_parse("[1,2]", 5, 5, "manifest", &j, &err));
    json_unref(j);
}

static void nest(struct str *s, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        str_add(s, i % 2 ? "{\"a\":" : "[");
    str_add(s, "0");
    for (size_t i = depth; i-- > 0;)
        str_add_char(s, i % 2 ? '}' : ']');
}

TEST(json, nesting_is_bounded)
{
    auto_str struct str fits = {0};
    auto_str struct str deeper = {0};
    auto_json struct json *j = NULL;

    nest(&fits, LIMIT_JSON_DEPTH);
    j = parse(str_text(&fits));
    check_true(json_is_array(j));
    nest(&deeper, LIMIT_JSON_DEPTH + 1);
    check_refused(str_text(&deeper), deeper.size, EINVAL, "manifest is nested more than 32 deep");
}

static long peak_kib(void)
{
    struct rusage usage;

    check_ok(getrusage(RUSAGE_SELF, &usage));
    return usage.ru_maxrss;
}

/* SECURITY R35: bombs of brackets and of a million layers cost next to nothing. */
TEST(json, bombs_do_not_take_memory)
{
    size_t size = LIMIT_MANIFEST_SIZE;
    auto_free char *text = mem_alloc(size);
    long before = peak_kib();

    memset(text, '[', size);
    check_refused(text, size, EINVAL, "manifest is nested more than 32 deep");
    for (size_t i = 0; i < size - 3; i += 3)
        memcpy(text + i, "{},", 3);
    text[0] = '[';
    check_refused(text, size, E2BIG, "manifest has more than 131072 values");
    memset(text, ',', size);
    check_refused(text, size, E2BIG, "manifest has more than 131072 values");
    check_true(peak_kib() - before < 8192);
}

TEST(json, brackets_and_commas_in_texts_do_not_count)
{
    auto_str struct str s = {0};
    auto_json struct json *j = NULL;

    str_add(&s, "[\"\\\"");
    for (size_t i = 0; i < 2 * LIMIT_JSON_VALUES; i++)
        str_add(&s, "[,{");
    str_add(&s, "\\\\\"]");
    j = parse(str_text(&s));
    check_int(json_count(j), 1);
}

TEST(json, getters_answer_for_the_right_type_only)
{
    auto_json struct json *j =
        parse("{\"t\":\"text\",\"n\":5,\"o\":{},\"a\":[],\"z\":null,\"b\":true,\"r\":1.5}");

    check_text(json_get_text(j, "t"), "text");
    check_true(json_get_text(j, "n") == NULL);
    check_true(json_get_text(j, "none") == NULL);
    check_true(json_is_object(json_get_object(j, "o")));
    check_true(json_get_object(j, "a") == NULL);
    check_true(json_is_array(json_get_array(j, "a")));
    check_true(json_get_array(j, "o") == NULL);
    check_true(json_get(j, "z") == NULL);
    check_true(json_is_true(json_get(j, "b")));
    check_true(json_is_number(json_get(j, "r")) && json_is_number(json_get(j, "n")));
    check_false(json_is_string(json_get(j, "n")));
}

TEST(json, getters_allow_a_missing_object)
{
    check_true(json_get(NULL, "a") == NULL);
    check_true(json_get_object(NULL, "a") == NULL);
    check_true(json_get_array(NULL, "a") == NULL);
    check_true(json_get_text(NULL, "a") == NULL);
    check_true(json_get_bool(NULL, "a", true));
    check_int(json_get_int(NULL, "a", 0, 1, NULL), -ENOENT);
    check_int(json_count(NULL), 0);
    check_true(json_at(NULL, 0) == NULL);
    check_true(json_is_null(NULL));
    check_true(json_text(NULL) == NULL);
    check_int(json_int(NULL), 0);
}

TEST(json, integers_are_range_checked)
{
    auto_json struct json *j = parse("{\"n\":5,\"r\":5.0,\"t\":\"5\",\"z\":null,"
                                     "\"min\":-9223372036854775808}");
    int64_t n = 77;

    check_int(json_get_int(j, "n", 6, 9, &n), -ERANGE);
    check_int(json_get_int(j, "n", 0, 4, &n), -ERANGE);
    check_int(json_get_int(j, "r", 0, 9, &n), -ERANGE);
    check_int(json_get_int(j, "t", 0, 9, &n), -ERANGE);
    check_int(json_get_int(j, "z", 0, 9, &n), -ENOENT);
    check_int(json_get_int(j, "none", 0, 9, &n), -ENOENT);
    check_int(n, 77);
    check_ok(json_get_int(j, "n", 5, 5, &n));
    check_int(n, 5);
    check_ok(json_get_int(j, "min", INT64_MIN, INT64_MAX, &n));
    check_true(n == INT64_MIN);
    check_refused("[9223372036854775808]", 21, EINVAL, NULL);
}

TEST(json, booleans_have_a_fallback)
{
    auto_json struct json *j = parse("{\"t\":true,\"f\":false,\"n\":1,\"z\":null}");

    check_true(json_get_bool(j, "t", false));
    check_false(json_get_bool(j, "f", true));
    check_true(json_get_bool(j, "n", true));
    check_false(json_get_bool(j, "z", false));
}

TEST(json, arrays_are_walked_by_index)
{
    auto_json struct json *j = parse("[\"a\",2,null]");

    check_int(json_count(j), 3);
    check_text(json_text(json_at(j, 0)), "a");
    check_int(json_int(json_at(j, 1)), 2);
    check_true(json_is_null(json_at(j, 2)));
    check_true(json_at(j, 3) == NULL);
}

TEST(json, objects_are_walked_in_the_order_of_the_text)
{
    auto_json struct json *j = parse("{\"z\":1,\"a\":null,\"m\":3}");
    auto_str struct str keys = {0};
    const char *key;
    struct json *value;
    void *iter = NULL;

    check_int(json_count(j), 3);
    while (json_next(j, &iter, &key, &value))
        str_addf(&keys, "%s%s", key, json_is_null(value) ? "0" : "");
    check_text(str_text(&keys), "za0m");
    iter = NULL;
    check_false(json_next(json_get(j, "z"), &iter, &key, &value));
}

TEST(json, writing_is_compact_and_keeps_the_order_of_keys)
{
    auto_json struct json *j = json_new_object();
    auto_strv struct strv v = {0};
    struct json *list = json_new_array();

    strv_add(&v, "sh");
    json_put_text(j, "z", "t");
    json_put_int(j, "a", -1);
    json_put_bool(j, "b", false);
    json_put(j, "n", json_new_null());
    json_put(j, "v", json_new_strv(&v));
    json_push(list, json_new_object());
    json_push(list, json_new_bool(true));
    json_put(j, "l", list);
    json_put_text(j, "nothing", NULL);
    check_written(j,
                  "{\"z\":\"t\",\"a\":-1,\"b\":false,\"n\":null,\"v\":[\"sh\"],\"l\":[{},true]}");
}

TEST(json, replacing_keeps_the_place_and_removing_frees_it)
{
    auto_json struct json *j = parse("{\"a\":1,\"b\":2}");

    json_put_int(j, "a", 3);
    check_written(j, "{\"a\":3,\"b\":2}");
    json_remove(j, "a");
    json_remove(j, "none");
    json_put_int(j, "a", 4);
    check_written(j, "{\"b\":2,\"a\":4}");
}

/* RFC 8259, 7. */
TEST(json, texts_are_escaped_where_they_must_be)
{
    auto_json struct json *j = json_new_text("\"\\/\b\f\n\r\t\x01\x1f\x7f<\xc3\xa9");

    check_written(j, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001F\x7f<\xc3\xa9\"");
}

TEST(json, bytes_that_are_not_utf8_are_replaced)
{
    auto_json struct json *j = json_new_object();

    json_put_text(j, "k\xff", "a\xff\xc3z\xed\xa0\x80");
    check_written(j, "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd"
                     "\xef\xbf\xbd\"}");
}

TEST(json, what_is_written_can_be_parsed_to_the_same)
{
    static const char text[] = "{\"a\":[1,2.5,\"x\\u0001\",{\"b\":null}],\"c\":{},\"d\":true}";
    auto_json struct json *j = parse(text);

    check_written(j, text);
}

TEST(json, pretty_writing_indents_by_four)
{
    auto_json struct json *j = parse("{\"a\":[1,2],\"b\":{}}");
    auto_str struct str s = {0};

    json_write_pretty(j, &s);
    check_text(str_text(&s), "{\n"
                             "    \"a\": [\n"
                             "        1,\n"
                             "        2\n"
                             "    ],\n"
                             "    \"b\": {}\n"
                             "}");
}

/* ECMA-48 5.3: U+009B alone begins a control sequence. Other characters stay as they are. */
TEST(json, what_is_shown_has_no_control_characters)
{
    static const char given[] =
        "{\"k\\u009b\":[\"\\u007f\\u0080\\u009f\\u00a0\\u00e9\\u001b\\u20ac\"]}";
    auto_json struct json *j = parse(given);
    auto_str struct str shown = {0};
    auto_str struct str kept = {0};

    json_write_shown(j, &shown);
    check_text(str_text(&shown),
               "{\"k\\u009b\":[\"\\u007f\\u0080\\u009f\u00a0\u00e9\\u001B\u20ac\"]}");
    json_write(j, &kept);
    check_text(str_text(&kept),
               "{\"k\xc2\x9b\":[\"\x7f\xc2\x80\xc2\x9f\u00a0\u00e9\\u001B\u20ac\"]}");
}

TEST(json, a_clone_is_independent_and_a_reference_is_not)
{
    auto_json struct json *j = parse("{\"a\":{\"b\":1}}");
    auto_json struct json *copy = json_clone(j);
    auto_json struct json *same = json_ref(j);

    json_put_int(json_get(j, "a"), "b", 2);
    check_written(copy, "{\"a\":{\"b\":1}}");
    check_written(same, "{\"a\":{\"b\":2}}");
}
