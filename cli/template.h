/* template.h - the --format of every command: a subset of Go's text/template over JSON values.
 *
 *     {{.Repository}}:{{.Tag}}            fields, of nested objects too: {{.Config.User}}
 *     {{range .RepoTags}}{{.}} {{end}}    also {{range $i, $tag := .RepoTags}} and {{else}}
 *     {{if eq .Os "linux"}}..{{else if ..}}..{{end}}   {{with .Config.Labels}}..{{end}}
 *     {{json .Config}} {{index .Config.Labels "a.b"}} {{len .RootFS.Layers}} {{join .Names ", "}}
 *     {{$x := .Size}} {{.Name | printf "%-20s"}} {{- trim -}} comments
 *
 * Left out, with an error that says so: template, define, block, break, continue, and functions
 * that are not in the list the error shows. In the text between actions \t and \n stand for tab and
 * newline, as docker and podman have it.
 */
#pragma once

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/json.h"
#include "fs/base/str.h"

struct template; /* parsed, immutable */

/* -EINVAL with what is wrong and at which character. */
int template_parse(const char *text, struct template **out, struct error *err);
void template_free(struct template *t);
DEFINE_CLEANUP(template_free, struct template *)
#define auto_template CLEANUP(template_free)

struct template_options {
    bool is_header; /* fields are column titles: functions give back their argument */
    bool escape;    /* strings of `data` are made safe for a terminal (SECURITY R58) */
};

/* Appends what the template makes of `data`. A field that an object does not have is an error
 * (-EINVAL) which names those it has; but a missing key of a map ("Labels", "Annotations" and other
 * names that template.c lists) is "<no value>", as in Go. */
int template_run(const struct template *t, const struct json *data,
                 const struct template_options *options, struct str *out, struct error *err);

/* Whether `name` is asked for anywhere, at any depth: what is dear to compute can be left out. */
bool template_mentions(const struct template *t, const char *name);
