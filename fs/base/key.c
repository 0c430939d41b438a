/* key.c - fields of a cache key, hashed and written down. */
#include <string.h>

#include "fs/base/key.h"

#include "fs/base/banned.h"

void key_note(struct key *k, const char *name, const char *value)
{
    str_add(&k->inputs, name);
    if (value != NULL) {
        str_add_char(&k->inputs, '=');
        str_add_escaped(&k->inputs, value, strlen(value));
    }
    str_add_char(&k->inputs, '\n');
}

void key_init(struct key *k, const char *kind)
{
    *k = (struct key){.hasher = hasher_new()};
    key_text(k, "img-step-1", kind);
}

void key_release(struct key *k)
{
    hasher_free(k->hasher);
    str_release(&k->inputs);
    *k = (struct key){0};
}

void key_text(struct key *k, const char *name, const char *value)
{
    hasher_field_text(k->hasher, name, value);
    key_note(k, name, value);
}

void key_digest(struct key *k, const char *name, const struct digest *value)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(value, text);
    hasher_field(k->hasher, name, value->bytes, digest_size(value));
    key_note(k, name, text);
}

void key_number(struct key *k, const char *name, uint64_t value)
{
    auto_free char *text = str_format("%llu", (unsigned long long)value);

    hasher_field_u64(k->hasher, name, value);
    key_note(k, name, text);
}

void key_words(struct key *k, const char *name, const struct strv *words)
{
    key_number(k, name, words->count);
    for (size_t i = 0; i < words->count; i++)
        key_text(k, name, words->items[i]);
}

void key_final(struct key *k, struct digest *out)
{
    hasher_final(k->hasher, out);
}
