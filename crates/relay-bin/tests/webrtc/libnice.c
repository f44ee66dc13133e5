/* Two libnice agents with relay candidates only: `libnice HOST PORT USERNAME PASSWORD`. */

#include <agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 1000
/* So few at a time that no socket buffer overflows: a loss is then the relay's. */
#define WINDOW 16
/* Far beyond what any machine needs: it ends a run that would otherwise wait for ever. */
#define PATIENCE 60

struct peer {
    NiceAgent *agent;
    guint stream;
    gboolean gathered, ready;
};

static GMainLoop *loop;
static struct peer peers[2];
static gboolean seen[MESSAGES];
static int sent, answered, status = 1;

static void fail(const char *what)
{
    printf("failed: %s, after %d answers\n", what, answered);
    g_main_loop_quit(loop);
}

static void say(struct peer *peer, const char *direction, int number)
{
    char text[1200];
    int length = snprintf(text, sizeof text, "%s %d ", direction, number);
    memset(text + length, 'x', number % 1000);
    length += number % 1000;
    if (nice_agent_send(peer->agent, peer->stream, 1, length, text) != length)
        fail("could not send");
}

/* The number of a message that must go in this direction, or -1. */
static int number_of(const char *direction, const char *data, guint length)
{
    char text[1201];
    int number, begin;
    snprintf(text, sizeof text, "%.*s", (int)length, data);
    if (strncmp(text, direction, strlen(direction)) || sscanf(text + strlen(direction), " %d %n", &number, &begin) != 1)
        return -1;
    if (number < 0 || number >= MESSAGES || length != strlen(direction) + begin + number % 1000)
        return -1;
    return number;
}

static void send_window(void)
{
    for (int i = 0; i < WINDOW && sent < MESSAGES; i++)
        say(&peers[0], "there", sent++);
}

static void received(NiceAgent *agent, guint stream, guint component, guint length, gchar *data, gpointer index)
{
    if (GPOINTER_TO_INT(index) == 1) {
        int number = number_of("there", data, length);
        if (number < 0)
            return fail("a message was altered");
        return say(&peers[1], "back", number);
    }
    int number = number_of("back", data, length);
    if (number < 0 || seen[number])
        return fail("an answer was altered or repeated");
    seen[number] = TRUE;
    if (++answered == MESSAGES) {
        status = 0;
        g_main_loop_quit(loop);
    } else if (answered == sent) {
        send_window();
    }
}

static void gathered(NiceAgent *agent, guint stream, gpointer index)
{
    peers[GPOINTER_TO_INT(index)].gathered = TRUE;
    if (!peers[0].gathered || !peers[1].gathered)
        return;
    for (int i = 0; i < 2; i++) {
        gchar *sdp = nice_agent_generate_local_sdp(peers[1 - i].agent);
        nice_agent_parse_remote_sdp(peers[i].agent, sdp);
        g_free(sdp);
    }
}

static void state_changed(NiceAgent *agent, guint stream, guint component, guint state, gpointer index)
{
    if (state == NICE_COMPONENT_STATE_FAILED)
        return fail("ICE failed");
    if (state != NICE_COMPONENT_STATE_READY || peers[GPOINTER_TO_INT(index)].ready)
        return;
    peers[GPOINTER_TO_INT(index)].ready = TRUE;
    if (peers[0].ready && peers[1].ready)
        send_window();
}

static gboolean out_of_patience(gpointer unused)
{
    fail("it takes too long");
    return FALSE;
}

static void closed(GObject *agent, GAsyncResult *result, gpointer left)
{
    if (--*(int *)left == 0)
        g_main_loop_quit(loop);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    loop = g_main_loop_new(NULL, FALSE);
    GMainContext *context = g_main_loop_get_context(loop);
    for (int i = 0; i < 2; i++) {
        struct peer *peer = &peers[i];
        peer->agent = nice_agent_new(context, NICE_COMPATIBILITY_RFC5245);
        g_object_set(peer->agent, "controlling-mode", i == 0, "force-relay", TRUE, "upnp", FALSE, NULL);
        peer->stream = nice_agent_add_stream(peer->agent, 1);
        nice_agent_set_stream_name(peer->agent, peer->stream, "application");
        nice_agent_set_relay_info(peer->agent, peer->stream, 1, argv[1], atoi(argv[2]), argv[3], argv[4], NICE_RELAY_TYPE_TURN_UDP);
        g_signal_connect(peer->agent, "candidate-gathering-done", G_CALLBACK(gathered), GINT_TO_POINTER(i));
        g_signal_connect(peer->agent, "component-state-changed", G_CALLBACK(state_changed), GINT_TO_POINTER(i));
        nice_agent_attach_recv(peer->agent, peer->stream, 1, context, received, GINT_TO_POINTER(i));
    }
    for (int i = 0; i < 2; i++)
        nice_agent_gather_candidates(peers[i].agent, peers[i].stream);
    g_timeout_add_seconds(PATIENCE, out_of_patience, NULL);
    g_main_loop_run(loop);
    if (status == 0)
        printf("%d messages each way\n", MESSAGES);
    /* Gives the allocations back. */
    int left = 2;
    for (int i = 0; i < 2; i++)
        nice_agent_close_async(peers[i].agent, closed, &left);
    g_main_loop_run(loop);
    return status;
}
