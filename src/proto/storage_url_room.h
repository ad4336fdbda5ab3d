/* Pieces that storage_url*.c share; for them alone. `why` gets a clause that names the
 * piece and never has what it says: it may be a secret that was put in the wrong place. */
#ifndef PROTO_STORAGE_URL_ROOM_H
#define PROTO_STORAGE_URL_ROOM_H

#include "proto/storage_url.h"

int storage_url_fail(struct buf *why, const char *text); /* FAIL_SYNTAX */

/* Percent-decoded into `out`, mem_free. */
int storage_url_part(struct str text, char **out, struct buf *why, const char *what);

/* "http://host:port/path" into is_https, host, port, and root. */
int storage_url_endpoint(const char *text, struct storage_url *url, struct buf *why);

/* Host, authority, root and style, from the endpoint or where the provider has its own.
 * `style` is "path", "virtual", or NULL. */
int storage_url_place(struct storage_url *url, const char *style, struct buf *why);

/* Wiped, and freed; NULL is fine. */
void storage_url_wipe(char **secret);

#endif
