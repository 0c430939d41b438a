/* extract.h - an archive's entries written into a view: what ADD does with a local tar.
 *
 * Parents are resolved inside the view's root and links on the way followed there, the last
 * component never; a hard link must name a file of the view (SECURITY R37). Owners, modes, times and
 * attributes are the archive's unless the options say otherwise.
 */
#pragma once

#include "builder/tree/copy.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

struct view;

/* Below options->destination, which is made if need be. `what` names the archive in messages. */
int extract_archive(struct view *to, struct reader *from, const char *what,
                    const struct copy_options *options, struct error *err);
