/* Modes of --chmod: chmod(1) with an umask of 0, as POSIX, "chmod", "Extended description". */
#include <errno.h>

#include "builder/tree/chmod.h"
#include "tests/lib/test.h"

static mode_t apply(const char *text, mode_t mode, bool is_dir)
{
    struct chmod c;

    check_ok(chmod_parse(text, &c, &test_err));
    return chmod_apply(&c, mode, is_dir);
}

TEST(chmod, an_octal_mode_replaces_every_bit)
{
    check_int(apply("644", 04755, false), 0644);
    check_int(apply("0000", 0777, true), 0);
    check_int(apply("7777", 0, false), 07777);
}

TEST(chmod, symbolic_clauses_apply_one_after_the_other)
{
    check_int(apply("u=rwx,go=rx", 0, false), 0755);
    check_int(apply("u+x", 0644, false), 0744);
    check_int(apply("go-rwx", 0777, false), 0700);
    check_int(apply("a=r", 0777, false), 0444);
    check_int(apply("+w", 0444, false), 0666);
    check_int(apply("u+r-w", 0200, false), 0400);
}

TEST(chmod, a_capital_x_is_for_directories_and_programs)
{
    check_int(apply("u=rwX,go=rX", 0600, false), 0644);
    check_int(apply("u=rwX,go=rX", 0700, false), 0755);
    check_int(apply("u=rwX,go=rX", 0600, true), 0755);
    check_int(apply("a-X", 0755, false), 0644);
}

TEST(chmod, bits_are_copied_from_another_class)
{
    check_int(apply("g=u", 0700, false), 0770);
    check_int(apply("o+g", 0750, false), 0755);
    check_int(apply("u-o", 0707, false), 0007);
}

TEST(chmod, special_bits_belong_to_their_class)
{
    check_int(apply("u+s", 0755, false), 04755);
    check_int(apply("g+s", 0755, false), 02755);
    check_int(apply("+t", 0777, true), 01777);
    check_int(apply("u=rx", 04755, false), 0555);
}

/* What chmod(1) of GNU coreutils 9.1 does. */
TEST(chmod, the_sticky_bit_belongs_to_the_others)
{
    check_int(apply("o+t", 0777, true), 01777);
    check_int(apply("o+t", 0644, false), 01644);
    check_int(apply("u+t", 0777, true), 0777);
    check_int(apply("o-t", 01777, true), 0777);
    check_int(apply("o=rx", 01777, true), 0775);
}

/* GNU chmod, "Directories and the Set-User-ID and Set-Group-ID Bits". */
TEST(chmod, an_equals_keeps_the_set_id_bits_of_a_directory)
{
    check_int(apply("g=rx", 02775, true), 02755);
}

TEST(chmod, what_is_no_mode_is_refused_by_name)
{
    static const char *const wrong[] = {"",      "8",   "10000", "u",    "u+rq",
                                        "u=rw,", "=r;", "99",    "u+gr", "rwx"};
    struct chmod c;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check_fails(chmod_parse(wrong[i], &c, &test_err), EINVAL);
    check_fails(chmod_parse("rw", &c, &test_err), EINVAL);
    check_error(&test_err, EINVAL,
                "invalid chmod parameter: 'rw'. it should be octal string and between 0 and 07777, "
                "or a symbolic mode such as u=rwX,go=rX");
}

TEST(chmod, too_many_clauses_are_refused)
{
    char text[4 * (CHMOD_CLAUSES_MAX + 1)] = "";
    struct chmod c;

    for (size_t i = 0; i <= CHMOD_CLAUSES_MAX; i++)
        for (size_t k = 0; k < 4; k++)
            text[4 * i + k] = "u+x,"[k];
    text[sizeof(text) - 1] = '\0';
    check_fails(chmod_parse(text, &c, &test_err), EINVAL);
    text[4 * CHMOD_CLAUSES_MAX - 1] = '\0';
    check_ok(chmod_parse(text, &c, &test_err));
}
