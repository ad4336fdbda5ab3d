/* What is told of a job: the body of a webhook and its id. Pure; any thread. */
#ifndef HOOKS_EVENT_H
#define HOOKS_EVENT_H

#include "core/hook.h"

/* Fills in the message's id, the same whoever asks for the same event, and the body:
 * {"type","timestamp","data"}. */
void hook_event_write(const struct update *u, void (*data)(const struct update *u, struct buf *out),
                      struct hook_event *event);

/* A URL as people may see it: without login and query. */
void hook_url_show(const char *url, struct buf *out);

/* http or https, and a host. */
bool hook_url_is_valid(const char *url);

#endif
