/* test_union_extent.c - the pieces of a file against a plain array that says where each byte is. */
#include <string.h>

#include "fs/base/str.h"
#include "fs/union_extent.h"
#include "tests/lib/test.h"

#define SIZE 4096u

static struct piece piece(uint64_t start, uint64_t length, uint64_t source_offset)
{
    return (struct piece){
        .start = start, .length = length, .source_offset = source_offset, .flags = PIECE_OWNED};
}

static void put(struct content *c, uint64_t start, uint64_t length, uint64_t source_offset)
{
    struct piece p = piece(start, length, source_offset);

    content_put(c, &p);
}

/* "start+length@source" of every piece. */
static const char *dump(const struct content *c)
{
    static struct str text;
    struct content_cursor at;

    str_truncate(&text, 0);
    for (const struct piece *p = content_seek(c, 0, &at); p; p = content_next(c, &at))
        str_addf(&text, "%s%llu+%llu@%llu%s", text.size ? " " : "", (unsigned long long)p->start,
                 (unsigned long long)p->length, (unsigned long long)p->source_offset,
                 p->flags & PIECE_OWNED ? "" : "s");
    return str_text(&text);
}

static uint64_t freed_bytes;

static void count_freed(void *context, const struct piece *p)
{
    (void)context;
    freed_bytes += p->length;
}

TEST(extent, what_continues_a_piece_joins_it)
{
    struct content c = {0};

    put(&c, 0, 10, 100);
    put(&c, 10, 5, 110);
    check_text(dump(&c), "0+15@100");
    put(&c, 20, 5, 120); /* a hole between */
    put(&c, 25, 5, 300); /* elsewhere in the source */
    check_text(dump(&c), "0+15@100 20+5@120 25+5@300");
    put(&c, 15, 5, 115); /* closes the hole */
    check_text(dump(&c), "0+25@100 25+5@300");
    check_int(content_bytes(&c), 30);
    content_release(&c, NULL, NULL);
    check_text(dump(&c), "");
}

TEST(extent, a_cut_in_the_middle_leaves_both_ends)
{
    struct content c = {0};

    freed_bytes = 0;
    put(&c, 0, 100, 1000);
    content_cut(&c, 40, 60, count_freed, NULL);
    check_text(dump(&c), "0+40@1000 60+40@1060");
    check_int(freed_bytes, 20);
    content_cut(&c, 90, UINT64_MAX, count_freed, NULL);
    content_cut(&c, 0, 10, count_freed, NULL);
    check_text(dump(&c), "10+30@1010 60+30@1060");
    check_int(freed_bytes, 40);
    content_cut(&c, 0, UINT64_MAX, count_freed, NULL);
    check_int(freed_bytes, 100);
    check_text(dump(&c), "");
}

/* copy_file_range shares: what is shared must not be overwritten in place any more. */
TEST(extent, clearing_a_flag_touches_the_range_alone)
{
    struct content c = {0};

    put(&c, 0, 100, 0);
    content_clear_flags(&c, 10, 20, PIECE_OWNED);
    check_text(dump(&c), "0+10@0 10+10@10s 20+80@20");
    freed_bytes = 0;
    content_release(&c, count_freed, NULL);
    check_int(freed_bytes, 90);
}

TEST(extent, moving_up_opens_a_gap_and_down_closes_it)
{
    struct content c = {0};

    put(&c, 0, 100, 0);
    content_move(&c, 50, 1000, false);
    check_text(dump(&c), "0+50@0 1050+50@50");
    content_move(&c, 1050, 1000, true);
    check_text(dump(&c), "0+50@0 50+50@50");
    content_release(&c, NULL, NULL);
}

TEST(extent, a_file_written_backwards_in_small_parts_is_whole)
{
    struct content c = {0};
    struct content_cursor at;
    uint64_t next = 0;

    for (uint64_t i = 10000; i-- > 0;)
        put(&c, i * 10, 10, i * 1000);
    check_int(content_bytes(&c), 100000);
    for (const struct piece *p = content_seek(&c, 0, &at); p; p = content_next(&c, &at)) {
        check_int(p->start, next);
        check_int(p->source_offset, next * 100);
        next += p->length;
    }
    check_int(next, 100000);
    check_int(content_seek(&c, 55555, &at)->start, 55550);
    check_true(content_seek(&c, 100000, &at) == NULL);
    content_release(&c, NULL, NULL);
}

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

/* 0: a hole, else source offset plus one, negative when shared. */
static int64_t model[SIZE];

static void compare(const struct content *c)
{
    struct content_cursor at;
    uint64_t end = 0;
    uint64_t bytes = 0;

    for (const struct piece *p = content_seek(c, 0, &at); p; p = content_next(c, &at)) {
        check_true(p->start >= end && p->length > 0);
        for (; end < p->start; end++)
            check_int(model[end], 0);
        for (; end < p->start + p->length; end++) {
            int64_t where = (int64_t)(p->source_offset + (end - p->start)) + 1;

            check_int(model[end], p->flags & PIECE_OWNED ? where : -where);
        }
        bytes += p->length;
    }
    for (; end < SIZE; end++)
        check_int(model[end], 0);
    check_int(content_bytes(c), bytes);
}

TEST(extent, a_hundred_thousand_random_changes_agree_with_an_array)
{
    struct content c = {0};

    for (uint32_t step = 0; step < 100000; step++) {
        uint32_t from = random_below(SIZE);
        uint32_t length = random_below(4) ? random_below(20) : random_below(SIZE);
        uint32_t to = from + length < SIZE ? from + length : SIZE;
        uint32_t source = random_below(2) ? from : random_below(1000000);

        switch (random_below(8)) {
        case 0:
            content_clear_flags(&c, from, to, PIECE_OWNED);
            for (uint32_t i = from; i < to; i++)
                model[i] = model[i] > 0 ? -model[i] : model[i];
            break;
        case 1:
            content_cut(&c, from, to, NULL, NULL);
            memset(&model[from], 0, (to - from) * sizeof(model[0]));
            break;
        default:
            content_cut(&c, from, to, NULL, NULL);
            put(&c, from, to - from, source);
            for (uint32_t i = from; i < to; i++)
                model[i] = (int64_t)(source + (i - from)) + 1;
        }
        if (step % 16 == 0)
            compare(&c);
    }
    content_release(&c, NULL, NULL);
}
