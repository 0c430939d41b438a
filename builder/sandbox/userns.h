/* userns.h - why a host gives no user namespace, one without powers, or no FUSE, and what its
 * administrator can do about it. A build that fails and img doctor say it in these words. */
#pragma once

#include "fs/base/error.h"

/* unshare(CLONE_NEWUSER) failed with `code`. Returns -code, a sentence and a hint in `err`. */
int userns_refused(int code, struct error *err);
/* Opening /dev/fuse failed with `code`, -ENODEV when something else has its name. */
int fuse_refused(int code, struct error *err);
/* The namespace exists but gives no capability: as AppArmor does since Ubuntu 23.10. */
int userns_powerless(int code, struct error *err);
