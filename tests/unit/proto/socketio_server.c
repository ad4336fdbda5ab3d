/* The Socket.IO protocol, revision 5: "Exchange protocol". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "proto/socketio_server.h"

enum { MAIN, CUSTOM, LATER };

static const char *const namespaces[] = { "/", "/custom", "/later" };

/* What was said to the client, and what the owner was told, line by line. */
static struct buf said, told;
static struct socketio_server server;

static void on_connect(void *context, unsigned ns, const json_t *auth)
{
    (void)context;
    buf_printf(&told, "connect %u %s\n", ns,
               auth ? json_string_value(json_object_get(auth, "token")) : "-");
    if (ns == LATER)
        return;
    if (ns == CUSTOM && auth == NULL)
        socketio_server_refuse(&server, ns, "{\"message\":\"Not authorized\"}");
    else
        socketio_server_accept(&server, ns, "{\"sid\":\"s\"}");
}

static void on_event(void *context, unsigned ns, const struct socketio_packet *event)
{
    (void)context;
    buf_printf(&told, "event %u %s\n", ns, socketio_event(event));
    if (event->has_id)
        socketio_server_acknowledge(&server, ns, event->id, socketio_arguments(event));
}

static void on_leave(void *context, unsigned ns)
{
    (void)context;
    buf_printf(&told, "leave %u\n", ns);
}

static void on_say(void *context, struct str packet)
{
    (void)context;
    buf_printf(&said, "%.*s\n", STR_ARG(packet));
}

static const struct socketio_rules rules = {
    .namespaces = namespaces,
    .count = 3,
    .bytes_max = 100,
    .connect = on_connect,
    .event = on_event,
    .leave = on_leave,
    .say = on_say,
};

static int begin(void **state)
{
    (void)state;
    buf_init(&said, 4096);
    buf_init(&told, 4096);
    socketio_server_init(&server, &rules, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    socketio_server_deinit(&server);
    buf_deinit(&said);
    buf_deinit(&told);
    return 0;
}

static void takes(const char *message)
{
    assert_int_equal(socketio_server_feed(&server, false, str_of(message)), OK);
}

static void fails(const char *message)
{
    assert_int_not_equal(socketio_server_feed(&server, false, str_of(message)), OK);
}

static void then(const char *to_client, const char *to_owner)
{
    assert_string_equal(buf_text(&said), to_client);
    assert_string_equal(buf_text(&told), to_owner);
    buf_reset(&said);
    buf_reset(&told);
}

static void a_client_comes_in_speaks_and_leaves(void **state)
{
    (void)state;
    assert_false(server.has_joined);
    takes("0");
    then("0{\"sid\":\"s\"}\n", "connect 0 -\n");
    assert_true(server.has_joined);
    takes("2[\"hello\"]");
    then("", "event 0 hello\n");
    takes("1");
    then("", "leave 0\n");
    takes("0");
    then("0{\"sid\":\"s\"}\n", "connect 0 -\n");
}

static void one_connection_carries_several_namespaces(void **state)
{
    (void)state;
    takes("0");
    takes("0/custom,{\"token\":\"abc\"}");
    then("0{\"sid\":\"s\"}\n0/custom,{\"sid\":\"s\"}\n", "connect 0 -\nconnect 1 abc\n");
    takes("1/custom");
    takes("2[\"still here\"]");
    then("", "leave 1\nevent 0 still here\n");
}

static void a_refused_client_may_try_again(void **state)
{
    (void)state;
    takes("0/custom,");
    then("4/custom,{\"message\":\"Not authorized\"}\n", "connect 1 -\n");
    assert_false(server.has_joined);
    takes("0/custom,{\"token\":\"abc\"}");
    then("0/custom,{\"sid\":\"s\"}\n", "connect 1 abc\n");
}

static void an_unknown_namespace_is_refused(void **state)
{
    (void)state;
    takes("0/random");
    then("4/random,{\"message\":\"Invalid namespace\"}\n", "");
    takes("0/custom/");
    then("4/custom/,{\"message\":\"Invalid namespace\"}\n", "");
}

static void the_first_packet_must_be_a_connect(void **state)
{
    (void)state;
    fails("2[\"hello\"]");
    then("", "");
}

static void a_packet_for_a_namespace_that_is_not_joined_ends_it(void **state)
{
    (void)state;
    takes("0");
    fails("2/custom,[\"hello\"]");
    fails("1/custom");
    fails("3/custom,1[]");
    fails("2/random,[\"hello\"]");
}

static void joining_twice_ends_it(void **state)
{
    (void)state;
    takes("0");
    fails("0");
}

static void a_client_refuses_nobody(void **state)
{
    (void)state;
    takes("0");
    fails("4{\"message\":\"no\"}");
}

static void who_is_still_asked_about_may_not_speak(void **state)
{
    (void)state;
    takes("0/later,");
    then("", "connect 2 -\n");
    fails("2/later,[\"hello\"]");
    fails("0/later,");
    socketio_server_accept(&server, LATER, "{\"sid\":\"t\"}");
    then("0/later,{\"sid\":\"t\"}\n", "");
    takes("2/later,[\"hello\"]");
}

static void an_acknowledgement_goes_to_the_one_that_asked(void **state)
{
    (void)state;
    takes("0/custom,{\"token\":\"abc\"}");
    buf_reset(&said);
    takes("2/custom,456[\"m\",1,\"2\"]");
    takes("2/custom,0[\"m\"]");
    assert_string_equal(buf_text(&said), "3/custom,456[1,\"2\"]\n3/custom,0[]\n");
}

static void stray_acknowledgements_are_ignored(void **state)
{
    (void)state;
    takes("0");
    takes("399[]");
    then("0{\"sid\":\"s\"}\n", "connect 0 -\n");
}

static void an_event_is_told_when_its_attachments_are_there(void **state)
{
    (void)state;
    takes("0");
    takes("51-[\"m\",{\"_placeholder\":true,\"num\":0}]");
    then("0{\"sid\":\"s\"}\n", "connect 0 -\n");
    assert_int_equal(socketio_server_feed(&server, true, STR("abc")), OK);
    then("", "event 0 m\n");
}

/* --- revision 4 --- */

static void an_old_client_is_in_the_main_namespace_at_once(void **state)
{
    (void)state;
    socketio_server_welcome_old(&server, MAIN);
    then("0\n", "connect 0 -\n");
    takes("2[\"hello\"]");
    then("", "event 0 hello\n");
}

static void an_old_client_shows_its_token_behind_the_name(void **state)
{
    char text[SOCKETIO_NAMESPACE_MAX * 4];

    (void)state;
    socketio_server_welcome_old(&server, MAIN);
    then("0\n", "connect 0 -\n");
    takes("0/later?a=b&token=x%2Cy");
    then("", "connect 2 x,y\n");
    snprintf(text, sizeof(text), "0/custom?token=%0600d,", 1);
    takes(text);
    assert_int_equal(server.places[CUSTOM], SOCKETIO_JOINED);
}

static void an_old_client_is_told_less(void **state)
{
    (void)state;
    socketio_server_welcome_old(&server, MAIN);
    then("0\n", "connect 0 -\n");
    takes("0/custom?key=abc,");
    takes("0/random?a=b");
    then("4/custom,\"Not authorized\"\n4/random,\"Invalid namespace\"\n", "connect 1 -\n");
    takes("0/later,");
    socketio_server_accept(&server, LATER, "{\"sid\":\"t\"}");
    then("0/later,\n", "connect 2 -\n");
    takes("21[\"back\",2]");
    then("31[2]\n", "event 0 back\n");
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(a_client_comes_in_speaks_and_leaves),
        SERVED(one_connection_carries_several_namespaces),
        SERVED(a_refused_client_may_try_again),
        SERVED(an_unknown_namespace_is_refused),
        SERVED(the_first_packet_must_be_a_connect),
        SERVED(a_packet_for_a_namespace_that_is_not_joined_ends_it),
        SERVED(joining_twice_ends_it),
        SERVED(a_client_refuses_nobody),
        SERVED(who_is_still_asked_about_may_not_speak),
        SERVED(an_acknowledgement_goes_to_the_one_that_asked),
        SERVED(stray_acknowledgements_are_ignored),
        SERVED(an_event_is_told_when_its_attachments_are_there),
        SERVED(an_old_client_is_in_the_main_namespace_at_once),
        SERVED(an_old_client_shows_its_token_behind_the_name),
        SERVED(an_old_client_is_told_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
