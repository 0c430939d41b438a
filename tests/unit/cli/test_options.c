/* test_options.c - every option of every command, as its table says (README, "Use"; `--help`). */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "fs/base/log.h"
#include "tests/lib/test.h"

/* -- a command line and what came of it -- */

struct line {
    const struct subcommand *command; /* NULL before it is parsed */
    char *values;                     /* of the command's table */
    char *global_values;
    struct strv operands;
    struct str warnings;
    struct error err;
    bool help;
};

/* More than the fields of any global option reach. */
#define GLOBAL_SIZE 256

static void line_release(struct line *l)
{
    struct option_set set = {.values = l->values};

    if (!l->command)
        return; /* never parsed */
    set.options = l->command->options;
    set.count = l->command->option_count;
    options_release(&set);
    log_set_sink(NULL, NULL);
    free(l->values);
    free(l->global_values);
    strv_release(&l->operands);
    str_release(&l->warnings);
}
DEFINE_CLEANUP_VALUE(line_release, struct line)
#define auto_line CLEANUP(line_release)

static void note(void *context, const char *line)
{
    str_addf(context, "%s\n", line);
}

/* Parses up to four words (NULL: no more) as main() would hand them to the command. */
static int parse(struct line *l, const struct subcommand *c, const char *a, const char *b,
                 const char *d, const char *e)
{
    struct option_set sets[2] = {0};
    auto_strv struct strv words = {0};
    const char *const given[] = {a, b, d, e};
    struct command_line line;
    int r;

    *l = (struct line){.command = c, .values = mem_alloc(c->options_size + 1)};
    l->global_values = mem_alloc(GLOBAL_SIZE);
    sets[0] = (struct option_set){.options = c->options,
                                  .count = c->option_count,
                                  .values = l->values,
                                  .foreign = c->foreign};
    sets[1].options = global_option_table(&sets[1].count);
    sets[1].values = l->global_values;
    for (size_t i = 0; i < 4 && given[i]; i++)
        strv_add(&words, given[i]);
    log_set_sink(note, &l->warnings);
    /* Texts are borrowed from argv, which outlives a process's parse but not this function's. */
    line = (struct command_line){.command = c->name,
                                 .sets = sets,
                                 .set_count = 2,
                                 .argc = (int)words.count,
                                 .argv = words.items,
                                 .operands = &l->operands};
    r = options_parse(&line, &l->err);
    l->help = line.help;
    return r;
}

static bool is_zero(const char *bytes, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static size_t field_size(const struct option *o)
{
    return o->kind == OPTION_FLAG   ? sizeof(bool)
           : o->kind == OPTION_TEXT ? sizeof(const char *)
                                    : sizeof(struct strv);
}

static bool is_set(const struct line *l, const struct option *o, bool is_global)
{
    const char *values = is_global ? l->global_values : l->values;

    return !is_zero(values, o->offset, o->offset + field_size(o));
}

/* Nothing but the option's own field. */
static void check_rest_untouched(const struct line *l, const struct option *o, bool is_global)
{
    const char *values = is_global ? l->global_values : l->values;
    size_t size = is_global ? GLOBAL_SIZE : l->command->options_size;

    check_true(is_zero(values, 0, o->offset));
    check_true(is_zero(values, o->offset + field_size(o), size));
}

/* -- every option of every command -- */

struct option_case {
    const struct subcommand *command;
    const struct option *option;
    bool is_global;
};
typedef void case_fn(const struct option_case *c);

/* Calls `fn` for every option; a failure names it. */
static void each_option(case_fn *fn)
{
    size_t global_count;
    const struct option *global = global_option_table(&global_count);

    for (size_t i = 0; commands[i]; i++) {
        struct option_case c = {.command = commands[i]};
        size_t own = c.command->option_count;
        size_t foreign_count = 0;
        const struct option *foreign =
            c.command->foreign == NULL ? NULL : c.command->foreign(&foreign_count);

        for (size_t k = 0; k < own + global_count + foreign_count; k++) {
            c.is_global = k >= own && k < own + global_count;
            c.option = k < own       ? &c.command->options[k]
                       : c.is_global ? &global[k - own]
                                     : &foreign[k - own - global_count];
            error_clear(&test_err);
            (void)error_set(&test_err, EINVAL, "img %s --%s", c.command->name, c.option->name);
            fn(&c);
        }
    }
    error_clear(&test_err);
}

static bool has_effect(const struct option *o)
{
    return !o->ignored && !o->refused;
}

static void check_described(const struct option_case *c)
{
    const struct option *o = c->option;
    size_t size = c->is_global ? GLOBAL_SIZE : c->command->options_size;

    check_true(strlen(o->name) > 1);
    check_int((o->ignored != NULL) + (o->refused != NULL) + (o->help != NULL) <= 1, true);
    check_int(o->argument != NULL, o->kind != OPTION_FLAG);
    check_false(o->fallback && o->kind != OPTION_TEXT);
    if (has_effect(o))
        check_true(o->offset + field_size(o) <= size);
}

TEST(options, every_option_says_what_it_takes_and_fits_its_struct)
{
    each_option(check_described);
}

static void check_alone(const struct option_case *c)
{
    size_t global_count;
    const struct option *global = global_option_table(&global_count);
    size_t name_count = 0;
    size_t letter_count = 0;

    const struct option *foreign = NULL;
    size_t foreign_count = 0;
    size_t own = c->command->option_count;

    if (c->command->foreign != NULL)
        foreign = c->command->foreign(&foreign_count);
    for (size_t i = 0; i < own + global_count + foreign_count; i++) {
        const struct option *o = i < own                  ? &c->command->options[i]
                                 : i < own + global_count ? &global[i - own]
                                                          : &foreign[i - own - global_count];

        name_count += strcmp(o->name, c->option->name) == 0;
        letter_count += o->letter != 0 && o->letter == c->option->letter;
    }
    check_int(name_count, 1);
    check_true(letter_count <= 1);
    check_true(strcmp(c->option->name, "help") != 0 && c->option->letter != 'h');
}

TEST(options, no_two_options_of_a_command_share_a_name_or_a_letter)
{
    each_option(check_alone);
}

static void check_long(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("--%s", o->name);
    auto_free char *joined = str_format("--%s=value", o->name);
    auto_line struct line apart = {0};
    auto_line struct line together = {0};

    if (o->refused)
        return;
    if (o->kind == OPTION_FLAG) {
        check_ok(parse(&apart, c->command, name, "operand", NULL, NULL));
        check_int(apart.operands.count, 1);
        check_int(is_set(&apart, o, c->is_global), has_effect(o));
    } else if (!o->fallback) {
        check_ok(parse(&apart, c->command, name, "value", "operand", NULL));
        check_int(apart.operands.count, 1);
        check_text(apart.operands.items[0], "operand");
        check_int(is_set(&apart, o, c->is_global), has_effect(o));
    } else {
        check_ok(parse(&apart, c->command, name, "operand", NULL, NULL));
        check_int(apart.operands.count, 1);
        check_true(is_set(&apart, o, c->is_global));
    }
    if (has_effect(o))
        check_rest_untouched(&apart, o, c->is_global);
    if (o->kind == OPTION_FLAG)
        return;
    check_ok(parse(&together, c->command, joined, "operand", NULL, NULL));
    check_int(together.operands.count, 1);
    check_int(is_set(&together, o, c->is_global), has_effect(o));
}

TEST(options, each_is_known_by_its_long_name_and_touches_its_own_field)
{
    each_option(check_long);
}

static void check_letter(const struct option_case *c)
{
    const struct option *o = c->option;
    char letter[] = {'-', o->letter, '\0'};
    char joined[] = {'-', o->letter, 'v', '\0'};
    char equal[] = {'-', o->letter, '=', 'v', '\0'};
    auto_line struct line apart = {0};
    auto_line struct line together = {0};
    auto_line struct line with_equal = {0};

    if (o->letter == 0 || o->refused)
        return;
    check_ok(parse(&apart, c->command, letter, o->kind == OPTION_FLAG ? NULL : "v", NULL, NULL));
    check_int(is_set(&apart, o, c->is_global), has_effect(o));
    check_int(apart.operands.count, 0);
    if (o->kind == OPTION_FLAG)
        return;
    check_ok(parse(&together, c->command, joined, NULL, NULL, NULL));
    check_int(is_set(&together, o, c->is_global), has_effect(o));
    check_ok(parse(&with_equal, c->command, equal, NULL, NULL, NULL));
    check_int(is_set(&with_equal, o, c->is_global), has_effect(o));
}

TEST(options, each_letter_takes_its_value_joined_or_apart)
{
    each_option(check_letter);
}

static void check_value_missing(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("--%s", o->name);
    auto_free char *sentence =
        str_format("option '--%s' needs a value (%s)", o->name, o->argument ? o->argument : "");
    auto_line struct line l = {0};

    if (o->kind == OPTION_FLAG || o->fallback || o->refused)
        return;
    check_fails(parse(&l, c->command, "operand", name, NULL, NULL), EINVAL);
    check_error(&l.err, EINVAL, sentence);
}

TEST(options, a_value_that_is_missing_is_asked_for)
{
    each_option(check_value_missing);
}

static void check_switched_off(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("--%s", o->name);
    auto_free char *off = str_format("--%s=false", o->name);
    auto_free char *unclear = str_format("--%s=maybe", o->name);
    auto_free char *sentence =
        str_format("option '--%s' takes true or false, not 'maybe'", o->name);
    auto_line struct line l = {0};
    auto_line struct line wrong = {0};

    if (o->kind != OPTION_FLAG || !has_effect(o))
        return;
    check_ok(parse(&l, c->command, name, off, NULL, NULL));
    check_false(is_set(&l, o, c->is_global));
    check_fails(parse(&wrong, c->command, unclear, NULL, NULL, NULL), EINVAL);
    check_error(&wrong.err, EINVAL, sentence);
}

TEST(options, a_flag_can_be_switched_off_and_is_nothing_but_true_or_false)
{
    each_option(check_switched_off);
}

static void check_without_effect(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("--%s", o->name);
    auto_free char *warning = str_format("warning: option '--%s' has no effect: %s\n", o->name,
                                         o->ignored ? o->ignored : "");
    auto_free char *sentence =
        str_format("option '--%s' is not supported: %s", o->name, o->refused ? o->refused : "");
    auto_line struct line l = {0};

    if (o->refused) {
        check_fails(parse(&l, c->command, name, "value", NULL, NULL), EINVAL);
        check_error(&l.err, EINVAL, sentence);
    } else if (o->ignored) {
        check_ok(parse(&l, c->command, name, "value", NULL, NULL));
        check_text(str_text(&l.warnings), warning);
        check_true(is_zero(l.values, 0, c->command->options_size));
    } else {
        check_ok(parse(&l, c->command, name, o->kind == OPTION_FLAG ? NULL : "value", NULL, NULL));
        check_text(str_text(&l.warnings), "");
    }
}

TEST(options, what_has_no_effect_is_refused_or_warned_of_and_never_silent)
{
    each_option(check_without_effect);
}

/* Early versions had one dash in front of long names. */
static void check_one_dash(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("-%s", o->name);
    auto_free char *warning =
        str_format("warning: '-%s' is deprecated, write '--%s'\n", o->name, o->name);
    auto_line struct line l = {0};

    if (o->refused)
        return;
    check_ok(parse(&l, c->command, name, o->kind == OPTION_FLAG ? NULL : "value", NULL, NULL));
    check_int(is_set(&l, o, c->is_global), has_effect(o));
    check_true(text_starts(str_text(&l.warnings), warning));
}

TEST(options, one_dash_before_a_long_name_is_understood_with_a_warning)
{
    each_option(check_one_dash);
}

static void check_suggested(const struct option_case *c)
{
    const struct option *o = c->option;
    auto_free char *name = str_format("--%s_", o->name);
    auto_free char *sentence =
        str_format("unknown option '--%s_' for 'img %s'", o->name, c->command->name);
    auto_free char *hint = str_format("did you mean '--%s'?", o->name);
    auto_line struct line l = {0};

    if (!o->help)
        return;
    check_fails(parse(&l, c->command, name, NULL, NULL, NULL), EINVAL);
    check_error(&l.err, EINVAL, sentence);
    check_hint(&l.err, hint);
}

TEST(options, a_misspelt_option_is_refused_and_the_nearest_one_suggested)
{
    each_option(check_suggested);
}

static void check_shown(const struct option_case *c)
{
    auto_free char *name = str_format("--%s", c->option->name);
    auto_str struct str text = {0};
    bool is_shown = false;

    options_help(c->command, &text);
    for (const char *at = strstr(str_text(&text), name); at; at = strstr(at + 1, name))
        is_shown |= strchr(" [\n", at[strlen(name)]) != NULL;
    if (!c->is_global)
        check_int(is_shown, c->option->help != NULL);
}

TEST(options, help_shows_every_option_that_has_an_effect)
{
    each_option(check_shown);
}

/* -- words between them -- */

TEST(options, letters_may_be_joined_and_the_last_may_take_a_value)
{
    auto_line struct line l = {0};
    auto_line struct line wrong = {0};
    const struct subcommand *c = command_find("build");

    check_ok(parse(&l, c, "-qt", "name", "-dfx", "."));
    check_int(l.operands.count, 1);
    check_text(l.operands.items[0], ".");
    check_false(is_zero(l.global_values, 0, GLOBAL_SIZE));
    check_fails(parse(&wrong, c, "-qxt", "name", NULL, NULL), EINVAL);
    check_error(&wrong.err, EINVAL, "unknown option '-x' for 'img build'");
    check_hint(&wrong.err, "`img build --help` lists them");
}

TEST(options, two_dashes_end_options_and_one_is_an_operand)
{
    auto_line struct line l = {0};

    check_ok(parse(&l, command_find("build"), "-", "--", "--nope", "-x"));
    check_int(l.operands.count, 3);
    check_text(l.operands.items[0], "-");
    check_text(l.operands.items[1], "--nope");
    check_text(l.operands.items[2], "-x");
}

TEST(options, every_command_has_help_and_an_alias_finds_it)
{
    for (size_t i = 0; commands[i]; i++) {
        auto_line struct line l = {0};
        auto_line struct line letter = {0};
        auto_str struct str text = {0};
        auto_free char *usage = str_format("Usage: img %s", commands[i]->name);

        check_ok(parse(&l, commands[i], "--help", NULL, NULL, NULL));
        check_true(l.help);
        check_ok(parse(&letter, commands[i], "-h", NULL, NULL, NULL));
        check_true(letter.help);
        options_help(commands[i], &text);
        check_true(text_starts(str_text(&text), usage));
        check_true(command_find(commands[i]->name) == commands[i]);
    }
    check_true(command_find("nothing") == NULL);
    check_true(command_find("") == NULL);
}
