/* Where a Redis is and how to log in, read from a URL: redis:// for TCP, unix://
 * for a socket. */
#ifndef LIB_ADDRESS_H
#define LIB_ADDRESS_H

enum { ADDRESS_TEXT_MAX = 1024 };

struct address {
    char host[ADDRESS_TEXT_MAX]; /* "" with a path */
    char path[ADDRESS_TEXT_MAX]; /* of a Unix socket, "" with a host */
    char user[ADDRESS_TEXT_MAX]; /* "": none */
    char password[ADDRESS_TEXT_MAX];
    int port;
    int db;
};

/* FAIL_SYNTAX; FAIL_LIMIT when a part is too long; FAIL_UNSUPPORTED for
 * rediss://. */
int address_parse(const char *url, struct address *out);

#endif
