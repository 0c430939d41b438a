/* test_git_address.c - claims about addresses of repositories: Dockerfile reference, "Adding files
 * from a git repository", and SECURITY R54. */
#include <errno.h>

#include "builder/source/git_address.h"
#include "builder/source/source.h"
#include "tests/lib/test.h"

/* remote|ref|subdir|checksum|keep|submodules|commit times, what is absent as "-". */
static char *shown(const char *text)
{
    static const char *const choices[] = {"-", "off", "on"};
    auto_git_address struct git_address a = {0};
    struct error err = {0};

    if (git_address_parse(text, &a, &err) < 0)
        return mem_strdup(err.text);
    return str_format("%s|%s|%s|%s|%s|%s|%s", a.remote, a.ref == NULL ? "-" : a.ref,
                      a.subdir == NULL ? "-" : a.subdir, a.checksum == NULL ? "-" : a.checksum,
                      choices[a.keep_git_dir], choices[a.submodules],
                      a.commit_times ? "commit" : "-");
}

static void check_shown(const char *text, const char *expected)
{
    auto_free char *actual = shown(text);

    check_text(actual, expected);
}

TEST(git_address, a_fragment_names_ref_and_directory)
{
    check_shown("https://h/o/r.git", "https://h/o/r.git|-|-|-|-|-|-");
    check_shown("https://h/o/r.git#main", "https://h/o/r.git|main|-|-|-|-|-");
    check_shown("https://h/o/r.git#main:a/b/", "https://h/o/r.git|main|a/b|-|-|-|-");
    check_shown("https://h/o/r.git#:a", "https://h/o/r.git|-|a|-|-|-|-");
    check_shown("https://h:8443/r.git#refs/pull/1/head",
                "https://h:8443/r.git|refs/pull/1/head|-|-|-|-|-");
    check_shown("git@h:o/r.git#v1:x", "git@h:o/r.git|v1|x|-|-|-|-");
    check_shown("ssh://git@h:2222/o/r#v1", "ssh://git@h:2222/o/r|v1|-|-|-|-|-");
    check_shown("github.com/o/r#v1", "https://github.com/o/r|v1|-|-|-|-|-");
}

TEST(git_address, a_query_says_the_same_and_more)
{
    check_shown("https://h/r.git?ref=main&subdir=a", "https://h/r.git|main|a|-|-|-|-");
    check_shown("https://h/r.git?tag=v1&keep-git-dir", "https://h/r.git|refs/tags/v1|-|-|on|-|-");
    check_shown("https://h/r.git?branch=b&checksum=abc1234&submodules=false&mtime=commit",
                "https://h/r.git|refs/heads/b|-|abc1234|-|off|commit");
    check_shown("git://h/r.git?ref=a%2Fb", "git://h/r.git|a/b|-|-|-|-|-");
    check_shown("https://h/r.git?keep-git-dir=0", "https://h/r.git|-|-|-|off|-|-");
}

TEST(git_address, a_query_that_contradicts_itself_is_refused)
{
    check_shown("https://h/r.git?reff=main", "unexpected query 'reff' in a git address");
    check_shown("https://h/r.git?ref=a&branch=b",
                "a git address names both 'a' and 'refs/heads/b'");
    check_shown("https://h/r.git?ref=a#b", "a git address names both 'a' and 'b'");
    check_shown("https://h/r.git?subdir=a#x:b", "a git address names two directories, 'a' and 'b'");
    check_shown("https://h/r.git?submodules=maybe",
                "'submodules=maybe' in a git address is neither true nor false");
    check_shown("https://h/r.git?mtime=now",
                "'mtime=now' in a git address: 'checkout' or 'commit'");
    check_shown("https://h/r.git?checksum=xyz",
                "'xyz' is not the checksum of a commit: 7 to 64 hex digits are");
    check_shown("https://h/r.git?fetch-by-commit",
                "'fetch-by-commit' in a git address needs 'checksum='");
}

/* What looks like an option, a revision range or a path out of the repository reaches no program. */
TEST(git_address, nothing_in_it_can_be_an_option)
{
    check_shown("https://h/r.git#--upload-pack=x",
                "'--upload-pack=x' is not the name of a git ref");
    check_shown("https://h/r.git?ref=-x", "'-x' is not the name of a git ref");
    check_shown("https://h/r.git#a..b", "'a..b' is not the name of a git ref");
    check_shown("https://h/r.git#a^{/x}", "'a^{/x}' is not the name of a git ref");
    check_shown("https://h/r.git#a\nb", "'a\\nb' is not the name of a git ref");
    check_shown("ssh://-oProxyCommand=x/r.git", "a git address without the name of a host");
    check_shown("ssh://-l@h/r.git", "a git address with a strange user name");
    check_shown("git@-oProxyCommand:r.git", "a git address with a strange host, user or path");
    check_shown("git@h:-x", "a git address with a strange host, user or path");
    check_shown("ext::sh -c x", "not the address of a git repository");
    check_shown("file:///etc/r.git", "not the address of a git repository");
    check_shown("https://h/r.git#main:../../etc", "https://h/r.git|main|etc|-|-|-|-");
    check_shown("https://h/", "a git address without the path of a repository");
}

TEST(git_address, a_password_goes_apart)
{
    auto_git_address struct git_address a = {0};
    struct error err = {0};

    check_ok(git_address_parse("https://user:p%40ss@h/r.git#main", &a, &err));
    check_text(a.remote, "https://h/r.git");
    check_text(a.userinfo, "user:p@ss");
    check_text(a.host, "h");
}

TEST(git_address, what_is_a_repository)
{
    check_true(git_address_is("https://h/r.git"));
    check_true(git_address_is("https://h/r.git#x:y"));
    check_true(git_address_is("https://h/r.git?ref=x"));
    check_true(git_address_is("git@github.com:o/r"));
    check_true(git_address_is("git://h/r"));
    check_true(git_address_is("ssh://h/r"));
    check_false(git_address_is("https://h/r.tar.gz"));
    check_false(git_address_is("https://h/r.gitx"));
    check_false(git_address_is("https://h/file#x.git"));
    check_false(git_address_is("github.com/o/r"));
    check_true(git_address_is_context("github.com/o/r"));
    check_false(git_address_is_context("./github.com/o/r"));
    check_false(git_address_is("dir/file.git"));
    check_false(git_address_is("a@b"));
}

/* git-submodule(1), "add": relative to the superproject's own remote. */
TEST(git_address, a_submodule_may_be_relative_to_its_parent)
{
    static const struct {
        const char *parent;
        const char *url;
        const char *expected;
    } cases[] = {
        {"https://h/o/r.git", "../s.git", "https://h/o/s.git"},
        {"https://h/o/r.git", "../../x/s", "https://h/x/s"},
        {"https://h/o/r.git", "./s", "https://h/o/r.git/s"},
        {"git@h:o/r.git", "../s.git", "git@h:o/s.git"},
        {"git@h:r.git", "../s.git", "git@h:s.git"},
        {"https://h/o/r.git", "https://other/s.git", "https://other/s.git"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_git_address struct git_address parent = {0};
        auto_git_address struct git_address child = {0};
        struct error err = {0};

        check_ok(git_address_parse(cases[i].parent, &parent, &err));
        check_ok(git_address_submodule(&parent, cases[i].url, &child, &err));
        check_text(child.remote, cases[i].expected);
    }
}

TEST(git_address, a_submodule_keeps_to_the_protocols)
{
    auto_git_address struct git_address parent = {0};
    auto_git_address struct git_address child = {0};
    struct error err = {0};

    check_ok(git_address_parse("https://u:p@h/o/r.git", &parent, &err));
    check_fails(git_address_submodule(&parent, "ext::sh -c x", &child, &err), EINVAL);
    check_fails(git_address_submodule(&parent, "/etc/x.git", &child, &err), EINVAL);
    check_fails(git_address_submodule(&parent, "-x", &child, &err), EINVAL);
    /* The password is for the host it was given for. */
    check_ok(git_address_submodule(&parent, "https://evil/s.git", &child, &err));
    check_true(child.userinfo == NULL);
}

/* SECURITY R49. */
TEST(source, an_address_is_shown_without_its_secrets)
{
    static const char *const cases[][2] = {
        {"https://u:p@h/r.git#main", "https://h/r.git#main"},
        {"https://h/a.tgz?sig=x", "https://h/a.tgz"},
        {"https://u:p@w@h?x", "https://h"},
        {"git@h:r.git#v1", "git@h:r.git#v1"},
        {"https://h/a@b", "https://h/a@b"},
        {"dir/x", "dir/x"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *shown = source_shown(cases[i][0]);

        check_text(shown, cases[i][1]);
    }
}

/* Go's path.Base of the decoded path, as peers name a download; SECURITY R54 for what is no name. */
TEST(source, a_download_is_named_after_the_path_of_its_url)
{
    static const char *const cases[][2] = {
        {"http://h/a/b.txt", "b.txt"},    {"http://h/a/b.txt?x=/y#/z", "b.txt"},
        {"http://h/a%20b", "a b"},        {"http://h/a/", "a"},
        {"http://h", "__unnamed__"},      {"http://h/", "__unnamed__"},
        {"http://h/x/..", "__unnamed__"}, {"http://h/%2e%2e", "__unnamed__"},
        {"http://h/a%2F..%2Fb", "b"},     {"http://h/a%0Ab", "__unnamed__"},
        {"http://h/a%00b", "a"},          {"http://h/100%", "100%"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *name = source_file_name(cases[i][0]);

        check_text(name, cases[i][1]);
    }
}
