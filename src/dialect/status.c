/* Polls of GET /api/status/{id}: document 002's `data` object and nothing else. */
#include "dialect/dialects.h"

static void render(const struct update *u, struct words *out)
{
    download_data(u, &out->bytes);
    words_end(out);
}

const struct dialect dialect_poll = {
    .name = "poll",
    .index = DIALECT_STATUS,
    .render = render,
};
