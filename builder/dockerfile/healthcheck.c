/* healthcheck.c - HEALTHCHECK and its durations (Dockerfile reference, "HEALTHCHECK"). */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

#define NS_PER_MS 1000000

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    {"ns", 1},           {"us", 1000},      {"\xC2\xB5s", 1000}, /* micro sign */
    {"\xCE\xBCs", 1000},                                         /* Greek mu */
    {"ms", NS_PER_MS},   {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

enum duration_fault { DURATION_OK, DURATION_INVALID, DURATION_NO_UNIT, DURATION_UNIT };

/* Multiplies a decimal number at `*at` by `ns`; false when it is none or too large. */
static bool scale(const char *digits, const char *end, int64_t ns, int64_t *out)
{
    int64_t whole = 0;
    int64_t part = 0;
    int64_t place = ns;

    for (; digits < end && *digits != '.'; digits++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *digits - '0', &whole))
            return false;
    for (digits += digits < end; digits < end; digits++) {
        place /= 10;
        part += place * (*digits - '0');
    }
    return !__builtin_mul_overflow(whole, ns, &whole) && !__builtin_add_overflow(whole, part, out);
}

/* One number with its unit, e.g. "1.5s"; `*at` moves behind it. */
static enum duration_fault take_part(const char **at, int64_t *out)
{
    const char *number = *at;
    const char *end = number + strspn(number, "0123456789.");
    const char *dot = memchr(number, '.', (size_t)(end - number));
    size_t size = strcspn(end, "0123456789.");

    if (end == number || (dot && memchr(dot + 1, '.', (size_t)(end - dot) - 1)) ||
        (dot && end - number == 1))
        return DURATION_INVALID;
    if (size == 0)
        return DURATION_NO_UNIT;
    *at = end + size;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strlen(units[i].name) == size && memcmp(end, units[i].name, size) == 0)
            return scale(number, end, units[i].ns, out) ? DURATION_OK : DURATION_INVALID;
    return DURATION_UNIT;
}

/* Go, time.ParseDuration: a sign, then numbers with units; a bare 0 needs none. */
static enum duration_fault parse_duration(const char *text, int64_t *out)
{
    bool is_negative = *text == '-';
    const char *at = text + (*text == '-' || *text == '+');
    int64_t total = 0;

    if (*at == '\0')
        return DURATION_INVALID;
    if (text_equal(at, "0"))
        at++;
    while (*at) {
        int64_t part = 0;
        enum duration_fault fault = take_part(&at, &part);

        if (fault != DURATION_OK)
            return fault;
        if (__builtin_add_overflow(total, part, &total))
            return DURATION_INVALID;
    }
    *out = is_negative ? -total : total;
    return DURATION_OK;
}

static int refuse_duration(struct parsing *p, const struct flag *flag, const char *value,
                           enum duration_fault fault)
{
    auto_free char *shown = quote_word(value);
    const char *unit = value + strspn(value, "+-0123456789.");
    auto_free char *unit_text = mem_strndup(unit, strcspn(unit, "0123456789."));
    auto_free char *unit_shown = quote_word(unit_text);

    if (fault == DURATION_NO_UNIT)
        return fail_at_value(p, flag,
                             parse_fail(p, NULL, "time: missing unit in duration %s", shown));
    if (fault == DURATION_UNIT)
        return fail_at_value(
            p, flag,
            parse_fail(p, NULL, "time: unknown unit %s in duration %s", unit_shown, shown));
    return fail_at_value(p, flag, parse_fail(p, NULL, "time: invalid duration %s", shown));
}

static int duration_flag(struct parsing *p, const char *name, int64_t *out)
{
    const struct flag *flag = instruction_flag(p->in, name);
    auto_free char *value = flag ? word_unquote(flag->value) : NULL;
    enum duration_fault fault;

    if (!flag || *value == '\0')
        return 0;
    fault = parse_duration(value, out);
    if (fault != DURATION_OK)
        return refuse_duration(p, flag, value, fault);
    if (*out != 0 && *out < NS_PER_MS)
        return fail_at_value(p, flag,
                             parse_fail(p, NULL, "Interval \"%s\" cannot be less than 1ms", name));
    return 0;
}

static int retries_flag(struct parsing *p, int *out)
{
    const struct flag *flag = instruction_flag(p->in, "retries");
    auto_free char *value = flag ? word_unquote(flag->value) : NULL;
    auto_free char *shown = flag ? quote_word(value) : NULL;
    const char *digits = value;
    uint64_t number;

    if (!flag || *value == '\0')
        return 0;
    digits += *value == '-' || *value == '+';
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return fail_at_value(
            p, flag, parse_fail(p, NULL, "strconv.ParseInt: parsing %s: invalid syntax", shown));
    if (!text_to_u64(digits, INT32_MAX, &number))
        return fail_at_value(
            p, flag,
            parse_fail(p, NULL, "strconv.ParseInt: parsing %s: value out of range", shown));
    if (*value == '-' && number > 0)
        return fail_at_value(p, flag,
                             parse_fail(p, NULL, "--retries cannot be negative (%s)", value));
    *out = (int)number;
    return 0;
}

static int flags_read(struct parsing *p, struct healthcheck *out)
{
    int r = duration_flag(p, "interval", &out->interval_ns);

    if (r == 0)
        r = duration_flag(p, "timeout", &out->timeout_ns);
    if (r == 0)
        r = duration_flag(p, "start-period", &out->start_period_ns);
    if (r == 0)
        r = duration_flag(p, "start-interval", &out->start_interval_ns);
    if (r == 0)
        r = retries_flag(p, &out->retries);
    return r;
}

int healthcheck_parse(struct parsing *p)
{
    struct healthcheck *health = &p->in->health;
    const char *type = p->args;
    const char *end = line_skip_word(type);
    auto_free char *word = mem_strndup(type, (size_t)(end - type));
    auto_free char *shown = NULL;
    int r;

    if (*type == '\0')
        return parse_fail(p, type, "HEALTHCHECK requires at least one argument");
    for (char *c = word; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    p->args = line_skip_blanks(end);
    r = flags_read(p, health);
    if (r < 0)
        return r;
    if (text_equal(word, "NONE")) {
        health->is_none = true;
        return *p->args ? parse_fail(p, p->args, "HEALTHCHECK NONE takes no arguments") : 0;
    }
    shown = quote_word(word);
    if (!text_equal(word, "CMD"))
        return parse_fail(p, type, "Unknown type %s in HEALTHCHECK (try CMD)", shown);
    r = json_words_parse(p);
    if (r < 0)
        return r;
    health->command.is_exec = p->is_json;
    if (p->is_json)
        strv_copy(&health->command.words, &p->json);
    else if (*p->args)
        strv_add(&health->command.words, p->args);
    if (health->command.words.count == 0)
        return parse_fail(p, p->args, "Missing command after HEALTHCHECK CMD");
    return 0;
}
