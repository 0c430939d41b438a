/* Image configurations: OCI image-spec, config.md, and what builders agree on. */
#include <errno.h>
#include <string.h>

#include "builder/image/config.h"
#include "tests/lib/test.h"

#define PATHS "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static struct config *parse(const char *text)
{
    struct config *c;

    check_ok(config_parse(text, strlen(text), "the test", &c, &test_err));
    return c;
}

static void check_json(const struct config *c, const char *expected)
{
    auto_str struct str text = {0};

    config_write(c, &text);
    check_text(str_text(&text), expected);
}

TEST(config, scratch_has_a_path_and_a_root_to_start_in)
{
    char os[] = "linux";
    char architecture[] = "arm64";
    char variant[] = "v8";
    const struct platform p = {.os = os, .architecture = architecture, .variant = variant};
    auto_config struct config *c = config_new_scratch(&p);

    check_json(
        c, "{\"architecture\":\"arm64\",\"variant\":\"v8\",\"os\":\"linux\",\"config\":{\"Env\":"
           "[\"PATH=" PATHS "\"],\"WorkingDir\":\"/\"}}");
}

TEST(config, a_base_without_a_path_gets_one_and_keeps_what_nobody_knows)
{
    auto_config struct config *c =
        parse("{\"x\":{\"y\":[1]},\"os\":\"linux\",\"config\":{\"Z\":true}}");

    check_json(c,
               "{\"x\":{\"y\":[1]},\"os\":\"linux\",\"config\":{\"Z\":true,\"Env\":[\"PATH=" PATHS
               "\"]}}");
}

TEST(config, a_base_with_a_path_or_of_another_system_keeps_its_environment)
{
    auto_config struct config *c = parse("{\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=\"]}}");
    auto_config struct config *w = parse("{\"os\":\"windows\"}");

    check_text(config_env_get(c, "PATH"), "");
    check_text(config_env_get(w, "PATH"), NULL);
}

TEST(config, a_variable_set_again_keeps_its_place)
{
    auto_config struct config *c = parse("{\"config\":{\"Env\":[\"PATH=/\",\"A=1\",\"AB=2\"]}}");
    auto_config struct config *copy = NULL;

    config_env_put(c, "A", "x=y");
    config_env_put(c, "C", "");
    copy = config_copy(c);
    config_env_put(copy, "A", "of the copy");
    check_json(c, "{\"config\":{\"Env\":[\"PATH=/\",\"A=x=y\",\"AB=2\",\"C=\"]}}");
    check_text(config_env_get(c, "A"), "x=y");
    check_text(config_env_get(copy, "A"), "of the copy");
    check_text(config_env_get(c, "B"), NULL);
}

/* R35: what a hostile base may hold instead of what is expected. */
TEST(config, values_of_other_types_are_as_if_absent)
{
    auto_config struct config *c = parse(
        "{\"os\":7,\"created\":{},\"history\":\"x\",\"rootfs\":[],\"config\":"
        "{\"Env\":[1,null,\"novalue\",\"PATH=/a\",\"PATH=/b\"],\"User\":[],\"WorkingDir\":3}}");
    struct digest digest;

    check_text(config_env_get(c, "PATH"), "/a");
    check_text(config_env_get(c, "novalue"), NULL);
    check_text(config_user(c), "");
    check_text(config_working_dir(c), "/");
    check_int(config_time(c), 0);
    check_int(config_layer_count(c), 0);
    check_fails(config_layer_diff_id(c, 0, &digest, &test_err), EINVAL);
}

TEST(config, what_is_no_object_is_refused)
{
    struct config *c;

    check_fails(config_parse("[]", 2, "the test", &c, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "the test is not an image configuration");
    check_fails(config_parse("{\"a\":1,\"a\":2}", 13, "the test", &c, &test_err), EINVAL);
}

/* OCI image-spec, config.md, "history": an entry says so when it made no layer. */
TEST(config, a_step_without_a_layer_says_so_in_the_history)
{
    auto_config struct config *c = parse("{}");
    const struct json *history;

    config_add_history(c, &(struct config_history){.created_by = "RUN x"});
    config_add_history(c, &(struct config_history){.created_by = "CMD y", .empty_layer = true});
    history = json_get_array(config_json(c), "history");
    check_int(json_count(history), 2);
    check_false(json_get_bool(json_at(history, 0), "empty_layer", false));
    check_true(json_get_bool(json_at(history, 1), "empty_layer", false));
    check_text(json_get_text(json_at(history, 0), "created_by"), "RUN x");
}

/* image-spec, config.md, "history": entries without empty_layer stand for the layers. */
TEST(config, a_short_history_is_padded_in_front)
{
    auto_config struct config *c =
        parse("{\"history\":[{\"created_by\":\"a\",\"empty_layer\":true},{\"created_by\":\"b\"}],"
              "\"config\":{\"Env\":[\"PATH=/\"]}}");
    const struct digest ids[3] = {0};

    config_set_layers(c, ids, 3);
    check_int(json_count(json_get_array(config_json(c), "history")), 4);
    check_int(config_layer_count(c), 3);
}

TEST(config, a_history_of_more_layers_than_there_are_stands_for_the_last_ones)
{
    auto_config struct config *c =
        parse("{\"history\":[{\"created_by\":\"a\"},{\"created_by\":\"b\"}],"
              "\"config\":{\"Env\":[\"PATH=/\"]}}");
    const struct digest ids[1] = {0};

    config_set_layers(c, ids, 1);
    check_true(
        json_get_bool(json_at(json_get_array(config_json(c), "history"), 0), "empty_layer", false));
    check_false(
        json_get_bool(json_at(json_get_array(config_json(c), "history"), 1), "empty_layer", false));
}

/* The expected texts are those of date -u -d @SECONDS +%FT%TZ. */
TEST(config, times_are_written_as_rfc_3339_and_read_again)
{
    static const struct {
        int64_t ns;
        const char *text;
    } times[] = {{0, "1970-01-01T00:00:00Z"},
                 {1700000000000000000, "2023-11-14T22:13:20Z"},
                 {1700000000120000000, "2023-11-14T22:13:20.12Z"},
                 {-1, "1969-12-31T23:59:59.999999999Z"}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        auto_str struct str text = {0};
        int64_t ns;

        time_format(times[i].ns, &text);
        check_text(str_text(&text), times[i].text);
        check_ok(time_parse(times[i].text, &ns));
        check_int(ns, times[i].ns);
    }
}

TEST(config, a_time_zone_is_taken_off)
{
    int64_t ns;

    check_ok(time_parse("2023-11-15T00:13:20.5+02:00", &ns));
    check_int(ns, 1700000000500000000);
}

TEST(config, what_is_no_time_or_does_not_fit_is_refused)
{
    static const char *const wrong[] = {"",
                                        "yesterday",
                                        "2023-11-14",
                                        "2023-11-14T22:13:20",
                                        "2023-11-14T22:13:20Zx",
                                        "2023-11-14T22:13:20+2",
                                        "0001-01-01T00:00:00Z",
                                        "9999-12-31T23:59:59Z"};
    int64_t ns;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check_fails(time_parse(wrong[i], &ns), EINVAL);
}

/* Some tools write year 1 into "created"; the newest layer's time then is the image's. */
TEST(config, an_image_without_a_usable_time_has_that_of_its_last_step)
{
    auto_config struct config *c = parse(
        "{\"created\":\"0001-01-01T00:00:00Z\",\"history\":[{\"created\":\"1970-01-01T00:00:07Z\"},{}]}");

    check_int(config_time(c), 7000000000);
}
