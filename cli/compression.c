/* compression.c - words to export options. */
#include "cli/compression.h"

#include "fs/base/banned.h"

int compression_parse(const struct compression_flags *f, struct export_options *out,
                      struct error *err)
{
    int r = export_format_parse(f->format, &out->format, err);

    if (r == 0)
        r = export_level_parse(f->level, out->format, &out->level, err);
    out->force = f->force;
    return r;
}
