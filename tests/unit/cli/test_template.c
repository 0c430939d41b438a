/* test_template.c - what --format makes of a value.
 *
 * Expected texts are what Go's text/template prints for the same template and the same JSON read
 * into a map (pkg.go.dev/text/template, "Actions", "Functions"; fmt, "Printing"), and what docker's
 * own functions are documented to do (docs.docker.com, "Format command and log output").
 */
#include <errno.h>
#include <string.h>

#include "cli/template.h"
#include "tests/lib/test.h"

static const char document[] =
    "{\"Name\":\"debian:12\",\"Id\":\"sha256:abcdef\",\"Size\":1500,\"On\":true,\"Off\":false,"
    "\"None\":null,\"Empty\":\"\",\"List\":[\"a\",\"b\",\"c\"],\"Numbers\":[3,1],\"No\":[],"
    "\"Labels\":{\"b.c\":\"two\",\"a\":\"one\"},"
    "\"Config\":{\"User\":\"root\",\"Cmd\":[\"sh\",\"-c\"],\"Deep\":{\"X\":1}}}";

static int run(const char *text, const struct template_options *o, struct str *out)
{
    auto_json struct json *data = NULL;
    auto_template struct template *t = NULL;
    int r;

    error_clear(&test_err);
    check_ok(json_parse(document, sizeof(document) - 1, sizeof(document), "it", &data, &test_err));
    r = template_parse(text, &t, &test_err);
    return r < 0 ? r : template_run(t, data, o, out, &test_err);
}

static void check_prints(const char *text, const char *expected)
{
    static const struct template_options plain;
    auto_str struct str out = {0};

    check_ok(run(text, &plain, &out));
    check_text(str_text(&out), expected);
}

static void check_refused(const char *text, const char *sentence)
{
    static const struct template_options plain;
    auto_str struct str out = {0};

    check_fails(run(text, &plain, &out), EINVAL);
    if (strstr(test_err.text, sentence) == NULL)
        check_text(test_err.text, sentence);
}

TEST(template, a_field_is_printed_where_it_stands)
{
    check_prints("", "");
    check_prints("no action", "no action");
    check_prints("{{.Name}}", "debian:12");
    check_prints("<{{ .Name }}|{{.Size}}|{{.On}}|{{.Off}}>", "<debian:12|1500|true|false>");
    check_prints("{{.Config.Deep.X}} {{$.Config.User}}", "1 root");
    check_prints("{{.Config.Cmd}} {{.None}} {{.Empty}}.", "[sh -c] <nil> .");
    check_prints("{{.Labels}}", "map[a:one b.c:two]");
    check_prints("{{.Labels.a}} {{.Labels.zzz}}", "one <no value>");
}

TEST(template, text_between_actions_may_hold_tabs_and_newlines_by_name)
{
    check_prints("{{.Size}}\\t{{.On}}\\n", "1500\ttrue\n");
    check_prints("\\x{{\"a\\tb\"}}{{`c\\n`}}", "\\xa\tbc\\n");
}

TEST(template, a_dash_trims_the_blanks_beside_an_action)
{
    check_prints("a  {{- .Size -}}  \n b", "a1500b");
    check_prints("a  {{.Size}}  b", "a  1500  b");
    check_prints("a {{/* nothing */}} b{{- /* and */ -}} c", "a  bc");
    check_prints("{{ -5 }}", "-5");
}

TEST(template, conditions_choose_and_may_be_chained)
{
    check_prints("{{if .On}}y{{else}}n{{end}}{{if .Off}}y{{else}}n{{end}}", "yn");
    check_prints("{{if .None}}1{{end}}{{if .Empty}}2{{end}}{{if .No}}3{{end}}{{if 0}}4{{end}}.",
                 ".");
    check_prints("{{if .List}}1{{end}}{{if .Labels}}2{{end}}{{if .Size}}3{{end}}", "123");
    check_prints("{{if eq .Size 1}}a{{else if eq .Size 1500}}b{{else}}c{{end}}", "b");
    check_prints("{{with .Config}}{{.User}}{{end}}{{with .None}}x{{else}}none{{end}}", "rootnone");
    check_prints("{{if and .On (not .Off)}}y{{end}}{{or .None .Empty \"d\"}}", "yd");
    check_prints("{{if and .None .None.x}}y{{else}}n{{end}}", "n"); /* stops at the first */
}

TEST(template, range_goes_over_lists_and_maps_in_order)
{
    check_prints("{{range .List}}<{{.}}>{{end}}", "<a><b><c>");
    check_prints("{{range $i, $x := .List}}{{$i}}={{$x}},{{end}}", "0=a,1=b,2=c,");
    check_prints("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=one;b.c=two;");
    check_prints("{{range .No}}x{{else}}none{{end}}", "none");
    check_prints("{{range .List}}{{$.Name}} {{end}}", "debian:12 debian:12 debian:12 ");
}

TEST(template, variables_live_to_the_end_of_their_block)
{
    check_prints("{{$x := .Size}}{{if $x}}{{$x}}{{end}}", "1500");
    check_prints("{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "c");
    check_prints("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21");
    check_refused("{{if true}}{{$x := 2}}{{end}}{{$x}}", "there is no variable '$x'");
    check_prints("{{with $y := .Config}}{{$y.User}}{{end}}", "root");
}

TEST(template, functions_of_go_do_what_go_says)
{
    check_prints("{{len .List}}{{len .Name}}{{len .Labels}}{{len .No}}", "3920");
    check_prints("{{index .List 1}}{{index .Labels \"b.c\"}}<{{index .Labels \"zz\"}}>", "btwo<>");
    check_prints("{{index .Config \"Cmd\" 1}}", "-c");
    check_prints("{{slice .Id 7}} {{slice .Name 0 6}} {{slice .List 1 2}}", "abcdef debian [b]");
    check_prints(
        "{{eq 1 1}} {{eq \"a\" \"b\" \"a\"}} {{ne .On .Off}} {{lt 1 2}} {{ge \"a\" \"b\"}}",
        "true true true true false");
    check_prints(
        "{{printf \"%s|%6d|%-4s|%q|%v|%%|%05d|%.2s\" .Name .Size \"a\" \"b\" .List 42 \"xyz\"}}",
        "debian:12|  1500|a   |\"b\"|[a b c]|%|00042|xy");
    check_prints("{{print 1 2 \"a\" 3}}{{println 1 \"b\"}}", "1 2a31 b\n");
    check_prints("{{.Name | printf \"%s-%s\" \"x\"}} {{.List | len}}", "x-debian:12 3");
    check_prints("{{not .On}}", "false");
}

TEST(template, functions_of_docker_do_what_docker_says)
{
    check_prints("{{json .Config}}",
                 "{\"User\":\"root\",\"Cmd\":[\"sh\",\"-c\"],\"Deep\":{\"X\":1}}");
    check_prints("{{json .None}}{{json .Size}}{{json .Name}}", "null1500\"debian:12\"");
    check_prints("{{join .List \", \"}}", "a, b, c");
    check_prints("{{index (split .Name \":\") 0}}", "debian");
    check_prints("{{upper .Name}} {{lower \"ABC\"}} {{title \"ab cd\"}}", "DEBIAN:12 abc Ab Cd");
    check_prints("<{{pad \"x\" 1 2}}><{{pad \"\" 1 2}}>{{truncate .Name 3}}", "< x  ><>deb");
}

TEST(template, a_field_that_is_not_there_is_named_with_those_that_are)
{
    check_refused("{{.Nmae}}", "there is no field '.Nmae'");
    check_contains(test_err.hint, "did you mean '.Name'?");
    check_refused("{{.Config.Home}}", "there is no field '.Home'");
    check_contains(test_err.hint, ".User .Cmd .Deep");
    check_refused("{{.List.Name}}", "use range or index");
    check_refused("{{.None.Name}}", "'.None' is empty here");
}

TEST(template, what_is_no_template_is_refused_at_its_character)
{
    check_refused("{{.Name", "an action does not end at character 8");
    check_refused("{{.Name}", "at character 8");
    check_refused("{{}}", "this is not understood at character 3");
    check_refused("{{if .On}}x", "an 'end' is missing");
    check_refused("{{end}}", "nothing is open here for 'end'");
    check_refused("{{range}}{{end}}", "this is not understood");
    check_refused("{{\"abc}}", "a string does not end");
    check_refused("{{ .Name 1 }}", "only a function takes arguments");
    check_refused("{{ (.Name }}", "a ) is missing");
    check_refused("{{nope .Name}}", "unknown function 'nope'");
    check_contains(test_err.hint, "index, join, json");
    check_refused("{{json}}", "too few arguments for 'json'");
    check_refused("{{json .A .B}}", "too many arguments for 'json'");
    check_refused("{{template \"x\"}}", "there is no 'template'");
    check_refused("{{/* x", "a comment does not end");
    check_refused("{{index .List 9}}", "index 9 is outside a list of 3");
    check_refused("{{index .List -1}}", "index -1 is outside");
    check_refused("{{printf \"%s\"}}", "more verbs than arguments");
    check_refused("{{printf \"%s\" 1 2}}", "more arguments than verbs");
    check_refused("{{printf \"%n\" 1}}", "not '%n'");
    check_refused("{{printf \"%99999999d\" 1}}", "widths up to");
    check_refused("{{slice .List 2 1}}", "is outside");
    check_refused("{{range .Size}}x{{end}}", "range needs a list");
    check_refused("{{99999999999999999999}}", "numbers are whole");
}

/* A person's own template cannot make us run out of stack. */
TEST(template, nesting_is_bounded)
{
    auto_str struct str text = {0};

    str_add(&text, "{{");
    for (int i = 0; i < 10000; i++)
        str_add(&text, "(");
    check_refused(str_text(&text), "too many parentheses");
    str_truncate(&text, 0);
    for (int i = 0; i < 5000; i++)
        str_add(&text, "{{if 1}}");
    check_refused(str_text(&text), "too many actions");
    str_truncate(&text, 0);
    for (int i = 0; i < 70000; i++)
        str_add(&text, "x");
    check_refused(str_text(&text), "longer than");
}

TEST(template, a_header_shows_titles_instead_of_values)
{
    static const struct template_options header = {.is_header = true};
    auto_str struct str out = {0};

    check_ok(run("{{.Name}} {{json .Id}} {{range .Empty}}{{.}}{{end}} {{if .Off}}x{{end}}", &header,
                 &out));
    check_text(str_text(&out), "debian:12 sha256:abcdef  x");
    str_truncate(&out, 0);
    check_fails(run("{{.Other}}", &header, &out), EINVAL);
}

/* SECURITY R58: names and labels come from images. */
TEST(template, values_are_escaped_for_a_terminal_and_only_then)
{
    static const char text[] = "{\"a\":\"x\\u001b]0;t\\u0007y\",\"b\":\"t\\tn\\n\"}";
    const struct template_options options[] = {{.escape = true}, {.escape = false}};
    static const char *const expected[] = {"x\\x1b]0;t\\x07y t\tn\n", "x\x1b]0;t\x07y t\tn\n"};
    auto_json struct json *data = NULL;
    auto_template struct template *t = NULL;

    check_ok(json_parse(text, sizeof(text) - 1, sizeof(text), "it", &data, &test_err));
    check_ok(template_parse("{{.a}} {{.b}}", &t, &test_err));
    for (size_t i = 0; i < 2; i++) {
        auto_str struct str out = {0};

        check_ok(template_run(t, data, &options[i], &out, &test_err));
        check_text(str_text(&out), expected[i]);
    }
}

TEST(template, knows_which_fields_it_asks_for)
{
    auto_template struct template *t = NULL;

    check_ok(template_parse("{{if .A}}{{range .B.C}}{{end}}{{(.D)}}{{end}}", &t, &test_err));
    check_true(template_mentions(t, "A") && template_mentions(t, "C") && template_mentions(t, "D"));
    check_false(template_mentions(t, "E"));
}
