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

struct pool *pool_new(size_t thread_count); /* threads start with the first job */
/* Queues fn(arg, err). After the first failure, or pool_cancel, queued jobs are dropped. */
void pool_submit(struct pool *p, int (*fn)(void *arg, struct error *err), void *arg);
/* Waits until nothing is queued or running; returns the first failure and clears it. */
int pool_wait(struct pool *p, struct error *err);
void pool_cancel(struct pool *p);
void pool_free(struct pool *p); /* waits for running jobs */
DEFINE_CLEANUP(pool_free, struct pool *)
#define auto_pool CLEANUP(pool_free)
