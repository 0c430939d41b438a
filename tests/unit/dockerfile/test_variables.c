/* test_variables.c - claims about ordered names with values. */
#include "builder/dockerfile/variables.h"
#include "tests/unit/dockerfile/language.h"

TEST(variables, setting_a_name_again_keeps_its_place)
{
    auto_variables struct variables v = variables_of("a=1 b=2");

    variables_set(&v, "a", "3");
    check_int(v.count, 2);
    check_text(v.items[0].name, "a");
    check_text(v.items[0].value, "3");
    check_text(variables_get(&v, "a"), "3");
}

TEST(variables, a_name_can_be_declared_without_a_value)
{
    auto_variables struct variables v = {0};

    variables_set(&v, "a", NULL);
    check_true(variables_has(&v, "a"));
    check_text(variables_get(&v, "a"), NULL);
    check_false(variables_has(&v, "b"));
}

TEST(variables, what_is_missing_is_asked_further_back)
{
    auto_variables struct variables back = variables_of("a=1 b=2");
    auto_variables struct variables v = variables_of("b=3");

    v.fallback = &back;
    check_text(variables_get(&v, "a"), "1");
    check_text(variables_get(&v, "b"), "3");
    check_text(variables_get(&back, "b"), "2");
}

TEST(variables, a_value_can_be_set_from_itself)
{
    auto_variables struct variables v = variables_of("a=1");

    variables_set(&v, "a", variables_get(&v, "a"));
    check_text(variables_get(&v, "a"), "1");
}

TEST(variables, a_copy_is_independent)
{
    auto_variables struct variables v = variables_of("a=1");
    auto_variables struct variables copy = {0};

    variables_copy(&copy, &v);
    variables_set(&copy, "a", "2");
    check_text(variables_get(&v, "a"), "1");
    check_text(variables_get(&copy, "a"), "2");
}
