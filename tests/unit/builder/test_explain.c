/* --explain: the nearest earlier step and what differs from it. A real store. */
#include <string.h>

#include "builder/explain.h"
#include "fs/base/key.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

struct step {
    const char *description;
    const char *parent; /* any text */
    const char *base;
    const char *argv;
    const char *env[4];
    const char *user;
    const char *listing;
};

static void make_key(const struct step *s, struct key *key, struct digest *out)
{
    const struct digest parent = state_digest(s->parent);
    auto_strv struct strv argv = {0};
    auto_strv struct strv env = {0};

    strv_add(&argv, "/bin/sh");
    strv_add(&argv, s->argv);
    for (size_t i = 0; i < 4 && s->env[i] != NULL; i++)
        strv_add(&env, s->env[i]);
    key_init(key, "run");
    key_digest(key, "parent", &parent);
    key_words(key, "argv", &argv);
    key_words(key, "env", &env);
    key_text(key, "user", s->user);
    key_note(key, "base", s->base);
    key_final(key, out);
    if (s->listing != NULL)
        str_addf(&key->inputs, EXPLAIN_LISTING "%s", s->listing);
}

static void put(struct store *store, const struct step *s)
{
    auto_key struct key key = {0};
    auto_free char *description = mem_strdup(s->description);
    struct cache_row row = {
        .has_parent = true, .parent = state_digest(s->parent), .description = description};

    make_key(s, &key, &row.key);
    row.inputs = key.inputs.data;
    check_ok(store_cache_put(store, &row, &test_err));
}

static void check_miss(struct store *store, const struct step *s, const char *ran_above,
                       const char *expected)
{
    auto_key struct key key = {0};
    struct digest ignored;
    struct explain e;
    struct explain_step step = {
        .description = s->description, .parent = state_digest(s->parent), .ran_above = ran_above};
    auto_strv struct strv reasons = {0};
    auto_free char *text = NULL;

    make_key(s, &key, &ignored);
    step.inputs = str_text(&key.inputs);
    check_ok(explain_open(store, &e, &test_err));
    check_ok(explain_miss(&e, &step, &reasons, &test_err));
    explain_release(&e);
    text = strv_join(&reasons, "\n");
    check_text(text, expected);
}

static const struct step make = {
    .description = "RUN make",
    .parent = "p",
    .base = "debian:12@sha256:1",
    .argv = "make",
    .env = {"PATH=/bin", "CFLAGS=-O2"},
    .user = "",
};

TEST(explain, names_the_variables_that_differ)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    put(store, &make);
    now.env[1] = "CFLAGS=-O3";
    now.env[2] = "CC=clang";
    check_miss(store, &now, NULL, "variable CFLAGS: '-O2' -> '-O3'\nvariable CC is new: 'clang'");
    now.env[1] = NULL;
    check_miss(store, &now, NULL, "variable CFLAGS is gone, it was '-O2'");
}

TEST(explain, names_a_new_base_image_once)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    put(store, &make);
    now.parent = "q";
    now.base = "debian:12@sha256:2";
    check_miss(store, &now, NULL, "base image: debian:12@sha256:1 -> debian:12@sha256:2");
}

TEST(explain, says_when_a_step_above_is_to_blame)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    put(store, &make);
    now.parent = "q";
    check_miss(store, &now, "COPY . .", "'COPY . .' above it ran");
}

/* Its whole text stands above, where it is the one explained. */
TEST(explain, names_a_long_step_by_its_beginning)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    put(store, &make);
    now.parent = "q";
    check_miss(
        store, &now,
        "RUN --mount=type=cache,target=/root/.npm,sharing=locked     npm ci --omit=dev fooba\xC3\xA4r",
        "'RUN --mount=type=cache,target=/root/.npm,sharing=locked npm ci --omit=dev fooba...' "
        "above it ran");
    check_miss(store, &now, "RUN make \t  install", "'RUN make install' above it ran");
}

TEST(explain, finds_the_step_in_the_same_place_when_its_text_was_edited)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    put(store, &make);
    now.description = "RUN make -j2";
    now.argv = "make -j2";
    check_miss(store, &now, NULL, "the instruction was 'RUN make'");
    now.user = "app";
    check_miss(store, &now, NULL, "the instruction was 'RUN make'\nuser: '' -> 'app'");
}

/* An older row with the same text may be nearer than the last one. */
TEST(explain, takes_the_row_with_the_fewest_differences)
{
    auto_store struct store *store = state_open();
    struct step far = make;
    struct step now = make;

    put(store, &make);
    far.env[0] = "PATH=/elsewhere";
    far.env[1] = "CFLAGS=-Og";
    put(store, &far);
    now.user = "app";
    check_miss(store, &now, NULL, "user: '' -> 'app'");
}

TEST(explain, names_files_rather_than_digests)
{
    auto_store struct store *store = state_open();
    struct step before = make;
    struct step now = make;

    before.listing = "f 0 644 0 0 5 aa 0 src/a.c\n";
    now.listing = "f 0 664 0 0 5 aa 0 src/a.c\n";
    put(store, &before);
    check_miss(store, &now, NULL, "src/a.c: mode 0644 -> 0664 (content same)");
}

TEST(explain, admits_that_there_is_nothing_near)
{
    auto_store struct store *store = state_open();
    struct step now = make;

    check_miss(store, &now, NULL, "the store has no earlier result of such a step");
    put(store, &make);
    now.description = "RUN other";
    now.parent = "elsewhere";
    check_miss(store, &now, NULL, "the store has no earlier result of such a step");
}
