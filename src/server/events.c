/*
 * A stream is a reader of its record's transcript. Whenever something may have changed (the record says so,
 * or the client has taken what was sent) it is pumped: messages are made and written until there is none, or
 * until enough waits for the client. So a stream holds one message and a little more, however slow its reader
 * is; and while no reader of a record can take more, its call is left waiting in write(2).
 */

#include "server/events.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/settings.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/json_scan.h"
#include "server/json_write.h"
#include "server/record.h"

enum { UNSENT_MAX = 64 * 1024 };

/* A comment: nothing to the reader, but the connection is seen to live. */
static const char ping[] = ":\n\n";

struct events {
        struct exchange *exchange;
        struct transcript_cursor cursor;
        struct event ping_timer;
        bool has_begun;
        uint64_t looked_us; /* clock_us() when the reader was last measured... */
        size_t untaken;     /* ...and the bytes that it had not taken then */
};

void events_free(struct events *events)
{
        if (!events)
                return;
        event_del(&events->ping_timer);
        free(events);
}

void events_end(struct exchange *exchange)
{
        http_reply_end(exchange->request);
        exchange_free(exchange);
}

/* Something went wrong within the server; the client sees that the stream is cut. */
static void events_break(struct exchange *exchange, int r)
{
        if (!exchange->events->has_begun) {
                events_free(steal(&exchange->events));
                exchange_surprise(exchange, r);
                return;
        }
        error_trace(r);
        http_reply_abort(exchange->request);
        exchange_free(exchange);
}

/* The call has ended, and the reader is behind. */
static bool events_is_late(const struct events *events)
{
        return events->exchange->watcher.is_full && record_has_ended(events->exchange->record);
}

static void events_schedule_ping(struct events *events)
{
        const struct settings *settings = events->exchange->api->settings;
        uint32_t ms = settings->stream_ping_ms;
        struct timeval delay;

        if (events_is_late(events))
                ms = MIN(ms, settings->http_idle_timeout_ms);
        delay = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
        event_add(&events->ping_timer, &delay);
}

static void events_begin(struct events *events)
{
        static const char headers[] = "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
        struct exchange *exchange = events->exchange;
        const struct record *record = exchange->record;
        char lines[768];
        size_t length;

        exchange->times = record->call ? call_times(record->call) : record->end.times;
        exchange_headers(exchange, 0, lines, sizeof lines - sizeof headers);
        length = strlen(lines);
        memcpy(lines + length, headers, sizeof headers);
        http_reply_begin(exchange->request, &(struct http_answer){ .status = 200,
                                                    .content_type = "text/event-stream",
                                                    .extra_headers = lines,
                                                    .probe = ping });
        events->has_begun = true;
}

/* Line breaks outside of strings mean nothing in JSON, and everything in an event stream. */
static void flatten(char *text, size_t length)
{
        for (size_t i = 0; i < length; i++) {
                if (text[i] == '\n' || text[i] == '\r')
                        text[i] = ' ';
        }
}

static int message_open(struct bytes *message, uint64_t id)
{
        return bytes_format(message, "id: %llu\ndata: ", (unsigned long long)id);
}

/* from: where the JSON begins. */
static int message_send(struct events *events, struct bytes *message, size_t from)
{
        int r;

        flatten(message->data + from, message->length - from);
        r = bytes_append_text(message, "\n\n");
        if (r == 0)
                http_reply_write(events->exchange->request, message->data, message->length);
        return r;
}

static int message_write_line(struct bytes *message, const struct transcript_line *line)
{
        struct json_span value;
        const char *type = "text";
        int r;

        r = bytes_append_text(message, "{\"event\":\"log\",\"data\":");
        if (r == 0 && json_check(line->text, line->length, &value, NULL) == 0) {
                type = answer_type(value);
                r = bytes_append(message, value.text, value.length);
        } else if (r == 0) {
                r = json_write_string(message, line->text, line->length);
        }
        if (r == 0)
                r = bytes_format(message, ",\"type\":\"%s\"%s}", type,
                        line->stream == CELL_STDERR ? ",\"stream\":\"stderr\"" : "");
        return r;
}

static int events_send_line(struct events *events, const struct transcript_line *line)
{
        _cleanup_(bytes_deinit) struct bytes message = { .limit = EXCHANGE_BODY_MAX };
        size_t from;
        int r;

        r = message_open(&message, events->cursor.line);
        from = message.length;
        if (r == 0)
                r = message_write_line(&message, line);
        return r == 0 ? message_send(events, &message, from) : r;
}

static int events_send_end(struct events *events)
{
        _cleanup_(bytes_deinit) struct bytes message = { .limit = EXCHANGE_BODY_MAX };
        const struct exchange *exchange = events->exchange;
        const struct record *record = exchange->record;
        const struct answer answer = record_answer(record);
        size_t from;
        int r;

        r = message_open(&message, events->cursor.line + 1);
        from = message.length;
        if (r == 0)
                r = answer_write_event(&message, &answer, exchange->envelope.detail ? ANSWER_USAGE : 0);
        return r == 0 ? message_send(events, &message, from) : r;
}

static void events_look(struct events *events)
{
        events->looked_us = clock_us();
        events->untaken = http_reply_untaken(events->exchange->request);
}

/* Sends what there is, as far as the client can take it. The last message ends the exchange. */
static void events_pump(struct events *events)
{
        struct exchange *exchange = events->exchange;
        struct record *record = exchange->record;
        struct transcript_line line;
        bool is_full;
        int r = 0;

        while (!(is_full = http_reply_unsent(exchange->request) >= UNSENT_MAX) && r == 0 &&
                transcript_next(&record->transcript, &events->cursor, &line))
                r = events_send_line(events, &line);
        if (r == 0 && !is_full && record_has_ended(record)) {
                r = events_send_end(events);
                if (r == 0) {
                        events_end(exchange);
                        return;
                }
        }
        if (r != 0) {
                events_break(exchange, r);
                return;
        }
        record_set_full(record, &exchange->watcher, is_full);
        if (events_is_late(events))
                events_look(events);
        events_schedule_ping(events);
}

static struct events *events_of(struct watcher *watcher)
{
        return container_of(watcher, struct exchange, watcher)->events;
}

static void events_on_progress(struct watcher *watcher)
{
        struct events *events = events_of(watcher);

        if (!events->has_begun)
                events_begin(events);
        events_pump(events);
}

static void events_on_end(struct watcher *watcher)
{
        struct exchange *exchange = container_of(watcher, struct exchange, watcher);

        if (exchange->events->has_begun || exchange->record->has_begun) {
                events_on_progress(watcher);
                return;
        }
        events_free(steal(&exchange->events));
        exchange_answer_record(exchange);
}

static void events_on_drained(struct http_request *request, void *context)
{
        (void)request;
        events_pump(context);
}

/* A reader may take as long as its call. When that has ended, it is measured like that of any answer. */
static bool events_is_stuck(struct events *events)
{
        uint64_t idle_ms = events->exchange->api->settings->http_idle_timeout_ms;
        size_t untaken = http_reply_untaken(events->exchange->request), taken;

        if (!events_is_late(events) || clock_us() - events->looked_us < idle_ms * 1000)
                return false;
        taken = events->untaken - MIN(untaken, events->untaken);
        events_look(events);
        return taken < MAX(idle_ms * HTTP_READER_BYTES_PER_SECOND / 1000, 1u);
}

static void events_on_ping(evutil_socket_t fd, short what, void *context)
{
        struct events *events = context;

        (void)fd, (void)what;
        if (events_is_stuck(events)) {
                events_break(events->exchange, -ETIMEDOUT);
                return;
        }
        if (!events->has_begun)
                events_begin(events);
        if (http_reply_unsent(events->exchange->request) == 0)
                http_reply_write(events->exchange->request, ping, sizeof ping - 1);
        events_schedule_ping(events);
}

/* Past the first messages; fewer, if there are not as many yet. */
static void events_skip(struct events *events, uint64_t skip)
{
        struct transcript_line line;

        while (skip-- > 0 && transcript_next(&events->exchange->record->transcript, &events->cursor, &line))
                ;
}

void events_open(struct exchange *exchange, struct record *record, uint64_t skip, bool now)
{
        struct events *events = calloc(1, sizeof *events);

        if (!events) {
                exchange_surprise(exchange, error_trace(-ENOMEM));
                return;
        }
        *events = (struct events){ .exchange = exchange };
        exchange->events = events;
        exchange->watcher.on_progress = events_on_progress;
        exchange->watcher.on_end = events_on_end;
        exchange_watch_record(exchange, record);
        evtimer_assign(&events->ping_timer, exchange->api->base, events_on_ping, events);
        http_on_drained(exchange->request, events_on_drained, events);
        events_skip(events, skip);
        events_schedule_ping(events);
        if (now || record->state == RECORD_RUNNING)
                events_on_progress(&exchange->watcher);
        else if (record_has_ended(record))
                events_on_end(&exchange->watcher);
}
