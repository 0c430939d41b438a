/* fuzz_git_address.c - whatever is taken for the address of a repository, nothing in it can be an
 * option, a second line or a way out, and what it says stays the same when it is said again.
 * (SECURITY R49, R54)
 */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "builder/source/git_address.h"
#include "builder/source/source.h"
#include "tests/fuzz/fuzz.h"

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static void check_address(const char *text)
{
    auto_git_address struct git_address a = {0};
    auto_git_address struct git_address again = {0};
    struct error err = {0};

    if (git_address_parse(text, &a, &err) < 0) {
        assert(err.code != 0 && err.text[0] != '\0' && a.remote == NULL);
        return;
    }
    assert(isalnum((unsigned char)a.remote[0]) && is_plain(a.remote));
    assert(a.host[0] != '\0' && a.host[0] != '-');
    assert(a.ref == NULL || (a.ref[0] != '-' && is_plain(a.ref) && strstr(a.ref, "..") == NULL));
    assert(a.subdir == NULL || (a.subdir[0] != '/' && strncmp(a.subdir, "../", 3) != 0));
    assert(git_address_parse(a.remote, &again, &err) == 0);
    assert(text_equal(a.remote, again.remote) && text_equal(a.host, again.host));
    assert(again.userinfo == NULL && again.ref == NULL && again.subdir == NULL);
}

static void check_submodule(const char *text)
{
    auto_git_address struct git_address parent = {0};
    auto_git_address struct git_address child = {0};
    struct error err = {0};

    assert(git_address_parse("https://u:p@h/o/r.git", &parent, &err) == 0);
    if (git_address_submodule(&parent, text, &child, &err) < 0)
        return;
    assert(isalnum((unsigned char)child.remote[0]) && is_plain(child.remote));
    assert(child.userinfo == NULL || !text_equal(child.userinfo, "u:p") ||
           text_equal(child.host, "h") || strstr(text, "u:p@") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_free char *shown = source_shown(text);
    auto_free char *name = source_file_name(text);

    (void)git_address_is(text);
    assert(name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, "..") != 0);
    check_address(text);
    check_submodule(text);
    return 0;
}
