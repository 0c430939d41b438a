/* build_metadata.c - see build_metadata.h. */
#include <stdlib.h>
#include <string.h>

#include "builder/image/config.h"
#include "cli/build_metadata.h"
#include "fs/base/json.h"

#include "fs/base/banned.h"

/* docker buildx, "BUILDX_METADATA_PROVENANCE": what is neither of its words is the default there. */
static bool wants_provenance(enum provenance_mode *mode)
{
    const char *value = getenv("BUILDX_METADATA_PROVENANCE");
    bool is_wanted;

    *mode = value != NULL && strcmp(value, "max") == 0 ? PROVENANCE_MAX : PROVENANCE_MIN;
    if (value == NULL || *mode == PROVENANCE_MAX)
        return true;
    return strcmp(value, "disabled") != 0 && (!text_to_bool(value, &is_wanted) || is_wanted);
}

bool build_wants_trace(const struct build_flags *f, const struct build_request *q)
{
    enum provenance_mode ignored;

    return attest_is_wanted(&q->attest) ||
           (f->output.metadata_file != NULL && wants_provenance(&ignored));
}

void build_metadata_put(const struct build_done *done, bool is_several, struct json *document)
{
    struct provenance_choice how = {.version = PROVENANCE_V1};
    const struct image *image = &done->result->image;
    auto_str struct str key = {0};

    if (!wants_provenance(&how.mode))
        return;
    str_add(&key, "buildx.build.provenance");
    if (is_several) {
        auto_platform struct platform platform = {0};

        config_platform(image->config, &platform);
        platform_normalize(&platform);
        str_add_char(&key, '/');
        platform_format(&platform, &key);
    }
    json_put(document, str_text(&key), build_provenance(done, &how, NULL));
}
