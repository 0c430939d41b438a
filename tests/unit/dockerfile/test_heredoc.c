/* test_heredoc.c - claims of the Dockerfile reference, "Here-Documents". */
#include "tests/unit/dockerfile/language.h"

static struct dockerfile *body(const char *text)
{
    auto_free char *whole = str_format("FROM scratch\n%s", text);

    return parse(whole);
}

static void check_script(const char *text, enum run_form form, const char *expected,
                         const char *summary)
{
    auto_dockerfile struct dockerfile *df = body(text);
    auto_run_script struct run_script script = {0};

    run_script_make(at(df, 0), &script);
    check_int(script.form, form);
    check_text(script.text, expected);
    check_text(script.summary, summary);
}

TEST(heredoc, the_lines_up_to_the_name_belong_to_the_instruction)
{
    auto_dockerfile struct dockerfile *df = body("RUN <<EOF\na\n # b \\\n\nEOF\nUSER x\n");
    const struct heredoc *doc = &at(df, 0)->heredocs.items[0];

    check_text(doc->name, "EOF");
    check_text(doc->content, "a\n # b \\\n\n");
    check_true(doc->expand);
    check_false(doc->chomp);
    check_int(at(df, 0)->line_last, 6);
    check_text(at(df, 1)->text, "USER x");
}

TEST(heredoc, a_dash_drops_leading_tabs_from_lines_and_terminator)
{
    auto_dockerfile struct dockerfile *df = body("COPY <<-E /x\n\ta\n\t\tb\n c\n\tE\n");

    check_true(at(df, 0)->heredocs.items[0].chomp);
    check_text(at(df, 0)->heredocs.items[0].content, "\ta\n\t\tb\n c\n");
    check_text(at(df, 0)->copy.contents[0].data, "a\nb\n c\n");
}

/* POSIX shell, 2.7.4: only "<<-" strips tabs, so an indented terminator is a line like any other. */
TEST(heredoc, without_a_dash_tabs_stay_and_an_indented_name_ends_nothing)
{
    auto_dockerfile struct dockerfile *df = body("COPY <<E /x\n\ta\n\tE\nE\nUSER x\n");

    check_text(at(df, 0)->copy.contents[0].data, "\ta\n\tE\n");
    check_text(at(df, 1)->text, "USER x");
}

TEST(heredoc, any_quoting_of_the_name_prevents_expansion)
{
    static const char *const quoted[] = {"'E'", "\"E\"", "\\E", "E''"};

    for (size_t i = 0; i < 4; i++) {
        auto_free char *text = str_format("COPY <<%s /x\n$a\nE\n", quoted[i]);
        auto_dockerfile struct dockerfile *df = body(text);

        check_text(at(df, 0)->copy.contents[0].name, "E");
        check_false(at(df, 0)->copy.contents[0].expand);
    }
}

TEST(heredoc, several_are_read_in_order)
{
    auto_dockerfile struct dockerfile *df = body("COPY <<a <<b file /x/\n1\nb\na\n2\nb\nCMD x\n");

    check_int(at(df, 0)->copy.content_count, 2);
    check_text(at(df, 0)->copy.contents[0].data, "1\nb\n");
    check_text(at(df, 0)->copy.contents[1].data, "2\n");
    check_words(&at(df, 0)->copy.sources, "file");
    check_text(at(df, 0)->copy.destination.text, "/x/");
    check_int(at(df, 1)->kind, INSTRUCTION_CMD);
}

TEST(heredoc, digits_name_a_descriptor)
{
    auto_dockerfile struct dockerfile *df = body("RUN 3<<E cat <&3\nx\nE\n");

    check_int(at(df, 0)->heredocs.items[0].fd, 3);
}

TEST(heredoc, one_without_its_end_is_refused_with_its_place)
{
    struct dockerfile *df = NULL;
    struct error err = {0};
    const char *text = "FROM a\nRUN cat <<EOF\nx\n EOF\n";

    check_fails(dockerfile_parse(text, strlen(text), NULL, &df, &err), EINVAL);
    check_text(err.text, "unterminated heredoc");
    check_text(err.hint, "a line that is only 'EOF' ends it");
    check_text(err.detail, "Dockerfile:2\n"
                           "--------------------\n"
                           "   1 |     FROM a\n"
                           "   2 | >>> RUN cat <<EOF\n"
                           "     |             ^\n"
                           "   3 | >>> x\n"
                           "   4 | >>>  EOF\n"
                           "   5 |     \n"
                           "--------------------\n");
}

TEST(heredoc, the_name_may_be_the_last_line_without_a_newline)
{
    auto_dockerfile struct dockerfile *df = body("RUN <<E\nx\nE");

    check_text(at(df, 0)->heredocs.items[0].content, "x\n");
}

TEST(heredoc, what_only_looks_like_one_is_left_to_the_shell)
{
    auto_dockerfile struct dockerfile *df = body("RUN cat <<<word && echo \"a <<E\" $((1 << 2))\n"
                                                 "RUN [\"a\", \"<<E\"]\n"
                                                 "RUN echo it's <<E\n"
                                                 "CMD <<E\nUSER x\n");

    check_int(at(df, 0)->heredocs.count, 0);
    check_int(at(df, 1)->heredocs.count, 0);
    check_int(at(df, 2)->heredocs.count, 0);
    check_int(at(df, 3)->heredocs.count, 0);
    check_int(at(df, 4)->kind, INSTRUCTION_USER);
}

/* A line the splitter cannot make sense of has no heredocs, and their words are paths. */
TEST(heredoc, behind_an_open_quote_it_is_a_path)
{
    auto_dockerfile struct dockerfile *df = body("COPY <<E it's /x\n");

    check_int(at(df, 0)->copy.content_count, 0);
    check_words(&at(df, 0)->copy.sources, "<<E|it's");
}

TEST(heredoc, it_cannot_be_a_destination)
{
    refuse("FROM a\nCOPY a <<E\nx\nE\n",
           "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination");
    refuse("FROM a\nADD a <<E\nx\nE\n",
           "dockerfile parse error on line 2: ADD cannot accept a heredoc as a destination");
}

/* "single heredoc only word: content run by SHELL" */
TEST(heredoc, alone_on_run_its_text_is_the_command)
{
    check_script("RUN <<E\necho a\necho b\nE\n", RUN_FORM_SHELL, "echo a\necho b\n",
                 " (echo a...)");
    check_script("RUN <<-E\n\techo a\n\tE\n", RUN_FORM_SHELL, "echo a\n", " (echo a)");
    check_script("RUN <<E\nE\n", RUN_FORM_SHELL, "", " ()");
}

TEST(heredoc, a_text_with_an_interpreter_is_a_file)
{
    auto_dockerfile struct dockerfile *df = body("RUN <<E\n#!/usr/bin/python3\nprint(1)\nE\n");
    auto_run_script struct run_script script = {0};

    run_script_make(at(df, 0), &script);
    check_int(script.form, RUN_FORM_SCRIPT);
    check_text(script.name, "E");
    check_text(script.text, "#!/usr/bin/python3\nprint(1)\n");
}

TEST(heredoc, among_other_words_the_shell_gets_it_as_written)
{
    check_script("RUN python3 <<E && cat <<-'F'\na\nE\n\tb\nF\n", RUN_FORM_SHELL,
                 "python3 <<E && cat <<-'F'\na\nE\n\tb\nF", "");
}

TEST(heredoc, a_command_without_any_is_what_it_is)
{
    auto_dockerfile struct dockerfile *df = body("RUN [\"a\", \"b\"]\n");
    auto_run_script struct run_script script = {0};

    check_script("RUN a b\n", RUN_FORM_SHELL, "a b", "");
    check_script("RUN\n", RUN_FORM_SHELL, "", "");
    run_script_make(at(df, 0), &script);
    check_int(script.form, RUN_FORM_EXEC);
    check_strv(&script.argv, "a|b");
}

TEST(heredoc, its_text_is_expanded_for_copy_without_looking_at_quotes)
{
    auto_instruction struct instruction *in =
        expanded("COPY <<E <<'F' /x\n\"$a\" 'it's ${b:-c} \\$a\nE\n$a\nF", "a=1");

    check_text(in->copy.contents[0].data, "\"1\" 'it's c $a\n");
    check_text(in->copy.contents[1].data, "$a\n");
}

TEST(heredoc, a_million_lines_are_read_once)
{
    auto_str struct str text = {0};
    auto_dockerfile struct dockerfile *df = NULL;

    str_add(&text, "RUN <<E\n");
    for (int i = 0; i < 1000000; i++)
        str_add(&text, "0123456\n");
    str_add(&text, "E\n");
    df = body(str_text(&text));
    check_int(strlen(at(df, 0)->heredocs.items[0].content), 8000000);
}
