/* --call outline and --call targets: what the Dockerfile says of itself (Dockerfile reference and
 * buildx, "--call"). No image is looked up, so the bases named here need not exist. */
#include <errno.h>
#include <string.h>

#include "builder/outline.h"
#include "tests/lib/test.h"

static void add_items(struct str *out, const char *kind, const struct outline_items *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct outline_item *item = &list->items[i];

        str_addf(out, "%s %s='%s' (%s)%s line %u\n", kind, item->name, item->value,
                 item->description, item->is_required ? " required" : "", item->line_first);
    }
}

static void check_outline(const char *text, const char *target, const char *args,
                          const char *expected)
{
    auto_strv struct strv given = {0};
    const struct build_options options = {
        .dockerfile = text,
        .dockerfile_size = strlen(text),
        .dockerfile_name = "Dockerfile",
        .target = target,
        .build_args = &given,
        .cancel_fd = -1,
    };
    auto_outline struct outline outline = {0};
    auto_str struct str out = {0};

    if (args != NULL)
        strv_add(&given, args);
    check_ok(build_outline(&options, &outline, &test_err));
    str_addf(&out, "%s (%s)\n", outline.name, outline.description);
    add_items(&out, "arg", &outline.args);
    add_items(&out, "secret", &outline.secrets);
    add_items(&out, "ssh", &outline.ssh);
    check_text(str_text(&out), expected);
}

static const char dockerfile[] = "# VERSION of the base\n"
                                 "ARG VERSION=12\n"
                                 "ARG IMAGE=debian:$VERSION\n"
                                 "ARG UNUSED=1\n"
                                 "ARG FLAGS=-O2\n"
                                 "# build makes everything\n"
                                 "FROM $IMAGE AS build\n"
                                 "ARG FLAGS\n"
                                 "# MODE is how\n"
                                 "ARG MODE=a$FLAGS\n"
                                 "ARG TARGETARCH\n"
                                 "RUN --mount=type=secret,id=token,required=true "
                                 "--mount=type=ssh make\n"
                                 "FROM scratch AS other\n"
                                 "ARG ELSEWHERE\n"
                                 "# image is what ships\n"
                                 "FROM scratch AS image\n"
                                 "COPY --from=build /a /a\n"
                                 "RUN --mount=type=secret,id=token true\n";

TEST(outline, lists_what_the_needed_stages_take)
{
    check_outline(dockerfile, NULL, NULL,
                  "image (is what ships)\n"
                  "arg VERSION='12' (of the base) line 2\n"
                  "arg IMAGE='debian:12' () line 3\n"
                  "arg FLAGS='-O2' () line 5\n"
                  "arg MODE='a-O2' (is how) line 10\n"
                  "secret token='' () required line 12\n"
                  "ssh default='' () line 12\n");
}

TEST(outline, goes_by_target_and_by_given_values)
{
    check_outline(dockerfile, "other", NULL, "other ()\narg ELSEWHERE='' () line 14\n");
    check_outline(dockerfile, "build", "VERSION=11",
                  "build (makes everything)\n"
                  "arg VERSION='11' (of the base) line 2\n"
                  "arg IMAGE='debian:11' () line 3\n"
                  "arg FLAGS='-O2' () line 5\n"
                  "arg MODE='a-O2' (is how) line 10\n"
                  "secret token='' () required line 12\n"
                  "ssh default='' () line 12\n");
}

TEST(outline, reports_the_mistakes_of_the_file)
{
    const char text[] = "FROM scratch\nRNU x\n";
    const struct build_options options = {.dockerfile = text,
                                          .dockerfile_size = strlen(text),
                                          .dockerfile_name = "D",
                                          .cancel_fd = -1};
    struct outline outline;
    struct targets targets;
    struct error err = {0};

    check_fails(build_outline(&options, &outline, &err), EINVAL);
    check_true(text_starts(err.detail, "D:2\n"));
    check_fails(build_targets(&options, &targets, &err), EINVAL);
}

TEST(outline, targets_are_all_stages_in_order)
{
    const char text[] =
        "# a is first\nFROM --platform=$BUILDPLATFORM x AS a\nFROM y\nFROM z AS c\n";
    const struct build_options options = {.dockerfile = text,
                                          .dockerfile_size = strlen(text),
                                          .dockerfile_name = "D",
                                          .cancel_fd = -1};
    auto_targets struct targets targets = {0};
    auto_str struct str out = {0};

    check_ok(build_targets(&options, &targets, &test_err));
    for (size_t i = 0; i < targets.count; i++)
        str_addf(&out, "%s|%s|%s|%s|%d|%u\n", targets.items[i].name, targets.items[i].description,
                 targets.items[i].base, targets.items[i].platform, targets.items[i].is_default,
                 targets.items[i].line_first);
    check_text(str_text(&out), "a|is first|x|$BUILDPLATFORM|0|2\n||y||0|3\nc||z||1|4\n");
}
