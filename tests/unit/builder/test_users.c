/* test_users.c - claims of passwd(5), group(5), the Dockerfile reference, "USER" and "COPY --chown",
 * and SECURITY R10.
 */
#include <errno.h>

#include "builder/users.h"
#include "fs/base/str.h"
#include "tests/lib/test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# comment\n"
                             "\n"
                             "broken\n"
                             "daemon:x:1:1::/usr/sbin:/bin/false\n"
                             "me:x:1000:1001:Me,,,:/home/me:/bin/bash\n"
                             "12:x:500:501::/home/12:\n"
                             "nohome:x:70:70::";
static const char group[] = "root:x:0:\n"
                            "disk:x:6:root,me\n"
                            "me:x:1001:\n"
                            "broken:x:abc:me\n"
                            "wheel:x:10:root,me\n"
                            "again:x:10:me\n"
                            "almost:x:11:meme,m\n"
                            "primary:x:1001:me";

static const struct users_files files = {
    .passwd = passwd,
    .passwd_size = sizeof(passwd) - 1,
    .group = group,
    .group_size = sizeof(group) - 1,
};

/* "uid:gid groups home name" */
static void check_user(const struct users_files *f, const char *spec, const char *expected)
{
    auto_user struct user user = {0};
    auto_str struct str text = {0};

    check_ok(user_resolve(f, spec, &user, &test_err));
    str_addf(&text, "%u:%u", user.uid, user.gid);
    for (size_t i = 0; i < user.group_count; i++)
        str_addf(&text, "%c%u", i ? ',' : ' ', user.groups[i]);
    str_addf(&text, " %s %s", user.home, user.name ? user.name : "-");
    check_text(str_text(&text), expected);
}

static void refuse_user(const char *spec, int code, const char *sentence)
{
    struct user user = {0};
    struct error err = {0};

    check_fails(user_resolve(&files, spec, &user, &err), code);
    check_text(err.text, sentence);
    check_true(user.home == NULL);
}

static void check_owner(const char *spec, const char *expected)
{
    auto_str struct str text = {0};
    uint32_t uid;
    uint32_t gid;

    check_ok(owner_resolve(&files, spec, &uid, &gid, &test_err));
    str_addf(&text, "%u:%u", uid, gid);
    check_text(str_text(&text), expected);
}

TEST(users, a_name_gives_id_home_primary_and_supplementary_groups)
{
    check_user(&files, "me", "1000:1001 6,10 /home/me me");
    check_user(&files, "daemon", "1:1 /usr/sbin daemon");
}

TEST(users, no_user_is_root_with_the_groups_of_root)
{
    check_user(&files, "", "0:0 6,10 /root root");
    check_user(&files, "0", "0:0 6,10 /root root");
}

TEST(users, a_number_is_looked_up_too)
{
    check_user(&files, "1000", "1000:1001 6,10 /home/me me");
    check_user(&files, "4000", "4000:0 / -");
}

TEST(users, a_name_made_of_digits_comes_before_the_number)
{
    check_user(&files, "12", "500:501 /home/12 12");
}

TEST(users, with_a_group_there_are_no_others)
{
    check_user(&files, "me:wheel", "1000:10 /home/me me");
    check_user(&files, "me:77", "1000:77 /home/me me");
    check_user(&files, "5:6", "5:6 / -");
    check_user(&files, ":wheel", "0:10 /root root");
    check_user(&files, "me:", "1000:1001 6,10 /home/me me");
}

TEST(users, a_missing_home_is_the_root)
{
    check_user(&files, "nohome", "70:70 / nohome");
}

TEST(users, an_image_without_files_knows_numbers_only)
{
    const struct users_files none = {0};
    struct user user = {0};

    check_user(&none, "", "0:0 / -");
    check_user(&none, "7:8", "7:8 / -");
    check_fails(user_resolve(&none, "root", &user, &test_err), ENOENT);
}

TEST(users, unknown_names_and_large_numbers_are_refused)
{
    refuse_user("you", ENOENT, "unable to find user you: no matching entries in passwd file");
    refuse_user("me:you", ENOENT, "unable to find group you: no matching entries in group file");
    refuse_user("broken", ENOENT, "unable to find user broken: no matching entries in passwd file");
    refuse_user("4294967295", EINVAL, "id '4294967295' is larger than 4294967294");
    refuse_user("me:99999999999999999999", EINVAL,
                "id '99999999999999999999' is larger than 4294967294");
    refuse_user("a:b:c", EINVAL, "'a:b:c' is not of the form user:group");
    refuse_user("-1", ENOENT, "unable to find user -1: no matching entries in passwd file");
}

TEST(users, an_owner_without_a_group_takes_the_primary_one_or_the_same_number)
{
    check_owner("me", "1000:1001");
    check_owner("1000", "1000:1000");
    check_owner("55", "55:55");
    check_owner("me:wheel", "1000:10");
    check_owner("55:wheel", "55:10");
    check_owner("55:66", "55:66");
    check_owner(":wheel", "0:10");
}

TEST(users, an_owner_of_numbers_needs_no_files)
{
    check_true(owner_is_numeric("1"));
    check_true(owner_is_numeric("1:2"));
    check_true(owner_is_numeric("1:"));
    check_false(owner_is_numeric("me"));
    check_false(owner_is_numeric("1:me"));
}

TEST(users, hostile_lines_are_passed_over)
{
    static const char evil[] = ":::::::::::::::\n"
                               "a:x:1\n"
                               "a:x:99999999999999999999:1::/:\n"
                               "a:x:-1:1::/:\n"
                               "a:x:+1:1::/:\n"
                               "a:x: 1:1::/:\n"
                               "\0a:x:5:5::/:\n"
                               "a:x:1:1:::::::::/x:\n";
    const struct users_files f = {.passwd = evil, .passwd_size = sizeof(evil) - 1};

    check_user(&f, "a", "1:1 / a");
}

TEST(users, ten_megabytes_of_groups_are_read_once)
{
    auto_str struct str text = {0};
    struct users_files f = {.passwd = passwd, .passwd_size = sizeof(passwd) - 1};
    auto_user struct user user = {0};

    while (text.size < 10 << 20)
        str_addf(&text, "g:x:%zu:a,b,c,d,e,f,g,me\n", text.size % 60000);
    f.group = text.data;
    f.group_size = text.size;
    check_ok(user_resolve(&f, "me", &user, &test_err));
    check_true(user.group_count > 1000 && user.group_count <= 60000);
}

TEST(users, more_groups_than_the_kernel_takes_are_refused)
{
    auto_str struct str text = {0};
    struct users_files f = {.passwd = passwd, .passwd_size = sizeof(passwd) - 1};
    struct user user = {0};
    struct error err = {0};

    for (int i = 0; i < 70000; i++)
        str_addf(&text, "g:x:%d:me\n", 5000 + i);
    f.group = text.data;
    f.group_size = text.size;
    check_fails(user_resolve(&f, "me", &user, &err), EINVAL);
    check_text(err.text, "user 'me' is in more than 65536 groups");
}
