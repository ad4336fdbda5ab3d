/* Every limit that a stranger can meet, on one screen. Bytes unless the name
 * says otherwise. Those an operator may change are defaults of `serve`. */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

enum {
    /* Jobs */
    JOB_ID_MAX = 128,
    JOB_TEXT_MAX = 4096,      /* stage, message, error, paths */
    JOB_JSON_MAX = 16 * 1024, /* metadata, result, video info: each */
    JOB_JSON_DEPTH_MAX = 32,
    LEDGER_FINISHED_MAX = 10000, /* finished jobs kept in memory; the rest is in the store */
    LEDGER_JOBS_MAX = 200000,    /* unfinished ones */

    /* HTTP */
    HTTP_HEAD_MAX = 16 * 1024, /* request line and headers */
    HTTP_HEADERS_MAX = 64,     /* fields */
    HTTP_TARGET_MAX = 8 * 1024,
    HTTP_BODY_MAX = 64 * 1024, /* of a JSON request */
    FORM_HEAD_MAX = 8 * 1024,  /* headers of a part of a form */
    FORM_HEADERS_MAX = 16,     /* fields of one */
    FORM_PARTS_MAX = 16,
    HTTP_HEAD_TIMEOUT_MS = 15 * 1000,
    HTTP_BODY_TIMEOUT_MS = 60 * 1000,  /* without a byte */
    HTTP_IDLE_TIMEOUT_MS = 75 * 1000,  /* between requests */
    HTTP_WRITE_TIMEOUT_MS = 60 * 1000, /* a reader that takes nothing */

    /* WebSocket */
    WS_MESSAGE_MAX = 64 * 1024,
    WS_MESSAGES_PER_SECOND = 50,    /* and Pings, of one connection */
    WS_BURST_SECONDS = 4,           /* so many seconds' worth at once, and every subscription */
    WS_DEAD_AFTER_MS = 75 * 1000,   /* silence from it, though pinged at a third of that */
    WS_CLOSE_TIMEOUT_MS = 5 * 1000, /* for the answer to our Close */

    /* Server-sent events, long polls */
    FEED_IGNORED_MAX = 64 * 1024, /* bytes from a client that has nothing more to say */
    POLL_WAIT_MAX_S = 60,

    /* Sessions */
    SESSION_SUBSCRIPTIONS_MAX = 1000,
    SESSION_REPLIES_MAX = 16, /* control replies waiting; more: 1008 */

    /* Engine.IO */
    ENGINE_PING_INTERVAL_MS = 25 * 1000,
    ENGINE_PING_TIMEOUT_MS = 20 * 1000,
    ENGINE_PACKETS_MAX = 65536,            /* in one POST */
    ENGINE_UPGRADE_TIMEOUT_MS = 10 * 1000, /* from the second transport to its use */
    ENGINE_CLOSE_TIMEOUT_MS = 30 * 1000,   /* for the fetching of the last words */
    ENGINE_FAREWELL_MS = 50, /* for a GET sent at the same moment as the client's close */

    /* Socket.IO */
    SOCKETIO_UNSENT_MAX = 512 * 1024,        /* answers that wait for a client to fetch them */
    SOCKETIO_CONNECT_TIMEOUT_MS = 45 * 1000, /* to join a namespace */
    RECOVERY_LIFETIME_MS = 2 * 60 * 1000,    /* a lost connection's rooms are kept for */
    RECOVERY_ROOMS_MAX = 200000,             /* rooms kept, of all connections */
    RECOVERY_CLAIMS_MAX = 20000,             /* clients that wait to be recovered at a node */
    RECOVERY_REFRESH_MS = 30 * 1000,         /* how often a shared Redis is told of them */
    RECOVERY_PATIENCE_MS = 2 * 1000,         /* for what it knows; then a client begins anew */

    /* Sockets */
    CONNECTIONS_PER_ADDRESS_MAX = 1000, /* of others; this machine's own have no limit */
    SOCKET_UNSENT_MAX = 64 * 1024,      /* in the kernel and not sent yet; then it takes no more */

    /* Uploads */
    CHUNKS_MAX = 10000,   /* chunks of one upload */
    PARTIALS_MAX = 10000, /* uploads that are parts of others, at a time: no job bounds them */
    FILE_NAME_MAX = 255,

    /* Downloads */
    DOWNLOADS_WAITING_MAX = 1000, /* jobs at a time of a server that is alone */
};

#endif
