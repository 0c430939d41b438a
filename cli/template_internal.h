/* template_internal.h - the tree a template is parsed into. */
#pragma once

#include "cli/template.h"

#define TEMPLATE_SIZE_MAX 65536u
#define TEMPLATE_DEPTH_MAX 64u /* of nested actions and parentheses */

enum operand_kind {
    OPERAND_DOT,      /* .A.B, or . alone */
    OPERAND_VARIABLE, /* $x.A; $ alone is the variable "" */
    OPERAND_LITERAL,
    OPERAND_FUNCTION, /* a name, with the arguments behind it */
    OPERAND_PIPE,     /* ( pipeline ).A */
};

struct pipeline;
struct function;
struct operand {
    enum operand_kind kind;
    char *name;                      /* VARIABLE */
    const struct function *function; /* FUNCTION */
    struct json *literal;            /* LITERAL, null for nil */
    struct pipeline *pipe;           /* PIPE */
    struct strv fields;              /* behind it */
};

struct command {
    struct operand *items;
    size_t count;
    size_t capacity;
};

/* Commands joined by |: the value of each is the last argument of the next. */
struct pipeline {
    struct command *items;
    size_t count;
    size_t capacity;
};

enum node_kind { NODE_TEXT, NODE_OUTPUT, NODE_SET, NODE_IF, NODE_RANGE, NODE_WITH };

struct node_list {
    struct node *items;
    size_t count;
    size_t capacity;
};

struct node {
    enum node_kind kind;
    struct str text;       /* TEXT */
    struct pipeline pipe;  /* all others */
    char *variables[2];    /* SET: one; RANGE and the others: those in front of := */
    bool is_assignment;    /* SET: = to a variable that is there */
    struct node_list body; /* IF, RANGE, WITH */
    struct node_list other;
};

struct template
{
    struct node_list nodes;
    struct strv mentioned; /* every field name */
};

/* ---- functions ---- */

struct call {
    struct json **arguments; /* owned by the caller; NULL is null */
    size_t count;
    const struct template_options *options;
};

enum function_kind {
    FUNCTION_PLAIN,  /* on a header: gives back its first argument */
    FUNCTION_PRINTS, /* print and its kin do their work on a header too */
    FUNCTION_LAZY,   /* and, or: evaluated argument by argument, without `run` */
};

struct function {
    const char *name;
    size_t argument_min;
    size_t argument_max;
    /* *out is a new reference, or NULL for null. */
    int (*run)(const struct call *c, struct json **out, struct error *err);
    enum function_kind kind;
};

const struct function *template_function(const char *name); /* NULL: unknown */
void template_function_names(struct str *out);              /* "and, eq, ..." */

bool template_truth(const struct json *value);
/* As Go's fmt prints a value with %v. */
void template_print(const struct json *value, const struct template_options *o, struct str *out);
