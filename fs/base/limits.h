/* limits.h - every cap on what comes from outside, each with its reason.
 *
 * A cap is checked before anything of that size is allocated or looped over (SECURITY R33-R40,
 * R57).
 */
#pragma once

#define LIMIT_MANIFEST_SIZE (4u << 20)     /* distribution-spec: registries must take 4 MiB */
#define LIMIT_INDEX_DEPTH 4                /* of an index in an index; real ones have two */
#define LIMIT_CONFIG_SIZE (8u << 20)       /* R35 */
#define LIMIT_JSON_DEPTH 32                /* R35; real documents nest five deep */
#define LIMIT_JSON_VALUES 131072u          /* R35: parsed, one takes up to 240 bytes */
#define LIMIT_IMAGE_LAYERS 1024            /* R35; overlay builders stop at 127 */
#define LIMIT_INDEX_ENTRIES 10000u         /* R35; what 4 MiB of descriptors can hold at most */
#define LIMIT_LAYER_ENTRIES 2000000u       /* R40 */
#define LIMIT_LAYER_SIZE (1ull << 40)      /* R40: 1 TiB of tar */
#define LIMIT_INFLATE_RATIO 1000u          /* R40: after the first LIMIT_INFLATE_FREE bytes */
#define LIMIT_INFLATE_FREE (64ull << 20)   /* R40 */
#define LIMIT_ZSTD_WINDOW_LOG 27           /* R40: 128 MiB, what zstd --long makes */
#define LIMIT_PATH_SIZE 4096u              /* PATH_MAX */
#define LIMIT_PATH_DEPTH 256u              /* R40 */
#define LIMIT_NAME_SIZE 255u               /* NAME_MAX */
#define LIMIT_PAX_SIZE (1u << 20)          /* R39: all pax records of one entry */
#define LIMIT_XATTR_SIZE (64u << 10)       /* xattr(7): one value */
#define LIMIT_XATTRS_SIZE (256u << 10)     /* all of one entry */
#define LIMIT_SYMLINKS 40                  /* path_resolution(7) */
#define LIMIT_PACKAGE_DATABASE (64u << 20) /* dpkg's is below 10 MiB where 5000 are installed */
#define LIMIT_PACKAGE_FILE (1u << 20)      /* METADATA or package.json of one */
#define LIMIT_PACKAGE_WORD 1024            /* a name, a version, a licence */
#define LIMIT_PACKAGES 200000u             /* in one image */
#define LIMIT_DOCKERFILE_SIZE (16u << 20)  /* generous; heredocs carry files */
#define LIMIT_DOCKERFILE_LINE 65535u       /* BuildKit's */
#define LIMIT_DOCKERFILE_STEPS 200000u     /* instructions; each costs some 600 bytes */
#define LIMIT_STAGE_ENTRIES 1000000u       /* copied from stage to stage, 500 bytes each */
#define LIMIT_INSTRUCTION_SIZE (1u << 20)  /* one joined line; the kernel takes 128 KiB a word */
#define LIMIT_EXPANSION_SIZE (1u << 20)    /* R57 */
#define LIMIT_IGNORE_SIZE (1u << 20)       /* an ignore file; a line each for 20,000 paths */
#define LIMIT_DOWNLOAD_SIZE (256ull << 30) /* of one ADD <url>; the disk ends most before */
#define LIMIT_GIT_OUTPUT_SIZE (64u << 20)  /* a list of refs or of a tree's entries */
#define LIMIT_SUBMODULES 1000u             /* of one repository, those of its submodules included */
#define LIMIT_SUBMODULE_DEPTH 16u          /* one inside the other */
#define LIMIT_PASSWD_SIZE (10u << 20)      /* R10 */
#define LIMIT_HTTP_HEADER_SIZE (256u << 10) /* R46 */

/* R40: what the index of one layer may hold. */
#define LIMIT_LAYER_STRINGS_SIZE (128u << 20) /* names, link targets, xattrs; 2M entries need 60M */
#define LIMIT_LAYER_EXTENTS 8000000u          /* as many 4 KiB writes as 30 GB hold */
#define LIMIT_LAYER_PACKS 65535u              /* 16 bits in the file */
