/* fuzz_auth_file.c - any credentials file gives a credential, none, or a sentence that holds
 * nothing of it.
 */
#include <assert.h>

#include "registry/auth_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_json struct json *document = NULL;
    static const char *const hosts[] = {"docker.io", "h.io", "h.io:5000"};
    struct error err = {0};

    if (auth_file_parse(text, "input", &document, &err) < 0)
        return 0;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        auto_credential struct credential found = {0};
        const char *helper = auth_file_helper(document, hosts[i]);
        int r = auth_file_find(document, hosts[i], "a/b", &found, &err);

        assert(!helper || helper[0] != '\0');
        assert(r == 1 || credential_is_empty(&found));
        assert(r != 1 || !credential_is_empty(&found));
    }
    return 0;
}
