/* client.c - which hosts stand behind a repository, and one authorised call to one of them. The
 * calls themselves: fetch.c, download.c, upload.c, referrers.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fs/base/json.h"
#include "fs/base/log.h"
#include "registry/client_internal.h"
#include "registry/secret.h"

#include "fs/base/banned.h"

#define REASON_SIZE_MAX 300u

static struct endpoint *add_endpoint(struct registry *r, const char *location)
{
    struct endpoint *endpoint = array_add(&r->endpoints);
    size_t host_length = strcspn(location, "/");

    endpoint->host = mem_strndup(location, host_length);
    endpoint->repository = mem_strdup(location[host_length] == '/' ? location + host_length + 1
                                                                   : location + host_length);
    return endpoint;
}

static void add_mirrors(struct registry *r, const struct registry_rule *rule,
                        const struct reference *ref)
{
    for (size_t i = 0; i < rule->mirrors.count && r->endpoints.count < ENDPOINTS_MAX - 1; i++) {
        const struct mirror *mirror = &rule->mirrors.items[i];
        auto_free char *location =
            registry_rule_rewrite(rule, mirror->location, ref->host, ref->repository);
        struct endpoint *endpoint = add_endpoint(r, location);

        endpoint->is_mirror = true;
        endpoint->use = mirror->use;
        if (mirror->sends_ns)
            endpoint->ns = r->host;
        if (rule->mirrors_by_digest_only && mirror->use == MIRROR_ALL)
            endpoint->use = MIRROR_DIGEST_ONLY;
    }
}

/* Mirrors and other locations are for reading; a push goes where its name says. */
static int add_endpoints(struct registry *r, const struct reference *ref, struct error *err)
{
    const struct registries_conf *conf;
    const struct registry_rule *rule;
    auto_free char *location = NULL;
    int result = registries_config(r->all, &conf, err);

    if (result < 0)
        return result;
    rule = registries_conf_find(conf, ref->host, ref->repository);
    if (rule && rule->is_blocked)
        return error_set(err, EPERM, "'%s' is blocked in registries.conf", rule->prefix);
    if (rule && r->use == REGISTRY_PULL)
        add_mirrors(r, rule, ref);
    if (rule && rule->location && r->use == REGISTRY_PULL)
        location = registry_rule_rewrite(rule, rule->location, ref->host, ref->repository);
    else
        location = str_format("%s/%s", ref->host, ref->repository);
    add_endpoint(r, location);
    return 0;
}

int registry_open(struct registries *all, const struct reference *ref, enum registry_use use,
                  struct registry **out, struct error *err)
{
    auto_registry struct registry *r = mem_new(struct registry);
    auto_str struct str name = {0};
    int result;

    r->all = all;
    r->use = use;
    pthread_mutex_init(&r->lock, NULL);
    r->host = mem_strdup(ref->host);
    reference_familiar_name(ref, &name);
    r->name = str_take(&name);
    result = add_endpoints(r, ref, err);
    if (result < 0)
        return result;
    *out = STEAL(&r);
    return 0;
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->endpoints.count; i++) {
        free(r->endpoints.items[i].host);
        free(r->endpoints.items[i].repository);
    }
    free(r->endpoints.items);
    free(r->name);
    free(r->host);
    strv_release(&r->warnings);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

const struct endpoint *client_origin(const struct registry *r)
{
    return &r->endpoints.items[r->endpoints.count - 1];
}

static uint32_t endpoint_bit(const struct registry *r, const struct endpoint *endpoint)
{
    return 1u << (endpoint - r->endpoints.items);
}

void client_mark_lying(struct registry *r, const struct endpoint *endpoint)
{
    pthread_mutex_lock(&r->lock);
    r->lying |= endpoint_bit(r, endpoint);
    pthread_mutex_unlock(&r->lock);
}

/* The endpoints worth asking, best first. The registry itself is always among them: when it lies
 * there is nobody left to ask, and it is better to hear what is wrong. */
static size_t choose_endpoints(struct registry *r, bool by_digest, size_t order[ENDPOINTS_MAX])
{
    enum mirror_use unfit = by_digest ? MIRROR_TAG_ONLY : MIRROR_DIGEST_ONLY;
    size_t last = r->endpoints.count - 1;
    size_t count = 0;
    size_t preferred;
    uint32_t lying;

    pthread_mutex_lock(&r->lock);
    preferred = r->preferred;
    lying = r->lying;
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < last; i++) {
        if (r->endpoints.items[i].use == unfit || lying & 1u << i)
            continue;
        order[count++] = i;
        if (i == preferred && count > 1) {
            memmove(order + 1, order, (count - 1) * sizeof(order[0]));
            order[0] = i;
        }
    }
    order[count++] = last;
    return count;
}

int client_try_endpoints(struct registry *r, bool by_digest,
                         int (*attempt)(struct registry *r, const struct endpoint *endpoint,
                                        void *context, struct error *err),
                         void *context, struct error *err)
{
    size_t order[ENDPOINTS_MAX];
    size_t count = choose_endpoints(r, by_digest, order);
    int result = 0;

    for (size_t i = 0; i < count; i++) {
        const struct endpoint *endpoint = &r->endpoints.items[order[i]];

        error_clear(err);
        result = attempt(r, endpoint, context, err);
        if (result >= 0) {
            pthread_mutex_lock(&r->lock);
            r->preferred = order[i];
            pthread_mutex_unlock(&r->lock);
            return result;
        }
        if (result == -ECANCELED)
            break;
        if (i + 1 < count)
            log_debug("registry: mirror '%s': %s", endpoint->host, err->text);
    }
    return result;
}

static void add_scopes(const struct registry *r, const struct call *call, struct strv *out)
{
    strv_addf(out, "repository:%s:%s", call->endpoint->repository,
              r->use == REGISTRY_PUSH ? "pull,push" : "pull");
    if (call->more_scopes != NULL)
        strv_add_all(out, call->more_scopes);
}

static void build_url(const struct call *call, const struct url *origin, struct str *out)
{
    if (call->url) {
        str_add(out, call->url);
        return;
    }
    url_format(origin, out);
    str_addf(out, "v2/%s/%s", call->endpoint->repository, call->path);
    if (call->endpoint->ns)
        url_add_query(out, "ns", call->endpoint->ns);
}

/* RFC 7234 5.5, as distribution-spec uses it: Warning: 299 - "text". Each is shown once. */
static void show_warnings(struct registry *r, const struct endpoint *endpoint,
                          const struct http_response *answer)
{
    for (size_t i = 0; i < answer->headers.count; i++) {
        const char *value = answer->headers.items[i].value;
        auto_str struct str text = {0};
        bool is_new;

        if (!text_equal(answer->headers.items[i].name, "warning") ||
            !text_starts(value, "299 - \"") || strlen(value) > 1000)
            continue;
        str_add_escaped(&text, value + 7, strcspn(value + 7, "\""));
        pthread_mutex_lock(&r->lock);
        is_new = !strv_contains(&r->warnings, str_text(&text));
        if (is_new)
            strv_add(&r->warnings, str_text(&text));
        pthread_mutex_unlock(&r->lock);
        if (is_new)
            log_warn("'%s' says: %s", endpoint->host, str_text(&text));
    }
}

/* Did the endpoint itself answer, or somebody it sent us to? */
static bool answered_itself(const struct http_response *answer, const struct url *origin)
{
    auto_url struct url url = {0};
    struct error ignored;

    return url_parse(answer->url, &url, &ignored) == 0 && url_same_origin(&url, origin);
}

/* One try. Returns 1 when it was refused for want of credentials and another may succeed. */
static int call_once(struct registry *r, struct call *call, const struct url *origin,
                     const struct auth_target *target, bool may_learn, struct http_response *out,
                     struct error *err)
{
    struct auth *auth = registries_auth(r->all);
    auto_secret_str struct str header = {0};
    auto_str struct str text = {0};
    auto_url struct url url = {0};
    int result;

    build_url(call, origin, &text);
    result = url_parse(str_text(&text), &url, err);
    if (result < 0)
        return result;
    /* An upload session on another host is none of our credentials' business (R43). */
    if (url_same_origin(&url, origin))
        result = auth_header(auth, target, &header, err);
    if (result < 0)
        return result == -EACCES ? error_hint(err, "img login %s", call->endpoint->host) : result;
    call->request.url = str_text(&text);
    call->request.authorization = header.size > 0 ? str_text(&header) : NULL;
    result = http_request(registries_http(r->all), &call->request, out, err);
    call->request.url = NULL;
    call->request.authorization = NULL;
    if (result == 0 && out->status == 401 && may_learn && answered_itself(out, origin))
        result = auth_learn(auth, target, out, str_text(&header), err);
    return result;
}

int client_call(struct registry *r, struct call *call, struct http_response *out, struct error *err)
{
    const struct endpoint *endpoint = call->endpoint;
    auto_strv struct strv scopes = {0};
    auto_url struct url origin = {0};
    struct auth_target target = {
        .origin = &origin,
        .host = endpoint->host,
        .repository = endpoint->repository,
        .scopes = &scopes,
    };
    int result;

    result = registries_origin(r->all, endpoint->host, endpoint->repository, &origin, err);
    if (result < 0)
        return result;
    add_scopes(r, call, &scopes);
    result = call_once(r, call, &origin, &target, true, out, err);
    if (result == 1) {
        http_response_release(out);
        result = call_once(r, call, &origin, &target, false, out, err);
    }
    if (result == 0)
        show_warnings(r, endpoint, out);
    return result;
}

/* Detail is anything: a text, or an object that says which tag or digest is meant. */
static void add_detail(const struct json *detail, const char *message, struct str *out)
{
    auto_str struct str text = {0};

    if (json_is_string(detail))
        str_add(&text, json_text(detail));
    else if (json_count(detail) > 0)
        json_write(detail, &text);
    if (text.size == 0 || text.size > REASON_SIZE_MAX || text_equal(str_text(&text), message))
        return;
    str_add(out, " (");
    str_add_escaped(out, text.data, text.size);
    str_add_char(out, ')');
}

/* ": " and the first line of a short text; web pages say nothing that fits one. */
static void add_plain_reason(const struct http_response *answer, struct str *out)
{
    const char *text = str_text(&answer->body);
    size_t length;

    text += strspn(text, " \t\r\n");
    length = strcspn(text, "\r\n");
    if (length == 0 || length > REASON_SIZE_MAX || text[0] == '<' || text[0] == '{')
        return;
    str_add(out, ": ");
    str_add_escaped(out, text, length);
}

/* ": code: message (detail)" of the first error, or the text of a short answer (distribution-spec, "Error
 * Codes"). */
static void add_reason(const struct http_response *answer, struct str *out)
{
    auto_json struct json *document = NULL;
    const struct json *first;
    struct error ignored;
    const char *code;
    const char *message;
    const struct json *detail;

    if (answer->body.size == 0)
        return;
    if (json_parse(answer->body.data, answer->body.size, answer->body.size, "answer", &document,
                   &ignored) < 0) {
        add_plain_reason(answer, out);
        return;
    }
    first = json_at(json_get_array(document, "errors"), 0);
    code = json_get_text(first, "code");
    message = json_get_text(first, "message");
    detail = json_get(first, "detail");
    if (code) {
        str_add(out, ": ");
        str_add_escaped(out, code, strnlen(code, REASON_SIZE_MAX));
    }
    if (message && message[0] != '\0') {
        str_add(out, ": ");
        str_add_escaped(out, message, strnlen(message, REASON_SIZE_MAX));
    }
    if (detail)
        add_detail(detail, message, out);
}

static bool knows_somebody(struct registry *r, const struct endpoint *endpoint)
{
    auto_url struct url origin = {0};
    struct auth_target target = {
        .origin = &origin, .host = endpoint->host, .repository = endpoint->repository};

    return auth_has_credentials(registries_auth(r->all), &target);
}

static int not_admitted(struct registry *r, const struct endpoint *endpoint,
                        const struct http_response *answer, const char *reason, struct error *err)
{
    bool is_known = knows_somebody(r, endpoint);

    if (answer->status == 403)
        (void)error_set(err, EACCES, "'%s' denies access to '%s'%s", endpoint->host,
                        endpoint->repository, reason);
    else if (is_known)
        (void)error_set(err, EACCES,
                        "'%s' refuses access to '%s' with the stored credentials, or there is no "
                        "such repository",
                        endpoint->host, endpoint->repository);
    else
        (void)error_set(err, EACCES, "'%s' wants a login for '%s', or there is no such repository",
                        endpoint->host, endpoint->repository);
    return error_hint(err, "img login %s", endpoint->host);
}

/* "100;w=21600" (draft-ietf-httpapi-ratelimit-headers): how many in how long; and how many are
 * left. */
static void add_rate_limit(const struct http_response *answer, struct str *out)
{
    const char *limit = http_header(answer, "ratelimit-limit");
    const char *left = http_header(answer, "ratelimit-remaining");
    const char *window = limit ? strstr(limit, "w=") : NULL;
    auto_free char *number = limit ? mem_strndup(limit, strcspn(limit, ",; ")) : NULL;
    auto_free char *rest = left ? mem_strndup(left, strcspn(left, ",; ")) : NULL;
    uint64_t count;
    uint64_t seconds;

    if (!number || !text_to_u64(number, UINT32_MAX, &count))
        return;
    str_addf(out, "; its limit is %" PRIu64 " requests", count);
    if (window && sscanf(window, "w=%" SCNu64, &seconds) == 1 && seconds > 0)
        str_addf(out, " in %" PRIu64 " %s", seconds % 3600 == 0 ? seconds / 3600 : seconds,
                 seconds % 3600 == 0 ? "hours" : "seconds");
    if (rest && text_to_u64(rest, UINT32_MAX, &count))
        str_addf(out, ", %" PRIu64 " are left", count);
}

static int too_many(const struct endpoint *endpoint, const struct http_response *answer,
                    const char *reason, struct error *err)
{
    uint64_t after_ms = http_retry_after_ms(answer);
    auto_str struct str limit = {0};

    add_rate_limit(answer, &limit);
    if (after_ms > 0)
        (void)error_set(err, EBUSY, "'%s' answers no more requests for %" PRIu64 " seconds%s%s",
                        endpoint->host, after_ms / 1000, str_text(&limit), reason);
    else
        (void)error_set(err, EBUSY, "'%s' answers no more requests for now%s%s", endpoint->host,
                        str_text(&limit), reason);
    return error_hint(err, "img login %s raises the limit on most registries", endpoint->host);
}

/* A 503 may say when it will be over, and it may be too long to wait. */
static void add_quiet(const struct http_response *answer, struct str *out)
{
    uint64_t after_ms = http_retry_after_ms(answer);

    if (after_ms > 0)
        str_addf(out, " and asks to come again in %" PRIu64 " seconds", after_ms / 1000);
}

int client_refused(struct registry *r, const struct endpoint *endpoint,
                   const struct http_response *answer, const char *what, struct error *err)
{
    auto_str struct str reason = {0};
    auto_str struct str quiet = {0};

    add_reason(answer, &reason);
    switch (answer->status) {
    case 401:
    case 403:
        return not_admitted(r, endpoint, answer, str_text(&reason), err);
    case 404:
        (void)error_set(err, ENOENT, "'%s' has no %s in '%s'%s", endpoint->host, what,
                        endpoint->repository, str_text(&reason));
        return error_hint(err, "are name and tag right? some hide what wants `img login %s` first",
                          endpoint->host);
    case 429:
        return too_many(endpoint, answer, str_text(&reason), err);
    case 407:
        return http_proxy_refused(endpoint->host, answer->status, err);
    default:
        add_quiet(answer, &quiet);
        return error_set(err, EREMOTEIO, "'%s' answers with status %u to %s of '%s'%s%s",
                         endpoint->host, answer->status, what, endpoint->repository,
                         str_text(&quiet), str_text(&reason));
    }
}

int client_next_page(const struct http_response *answer, char **url, struct error *err)
{
    const char *link = http_header(answer, "link");
    auto_free char *target = NULL;
    auto_url struct url base = {0};
    auto_url struct url next = {0};
    struct str text = {0};
    int r;

    *url = NULL;
    if (!link || link[0] != '<' || !strchr(link, '>') || !strcasestr(link, "rel=\"next\""))
        return 0;
    target = mem_strndup(link + 1, strcspn(link + 1, ">"));
    r = url_parse(answer->url, &base, err);
    if (r == 0)
        r = url_resolve(&base, target, &next, err);
    if (r < 0)
        return r;
    if (!url_same_origin(&base, &next))
        return error_set(err, EPROTO, "'%s' continues its list on another host", base.host);
    url_format(&next, &text);
    *url = str_take(&text);
    return 0;
}
