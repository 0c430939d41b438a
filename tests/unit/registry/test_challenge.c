/* test_challenge.c - what WWW-Authenticate asks for (RFC 9110 11.6.1), and base64 (RFC 4648). */
#include <string.h>

#include "registry/base64.h"
#include "registry/challenge.h"
#include "tests/lib/test.h"

static void check_reads(const char *value, enum challenge_kind kind, const char *realm,
                        const char *service, const char *scope)
{
    auto_challenge struct challenge c = {0};

    challenge_read(value, &c);
    check_int(c.kind, kind);
    check_text(c.realm, realm);
    check_text(c.service, service);
    check_text(c.scope, scope);
}

/* Docker "Token Authentication Specification": the scope holds a comma. */
TEST(challenge, commas_inside_quotes_belong_to_the_value)
{
    check_reads("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                "scope=\"repository:samalba/my-app:pull,push\"",
                CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
                "repository:samalba/my-app:pull,push");
}

TEST(challenge, names_and_schemes_have_no_case)
{
    check_reads("BEARER Realm=\"https://h/t\" , SERVICE=s", CHALLENGE_BEARER, "https://h/t", "s",
                NULL);
    check_reads("basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL);
    check_reads("Basic", CHALLENGE_BASIC, NULL, NULL, NULL);
}

TEST(challenge, escapes_are_undone)
{
    check_reads("Bearer realm=\"https://h/\\\"t\\\\\"", CHALLENGE_BEARER, "https://h/\"t\\", NULL,
                NULL);
}

TEST(challenge, the_strongest_of_several_is_taken)
{
    check_reads("Basic realm=\"b\", Bearer realm=\"https://h/t\",service=\"s\"", CHALLENGE_BEARER,
                "https://h/t", "s", NULL);
    check_reads("Bearer realm=\"https://h/t\",service=\"s\", Basic realm=\"b\"", CHALLENGE_BEARER,
                "https://h/t", "s", NULL);
    check_reads("Negotiate abcd==, Basic realm=\"b\"", CHALLENGE_BASIC, "b", NULL, NULL);
    check_reads("NTLM, Negotiate, Bearer realm=\"https://h/t\"", CHALLENGE_BEARER, "https://h/t",
                NULL, NULL);
}

TEST(challenge, a_bearer_without_realm_is_none)
{
    check_reads("Bearer service=\"s\"", CHALLENGE_NONE, NULL, NULL, NULL);
    check_reads("Bearer", CHALLENGE_NONE, NULL, NULL, NULL);
}

TEST(challenge, the_first_of_two_realms_counts)
{
    check_reads("Bearer realm=\"https://a/\",realm=\"https://b/\"", CHALLENGE_BEARER, "https://a/",
                NULL, NULL);
}

TEST(challenge, garbage_is_nothing)
{
    static const char *const values[] = {
        "",
        ",,,",
        "=",
        "\"",
        "Digest realm=\"x\"",
        "@ @ @",
        "a=b=c",
        "Bearer realm",
        "Bearer realm=",
        "Bearer =x",
        "\"Bearer\" realm=\"x\"",
        "Bearer, realm=x",
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        auto_challenge struct challenge c = {0};

        challenge_read(values[i], &c);
        if (c.kind == CHALLENGE_BEARER && c.realm[0] != '\0' && !text_equal(c.realm, "x"))
            check_fail("'%s' was read as a challenge", values[i]);
    }
}

TEST(challenge, an_open_quote_ends_with_the_value)
{
    check_reads("Bearer realm=\"https://h/t", CHALLENGE_BEARER, "https://h/t", NULL, NULL);
    check_reads("Bearer realm=\"https://h/t\\", CHALLENGE_BEARER, "https://h/t\\", NULL, NULL);
}

/* RFC 4648 section 10 */
TEST(base64, the_vectors_of_the_rfc_hold)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        auto_str struct str coded = {0};
        auto_str struct str plain = {0};

        base64_encode(pairs[i][0], strlen(pairs[i][0]), &coded);
        check_text(str_text(&coded), pairs[i][1]);
        check_true(base64_decode(pairs[i][1], &plain));
        check_text(str_text(&plain), pairs[i][0]);
    }
}

TEST(base64, padding_may_be_missing)
{
    auto_str struct str plain = {0};

    check_true(base64_decode("Zm8", &plain));
    check_text(str_text(&plain), "fo");
}

TEST(base64, other_text_is_refused)
{
    static const char *const texts[] = {
        "Z", "Zm9vY", "Zm 9", "Zg=", "Zg===", "Z===", "Zm8-", "=", "Zm9v\n"};
    auto_str struct str plain = {0};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (base64_decode(texts[i], &plain))
            check_fail("'%s' was decoded", texts[i]);
        check_int(plain.size, 0);
    }
}
