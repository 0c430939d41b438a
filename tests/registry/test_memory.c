/* test_memory.c - the memory of a transfer does not grow with what is transferred. */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/base/digest.h"
#include "registry/client.h"
#include "tests/lib/registry_process.h"
#include "tests/lib/test.h"

#define BLOB_SIZE (256u << 20)
#define MEMORY_MAX_KIB (64 * 1024)

/* Bytes that are made when they are read. */
struct pattern_reader {
    struct reader reader;
    uint64_t at;
};

static void fill(uint64_t at, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++, at++)
        bytes[i] = (unsigned char)((at >> 9) ^ (at * 31));
}

static ssize_t read_pattern(struct reader *r, void *buf, size_t size, struct error *err)
{
    struct pattern_reader *p = (struct pattern_reader *)r;

    (void)err;
    fill(p->at, buf, size);
    p->at += size;
    return (ssize_t)size;
}

static void close_pattern(struct reader *r)
{
    free(r);
}

static int open_pattern(struct body_source *s, uint64_t offset, struct reader **out,
                        struct error *err)
{
    struct pattern_reader *p = mem_new(struct pattern_reader);

    (void)s;
    (void)err;
    p->reader.read = read_pattern;
    p->reader.close = close_pattern;
    p->at = offset;
    *out = &p->reader;
    return 0;
}

static int swallow(struct writer *w, const void *buf, size_t size, struct error *err)
{
    (void)w;
    (void)buf;
    (void)size;
    (void)err;
    return 0;
}

static void digest_pattern(struct digest *out)
{
    auto_hasher struct hasher *h = hasher_new();
    unsigned char chunk[65536];

    for (uint64_t at = 0; at < BLOB_SIZE; at += sizeof(chunk)) {
        fill(at, chunk, sizeof(chunk));
        hasher_update(h, chunk, sizeof(chunk));
    }
    hasher_final(h, out);
}

TEST(memory, a_large_blob_goes_and_comes_in_little_memory)
{
    struct registries_options options = {.authfile = "/dev/null", .config_file = "/dev/null"};
    auto_registries struct registries *all = registries_new(&options);
    auto_registry_process struct registry_process *p = NULL;
    auto_registry struct registry *r = NULL;
    auto_reference struct reference ref = {0};
    auto_free char *name = NULL;
    struct body_source source = {.open = open_pattern};
    struct writer sink = {.write = swallow};
    struct blob_put put = {.source = &source, .size_bytes = BLOB_SIZE};
    struct blob_get get = {.sink = &sink, .size_bytes = BLOB_SIZE};
    enum blob_put_result result;
    struct rusage usage;

    test_need("docker-registry", registry_process_available(),
              "docker-registry, htpasswd and openssl are not all installed");
    digest_pattern(&put.digest);
    get.digest = put.digest;
    p = registry_process_start(NULL);
    name = str_format("%s/me/big", registry_process_host(p));
    check_ok(reference_parse(name, &ref, &test_err));
    check_ok(registry_open(all, &ref, REGISTRY_PUSH, &r, &test_err));
    check_ok(registry_blob_put(r, &put, &result, &test_err));
    check_ok(registry_blob_get(r, &get, &test_err));
    check_ok(getrusage(RUSAGE_SELF, &usage));
    if (usage.ru_maxrss > MEMORY_MAX_KIB)
        check_fail("%ld KiB were used", usage.ru_maxrss);
}
