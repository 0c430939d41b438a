/* compression.h - how layers are compressed, as the options of several commands say it. */
#pragma once

#include <stdbool.h>

#include "builder/image/export.h"
#include "cli/options.h"
#include "fs/base/error.h"

struct compression_flags {
    const char *format;
    const char *level;
    bool force;
};

/* Rows of an option table; `type` is the struct of the command's options, `field` its
 * compression_flags. */
#define COMPRESSION_OPTIONS(type, field)                                                           \
    {.name = "compression",                                                                        \
     .kind = OPTION_TEXT,                                                                          \
     .offset = offsetof(type, field.format),                                                       \
     .argument = "gzip|zstd|uncompressed",                                                         \
     .help = "form of layers that have none yet (default gzip)"},                                  \
        {.name = "compression-format",                                                             \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, field.format),                                                   \
         .argument = "gzip|zstd|uncompressed"},                                                    \
        {.name = "compression-level",                                                              \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, field.level),                                                    \
         .argument = "N",                                                                          \
         .help = "gzip 0-9 or zstd 0-22 (default 6, the fastest there is after 16 MiB, and 3)"},   \
    {                                                                                              \
        .name = "force-compression", .offset = offsetof(type, field.force),                        \
        .help = "compress again layers that have another form"                                     \
    }

int compression_parse(const struct compression_flags *f, struct export_options *out,
                      struct error *err);
