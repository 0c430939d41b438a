/* fuzz_registries_conf.c - any text is a configuration or a mistake with a place; rules cover whole
 * parts of names only.
 */
#include <assert.h>
#include <string.h>

#include "registry/registries_conf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_registries_conf struct registries_conf conf = {0};
    const struct registry_rule *rule;
    struct error err = {0};

    if (registries_conf_parse(text, "input", &conf, &err) < 0) {
        assert(err.code != 0 && strncmp(err.text, "input:", 6) == 0);
        return 0;
    }
    rule = registries_conf_find(&conf, "h.io:5000", "a/b");
    if (rule) {
        auto_free char *location = registry_rule_rewrite(rule, "m.io/x", "h.io:5000", "a/b");

        assert(text_equal(location, "m.io/x") || text_equal(location, "m.io/x/b") ||
               text_equal(location, "m.io/x/a/b"));
    }
    assert(conf.alias_names.count == conf.alias_values.count);
    return 0;
}
