/* fuzz_run_mount.c - any text as the value of RUN --mount.
 *
 * Promises: a refusal has a sentence and leaves nothing; what is complete without variables is the
 * same with them; a mount has what its type needs.
 */
#include <assert.h>

#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/run_mount.h"
#include "tests/fuzz/fuzz.h"

static void check_mount(const struct run_mount *m)
{
    assert(m->type <= RUN_MOUNT_SSH && m->sharing <= RUN_MOUNT_LOCKED && m->mode <= 07777);
    assert(run_mount_type_name(m->type));
    if (!m->is_complete)
        return;
    assert(!m->target || (m->target[0] != '\0' && !text_equal(m->target, "/")));
    assert(
        (m->type != RUN_MOUNT_CACHE && m->type != RUN_MOUNT_SECRET && m->type != RUN_MOUNT_SSH) ||
        m->id);
    assert(m->type != RUN_MOUNT_SECRET || m->target || m->env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = size > 0 ? mem_strndup((const char *)data, size) : mem_strdup("");
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    struct expand early = {.escape = '\\'};
    struct expand late = {.env = &env, .escape = '\\'};
    struct run_mount first = {0};
    struct run_mount second = {0};
    struct error err = {0};
    int r = run_mount_parse(text, &early, NULL, &first, &err);

    assert(r == 0 ? first.text != NULL : first.text == NULL && err.text[0] != '\0');
    variables_set(&v, "a", "x,y");
    if (run_mount_parse(text, &late, NULL, &second, &err) == 0)
        assert(r == 0 && second.is_complete);
    else
        assert(r < 0 || !first.is_complete);
    check_mount(&first);
    check_mount(&second);
    run_mount_release(&first);
    run_mount_release(&second);
    return 0;
}
