/* The one domain of errors. A function that can fail returns OK or a negative
 * FAIL_*; the file that calls a library translates that library's codes here.
 * Out-parameters are untouched on failure. To add one: a line in FAIL_MAP. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define FAIL_MAP(X)                                                                                \
    X(1, NOMEM, "out of memory")                                                                   \
    X(2, IO, "input or output failed")                                                             \
    X(3, LIMIT, "over a limit")                                                                    \
    X(4, SYNTAX, "malformed")                                                                      \
    X(5, DENIED, "not allowed")                                                                    \
    X(6, MISSING, "not found")                                                                     \
    X(7, STATE, "not possible in this state")                                                      \
    X(8, TIMEOUT, "took too long")                                                                 \
    X(9, CANCELLED, "cancelled")                                                                   \
    X(10, EXISTS, "already there")                                                                 \
    X(11, FULL, "no space left")                                                                   \
    X(12, CLOSED, "the other side is gone")                                                        \
    X(13, UNSUPPORTED, "not supported")                                                            \
    X(14, STALE, "another has taken over")                                                         \
    X(15, UNTRUSTED, "its certificate is not trusted")

enum {
    OK = 0,
#define X(number, name, text) FAIL_##name = -(number),
    FAIL_MAP(X)
#undef X
};

/* "LIMIT" for FAIL_LIMIT, "OK" for 0, "UNKNOWN" for anything else. */
const char *fail_name(int code);

/* One clause of English for people, static. */
const char *fail_text(int code);

/* The FAIL_* nearest to a positive errno value. */
int fail_from_errno(int errno_value);

#endif
