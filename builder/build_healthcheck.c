/* build_healthcheck.c - HEALTHCHECK: its member of the configuration, and its line in the history. */
#include <inttypes.h>
#include <string.h>

#include "builder/build_internal.h"

#include "fs/base/banned.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* "1.5" for 1500 thousandths. */
static void add_decimal(struct str *out, int64_t value, int64_t unit)
{
    int64_t rest = value % unit;

    str_addf(out, "%" PRId64, value / unit);
    if (rest == 0)
        return;
    str_add_char(out, '.');
    while (rest > 0) {
        unit /= 10;
        str_add_char(out, (char)('0' + rest / unit));
        rest %= unit;
    }
}

/* As Go prints a time.Duration: "1m30s", "500ms", "0s". */
static void add_duration(struct str *out, int64_t ns)
{
    int64_t seconds = ns / NS_PER_S;

    str_add_char(out, '"');
    if (ns != 0 && ns < NS_PER_US) {
        str_addf(out, "%" PRId64 "ns", ns);
    } else if (ns != 0 && ns < NS_PER_MS) {
        add_decimal(out, ns, NS_PER_US);
        str_add(out, "\xc2\xb5s");
    } else if (ns != 0 && ns < NS_PER_S) {
        add_decimal(out, ns, NS_PER_MS);
        str_add(out, "ms");
    } else {
        if (seconds >= 3600)
            str_addf(out, "%" PRId64 "h", seconds / 3600);
        if (seconds >= 60)
            str_addf(out, "%" PRId64 "m", seconds / 60 % 60);
        add_decimal(out, ns - seconds / 60 * 60 * NS_PER_S, NS_PER_S);
        str_add_char(out, 's');
    }
    str_add_char(out, '"');
}

/* RFC 3629, 3. What is no character is U+FFFD. */
static void add_utf8(struct str *out, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c >= 0x10000) {
        str_add_char(out, (char)(0xf0 | (c >> 18)));
        str_add_char(out, (char)(0x80 | ((c >> 12) & 0x3f)));
    } else if (c >= 0x800) {
        str_add_char(out, (char)(0xe0 | (c >> 12)));
    }
    if (c >= 0x800)
        str_add_char(out, (char)(0x80 | ((c >> 6) & 0x3f)));
    else if (c >= 0x80)
        str_add_char(out, (char)(0xc0 | (c >> 6)));
    str_add_char(out, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
}

/* A number as Go prints it where it takes it for a character: '\x03'. */
static void add_character(struct str *out, int number)
{
    auto_str struct str character = {0};
    auto_str struct str quoted = {0};

    if (number == '\'' || number == '"' || number == 0) {
        str_add(out, number == 0 ? "'\\x00'" : number == '"' ? "'\"'" : "'\\''");
        return;
    }
    add_utf8(&character, (uint32_t)number);
    str_add_quoted(&quoted, str_text(&character));
    str_addf(out, "'%.*s'", (int)quoted.size - 2, str_text(&quoted) + 1);
}

/* The line that docker's builder has always written, which prints the structure as it lies in Go's
 * memory: &{["CMD-SHELL" "x"] "30s" "0s" "0s" "0s" '\x03'}. Tools compare histories. */
static void add_history(struct build_stage *s, const struct strv *test, const struct healthcheck *h)
{
    const int64_t times[] = {h->interval_ns, h->timeout_ns, h->start_period_ns,
                             h->start_interval_ns};
    auto_str struct str text = {0};

    str_add(&text, "HEALTHCHECK &{[");
    for (size_t i = 0; i < test->count; i++) {
        if (i > 0)
            str_add_char(&text, ' ');
        str_add_quoted(&text, test->items[i]);
    }
    str_add_char(&text, ']');
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        str_add_char(&text, ' ');
        add_duration(&text, times[i]);
    }
    str_add_char(&text, ' ');
    add_character(&text, h->retries);
    str_add_char(&text, '}');
    step_history(s, str_text(&text), true);
}

int build_healthcheck(struct build_stage *s, const struct instruction *in, struct error *err)
{
    const struct healthcheck *h = &in->health;
    const struct {
        const char *key;
        int64_t value;
    } members[] = {{"Interval", h->interval_ns},
                   {"Timeout", h->timeout_ns},
                   {"StartPeriod", h->start_period_ns},
                   {"StartInterval", h->start_interval_ns},
                   {"Retries", h->retries}};
    struct json *value = json_new_object();
    auto_strv struct strv test = {0};

    (void)err; /* whatever can be wrong was found when parsing */
    strv_add(&test, h->is_none ? "NONE" : h->command.is_exec ? "CMD" : "CMD-SHELL");
    for (size_t i = 0; !h->is_none && i < h->command.words.count; i++)
        strv_add(&test, h->command.words.items[i]);
    json_put(value, "Test", json_new_strv(&test));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (members[i].value != 0)
            json_put_int(value, members[i].key, members[i].value);
    config_set_value(s->state.config, "Healthcheck", value);
    add_history(s, &test, h);
    return 0;
}
