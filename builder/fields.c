/* fields.c - splits the values of --output, --cache-from and --cache-to. */
#include <errno.h>
#include <string.h>

#include "builder/fields.h"

#include "fs/base/banned.h"

int fields_split(const char *text, const char *what, struct strv *out, struct error *err)
{
    const char *at = text;

    for (;;) {
        struct str field = {0};
        bool is_quoted = *at == '"';

        for (at += is_quoted; *at != '\0' && (is_quoted || *at != ','); at++) {
            if (is_quoted && *at == '"' && *++at != '"')
                break;
            str_add_char(&field, *at);
        }
        strv_take(out, str_take(&field));
        if (*at == '\0')
            return is_quoted && at[-1] != '"'
                       ? error_set(err, EINVAL, "invalid %s '%s': a quote is not closed", what,
                                   text)
                       : 0;
        if (*at++ != ',')
            return error_set(err, EINVAL, "invalid %s '%s': text follows a quote", what, text);
    }
}

const char *fields_value(const char *field, const char *key)
{
    size_t size = strlen(key);

    if (strncmp(field, key, size) != 0 || (field[size] != '=' && field[size] != '\0'))
        return NULL;
    return field[size] == '=' ? field + size + 1 : "";
}

int fields_bool(const char *key, const char *value, bool *out, struct error *err)
{
    if (*value == '\0') {
        *out = true;
        return 0;
    }
    if (text_to_bool(value, out))
        return 0;
    return error_set(err, EINVAL, "%s is true or false, not '%s'", key, value);
}
