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
}

/* As BuildKit writes it, which prints a structure: {Test:[CMD-SHELL x] Interval:30s .. Retries:3}.
 * Tools compare histories. */
static void add_history(struct build_stage *s, const struct strv *test, const struct healthcheck *h)
{
    const struct {
        const char *name;
        int64_t ns;
    } times[] = {{"Interval", h->interval_ns},
                 {"Timeout", h->timeout_ns},
                 {"StartPeriod", h->start_period_ns},
                 {"StartInterval", h->start_interval_ns}};
    auto_free char *words = strv_join(test, " ");
    auto_str struct str text = {0};

    str_addf(&text, "HEALTHCHECK {Test:[%s]", words);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        str_addf(&text, " %s:", times[i].name);
        add_duration(&text, times[i].ns);
    }
    str_addf(&text, " Retries:%d}", h->retries);
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
