-- img.db, version 2: what the store knows, apart from the bytes themselves.
--
-- Comments are stripped when this is built in; the rest is compared byte for byte with what a
-- database holds when it is opened, so a changed statement is a new version (user_version) with a
-- migration. STRICT tables: a row of another type cannot be stored. Digests are 32 bytes of sha256 or 64 of sha512.
-- Times are nanoseconds since the epoch, sizes are bytes. Prose about all this is in FORMAT.md.

-- Uncompressed bytes: the file packs/<id as 16 hex digits>.
CREATE TABLE pack (
    id INTEGER PRIMARY KEY, -- random, never 0
    size_bytes INTEGER NOT NULL, -- of the file, exactly
    created_ns INTEGER NOT NULL
) STRICT;

-- Bytes as registries have them: the file blobs/sha256/<hex> or blobs/sha512/<hex>.
CREATE TABLE blob (
    digest BLOB NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL, -- of the file, exactly
    created_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where registries were seen to have a blob, whether or not it is here.
CREATE TABLE blob_origin (
    digest BLOB NOT NULL,
    host TEXT NOT NULL,
    repository TEXT NOT NULL,
    seen_ns INTEGER NOT NULL, -- last pull or push
    PRIMARY KEY (digest, host, repository)
) STRICT, WITHOUT ROWID;

CREATE TABLE layer (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL, -- 1 pulled: its pack is its tar; 2 built: its tar is generated
    diff_id BLOB, -- digest of the tar; NULL until somebody needs it
    tar_size_bytes INTEGER, -- NULL with diff_id
    pack INTEGER REFERENCES pack, -- its own; NULL when it brought no new bytes
    index_id INTEGER NOT NULL UNIQUE, -- the file index/<index_id as 16 hex digits>
    index_size_bytes INTEGER NOT NULL, -- of that file, exactly
    entry_count INTEGER NOT NULL,
    data_bytes INTEGER NOT NULL, -- file content in its own pack
    created_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX layer_by_diff_id ON layer (diff_id);
CREATE INDEX layer_by_pack ON layer (pack);

-- Every pack that the extents of a layer's index point into, its own included.
CREATE TABLE layer_pack (
    layer INTEGER NOT NULL REFERENCES layer ON DELETE CASCADE,
    pack INTEGER NOT NULL REFERENCES pack,
    PRIMARY KEY (layer, pack)
) STRICT, WITHOUT ROWID;
CREATE INDEX layer_pack_by_pack ON layer_pack (pack);

-- Compressed forms of a layer's tar; the rowid tells which came first.
CREATE TABLE layer_blob (
    layer INTEGER NOT NULL REFERENCES layer ON DELETE CASCADE,
    blob BLOB NOT NULL REFERENCES blob,
    format INTEGER NOT NULL, -- 1 not compressed, 2 gzip, 3 zstd
    UNIQUE (layer, blob)
) STRICT;
CREATE INDEX layer_blob_by_blob ON layer_blob (blob);

CREATE TABLE image (
    manifest BLOB NOT NULL PRIMARY KEY REFERENCES blob,
    media_type TEXT NOT NULL, -- of the manifest
    config BLOB NOT NULL REFERENCES blob,
    size_bytes INTEGER NOT NULL, -- as shown to people
    created_ns INTEGER NOT NULL -- when it entered this store
) STRICT, WITHOUT ROWID;
CREATE INDEX image_by_config ON image (config);

CREATE TABLE image_layer (
    image BLOB NOT NULL REFERENCES image ON DELETE CASCADE,
    position INTEGER NOT NULL, -- 0 is the bottom
    layer INTEGER NOT NULL REFERENCES layer,
    PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_by_layer ON image_layer (layer);

-- Names of images.
CREATE TABLE reference (
    name TEXT NOT NULL PRIMARY KEY, -- host/name:tag or host/name@digest
    image BLOB NOT NULL REFERENCES image ON DELETE CASCADE,
    index_digest BLOB, -- multi-platform index it was resolved from; kept if it is a blob here
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL -- when it last came to point at another image
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_by_image ON reference (image);

-- The build cache: what a step with this key gave. Long texts come last: whatever stands after one
-- can only be read past it. (A rowid table, because such rows do not fit into an index.)
CREATE TABLE cache (
    key BLOB NOT NULL PRIMARY KEY, -- digest over everything the result depends on
    parent BLOB, -- key of the step before; may be gone
    layer INTEGER REFERENCES layer ON DELETE CASCADE, -- NULL when it changed no file
    run_ns INTEGER NOT NULL, -- how long the step took
    created_ns INTEGER NOT NULL,
    used_ns INTEGER NOT NULL, -- last use by the clock, for filters by age
    used_order INTEGER NOT NULL, -- last use by count, for who goes first: clocks jump
    use_count INTEGER NOT NULL,
    description TEXT NOT NULL, -- for people
    extra TEXT -- the builder's own
) STRICT;
CREATE INDEX cache_by_layer ON cache (layer);
CREATE INDEX cache_by_use ON cache (used_order);

-- What went into a key, as text for explanations; apart, so that look-ups do not read past it.
CREATE TABLE cache_inputs (
    key BLOB NOT NULL PRIMARY KEY REFERENCES cache ON DELETE CASCADE,
    inputs TEXT NOT NULL
) STRICT;

-- Hashes of a build context's files by their stat data, one opaque value per context.
CREATE TABLE context (
    key TEXT NOT NULL PRIMARY KEY,
    created_ns INTEGER NOT NULL,
    used_ns INTEGER NOT NULL,
    used_order INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

-- File contents that a layer may share instead of storing them again.
CREATE TABLE file (
    digest BLOB NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    pack INTEGER NOT NULL REFERENCES pack ON DELETE CASCADE,
    pack_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX file_by_pack ON file (pack);

-- RUN --mount=type=cache: a named stack of layers, in no image and in no key.
CREATE TABLE cache_mount (
    id BLOB NOT NULL PRIMARY KEY, -- digest of whatever names it
    description TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    used_ns INTEGER NOT NULL,
    used_order INTEGER NOT NULL,
    use_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cache_mount_layer (
    mount BLOB NOT NULL REFERENCES cache_mount ON DELETE CASCADE,
    position INTEGER NOT NULL, -- 0 is the bottom
    layer INTEGER NOT NULL REFERENCES layer,
    PRIMARY KEY (mount, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_mount_layer_by_layer ON cache_mount_layer (layer);

-- Since version 2, and therefore last. XXH3-64 of each 4 MiB of a blob or of a layer's tar, by the
-- digest of the whole, so that a row is true for ever and of use as long as the bytes are here.
CREATE TABLE checksum (
    digest BLOB NOT NULL PRIMARY KEY,
    sums BLOB NOT NULL -- eight bytes each, least significant first; the last block may be short
) STRICT;
