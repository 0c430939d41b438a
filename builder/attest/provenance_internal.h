/* provenance_internal.h - the build definition of a provenance with mode=max. */
#pragma once

struct json;
struct provenance;

/* {"llbDefinition": [...]}: sources, then the steps of each stage, with what each starts from. */
struct json *provenance_build_config(const struct provenance *p);
/* "source", the Dockerfile and the lines of each step; "layers", those of the image up to a step. */
void provenance_put_source(const struct provenance *p, struct json *into);
