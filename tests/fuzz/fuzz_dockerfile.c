/* fuzz_dockerfile.c - any bytes as a Dockerfile: parsed, expanded, checked, reported.
 *
 * Promises: an error has a sentence and a bounded excerpt; every instruction lies within its file
 * and every position within its instruction; what was parsed can be copied, expanded and freed.
 */
#include <assert.h>

#include "builder/dockerfile/check.h"
#include "builder/dockerfile/dockerfile.h"
#include "tests/fuzz/fuzz.h"

static unsigned count_lines(const struct dockerfile *df)
{
    unsigned lines = 1;

    for (size_t i = 0; i < df->source_size; i++)
        lines += df->source[i] == '\n';
    return lines;
}

static void check_position(const struct instruction *in, struct position at)
{
    assert(at.line == 0 || (at.line >= in->line_first && at.line <= in->line_last));
    assert(at.column <= 65536);
}

static void visit(const struct dockerfile *df, const struct instruction *in, unsigned lines,
                  struct checks *checks)
{
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    auto_expand_use struct expand_use use = {0};
    auto_instruction struct instruction *expanded = NULL;
    struct instruction_ref refs[4];
    struct error err = {0};

    assert(in->line_first >= 1 && in->line_first <= in->line_last && in->line_last <= lines);
    assert(!strchr(in->text, '\n') && in->keyword[0] != '\0');
    for (size_t i = 0; i < in->flags.count; i++)
        check_position(in, in->flags.items[i].at);
    for (size_t i = 0; i < in->heredocs.count; i++)
        assert(in->heredocs.items[i].content && in->heredocs.items[i].name);
    (void)instruction_refs(in, refs, 4);
    variables_set(&v, "a", "1");
    variables_set(&v, "b", "x y");
    if (instruction_expand(df, in, &env, &use, &expanded, &err) < 0) {
        assert(err.text[0] != '\0' && err.detail[0] != '\0');
        return;
    }
    assert(expanded->kind == in->kind);
    check_undefined(checks, in, &use, &v);
    if (in->kind == INSTRUCTION_EXPOSE)
        check_expose(checks, expanded);
    if (in->kind == INSTRUCTION_RUN) {
        auto_run_script struct run_script script = {0};

        run_script_make(expanded, &script);
        assert(script.summary && (script.text || script.form == RUN_FORM_EXEC));
        for (size_t i = 0; i < expanded->run.mounts.count; i++)
            assert(expanded->run.mounts.items[i].is_complete);
    }
}

static void visit_trigger(const struct dockerfile *df, const struct instruction *in)
{
    auto_instruction struct instruction *again = NULL;
    struct error err = {0};

    if (in->kind != INSTRUCTION_ONBUILD || df->escape != '\\')
        return;
    if (dockerfile_parse_trigger(df, df->stages[0].from, in->onbuild.expression, &again, &err) == 0)
        assert(again->kind == in->onbuild.trigger->kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_dockerfile struct dockerfile *df = NULL;
    auto_checks struct checks checks = {0};
    auto_str struct str report = {0};
    struct error err = {0};
    unsigned lines;

    if (dockerfile_parse((const char *)data, size, NULL, &df, &err) < 0) {
        assert(err.text[0] != '\0' && !df);
        assert(err.detail[0] == '\0' || text_ends(err.detail, "--------------------\n"));
        return 0;
    }
    lines = count_lines(df);
    assert(df->stage_count > 0);
    dockerfile_check(df, NULL, &checks);
    for (size_t i = 0; i < df->stage_count; i++) {
        const struct stage *stage = &df->stages[i];

        visit(df, stage->from, lines, &checks);
        for (size_t j = 0; j < stage->body.count; j++) {
            visit(df, stage->body.items[j], lines, &checks);
            visit_trigger(df, stage->body.items[j]);
        }
    }
    checks_report(&checks, df, &report);
    return 0;
}
