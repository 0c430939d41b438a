/* test_idmap.c - subuid(5) files, maps, and the choice of a range. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/sandbox/idmap.h"
#include "fs/base/str.h"
#include "tests/lib/test.h"

static const char *parse(const char *text, const char *name, uid_t uid)
{
    static struct str out;
    struct id_ranges ranges;

    id_ranges_parse(text, strlen(text), name, uid, &ranges);
    str_truncate(&out, 0);
    str_add(&out, "");
    for (size_t i = 0; i < ranges.count; i++)
        str_addf(&out, "%u %u %u\n", ranges.items[i].inside, ranges.items[i].outside,
                 ranges.items[i].count);
    return str_text(&out);
}

TEST(idmap, ranges_of_an_account_are_laid_end_to_end)
{
    check_text(parse("root:1:2\ndev:100000:65536\nother:300000:65536\ndev:500000:10\n", "dev", 7),
               "0 100000 65536\n65536 500000 10\n");
}

/* subuid(5): the first field is a login name or a number. */
TEST(idmap, an_account_is_known_by_number_too)
{
    check_text(parse("1000:100000:65536\n", "dev", 1000), "0 100000 65536\n");
    check_text(parse("1000:100000:65536\n", NULL, 1000), "0 100000 65536\n");
    check_text(parse("1000:100000:65536\n", "dev", 100), "");
    check_text(parse("10000:100000:65536\n", "dev", 1000), "");
}

TEST(idmap, a_name_is_compared_whole)
{
    check_text(parse("devel:100000:65536\nde:200000:65536\n", "dev", 7), "");
}

TEST(idmap, lines_that_are_not_ranges_are_skipped)
{
    check_text(parse("dev\n", "dev", 7), "");
    check_text(parse("dev:\n", "dev", 7), "");
    check_text(parse("dev:100000\n", "dev", 7), "");
    check_text(parse("dev:100000:\n", "dev", 7), "");
    check_text(parse("dev:-1:65536\n", "dev", 7), "");
    check_text(parse("dev:1x:65536\n", "dev", 7), "");
    check_text(parse("dev:100000:0\n", "dev", 7), "");
    check_text(parse("dev:100000:65536:1\n", "dev", 7), "");
    check_text(parse(" dev:100000:65536\n", "dev", 7), "");
    check_text(parse("\n\n#dev\ndev:100000:65536", "dev", 7), "0 100000 65536\n");
}

/* Id 0 of the caller's namespace, and ids past the last, are never handed to a step. */
TEST(idmap, ranges_that_reach_root_or_overflow_are_skipped)
{
    check_text(parse("dev:0:65536\n", "dev", 7), "");
    check_text(parse("dev:4294967290:65536\n", "dev", 7), "");
    check_text(parse("dev:99999999999999999999:1\n", "dev", 7), "");
    check_text(parse("dev:100000:4294967295\n", "dev", 7), "");
}

TEST(idmap, a_map_file_is_read_back)
{
    struct id_ranges ranges;
    const char *text = "         0     100000      65536\n     65536        500         10\n";

    check_ok(id_ranges_parse_map(text, strlen(text), &ranges));
    check_int(ranges.count, 2);
    check_int(ranges.items[1].inside, 65536);
    check_int(ranges.items[1].outside, 500);
    check_int(id_ranges_total(&ranges), 65546);
    check_fails(id_ranges_parse_map("0 1\n", 4, &ranges), EINVAL);
    check_fails(id_ranges_parse_map("0 1 2 3\n", 8, &ranges), EINVAL);
    check_fails(id_ranges_parse_map("a b c\n", 6, &ranges), EINVAL);
}

static const char *choose(const char *map)
{
    static char text[64];
    struct id_ranges available;
    struct id_ranges chosen;

    check_ok(id_ranges_parse_map(map, strlen(map), &available));
    if (!id_ranges_choose(&available, &chosen))
        return "none";
    check_int(chosen.count, 1);
    (void)snprintf(text, sizeof(text), "%u %u %u", chosen.items[0].inside, chosen.items[0].outside,
                   chosen.items[0].count);
    return text;
}

/* SECURITY 2g: a high range where there is one, the pod's own ids where there is not. */
TEST(idmap, root_hands_out_a_high_range)
{
    check_text(choose("0 0 4294967295\n"), "0 524288 65536");
    check_text(choose("0 100000 65536\n"), "0 1 65535");
    check_text(choose("0 1000 1\n1 100000 65536\n"), "0 1 65536");
    check_text(choose("0 1000 1\n"), "none");
}

static bool contains(const char *map, uint32_t first, uint32_t count)
{
    struct id_ranges available;
    const struct id_ranges wanted = {.items = {{.outside = first, .count = count}}, .count = 1};

    check_ok(id_ranges_parse_map(map, strlen(map), &available));
    return id_ranges_contain(&available, &wanted);
}

/* root's line in /etc/subuid is of no use in a container whose ids end below it. */
TEST(idmap, a_range_is_usable_only_where_its_ids_exist)
{
    check_true(contains("0 0 4294967295\n", 100000, 65536));
    check_true(contains("0 5 10\n10 500 10\n", 12, 8));
    check_false(contains("0 5 10\n10 500 10\n", 12, 9));
    check_false(contains("0 5 10\n", 8, 4));
    check_false(contains("5 5 10\n", 4, 2));
}
