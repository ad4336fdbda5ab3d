/* What a job is: its kinds, its states and the moves between them, as tables.
 * Pure; any thread.
 *
 *                 +------------------ retry ------------------+
 *                 v                                           |
 *   (new) --> queued --> processing --> completed           failed
 *                 |          |  ^--- next stage
 *                 |          +--------------------------> failed, cancelled
 *                 +---------> completed, failed, cancelled
 *
 * completed and cancelled are the end; failed is too, except for a retry,
 * which only the owner's own request makes (an upload assembled again). */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include <stdbool.h>

#include "base/str.h"

enum job_state { JOB_QUEUED, JOB_PROCESSING, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED, JOB_STATES };

enum job_kind {
    JOB_EXTERNAL, /* reported by somebody else's worker */
    JOB_UPLOAD,   /* assembled and converted here */
    JOB_DOWNLOAD, /* fetched and converted here */
    JOB_KINDS
};

const char *job_state_name(enum job_state state);          /* "queued", ... */
const char *job_kind_name(enum job_kind kind);             /* "external", ... */
int job_state_parse(struct str name, enum job_state *out); /* FAIL_SYNTAX */
int job_kind_parse(struct str name, enum job_kind *out);   /* FAIL_SYNTAX */

bool job_is_final(enum job_state state);

/* Whether an ordinary update may take a job from one state to the other.
 * Staying in a state that is not final is a move. */
bool job_may_move(enum job_state from, enum job_state to);

/* failed -> queued: a new attempt. */
bool job_may_retry(enum job_state from);

/* 1 to JOB_ID_MAX characters: letters, digits and - _ . : ~ @ + = , ! $, not
 * beginning with a dot (an id may become a folder's name). */
bool job_id_is_valid(struct str id);

/* A canonical decimal integer up to 2^53-1: what `stream` shows as a number. */
bool job_id_is_number(const char *id);

#endif
