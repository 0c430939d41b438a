/* docker buildx build, "--attest", "--provenance", "--sbom": the words, and what is refused. */
#include <errno.h>

#include "builder/attest_options.h"
#include "tests/lib/test.h"

#define auto_options CLEANUP(attest_options_release)

static struct attest_options parse(const char *text)
{
    struct attest_options o = {0};

    check_ok(attest_parse(text, &o, &test_err));
    return o;
}

static struct attest_options provenance(const char *text)
{
    struct attest_options o = {0};

    check_ok(attest_parse_short("provenance", text, &o, &test_err));
    return o;
}

static void refuse(const char *text, const char *sentence)
{
    auto_options struct attest_options o = {0};

    check_fails(attest_parse(text, &o, &test_err), EINVAL);
    check_error(&test_err, EINVAL, sentence);
}

TEST(attest_options, a_short_form_is_a_yes_a_no_or_fields)
{
    auto_options struct attest_options yes = provenance("true");
    auto_options struct attest_options no = provenance("0");
    auto_options struct attest_options max = provenance("mode=max,version=v0.2");

    check_true(yes.has_provenance && yes.provenance.mode == PROVENANCE_MIN);
    check_true(yes.provenance.version == PROVENANCE_V1);
    check_true(!no.has_provenance && !attest_is_wanted(&no));
    check_true(max.has_provenance && max.provenance.mode == PROVENANCE_MAX);
    check_true(max.provenance.version == PROVENANCE_V02);
}

TEST(attest_options, the_long_form_has_a_type)
{
    auto_options struct attest_options o =
        parse("type=provenance,mode=max,builder-id=https://a/b,filename=p.json,reproducible=true,"
              "inline-only=true");
    auto_options struct attest_options quoted = parse("type=provenance,\"builder-id=a,b\"");
    auto_options struct attest_options none = parse("type=provenance,mode=max,disabled=true");

    check_text(o.provenance.builder_id, "https://a/b");
    check_text(o.provenance.filename, "p.json");
    check_true(o.provenance.is_reproducible && o.provenance.is_inline_only);
    check_true(!attest_has_files(&o) && attest_is_wanted(&o));
    check_text(quoted.provenance.builder_id, "a,b");
    check_true(attest_has_files(&quoted));
    check_true(!attest_is_wanted(&none));
}

TEST(attest_options, what_means_nothing_is_refused)
{
    refuse("mode=max", "--attest 'mode=max': it has no type: type=provenance or type=sbom");
    refuse("type=x", "--attest 'type=x': the type is provenance or sbom, not 'x'");
    refuse("type=provenance,mode=most",
           "--attest 'type=provenance,mode=most': mode is min or max, not 'most'");
    refuse("type=provenance,mode", "--attest 'type=provenance,mode': 'mode' has no value");
    refuse("type=provenance,version=2",
           "--attest 'type=provenance,version=2': version is v1 or v0.2, not '2'");
    refuse("type=provenance,modes=max",
           "--attest 'type=provenance,modes=max': unknown field 'modes'");
    check_hint(&test_err, "did you mean 'mode'?");
    refuse("type=provenance,reproducible=perhaps",
           "--attest 'type=provenance,reproducible=perhaps': reproducible is true or false, not "
           "'perhaps'");
    refuse("type=provenance,disabled=2",
           "--attest 'type=provenance,disabled=2': disabled is true or false, not '2'");
}

/* SECURITY R59: the file is beside the result's, nowhere else. */
TEST(attest_options, a_file_name_is_no_path)
{
    refuse("type=provenance,filename=../p",
           "--attest 'type=provenance,filename=../p': filename is the name of a file, not '../p'");
    refuse("type=provenance,filename=..",
           "--attest 'type=provenance,filename=..': filename is the name of a file, not '..'");
    refuse("type=provenance,filename=",
           "--attest 'type=provenance,filename=': filename is the name of a file, not ''");
}

TEST(attest_options, each_may_be_asked_for_once)
{
    auto_options struct attest_options o = parse("type=provenance,disabled=true");

    check_fails(attest_parse_short("provenance", "true", &o, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "--provenance=true: provenance is asked for more than once");
}

TEST(attest_options, a_list_of_packages_is_made_here)
{
    auto_options struct attest_options o = parse("type=sbom");
    auto_options struct attest_options both = provenance("inline-only=true");
    auto_options struct attest_options other = parse("type=sbom,generator=a/b");

    check_true(o.has_sbom && attest_is_wanted(&o) && attest_has_files(&o));
    check_ok(attest_parse_short("sbom", "true", &both, &test_err));
    check_true(both.has_sbom && attest_has_files(&both));
    check_text(other.generator, "docker.io/a/b:latest");
    check_fails(attest_parse("type=sbom,generator=A", &(struct attest_options){0}, &test_err),
                EINVAL);
    check_contains(test_err.text,
                   "--attest 'type=sbom,generator=A': generator: invalid reference 'A'");
    refuse("type=sbom,x=1", "--attest 'type=sbom,x=1': unknown field 'x'");
}
