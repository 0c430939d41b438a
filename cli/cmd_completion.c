/* cmd_completion.c - img completion: scripts for bash, zsh and fish, written from the option tables.
 *
 * What a value or an operand is follows from the word --help has for it: "oci|docker" are choices,
 * FILE and DIR are paths, IMAGE is asked of `img ls`. The build installs what this prints.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

#include "fs/base/banned.h"

#define NAMES "img ls --format '{{.Name}}' 2>/dev/null"

/* ---- what goes where ---- */

struct value {
    bool is_path;
    bool is_image;
    bool is_command;
    char *choices; /* blank separated, or NULL */
};

static void value_release(struct value *v)
{
    free(v->choices);
}
DEFINE_CLEANUP_VALUE(value_release, struct value)
#define auto_value __attribute__((cleanup(cleanup_value_release)))

/* "a|b|c" and nothing else; what is written in capitals stands for something. */
static bool is_choice(const char *text)
{
    return strchr(text, '|') != NULL &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789|-")] == '\0';
}

static bool has_any(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(text, words[i]) != NULL)
            return true;
    return false;
}

static struct value value_of(const char *text)
{
    static const char *const paths[] = {"FILE", "DIR", "PATH", "SOCKET"};
    struct value v = {0};

    if (is_choice(text)) {
        v.choices = mem_strdup(text);
        for (char *c = v.choices; *c != '\0'; c++)
            *c = *c == '|' ? ' ' : *c;
        return v;
    }
    v.is_path = has_any(text, paths, sizeof(paths) / sizeof(paths[0]));
    return v;
}

static struct value operand_of(const struct subcommand *c)
{
    static const char *const images[] = {"IMAGE", "SOURCE", "NAME[", "NAME...", "PATTERN"};
    struct value v = value_of(c->operands);

    v.is_command = strcmp(c->operands, "[COMMAND]") == 0;
    /* What is imported gets a name that it does not have yet. */
    v.is_image = strncmp(c->operands, "FILE", 4) != 0 &&
                 has_any(c->operands, images, sizeof(images) / sizeof(images[0]));
    return v;
}

static bool is_shown(const struct option *o)
{
    return o->help != NULL;
}

/* `name` and all aliases with `separator` between. */
static void add_names(struct str *out, const struct subcommand *c, const char *separator)
{
    const char *alias = c->aliases;

    str_add(out, c->name);
    while (alias != NULL && *alias != '\0') {
        size_t size = strcspn(alias, " ");

        str_addf(out, "%s%.*s", separator, (int)size, alias);
        alias += size + strspn(alias + size, " ");
    }
}

static void add_commands(struct str *out)
{
    for (size_t i = 0; commands[i] != NULL; i++)
        str_addf(out, "%s%s", i == 0 ? "" : " ", commands[i]->name);
}

/* ---- bash ---- */

/* " --file -f": an option by all its names, as cases and lists of words have them. */
static void bash_names(struct str *out, const struct option *o)
{
    str_addf(out, " --%s", o->name);
    if (o->letter != 0)
        str_addf(out, " -%c", o->letter);
}

static bool takes_next_word(const struct option *o)
{
    return o->argument != NULL && o->fallback == NULL;
}

static void bash_table(struct str *out, const struct option *options, size_t count)
{
    str_add(out, "        options='");
    for (size_t i = 0; i < count; i++)
        if (is_shown(&options[i]))
            str_addf(out, "--%s ", options[i].name);
    str_add(out, "--help'\n        with_value='");
    for (size_t i = 0; i < count; i++)
        if (is_shown(&options[i]) && takes_next_word(&options[i]))
            bash_names(out, &options[i]);
    str_add(out, " '\n        with_path='");
    for (size_t i = 0; i < count; i++) {
        auto_value struct value v =
            value_of(options[i].argument == NULL ? "" : options[i].argument);

        if (is_shown(&options[i]) && v.is_path)
            bash_names(out, &options[i]);
    }
    str_add(out, " '\n");
    for (size_t i = 0; i < count; i++) {
        auto_value struct value v =
            value_of(options[i].argument == NULL ? "" : options[i].argument);

        if (is_shown(&options[i]) && v.choices != NULL)
            str_addf(out, "        [[ $option == --%s ]] && choices='%s'\n", options[i].name,
                     v.choices);
    }
}

static void bash_command(struct str *out, const struct subcommand *c)
{
    auto_value struct value operand = operand_of(c);

    str_add(out, "    ");
    add_names(out, c, " | ");
    str_add(out, ")\n");
    bash_table(out, c->options, c->option_count);
    if (operand.is_command)
        str_add(out, "        operands=$commands\n");
    else if (operand.choices != NULL)
        str_addf(out, "        operands='%s'\n", operand.choices);
    if (operand.is_image)
        str_add(out, "        images=1\n");
    if (operand.is_path)
        str_add(out, "        paths=1\n");
    str_add(out, "        ;;\n");
}

/* Words are taken from the line itself: bash splits its own at ':' and '='. */
static const char bash_head[] =
    "# bash completion for img\n"
    "_img()\n{\n"
    "    local line=${COMP_LINE:0:COMP_POINT} command= option= prefix= i\n"
    "    local options= with_value= with_path= choices= operands= images= paths=\n"
    "    local -a words\n"
    "    read -ra words <<<\"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=('')\n"
    "    local cur=${words[-1]} prev=\n"
    "    ((${#words[@]} > 1)) && prev=${words[-2]}\n"
    "    for ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
    "        case ${words[i]} in\n"
    "        -s | --state | -b | --backend) ((i++)) ;;\n"
    "        -*) ;;\n"
    "        *) command=${words[i]}; break ;;\n"
    "        esac\n"
    "    done\n"
    "    [[ $cur == --*=* ]] && option=${cur%%=*} prefix=$option=\n"
    "    [[ -z $option && $prev == -* ]] && option=$prev\n";

static const char bash_tail[] =
    "    esac\n"
    "    if [[ -n $prefix || $with_value == *\" $option \"* && -n $option ]]; then\n"
    "        operands=$choices images= paths=\n"
    "        [[ $with_path == *\" $option \"* ]] && paths=1\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        operands=$options images= paths=\n"
    "    fi\n"
    "    cur=${cur#\"$prefix\"}\n"
    "    [[ -n $images ]] && operands+=\" $(" NAMES ")\"\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$operands\" -- \"$cur\")\n"
    "    if [[ -n $paths ]]; then\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "    # Readline puts the answer behind the last colon.\n"
    "    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
    "        prefix=${cur%\"${cur##*:}\"}\n"
    "        COMPREPLY=(\"${COMPREPLY[@]#\"$prefix\"}\")\n"
    "    fi\n"
    "}\n"
    "complete -F _img img\n";

static void write_bash(struct str *out)
{
    size_t count;
    const struct option *global = global_option_table(&count);

    str_add(out, bash_head);
    str_add(out, "    local commands='");
    add_commands(out);
    str_add(out, "'\n    case $command in\n    '')\n");
    bash_table(out, global, count);
    str_add(out, "        options+=' --version'\n        operands=$commands\n        ;;\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        bash_command(out, commands[i]);
    str_add(out, bash_tail);
}

/* ---- zsh ---- */

/* Inside single quotes, where _arguments and _describe read [, ] and : themselves. */
static void add_zsh(struct str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            str_add(out, "'\\''");
        else if (strchr("[]:\\", *text) != NULL)
            str_addf(out, "\\%c", *text);
        else
            str_add_char(out, *text);
    }
}

static void zsh_value(struct str *out, const char *message, const struct value *v)
{
    str_add_char(out, ':');
    add_zsh(out, message);
    if (v->choices != NULL)
        str_addf(out, ":(%s)", v->choices);
    else if (v->is_command)
        str_add(out, ":_img_commands");
    else
        str_addf(out, ":%s",
                 v->is_image && v->is_path ? "_img_images_and_files"
                 : v->is_image             ? "_img_images"
                 : v->is_path              ? "_files"
                                           : " ");
}

static void zsh_option(struct str *out, const struct option *o, bool is_letter)
{
    str_addf(out, " \\\n            '%s", o->kind == OPTION_LIST ? "*" : "");
    if (is_letter)
        str_addf(out, "-%c%s[", o->letter, o->argument == NULL ? "" : "+");
    else
        str_addf(out, "--%s%s[", o->name,
                 o->argument == NULL   ? ""
                 : o->fallback != NULL ? "=-"
                                       : "=");
    add_zsh(out, o->help);
    str_add_char(out, ']');
    if (o->argument != NULL) {
        auto_value struct value v = value_of(o->argument);

        str_add(out, o->fallback != NULL ? ":" : "");
        zsh_value(out, o->argument, &v);
    }
    str_add_char(out, '\'');
}

static void zsh_options(struct str *out, const struct option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_shown(&options[i]))
            continue;
        zsh_option(out, &options[i], false);
        if (options[i].letter != 0)
            zsh_option(out, &options[i], true);
    }
}

static void zsh_command(struct str *out, const struct subcommand *c)
{
    auto_value struct value operand = operand_of(c);

    str_add(out, "        (");
    add_names(out, c, "|");
    str_add(out, ")\n            _arguments -s");
    zsh_options(out, c->options, c->option_count);
    str_add(out, " \\\n            '--help[show help]'");
    if (c->operands_max > 0) {
        str_add(out, " \\\n            '*");
        zsh_value(out, c->operands, &operand);
        str_add_char(out, '\'');
    }
    str_add(out, " ;;\n");
}

static void write_zsh(struct str *out)
{
    size_t count;
    const struct option *global = global_option_table(&count);

    str_add(out, "#compdef img\n_img_images()\n{\n"
                 "    local -a names\n"
                 "    names=(${(f)\"$(" NAMES ")\"})\n"
                 "    compadd -a names\n}\n"
                 "_img_images_and_files()\n{\n    _img_images\n    _files\n}\n"
                 "_img_commands()\n{\n    local -a list=(\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        str_addf(out, "        '%s:", commands[i]->name);
        add_zsh(out, commands[i]->summary);
        str_add(out, "'\n");
    }
    str_add(out, "    )\n    _describe command list\n}\n"
                 "_img()\n{\n    local curcontext=$curcontext state line\n"
                 "    typeset -A opt_args\n    _arguments -C");
    zsh_options(out, global, count);
    str_add(out, " \\\n            '--version[print the version]' '--help[show help]' \\\n"
                 "            '1:command:_img_commands' '*::operand:->operands'\n"
                 "    if [[ $state == operands ]]; then\n        case $line[1] in\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        zsh_command(out, commands[i]);
    str_add(
        out,
        "        esac\n    fi\n}\n"
        "if [[ $funcstack[1] == _img ]]; then\n    _img \"$@\"\nelse\n    compdef _img img\nfi\n");
}

/* ---- fish ---- */

static void add_fish(struct str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            str_add_char(out, '\\');
        str_add_char(out, *text);
    }
}

static void fish_value(struct str *out, const struct value *v)
{
    if (v->is_path)
        str_add(out, " -F");
    if (v->choices != NULL)
        str_addf(out, " -a '%s'", v->choices);
    else if (v->is_command)
        str_add(out, " -a '(__img_commands)'");
    else if (v->is_image)
        str_add(out, " -a '(__img_images)'");
}

static void fish_option(struct str *out, const char *condition, const struct option *o)
{
    if (!is_shown(o))
        return;
    str_addf(out, "complete -c img -n '%s' -l %s", condition, o->name);
    if (o->letter != 0)
        str_addf(out, " -s %c", o->letter);
    if (o->argument != NULL) {
        auto_value struct value v = value_of(o->argument);

        if (takes_next_word(o))
            str_add(out, v.is_path ? " -r" : " -x");
        fish_value(out, &v);
    }
    str_add(out, " -d '");
    add_fish(out, o->help);
    str_add(out, "'\n");
}

static void fish_command(struct str *out, const struct subcommand *c)
{
    auto_value struct value operand = operand_of(c);
    auto_str struct str condition = {0};

    str_addf(out, "complete -c img -n __img_first -a %s -d '", c->name);
    add_fish(out, c->summary);
    str_add(out, "'\n");
    str_add(&condition, "__img_is ");
    add_names(&condition, c, " ");
    if (operand.is_path || operand.is_image || operand.is_command || operand.choices != NULL) {
        str_addf(out, "complete -c img -n '%s'", str_text(&condition));
        fish_value(out, &operand);
        str_add_char(out, '\n');
    }
    for (size_t i = 0; i < c->option_count; i++)
        fish_option(out, str_text(&condition), &c->options[i]);
    str_addf(out, "complete -c img -n '%s' -l help -d 'show help'\n", str_text(&condition));
}

static void write_fish(struct str *out)
{
    size_t count;
    const struct option *global = global_option_table(&count);

    str_add(out, "# fish completion for img\n"
                 "function __img_images\n    " NAMES "\nend\n"
                 "function __img_commands\n    string split ' ' '");
    add_commands(out);
    str_add(out, "'\nend\n"
                 "function __img_command\n"
                 "    set -l words (commandline -opc)\n"
                 "    set -l skip 0\n"
                 "    for word in $words[2..-1]\n"
                 "        if test $skip = 1\n"
                 "            set skip 0\n"
                 "        else if contains -- $word -s --state -b --backend\n"
                 "            set skip 1\n"
                 "        else if not string match -q -- '-*' $word\n"
                 "            echo $word\n"
                 "            return\n"
                 "        end\n"
                 "    end\n"
                 "end\n"
                 "function __img_first\n    set -l command (__img_command)\n"
                 "    test -z \"$command\"\nend\n"
                 "function __img_is\n    set -l command (__img_command)\n"
                 "    contains -- \"$command\" $argv\nend\n"
                 "complete -c img -f\n"
                 "complete -c img -n __img_first -l version -d 'print the version'\n");
    for (size_t i = 0; i < count; i++)
        fish_option(out, "__img_first", &global[i]);
    for (size_t i = 0; commands[i] != NULL; i++)
        fish_command(out, commands[i]);
}

/* ---- the command ---- */

static int run_completion(struct program *p, const void *values, const struct strv *operands,
                          struct error *err)
{
    static const struct {
        const char *shell;
        void (*write)(struct str *out);
    } shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
    auto_str struct str text = {0};

    (void)values; /* no options */
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        if (strcmp(shells[i].shell, operands->items[0]) == 0) {
            shells[i].write(&text);
            fputs(str_text(&text), stdout);
            return 0;
        }
    p->status = EXIT_USAGE;
    return error_set(err, EINVAL, "unknown shell '%s': bash, zsh or fish", operands->items[0]);
}

const struct subcommand cmd_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Print the completion script of a shell.",
    .details = "They are installed with img. By hand: `source <(img completion bash)`,\n"
               "`source <(img completion zsh)` after compinit, `img completion fish | source`.",
    .run = run_completion,
};
