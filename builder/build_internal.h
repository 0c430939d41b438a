/* build_internal.h - what the files of the build loop share: one build, its stages, their state. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "builder/build.h"
#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/ignore.h"
#include "builder/explain.h"
#include "builder/image/config.h"
#include "builder/sandbox/spawner.h"
#include "builder/source/source.h"
#include "builder/transfer.h"
#include "builder/tree/statcache.h"
#include "builder/tree/tree.h"
#include "builder/users.h"
#include "fs/base/hash.h"

/* How far a build goes. */
enum build_mode {
    BUILD_MODE_BUILD,
    BUILD_MODE_PREDICT, /* steps are looked up, none is run */
    BUILD_MODE_READ,    /* instructions are expanded and checked, no step is looked up */
};

enum stage_status { STAGE_IDLE, STAGE_RUNNING, STAGE_DONE, STAGE_FAILED };

/* The file system and configuration that instructions have made so far. */
struct stage_state {
    struct config *config;
    int64_t *layers; /* store ids, bottom first; below 0: not fetched yet (cache_remote.h) */
    size_t layer_count;
    size_t layer_capacity;
    struct digest key; /* of the chain so far */
    int64_t time_ns;   /* when the last layer was made: a cached rebuild gives the same image */
    size_t base_layer_count; /* of them, those of the image at the bottom: never changed */
    char *base;              /* "debian:12@sha256:..", the image at the bottom; NULL: scratch */
    char *ran;               /* the last step of the chain that was not cached, or NULL */
    struct digest *keys;     /* of the cache rows it went through: what --cache-to exports */
    size_t key_count;
    size_t key_capacity;
    bool is_fresh;   /* the image at the bottom was fetched for it just now */
    bool is_stale;   /* predicting: `layers` is not what it will be */
    bool has_no_key; /* predicting: nor is `key` */
    bool has_no_env; /* reading: what the base image sets is not known */
};

struct build_stage {
    struct build *build;
    const struct stage *source;
    size_t position;   /* in the Dockerfile */
    const char *label; /* "" when there is one stage only, else "name " or "stage-1 " */
    char *label_text;
    struct platform platform;
    bool is_needed;
    bool is_exported; /* its layers are in the image: their digests will be asked for */
    size_t *needs;    /* positions of stages that must be done first */
    size_t need_count;
    size_t need_capacity;
    char *base_name;              /* FROM, expanded */
    int base_stage;               /* position, or -1 */
    struct context *base_context; /* or NULL */
    bool is_context;     /* a named context has its name: base_context is all there is of it */
    bool is_referred_to; /* by a COPY or a mount */
    bool gives_all; /* one stage is made FROM it, nothing else looks at it: it gives its state */

    enum stage_status status; /* guarded by build->lock */

    struct stage_state state;     /* read by others once DONE */
    struct variables env;         /* over args: what instructions see; see hides_env */
    struct variables args;        /* ARGs of the stage with a value, in order */
    struct strv arg_names;        /* declared ones in order, for history and RUN */
    struct instructions triggers; /* of the base's ONBUILD; owned */
    size_t step_count;            /* [n/step_count] */
    size_t step_number;
    size_t traced_count; /* steps noted in the trace */
    bool has_trace;      /* of it, or of what it is made from, something is in the trace */
    bool no_cache;
    bool runs_triggers; /* the instruction at hand came out of an ONBUILD */
    bool has_cmd;       /* CMD was given in this stage */
    bool hides_env;     /* `env` has values of ARG that the image's ENV has not */
};

struct shared_cache;
struct cache_remote;

struct build {
    const struct build_options *options;
    enum build_mode mode;
    bool all_stages; /* every one is needed, whatever the target does not use */
    struct dockerfile *df;
    struct platform platform;       /* target */
    struct platform build_platform; /* host */
    struct variables globals;       /* build and platform arguments, global ARGs */
    struct build_stage *stages;
    size_t stage_count;
    size_t target;
    size_t first_open;     /* guarded by lock: all stages before it are done, or needed by nobody */
    size_t copied_entries; /* guarded by lock: of configurations, by stages made FROM others */
    int64_t started_ns;    /* by the clock, whatever SOURCE_DATE_EPOCH says */
    int64_t now_ns;        /* one time for everything this build makes */
    bool is_epoch_settled; /* the next three are what they will be */
    bool has_epoch;        /* SOURCE_DATE_EPOCH */
    int64_t epoch_s;
    char *epoch_text; /* as ARG gives it; NULL: unset */

    struct context *contexts; /* the build context, then the named ones (build_context.h) */
    size_t context_count;
    struct checks checks;
    struct cache_remote *remote; /* --cache-from; NULL: there is none */
    atomic_size_t cached_count;
    atomic_size_t ran_count;
    atomic_bool own_stop;
    atomic_bool *stop; /* the options' or own_stop; true: every stage ends */
    int stop_fd;       /* readable once a stage failed */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock: */
    struct build_steps steps;
    struct explain explain; /* opened on first use */
    bool has_explain;
    struct shared_cache *shared_caches; /* in use by steps now, linked by `next` */
    struct table pulling;               /* names of images being looked up or fetched */
    struct spawner *spawner;
    struct pool *hashers;       /* digest new layers while later steps run; made on first use */
    struct hash_job *hash_jobs; /* linked by `next` */
    struct digest *touched;     /* cache keys used */
    size_t touched_count;
    size_t touched_capacity;
    char failed_step[STEP_ID_SIZE]; /* the first one that was kept, or "" */
    bool has_garbage;
    struct record *record; /* of what is said and done; NULL when nothing is run */
    struct error first_error;
    int first_result;
    bool has_error;
};

/* build_plan.c: which stages, in what order, from what. */
int build_plan(struct build *b, struct error *err);
int build_stage_find(const struct build *b, const char *name, size_t before);
/* Marks all that the stage at `position` needs, itself included. */
void build_mark_needed(struct build *b, size_t position);
#define BUILD_REFS_MAX 128u /* references to stages in one instruction */

/* build_stage.c: runs one stage's instructions. */
int build_stage_run(struct build_stage *s, struct error *err);
bool build_is_canceled(const struct build *b);
/* Waits for the end of an earlier stage that the plan could not know of: triggers of a base image
 * may copy from it. The caller's own thread runs it if nobody does. */
int build_stage_await(struct build_stage *s, size_t position, struct error *err);
/* The value of --build-arg `name`, or NULL. */
const char *build_arg(const struct build *b, const char *name);

/* build.c: what every mode begins and ends with. */
void build_init(struct build *b, const struct build_options *options, enum build_mode mode);
/* Looks at `options` for each of their platforms; the error of one of several names it. */
typedef int build_look(const struct build_options *options, void *context, struct error *err);
int build_for_each_platform(const struct build_options *options, build_look *look, void *context,
                            struct error *err);
int build_parse(struct build *b, struct error *err);
int build_load(struct build *b, struct error *err); /* parses, plans and checks the text */
int build_run_stages(struct build *b, struct error *err);
/* The same up to one needed stage, on the caller's thread. */
int build_run_stage(struct build *b, size_t position, struct error *err);
void build_finish(struct build *b, struct build_result *out); /* fills what `out` tells of it */
void build_release(struct build *b);
DEFINE_CLEANUP_VALUE(build_release, struct build)

/* build_epoch.c: SOURCE_DATE_EPOCH. */
int build_epoch(struct build *b, struct error *err); /* after build_plan; settles b->now_ns */
/* The key of a step that makes a directory, which has the time of the epoch: *step is *chain without
 * an epoch, which is false, else of both. What follows goes on from *chain, for it does not look at
 * the times of directories. COPY has no such key: files keep the times of their first copy, too. */
bool build_key_with_epoch(const struct build *b, const struct digest *chain, struct digest *step);
/* build_epoch_stage.c: the time of what the stage fetches, 0 when nothing tells. -EINVAL: it is more
 * than `FROM scratch` with one remote ADD. */
int build_stage_time(struct build *b, size_t position, int64_t *out, struct error *err);
/* The layer with no file newer than the epoch: made once, then found. */
int build_clamp(struct build *b, int64_t layer, int64_t *out, struct error *err);
/* The same for all that this Dockerfile made; the base's stay as they are. */
int build_clamp_all(struct build *b, struct stage_state *state, struct error *err);

/* build_squash.c: the layers above the base become one, made once and then found. */
int build_squash(struct build *b, struct stage_state *state, struct error *err);

/* build_base.c: FROM. Gives state, config and triggers. */
int build_base(struct build_stage *s, struct error *err);
struct image;
/* The state that a loaded image is; `name` for people. */
void build_loaded_state(struct build *b, const struct image *image, const char *name,
                        const struct platform *platform, struct stage_state *out);
/* Puts a stage or a common image with nearly that name into an error that says there is none. */
int build_suggest(const struct build_stage *s, const char *image, struct error *err);
int build_image_state(struct build *b, const char *name, const struct platform *platform,
                      struct stage_state *out, struct error *err);

/* build_predict.c: steps that are told about instead of, or besides, being run. */
/* Notes how a step came out; `reasons` may be NULL, else its words are taken. */
void build_step_note(struct build_stage *s, const char *text, enum build_outcome outcome,
                     struct strv *reasons);
/* A step is not in the cache. Notes that, with the reasons when they are asked for. True: the build
 * is predicted, the state went on to what would be, and the caller must not run the step. */
struct cache_entry;
bool build_step_missed(struct build_stage *s, const char *text, const struct cache_entry *entry);
/* Predicting: whether the step's key cannot be made now, because of `what` (a sentence's end); then
 * the state went on. */
void build_step_unknown(struct build_stage *s, const char *text, const char *why);
/* Whether a stage that the instruction reads from, or the one it is in, has no known key. */
bool build_is_unknown(const struct build_stage *s, const struct instruction *in);

/* build_copy.c and build_step.c: instructions that change files. */
int build_copy(struct build_stage *s, const struct instruction *in, struct error *err);
/* Where WORKDIR leads; caller frees. -ENAMETOOLONG. */
int build_workdir_path(const struct build_stage *s, const struct instruction *in, char **out,
                       struct error *err);
int build_workdir(struct build_stage *s, const struct instruction *in, struct error *err);
int build_step_run(struct build_stage *s, const struct instruction *in, struct error *err);
/* build_healthcheck.c. */
int build_healthcheck(struct build_stage *s, const struct instruction *in, struct error *err);

/* build_cache.c: keys -> layers, and what follows from a layer. */
/* 1 hit, 0 miss. */
struct cache_hit {
    struct digest key; /* that later steps go on from */
    int64_t layer;     /* 0: no file changed; below 0: not fetched yet (cache_remote.h) */
    int64_t time_ns;   /* when it was made */
};
int build_cache_find(struct build_stage *s, const struct digest *key, struct cache_hit *out,
                     struct error *err);
struct cache_entry {
    struct digest key;
    const struct digest *canonical; /* NULL: the key itself */
    const char *description;
    const char *inputs; /* of the key, then EXPLAIN_LISTING and the files when there are any */
    uint64_t run_ns;
    int64_t time_ns; /* 0: this build's */
};
int build_cache_put(struct build_stage *s, const struct cache_entry *entry, int64_t layer,
                    struct error *err);
/* Seals the view of a step. What `put` inserts and the layer's row become durable together, or neither
 * (fs/view.h, seal_options.with_row); `layer` is 0 when nothing changed. */
struct view;
struct view_sealed;
struct build_rows {
    int (*put)(void *context, int64_t layer, struct error *err);
    void *context;
};
int build_seal(struct build_stage *s, struct view *v, const struct build_rows *rows,
               struct view_sealed *out, struct error *err);
/* The same with nothing but the cache row of the entry. */
int build_seal_cached(struct build_stage *s, struct view *v, const struct cache_entry *entry,
                      struct view_sealed *out, struct error *err);
void stage_push_layer(struct stage_state *state, const struct cache_hit *made);
/* A hit made of what this build did itself. */
struct cache_hit build_made(const struct build *b, const struct digest *key, int64_t layer);
void stage_state_copy(struct stage_state *to, const struct stage_state *from);
void stage_state_release(struct stage_state *state);
DEFINE_CLEANUP_VALUE(stage_state_release, struct stage_state)
#define auto_stage_state CLEANUP(stage_state_release)

/* What fetching needs to know of the build; statuses go to `vertex`. */
struct fetch build_fetch(struct build *b, uint32_t vertex);

struct spawner *build_spawner(struct build *b, struct error *err); /* made on first use; NULL */

/* Progress lines of a step: "[name 2/4] RUN make". */
char *step_name(const struct build_stage *s,
                const char *text); /* of the current one; caller frees */
uint32_t step_begin(struct build_stage *s, const char *text);
void step_history(struct build_stage *s, const char *created_by, bool empty_layer);
/* Where a relative path of an instruction starts; caller frees. Keeps a trailing slash. */
char *stage_path(const struct build_stage *s, const char *path);
/* The files that the stage has made so far; cached layers that are elsewhere are fetched. */
struct view_options;
int build_view_open(struct build_stage *s, const struct view_options *options, struct view **out,
                    struct error *err);
int stage_view_open(struct build_stage *s, const char *label, bool read_only, struct view **out,
                    struct error *err);
/* /etc/passwd and /etc/group of a view for users.h. */
struct view_users {
    struct str passwd;
    struct str group;
    bool has_passwd;
    bool has_group;
};
int view_users_load(struct view *v, struct view_users *out, struct error *err);
struct users_files view_users_files(const struct view_users *users); /* borrowed */
void view_users_release(struct view_users *u);
DEFINE_CLEANUP_VALUE(view_users_release, struct view_users)
#define auto_view_users CLEANUP(view_users_release)
/* Who a command runs as; `spec` is USER's. */
struct user;
int view_user_resolve(struct view *v, const char *spec, struct user *out, struct error *err);
/* A working directory the image only names is made, as runtimes do. */
int view_ensure_dir(struct view *v, const char *path, int64_t now_ns, struct error *err);
/* /etc/hosts of a command; `extra` holds "name:ip", or is NULL. */
void hosts_text(const char *hostname, const struct strv *extra, struct str *out);
