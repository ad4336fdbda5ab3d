#define ZLIB_CONST
#include "proto/deflate.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include <zlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/ws_extension.h"

/* What Z_SYNC_FLUSH ends with; RFC 7692 leaves it out on the wire (7.2.1) and
 * puts it back before inflating (7.2.2). */
static const uint8_t flush_tail[] = { 0x00, 0x00, 0xff, 0xff };

enum { TAIL_SIZE = sizeof(flush_tail), BITS_MAX = 15, BITS_MIN = 9 };

/* --- negotiation --- */

/* RFC 7692, section 7.1. */
enum param { SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER, SERVER_BITS, CLIENT_BITS, PARAMS };

static const char *const param_names[PARAMS] = {
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
};

struct offer {
    bool is_acceptable;
    unsigned seen; /* a bit for each param */
    struct deflate_params params;
};

/* "8" to "15", a quoted value may hold escapes; 0 for anything else. */
static uint8_t read_bits(struct str value)
{
    char digits[2];
    size_t len = 0;
    uint64_t bits;

    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] == '\\')
            i++;
        if (len == sizeof(digits))
            return 0;
        digits[len++] = value.at[i];
    }
    if (len == 0 || digits[0] == '0' ||
        str_parse_u64((struct str){ digits, len }, BITS_MAX, &bits) != OK || bits < 8)
        return 0;
    return (uint8_t)bits;
}

static enum param find_param(struct str name)
{
    for (unsigned i = 0; i < PARAMS; i++)
        if (str_equal(name, str_of(param_names[i])))
            return (enum param)i;
    return PARAMS;
}

/* False: this parameter makes the offer one to be declined. */
static bool offer_take(struct offer *o, const struct ws_extension_part *part)
{
    enum param which = find_param(part->name);
    bool has_value = part->value.at != NULL;
    uint8_t bits = has_value ? read_bits(part->value) : BITS_MAX;

    if (which == PARAMS || (o->seen & 1u << which) != 0)
        return false;
    o->seen |= 1u << which;
    switch (which) {
    case SERVER_BITS:
        /* zlib writes no raw stream with a window of 256 bytes. */
        if (!has_value || bits < BITS_MIN)
            return false;
        o->params.server_bits = bits;
        o->params.names_server_bits = true;
        return true;
    case CLIENT_BITS:
        o->params.client_bits = bits;
        o->params.names_client_bits = true;
        return bits != 0;
    default: return !has_value;
    }
}

/* The first acceptable offer of one header line. */
static bool find_offer(struct str line, struct deflate_params *out)
{
    struct ws_extension_walk walk;
    struct ws_extension_part part;
    struct offer offer = { 0 };
    int code;

    ws_extension_walk_init(&walk, line);
    while ((code = ws_extension_next(&walk, &part)) == OK) {
        if (part.is_param) {
            offer.is_acceptable = offer.is_acceptable && offer_take(&offer, &part);
            continue;
        }
        if (offer.is_acceptable)
            break;
        offer = (struct offer){
            .is_acceptable = str_equal(part.name, STR("permessage-deflate")),
            .params = { .server_bits = BITS_MAX, .client_bits = BITS_MAX },
        };
    }
    if (code == FAIL_SYNTAX || !offer.is_acceptable)
        return false;
    *out = offer.params;
    return true;
}

bool deflate_negotiate(const struct http_request *request, struct deflate_params *out)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (ws_extension_is_header(header) && find_offer(header->value, out))
            return true;
    }
    return false;
}

void deflate_answer(const struct deflate_params *params, struct buf *out)
{
    buf_puts(out, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    if (params->names_server_bits)
        buf_printf(out, "; server_max_window_bits=%u", params->server_bits);
    if (params->names_client_bits)
        buf_printf(out, "; client_max_window_bits=%u", params->client_bits);
}

/* --- zlib --- */

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return mem_alloc((size_t)items * size);
}

static void zlib_free(voidpf opaque, voidpf block)
{
    (void)opaque;
    mem_free(block);
}

/* A window that holds the whole message does as well as a larger one, and most
 * messages are a few hundred bytes: clearing tables would cost more than they do. */
static int window_for(size_t len, int bits_max)
{
    enum { LOOKAHEAD = 262 }; /* of the window, zlib's matches do not reach this part */
    int bits = BITS_MIN;

    while (bits < bits_max && ((size_t)1 << bits) < len + LOOKAHEAD)
        bits++;
    return bits;
}

static void deflate_begin(z_stream *z, size_t len, int window_bits)
{
    int bits = window_for(len, window_bits);
    int memory = bits - 6 < 8 ? bits - 6 : 8; /* tables in proportion to the window */

    *z = (z_stream){ .zalloc = zlib_alloc, .zfree = zlib_free };
    int code =
        deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY);
    assert(code == Z_OK);
    (void)code;
}

/* The last bytes of every piece are held back until it is known whether they
 * are the tail. */
static int deflate_run(z_stream *z, struct buf *out)
{
    uint8_t piece[4096];
    size_t held = 0;
    bool is_done = false;

    while (!is_done) {
        z->next_out = piece + held;
        z->avail_out = (uInt)(sizeof(piece) - held);
        deflate(z, Z_SYNC_FLUSH);
        is_done = z->avail_out > 0;
        size_t ready = sizeof(piece) - z->avail_out - TAIL_SIZE;
        if (!buf_append(out, piece, ready))
            return FAIL_LIMIT;
        memmove(piece, piece + ready, TAIL_SIZE);
        held = TAIL_SIZE;
    }
    assert(memcmp(piece, flush_tail, TAIL_SIZE) == 0);
    return OK;
}

int deflate_message(const void *bytes, size_t len, int window_bits, struct buf *out)
{
    z_stream z;

    assert(window_bits >= BITS_MIN && window_bits <= BITS_MAX);
    if (len > UINT_MAX)
        return FAIL_LIMIT;
    if (len == 0) /* RFC 7692, section 7.2.3.6: the header of an empty stored block */
        return buf_putc(out, '\0') ? OK : FAIL_LIMIT;
    deflate_begin(&z, len, window_bits);
    z.next_in = bytes;
    z.avail_in = (uInt)len;
    int code = deflate_run(&z, out);
    deflateEnd(&z);
    return code;
}

/* --- inflating --- */

struct inflater {
    z_stream z;
    bool is_between; /* no byte yet of a DEFLATE stream: the first, or behind BFINAL */
};

struct inflater *inflater_new(void)
{
    struct inflater *i = mem_new(struct inflater);

    i->z.zalloc = zlib_alloc;
    i->z.zfree = zlib_free;
    i->is_between = true;
    int code = inflateInit2(&i->z, -BITS_MAX);
    assert(code == Z_OK);
    (void)code;
    return i;
}

void inflater_free(struct inflater *i)
{
    if (i == NULL)
        return;
    inflateEnd(&i->z);
    mem_free(i);
}

/* Room to inflate into: what is allocated already, or more; 0 when full. */
static size_t make_room(const struct inflater *i, struct buf *out)
{
    enum { ROOM_MIN = 1024, ROOM_MAX = 1 << 30 };
    size_t left = out->max - out->len;
    size_t spare = out->cap > 0 ? out->cap - 1 - out->len : 0;
    size_t room = spare > 0 ? spare : (size_t)i->z.avail_in * 4;

    if (room < ROOM_MIN && spare == 0)
        room = ROOM_MIN;
    if (room > left)
        room = left;
    if (room > ROOM_MAX)
        room = ROOM_MAX;
    return buf_reserve(out, room) != NULL ? room : 0;
}

/* One call of zlib. In a full buffer it gets one byte of room that does not
 * count: only a stream that wants to write there is too long. */
static int inflate_step(struct inflater *i, struct buf *out)
{
    size_t room = make_room(i, out);
    uint8_t excess;

    i->z.next_out = room > 0 ? (Bytef *)out->data + out->len : &excess;
    i->z.avail_out = room > 0 ? (uInt)room : 1;
    int code = inflate(&i->z, Z_SYNC_FLUSH);
    if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)
        return FAIL_SYNTAX;
    if (room == 0 && i->z.avail_out == 0) {
        out->failed = true;
        return FAIL_LIMIT;
    }
    if (room > 0) {
        out->len += room - i->z.avail_out;
        out->data[out->len] = '\0';
    }
    i->is_between = code == Z_STREAM_END;
    /* RFC 7692, section 7.2.3.4: a block with BFINAL may stand in a message;
     * what is behind it begins on a byte, as a stream of its own. */
    if (i->is_between)
        inflateReset(&i->z);
    return OK;
}

static int inflate_all(struct inflater *i, const void *bytes, size_t len, struct buf *out)
{
    i->z.next_in = bytes;
    i->z.avail_in = (uInt)len;
    while (i->z.avail_in > 0) {
        int code;
        do { /* a full output means that there may be more of it */
            code = inflate_step(i, out);
        } while (code == OK && !i->is_between && i->z.avail_out == 0);
        if (code != OK)
            return code;
    }
    return OK;
}

/* The tail must have been what it is meant to be, an empty stored block, and
 * not the rest of something cut off: then zlib is between two blocks, has no
 * bits left over, and wrote nothing. */
static int finish(struct inflater *i, struct buf *out)
{
    enum { LOW_BITS = 0x3f, IN_LAST_BLOCK = 64, BETWEEN_BLOCKS = 128 };
    size_t old_len = out->len;

    int code = inflate_all(i, flush_tail, TAIL_SIZE, out);
    if (code != OK)
        return code;
    int place = i->z.data_type & (LOW_BITS | IN_LAST_BLOCK | BETWEEN_BLOCKS);
    return !i->is_between && place == BETWEEN_BLOCKS && out->len == old_len ? OK : FAIL_SYNTAX;
}

int inflater_feed(struct inflater *i, const void *bytes, size_t len, bool is_last, struct buf *out)
{
    if (out->failed || len > UINT_MAX)
        return FAIL_LIMIT;
    int code = inflate_all(i, bytes, len, out);
    /* A message may also end right behind a BFINAL block, or be no byte long:
     * senders do that, and nothing of it is missing. */
    if (code != OK || !is_last || i->is_between)
        return code;
    return finish(i, out);
}
