/* test_message.c - specs survive the trip, damaged ones are refused, descriptors do not leak. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "builder/sandbox/message.h"
#include "tests/lib/test.h"

static char *const argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                             (char *)(uintptr_t) "", NULL};
static char *const env[] = {(char *)(uintptr_t) "PATH=/bin", NULL};
static const gid_t groups[] = {4, 27, 65535};
static const struct sandbox_mount mounts[] = {
    {.kind = SANDBOX_MOUNT_TREE, .target = "/src", .tree = 1, .source = "/a", .read_only = true},
    {.kind = SANDBOX_MOUNT_FILE,
     .target = "/run/secrets/x",
     .bytes = "a\0b",
     .byte_count = 3,
     .mode = 0400,
     .uid = 5,
     .gid = 6},
    {.kind = SANDBOX_MOUNT_SHARED, .target = "/c", .tree = 63, .source = "/content"},
    {.kind = SANDBOX_MOUNT_TMPFS, .target = "/t", .size = UINT64_C(1) << 40},
    {.kind = SANDBOX_MOUNT_VOLUME, .target = "/dev/x", .tree = 31, .has_devices = true},
};
static const struct sandbox_ulimit ulimits[] = {
    {.resource = RLIMIT_NOFILE, .soft = 1, .hard = UINT64_MAX}};

static const struct sandbox_spec sample = {
    .argv = argv,
    .env = env,
    .cwd = "/w",
    .uid = 1000,
    .gid = 100,
    .groups = groups,
    .group_count = 3,
    .hostname = "h",
    .hosts = "127.0.0.1 localhost\n",
    .resolv_conf = "",
    .network = SANDBOX_NETWORK_HOST,
    .network_optional = true,
    .security = SANDBOX_SECURITY_INSECURE,
    .tree_count = 2,
    .root_read_only = true,
    .mounts = mounts,
    .mount_count = 5,
    .ulimits = ulimits,
    .ulimit_count = 1,
    .shm_size = 12345,
    .input = SANDBOX_INPUT_TERMINAL,
    .rows = 24,
    .columns = 80,
};

TEST(message, a_spec_arrives_as_it_was_sent)
{
    auto_str struct str bytes = {0};
    auto_str struct str again = {0};
    auto_spec_copy struct spec_copy copy = {0};

    spec_encode(&sample, &bytes);
    check_ok(spec_decode(bytes.data, bytes.size, &copy));
    check_text(copy.spec.argv[2], "");
    check_text(copy.spec.argv[3], NULL);
    check_text(copy.spec.env[0], "PATH=/bin");
    check_int(copy.spec.uid, 1000);
    check_int(copy.spec.groups[2], 65535);
    check_int(copy.spec.network, SANDBOX_NETWORK_HOST);
    check_int(copy.spec.security, SANDBOX_SECURITY_INSECURE);
    check_true(copy.spec.network_optional);
    check_bytes(copy.spec.mounts[1].bytes, copy.spec.mounts[1].byte_count, "a\0b", 3);
    check_text(copy.spec.mounts[1].source, NULL);
    check_true(copy.spec.mounts[4].has_devices && !copy.spec.mounts[3].has_devices);
    check_int(copy.spec.ulimits[0].hard == UINT64_MAX, 1);
    spec_encode(&copy.spec, &again);
    check_bytes(again.data, again.size, bytes.data, bytes.size);
}

TEST(message, a_spec_cut_anywhere_is_refused)
{
    auto_str struct str bytes = {0};

    spec_encode(&sample, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        struct spec_copy copy;
        auto_free char *cut = mem_dup(bytes.data, size ? size : 1);

        check_fails(spec_decode(cut, size, &copy), EPROTO);
    }
}

/* Each byte changed: either refused, or something whose every field can be read. */
TEST(message, a_damaged_spec_is_read_within_its_bounds)
{
    auto_str struct str bytes = {0};

    spec_encode(&sample, &bytes);
    for (size_t at = 0; at < bytes.size; at++) {
        for (unsigned change = 1; change < 256; change += 51) {
            auto_free char *damaged = mem_dup(bytes.data, bytes.size);
            auto_spec_copy struct spec_copy copy = {0};
            auto_str struct str again = {0};

            damaged[at] = (char)(damaged[at] ^ (char)change);
            if (spec_decode(damaged, bytes.size, &copy) == 0)
                spec_encode(&copy.spec, &again);
        }
    }
}

TEST(message, an_unknown_mode_is_refused)
{
    auto_str struct str bytes = {0};
    struct sandbox_spec bad = sample;
    struct spec_copy copy;

    bad.security = (enum sandbox_security)3;
    spec_encode(&bad, &bytes);
    check_fails(spec_decode(bytes.data, bytes.size, &copy), EPROTO);
    str_truncate(&bytes, 0);
    bad = sample;
    bad.network = (enum sandbox_network)3;
    spec_encode(&bad, &bytes);
    check_fails(spec_decode(bytes.data, bytes.size, &copy), EPROTO);
}

static const struct spawner_volume volumes[] = {
    {.source = "/home/a", .device = 7, .inode = UINT64_C(1) << 40},
    {.source = "/b", .device = 8, .inode = 1},
};

TEST(message, volumes_arrive_as_they_were_sent)
{
    auto_str struct str bytes = {0};
    struct volumes_copy copy;

    volumes_encode(volumes, 2, &bytes);
    check_ok(volumes_decode(bytes.data, bytes.size, &copy));
    check_int(copy.count, 2);
    check_text(copy.items[0].source, "/home/a");
    check_int(copy.items[0].device, 7);
    check_true(copy.items[0].inode == UINT64_C(1) << 40);
    check_text(copy.items[1].source, "/b");
    free(copy.items);
    str_truncate(&bytes, 0);
    volumes_encode(NULL, 0, &bytes);
    check_ok(volumes_decode(bytes.data, bytes.size, &copy));
    check_int(copy.count, 0);
    free(copy.items);
}

TEST(message, damaged_volumes_are_refused)
{
    static const struct spawner_volume relative = {.source = "home"};
    struct spawner_volume many[SPAWNER_VOLUMES_MAX + 1];
    auto_str struct str bytes = {0};
    struct volumes_copy copy;

    volumes_encode(volumes, 2, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        auto_free char *cut = mem_dup(bytes.data, size ? size : 1);

        check_fails(volumes_decode(cut, size, &copy), EPROTO);
    }
    str_truncate(&bytes, 0);
    volumes_encode(&relative, 1, &bytes);
    check_fails(volumes_decode(bytes.data, bytes.size, &copy), EPROTO);
    for (size_t i = 0; i < SPAWNER_VOLUMES_MAX + 1; i++)
        many[i] = volumes[0];
    str_truncate(&bytes, 0);
    volumes_encode(many, SPAWNER_VOLUMES_MAX + 1, &bytes);
    check_fails(volumes_decode(bytes.data, bytes.size, &copy), EPROTO);
}

static size_t open_fds(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

TEST(message, descriptors_travel_and_surplus_ones_are_closed)
{
    struct packet packet = {.kind = PACKET_START};
    size_t before = open_fds();
    int fds[3];
    size_t count = 2;
    int sockets[2];

    check_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
    check_ok(packet_send(sockets[0], &packet, (const int[]){0, 1, 2}, 3));
    check_int(packet_receive(sockets[1], &packet, fds, &count), 1);
    check_int(count, 2);
    check_true((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    close(fds[0]);
    close(fds[1]);
    check_int(open_fds(), before + 2);
    close(sockets[0]);
    check_int(packet_receive(sockets[1], &packet, NULL, NULL), 0);
    close(sockets[1]);
}

/* A child that was taken over may leave out what ends a text. */
TEST(message, a_text_without_an_end_is_given_one)
{
    struct packet packet = {.kind = PACKET_FAILED, .code = EIO};
    struct packet received;
    int sockets[2];

    memset(packet.text, 't', sizeof(packet.text));
    memset(packet.hint, 'h', sizeof(packet.hint));
    check_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
    check_ok(packet_send(sockets[0], &packet, NULL, 0));
    check_int(packet_receive(sockets[1], &received, NULL, NULL), 1);
    check_int(strnlen(received.text, sizeof(received.text)), sizeof(received.text) - 1);
    check_int(strnlen(received.hint, sizeof(received.hint)), sizeof(received.hint) - 1);
    close(sockets[0]);
    close(sockets[1]);
}

TEST(message, a_packet_of_another_size_is_refused_with_its_descriptors)
{
    struct packet packet;
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int fds[2];
    size_t count = 2;
    size_t before;
    int sockets[2];
    int zero = 0;

    check_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &zero, sizeof(zero));
    before = open_fds();
    check_int(sendmsg(sockets[0], &message, 0), 1);
    check_fails(packet_receive(sockets[1], &packet, fds, &count), EPROTO);
    check_int(count, 0);
    check_int(open_fds(), before);
    close(sockets[0]);
    close(sockets[1]);
}
