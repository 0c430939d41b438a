/* fuzz_json.c - what json_parse takes is written and read again without change. */
#include <assert.h>

#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "tests/fuzz/fuzz.h"

/* Calls every getter on every value. */
static size_t visit(const struct json *j)
{
    const char *key;
    struct json *value;
    void *iter = NULL;
    int64_t number;
    size_t count = 1;

    for (size_t i = 0; json_is_array(j) && i < json_count(j); i++)
        count += visit(json_at(j, i));
    while (json_is_object(j) && json_next(j, &iter, &key, &value)) {
        assert(json_is_null(value) || json_get(j, key) == value);
        (void)json_get_text(j, key);
        if (json_get_int(j, key, -5, 5, &number) == 0)
            assert(number >= -5 && number <= 5);
        count += visit(value);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_json struct json *first = NULL;
    auto_json struct json *again = NULL;
    auto_json struct json *copy = NULL;
    auto_str struct str written = {0};
    auto_str struct str rewritten = {0};
    struct error err = {0};

    if (json_parse((const char *)data, size, LIMIT_CONFIG_SIZE, "input", &first, &err) < 0) {
        assert(err.code != 0 && err.text[0] != '\0' && !first);
        return 0;
    }
    assert(visit(first) <= LIMIT_JSON_VALUES);
    json_write(first, &written);
    assert(json_parse(written.data, written.size, SIZE_MAX, "output", &again, &err) == 0);
    copy = json_clone(again);
    json_write(copy, &rewritten);
    assert(text_equal(str_text(&written), str_text(&rewritten)));
    return 0;
}
