/* build_trace.h - the stages of a build note what it is made from (attest/trace.h). Each of these does
 * nothing when nobody asked for a trace, or nothing is built. */
#pragma once

#include "builder/build_context.h"

struct reference;

int build_trace_check_globals(const struct build *b, struct error *err);
void build_trace_begin(struct build *b); /* the Dockerfile and the context themselves */
/* The image that `name` stood for. */
void build_trace_image(struct build *b, const struct reference *name,
                       const struct platform *platform, const struct digest *manifest);
void build_trace_layout(struct build *b, const char *name, const struct platform *platform,
                        const struct digest *manifest);
void build_trace_fetched(struct build *b, const char *address, const struct source *source);
void build_trace_local(struct build *b, const char *name); /* NULL: the build context */
/* Whether an argument asks for what is not done: a list of what a stage or the context holds. -ENOTSUP. */
int build_trace_check_arg(const struct build *b, const char *name, const char *value,
                          struct error *err);
void build_trace_base(struct build_stage *s);
/* Steps, once they are done. */
void build_trace_run(struct build_stage *s, const struct instruction *in, const struct strv *argv,
                     const struct strv *env, bool has_network);
void build_trace_files(struct build_stage *s,
                       const struct instruction *in); /* COPY, ADD, WORKDIR */
