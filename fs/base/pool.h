/* pool.h - a few worker threads and a queue: transfers and hashing run here, all else does not.
 *
 * Jobs are independent; results travel through what the job's argument points at. The first
 * failure is kept for pool_wait. Workers block all signals.
 */
#pragma once

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct pool;

struct pool *pool_new(size_t thread_count); /* threads start as jobs need them */
/* Queues fn(arg, err), which fails by a negative result with err set. After the first failure, or
 * pool_cancel, jobs that have not begun are dropped, new ones too, until pool_wait. A job may
 * submit others but not wait. When no thread at all can be started it runs before this returns. */
void pool_submit(struct pool *p, int (*fn)(void *arg, struct error *err), void *arg);
/* Waits until nothing is queued or running; returns the first failure and clears it, so that the
 * pool can be used again. -ECANCELED after pool_cancel. */
int pool_wait(struct pool *p, struct error *err);
void pool_cancel(struct pool *p); /* from any thread; does not wait */
void pool_free(struct pool *p);   /* cancels and waits for running jobs; NULL is allowed */
DEFINE_CLEANUP(pool_free, struct pool *)
#define auto_pool CLEANUP(pool_free)
