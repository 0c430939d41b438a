/* message.c - packets over sockets and the flat form of a spec. Not for their meaning. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "builder/sandbox/message.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

/* What the number of a tree is below, whichever kind it is. */
#define SHARES_OR_TREES_MAX                                                                        \
    (SPAWNER_SHARES_MAX > SANDBOX_TREES_MAX ? SPAWNER_SHARES_MAX : SANDBOX_TREES_MAX)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; Debian 12's headers are older */
#endif

const char *const sandbox_etc_paths[ETC_COUNT] = {
    [ETC_RESOLV_CONF] = "etc/resolv.conf",
    [ETC_HOSTS] = "etc/hosts",
    [ETC_HOSTNAME] = "etc/hostname",
};

union control_buffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
};

int packet_send(int socket, const struct packet *packet, const int *fds, size_t fd_count)
{
    union control_buffer control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = sizeof(*packet)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    if (fd_count > PACKET_FDS_MAX)
        return -E2BIG;
    if (fd_count > 0) {
        struct cmsghdr *header;

        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == sizeof(*packet) ? 0 : -EPROTO;
}

static void take_fds(struct msghdr *message, int *fds, size_t room, size_t *count)
{
    *count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
        size_t n;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
            if (*count < room)
                fds[(*count)++] = fd;
            else
                close(fd);
        }
    }
}

int packet_receive(int socket, struct packet *packet, int *fds, size_t *fd_count)
{
    union control_buffer control;
    struct iovec part = {.iov_base = packet, .iov_len = sizeof(*packet)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    size_t room = fd_count ? *fd_count : 0;
    size_t count = 0;
    ssize_t n;

    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    take_fds(&message, fds, room, &count);
    if (fd_count)
        *fd_count = count;
    if (n == 0)
        return 0;
    if ((size_t)n != sizeof(*packet) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        if (fd_count)
            *fd_count = 0;
        return -EPROTO;
    }
    packet->text[sizeof(packet->text) - 1] = '\0';
    packet->hint[sizeof(packet->hint) - 1] = '\0';
    return 1;
}

int packet_to_error(const struct packet *packet, struct error *err)
{
    error_set(err, packet->code > 0 ? packet->code : EIO, "%s", packet->text);
    if (packet->hint[0] != '\0')
        error_hint(err, "%s", packet->hint);
    return -err->code;
}

void packet_from_error(struct packet *packet, const struct error *err)
{
    memset(packet, 0, sizeof(*packet));
    packet->kind = PACKET_FAILED;
    packet->code = err->code;
    memcpy(packet->text, err->text, sizeof(packet->text));
    memcpy(packet->hint, err->hint, sizeof(packet->hint));
}

/* The flat form: 8-byte little numbers in field order; bytes as their length, the bytes, a NUL. A
 * length of UINT64_MAX is a null pointer. Same machine, same executable: no byte order. */

static void put_number(struct str *out, uint64_t value)
{
    str_add_bytes(out, &value, sizeof(value));
}

static void put_bytes(struct str *out, const void *bytes, size_t size)
{
    if (!bytes) {
        put_number(out, UINT64_MAX);
        return;
    }
    put_number(out, size);
    str_add_bytes(out, bytes, size);
    str_add_char(out, '\0');
}

static void put_text(struct str *out, const char *text)
{
    put_bytes(out, text, text ? strlen(text) : 0);
}

static void put_words(struct str *out, char *const *words)
{
    size_t count = 0;

    while (words && words[count])
        count++;
    put_number(out, count);
    for (size_t i = 0; i < count; i++)
        put_text(out, words[i]);
}

static void put_mount(struct str *out, const struct sandbox_mount *m)
{
    put_number(out, (uint64_t)m->kind);
    put_text(out, m->target);
    put_number(out, m->read_only);
    put_number(out, m->tree);
    put_text(out, m->source);
    put_number(out, m->source_is_file);
    put_number(out, m->has_devices);
    put_number(out, m->size);
    put_number(out, m->mode);
    put_number(out, m->uid);
    put_number(out, m->gid);
    put_bytes(out, m->bytes, m->byte_count);
}

void spec_encode(const struct sandbox_spec *spec, struct str *out)
{
    put_words(out, spec->argv);
    put_words(out, spec->env);
    put_text(out, spec->cwd);
    put_number(out, spec->uid);
    put_number(out, spec->gid);
    put_number(out, spec->group_count);
    for (size_t i = 0; i < spec->group_count; i++)
        put_number(out, spec->groups[i]);
    put_text(out, spec->hostname);
    put_text(out, spec->hosts);
    put_text(out, spec->resolv_conf);
    put_number(out, (uint64_t)spec->network);
    put_number(out, spec->network_optional);
    put_number(out, (uint64_t)spec->security);
    put_number(out, spec->tree_count);
    put_number(out, spec->root_read_only);
    put_number(out, spec->mount_count);
    for (size_t i = 0; i < spec->mount_count; i++)
        put_mount(out, &spec->mounts[i]);
    put_number(out, spec->ulimit_count);
    for (size_t i = 0; i < spec->ulimit_count; i++) {
        put_number(out, (uint64_t)spec->ulimits[i].resource);
        put_number(out, spec->ulimits[i].soft);
        put_number(out, spec->ulimits[i].hard);
    }
    put_number(out, spec->shm_size);
    put_number(out, (uint64_t)spec->input);
    put_number(out, spec->rows);
    put_number(out, spec->columns);
}

struct reader {
    const char *at;
    size_t left;
    bool bad;
};

static uint64_t get_number(struct reader *r, uint64_t max)
{
    uint64_t value;

    if (r->left < sizeof(value)) {
        r->bad = true;
        return 0;
    }
    memcpy(&value, r->at, sizeof(value));
    r->at += sizeof(value);
    r->left -= sizeof(value);
    if (value > max) {
        r->bad = true;
        return 0;
    }
    return value;
}

static const char *get_bytes(struct reader *r, size_t *size)
{
    uint64_t length = get_number(r, UINT64_MAX);
    const char *bytes = r->at;

    *size = 0;
    if (r->bad || length == UINT64_MAX)
        return NULL;
    if (length >= r->left || bytes[length] != '\0') {
        r->bad = true;
        return NULL;
    }
    r->at += length + 1;
    r->left -= length + 1;
    *size = length;
    return bytes;
}

static const char *get_text(struct reader *r)
{
    size_t size;
    const char *text = get_bytes(r, &size);

    if (text && memchr(text, '\0', size))
        r->bad = true;
    return text;
}

/* A count of items that take at least one number each, so it cannot exceed what is left. */
static size_t get_count(struct reader *r)
{
    return (size_t)get_number(r, r->left / sizeof(uint64_t));
}

static void *new_array(struct spec_copy *copy, size_t count, size_t item_size)
{
    void *array = mem_resize(NULL, count, item_size);

    memset(array, 0, count * item_size);
    copy->arrays[copy->array_count++] = array;
    return array;
}

static char **get_words(struct reader *r, struct spec_copy *copy)
{
    size_t count = get_count(r);
    char **words = new_array(copy, count + 1, sizeof(char *));

    for (size_t i = 0; i < count && !r->bad; i++) {
        words[i] = (char *)(uintptr_t)get_text(r);
        if (!words[i])
            r->bad = true;
    }
    return words;
}

static void get_mount(struct reader *r, struct sandbox_mount *m)
{
    m->kind = (enum sandbox_mount_kind)get_number(r, SANDBOX_MOUNT_VOLUME);
    m->target = get_text(r);
    m->read_only = get_number(r, 1) != 0;
    m->tree = (size_t)get_number(r, SHARES_OR_TREES_MAX - 1);
    m->source = get_text(r);
    m->source_is_file = get_number(r, 1) != 0;
    m->has_devices = get_number(r, 1) != 0;
    m->size = get_number(r, UINT64_MAX);
    m->mode = (mode_t)get_number(r, 07777);
    m->uid = (uid_t)get_number(r, UINT32_MAX);
    m->gid = (gid_t)get_number(r, UINT32_MAX);
    m->bytes = get_bytes(r, &m->byte_count);
    if (!m->target)
        r->bad = true;
}

static void get_lists(struct reader *r, struct spec_copy *out)
{
    struct sandbox_mount *mounts;
    struct sandbox_ulimit *ulimits;

    out->spec.mount_count = get_count(r);
    mounts = new_array(out, out->spec.mount_count, sizeof(*mounts));
    for (size_t i = 0; i < out->spec.mount_count && !r->bad; i++)
        get_mount(r, &mounts[i]);
    out->spec.mounts = mounts;
    out->spec.ulimit_count = get_count(r);
    ulimits = new_array(out, out->spec.ulimit_count, sizeof(*ulimits));
    for (size_t i = 0; i < out->spec.ulimit_count && !r->bad; i++) {
        ulimits[i].resource = (int)get_number(r, 64);
        ulimits[i].soft = get_number(r, UINT64_MAX);
        ulimits[i].hard = get_number(r, UINT64_MAX);
    }
    out->spec.ulimits = ulimits;
}

int spec_decode(const void *bytes, size_t size, struct spec_copy *out)
{
    struct reader r = {.at = bytes, .left = size};
    struct sandbox_spec *spec = &out->spec;
    gid_t *groups;

    memset(out, 0, sizeof(*out));
    spec->argv = get_words(&r, out);
    spec->env = get_words(&r, out);
    spec->cwd = get_text(&r);
    spec->uid = (uid_t)get_number(&r, UINT32_MAX);
    spec->gid = (gid_t)get_number(&r, UINT32_MAX);
    spec->group_count = get_count(&r);
    groups = new_array(out, spec->group_count, sizeof(*groups));
    for (size_t i = 0; i < spec->group_count; i++)
        groups[i] = (gid_t)get_number(&r, UINT32_MAX);
    spec->groups = groups;
    spec->hostname = get_text(&r);
    spec->hosts = get_text(&r);
    spec->resolv_conf = get_text(&r);
    spec->network = (enum sandbox_network)get_number(&r, SANDBOX_NETWORK_HOST);
    spec->network_optional = get_number(&r, 1) != 0;
    spec->security = (enum sandbox_security)get_number(&r, SANDBOX_SECURITY_INSECURE);
    spec->tree_count = (size_t)get_number(&r, SANDBOX_TREES_MAX);
    spec->root_read_only = get_number(&r, 1) != 0;
    get_lists(&r, out);
    spec->shm_size = get_number(&r, UINT64_MAX);
    spec->input = (enum sandbox_input)get_number(&r, SANDBOX_INPUT_TERMINAL);
    spec->rows = (uint16_t)get_number(&r, UINT16_MAX);
    spec->columns = (uint16_t)get_number(&r, UINT16_MAX);
    if (!spec->cwd || !spec->hostname || !spec->hosts || !spec->resolv_conf || !spec->argv[0] ||
        spec->tree_count == 0)
        r.bad = true;
    if (r.bad || r.left != 0) {
        spec_copy_release(out);
        return -EPROTO;
    }
    return 0;
}

void volumes_encode(const struct spawner_volume *volumes, size_t count, struct str *out)
{
    put_number(out, count);
    for (size_t i = 0; i < count; i++) {
        put_text(out, volumes[i].source);
        put_number(out, volumes[i].device);
        put_number(out, volumes[i].inode);
    }
}

int volumes_decode(const void *bytes, size_t size, struct volumes_copy *out)
{
    struct reader r = {.at = bytes, .left = size};
    size_t count = (size_t)get_number(&r, SPAWNER_VOLUMES_MAX);

    *out = (struct volumes_copy){.items = mem_alloc((count + 1) * sizeof(*out->items)),
                                 .count = count};
    for (size_t i = 0; i < count && !r.bad; i++) {
        struct spawner_volume *v = &out->items[i];

        v->source = get_text(&r);
        v->device = (dev_t)get_number(&r, UINT64_MAX);
        v->inode = (ino_t)get_number(&r, UINT64_MAX);
        if (v->source == NULL || v->source[0] != '/')
            r.bad = true;
    }
    if (!r.bad && r.left == 0)
        return 0;
    free(out->items);
    *out = (struct volumes_copy){0};
    return -EPROTO;
}

void spec_copy_release(struct spec_copy *copy)
{
    for (size_t i = 0; i < copy->array_count; i++)
        free(copy->arrays[i]);
    memset(copy, 0, sizeof(*copy));
}

int message_memfd(const char *name, const void *bytes, size_t size)
{
    auto_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    int r;

    if (fd < 0 && errno == EINVAL) /* older than 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    r = io_write_full(fd, bytes, size);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return steal_fd(&fd);
}
