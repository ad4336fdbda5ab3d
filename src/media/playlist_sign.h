/* A media playlist for viewers who can open nothing of a bucket but by URLs that are
 * made for them. Pure. */
#ifndef MEDIA_PLAYLIST_SIGN_H
#define MEDIA_PLAYLIST_SIGN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* A master playlist (RFC 8216, 4.3.4): its URIs are those of playlists. */
bool playlist_is_master(struct str text);

/* Puts in place of every URI that names something beside the playlist, of segments and
 * in attributes (EXT-X-MAP), what `sign` appends for its key; others stay as they are.
 * `folder`: the playlist's own key up to its last slash, without it. Fails as `sign`
 * does; FAIL_LIMIT. */
int playlist_sign(struct str text, const char *folder,
                  int (*sign)(void *context, const char *key, struct buf *out), void *context,
                  struct buf *out);

#endif
