/* platform.c - names of platforms and the order in which they may stand in for each other. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/utsname.h>

#include "registry/platform.h"

#include "fs/base/banned.h"

/* What people and kernels call an architecture, and what GOARCH calls it. */
static const struct {
    const char *name;
    const char *architecture;
    const char *variant;
} aliases[] = {
    {"x86_64", "amd64", NULL},
    {"x86-64", "amd64", NULL},
    {"i386", "386", NULL},
    {"i486", "386", NULL},
    {"i586", "386", NULL},
    {"i686", "386", NULL},
    {"aarch64", "arm64", NULL},
    {"arm64e", "arm64", NULL},
    {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},
    {"armv5l", "arm", "v5"},
    {"armv5tel", "arm", "v5"},
    {"armv6l", "arm", "v6"},
    {"armv7l", "arm", "v7"},
    {"armv7", "arm", "v7"},
    {"armv8l", "arm", "v7"},
    {"loongarch64", "loong64", NULL},
    {"ppc64el", "ppc64le", NULL},
    {"mips64el", "mips64le", NULL},
};

static const char *const known_os[] = {
    "linux", "windows", "darwin",    "freebsd", "netbsd", "openbsd", "solaris", "illumos",
    "plan9", "aix",     "dragonfly", "android", "ios",    "js",      "wasip1",  "wasi",
};

static const char *const known_architectures[] = {
    "amd64", "386",    "arm",    "arm64",    "ppc64",   "ppc64le", "s390x",
    "mips",  "mipsle", "mips64", "mips64le", "riscv64", "loong64", "wasm",
};

static void set_text(char **to, const char *text)
{
    char *copy = text ? mem_strdup(text) : NULL;

    free(*to);
    *to = copy;
}

static void lower(char *text)
{
    for (; text && *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
    }
}

static bool is_listed(const char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal(list[i], text))
            return true;
    }
    return false;
}

static bool is_os(const char *text)
{
    return is_listed(known_os, sizeof(known_os) / sizeof(known_os[0]), text);
}

static bool is_architecture(const char *text)
{
    return is_listed(known_architectures,
                     sizeof(known_architectures) / sizeof(known_architectures[0]), text);
}

void platform_normalize(struct platform *p)
{
    lower(p->os);
    lower(p->architecture);
    lower(p->variant);
    if (p->variant && p->variant[0] == '\0')
        set_text(&p->variant, NULL);
    if (text_equal(p->os, "macos"))
        set_text(&p->os, "darwin");
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (!text_equal(p->architecture, aliases[i].name))
            continue;
        set_text(&p->architecture, aliases[i].architecture);
        if (!p->variant)
            set_text(&p->variant, aliases[i].variant);
        break;
    }
    /* "7" is written for "v7" often enough. */
    if (p->variant && p->variant[0] >= '1' && p->variant[0] <= '9') {
        char *variant = str_format("v%s", p->variant);

        free(p->variant);
        p->variant = variant;
    }
    if (text_equal(p->architecture, "arm") && !p->variant)
        set_text(&p->variant, "v7");
    if ((text_equal(p->architecture, "arm64") && text_equal(p->variant, "v8")) ||
        (text_equal(p->architecture, "amd64") && text_equal(p->variant, "v1")))
        set_text(&p->variant, NULL);
}

void platform_host(struct platform *out)
{
    struct utsname name;

    *out = (struct platform){.os = mem_strdup("linux")};
    /* uname(2) fails for a bad address only. */
    (void)uname(&name);
    out->architecture = mem_strdup(name.machine);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* MIPS kernels give both byte orders one name. */
    if (text_equal(name.machine, "mips64") || text_equal(name.machine, "mips"))
        set_text(&out->architecture, text_equal(name.machine, "mips") ? "mipsle" : "mips64le");
#endif
    platform_normalize(out);
}

static bool is_word(const char *text)
{
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return length > 0 && text[length] == '\0';
}

static int fill_from_one_word(const char *word, struct platform *p)
{
    struct platform host;

    platform_host(&host);
    set_text(&p->os, word);
    platform_normalize(p);
    if (is_os(p->os)) {
        set_text(&p->architecture, host.architecture);
        set_text(&p->variant, host.variant);
    } else {
        p->architecture = STEAL(&p->os);
        set_text(&p->os, host.os);
        platform_normalize(p);
    }
    platform_release(&host);
    return is_architecture(p->architecture) ? 0 : -EINVAL;
}

int platform_parse(const char *text, struct platform *out, struct error *err)
{
    auto_platform struct platform p = {0};
    auto_free char *copy = mem_strdup(text);
    char **parts[] = {&p.os, &p.architecture, &p.variant};
    char *word = copy;
    size_t count = 0;

    for (char *next; word; word = next) {
        next = strchr(word, '/');
        if (next)
            *next++ = '\0';
        if (count == 3 || !is_word(word))
            return error_set(err, EINVAL, "'%s' is not a platform (os/architecture[/variant])",
                             text);
        set_text(parts[count++], word);
    }
    if (count == 1 && fill_from_one_word(text, &p) < 0)
        return error_set(err, EINVAL, "'%s' is neither an operating system nor an architecture",
                         text);
    platform_normalize(&p);
    *out = STEAL(&p);
    return 0;
}

void platform_format(const struct platform *p, struct str *out)
{
    str_addf(out, "%s/%s", p->os ? p->os : "unknown",
             p->architecture ? p->architecture : "unknown");
    if (p->variant)
        str_addf(out, "/%s", p->variant);
}

/* The number in "v7"; the baseline of an architecture where none is written; -1 for anything else.
 */
static int variant_level(const struct platform *p)
{
    uint64_t level;

    if (!p->variant)
        return text_equal(p->architecture, "arm64") ? 8
               : text_equal(p->architecture, "arm") ? 7
                                                    : 1;
    if (p->variant[0] != 'v' || !text_to_u64(p->variant + 1, 99, &level))
        return -1;
    return (int)level;
}

int platform_rank(const struct platform *want, const struct platform *have)
{
    int want_level;
    int have_level;

    if (!text_equal(want->os, have->os) || !text_equal(want->architecture, have->architecture))
        return -1;
    if (text_equal(want->variant, have->variant))
        return 0;
    want_level = variant_level(want);
    have_level = variant_level(have);
    if (want_level < 0 || have_level < 0 || have_level > want_level)
        return -1;
    return want_level - have_level;
}

bool platform_equal(const struct platform *a, const struct platform *b)
{
    return text_equal(a->os, b->os) && text_equal(a->architecture, b->architecture) &&
           text_equal(a->variant, b->variant);
}

void platform_copy(struct platform *to, const struct platform *from)
{
    *to = (struct platform){0};
    set_text(&to->os, from->os);
    set_text(&to->architecture, from->architecture);
    set_text(&to->variant, from->variant);
    set_text(&to->os_version, from->os_version);
}

void platform_release(struct platform *p)
{
    free(p->os);
    free(p->architecture);
    free(p->variant);
    free(p->os_version);
    *p = (struct platform){0};
}
