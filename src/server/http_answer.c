/*
 * The writing half of the HTTP server: answers, and readers that are too slow for theirs. Run by the server,
 * from its loop or from whoever answers a request. http.c has the theory of operation.
 */

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macros.h"
#include "server/http_connection.h"

static const struct {
        int status;
        const char *reason;
} reasons[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
};

static const char *reason_find(int status)
{
        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
                if (reasons[i].status == status)
                        return reasons[i].reason;
        }
        return "Unknown";
}

/* Bytes of answers that the client's kernel has not acknowledged, in our buffers and in our kernel's. */
static size_t unsent_bytes(const struct connection *connection)
{
        size_t unsent = evbuffer_get_length(bufferevent_get_output(connection->socket));
        int queued = 0;

        if (ioctl(bufferevent_getfd(connection->socket), SIOCOUTQ, &queued) == 0 && queued > 0)
                unsent += (size_t)queued;
        return unsent;
}

void http_answer_output(struct connection *connection)
{
        if (evbuffer_get_length(bufferevent_get_output(connection->socket)) == 0)
                connection_answered(connection);
}

void http_answer_measure(struct connection *connection)
{
        uint64_t least =
                (uint64_t)connection->server->limits.idle_timeout_ms * HTTP_READER_BYTES_PER_SECOND / 1000;
        size_t unsent = unsent_bytes(connection);

        if (evbuffer_get_length(bufferevent_get_output(connection->socket)) == 0) {
                connection_answered(connection);
                return;
        }
        if (connection->unsent - MIN(unsent, connection->unsent) < MAX(least, 1U)) {
                connection_abort(connection);
                return;
        }
        connection->unsent = unsent;
        connection_set_timer(connection);
}

static bool is_head(const struct http_request *request)
{
        return request->head.method && strcmp(request->head.method, "HEAD") == 0;
}

/* RFC 9110 8.6, RFC 9112 6.1: neither Content-Length nor Transfer-Encoding. */
static bool is_bare(const struct http_answer *answer)
{
        return answer->status == 204 || answer->status == 304;
}

static int head_write(struct connection *connection, const struct http_answer *answer,
        enum http_coding coding, size_t length)
{
        struct evbuffer *output = bufferevent_get_output(connection->socket);
        time_t now = time(NULL);
        char date[64];
        struct tm utc;
        int r;

        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
        r = evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n%s",
                answer->status, reason_find(answer->status), date, connection->request.id,
                answer->extra_headers ? answer->extra_headers : "");
        if (r >= 0 && answer->content_type)
                r = evbuffer_add_printf(output, "Content-Type: %s\r\n", answer->content_type);
        if (r >= 0 && coding == CODING_LENGTH)
                r = evbuffer_add_printf(output, "Content-Length: %zu\r\n", length);
        if (r >= 0 && coding == CODING_CHUNKED)
                r = evbuffer_add_printf(output, "Transfer-Encoding: chunked\r\n");
        if (r >= 0)
                r = evbuffer_add_printf(
                        output, "Connection: %s\r\n\r\n", connection->closes ? "close" : "keep-alive");
        return r < 0 ? -ENOMEM : 0;
}

static int answer_write(struct connection *connection, const struct http_answer *answer)
{
        enum http_coding coding = is_bare(answer) ? CODING_NO_BODY : CODING_LENGTH;
        size_t length = answer->content_type && coding == CODING_LENGTH ? answer->body_length : 0;
        int r = head_write(connection, answer, coding, length);

        if (r < 0 || length == 0 || is_head(&connection->request))
                return r;
        r = evbuffer_add(bufferevent_get_output(connection->socket), answer->body, length);
        return r < 0 ? -ENOMEM : 0;
}

/* Nothing more will be written: the request ends, and its answer drains. */
static void answer_end(struct connection *connection)
{
        http_watch_remove(connection);
        http_request_deinit(&connection->request);
        connection->scan = (struct http_scan){ 0 };
        connection->unsent = unsent_bytes(connection);
        connection_enter(connection, ANSWER);
        /* A stream may have drained before. Then no output will tell, so the timer does. */
        if (evbuffer_get_length(bufferevent_get_output(connection->socket)) == 0)
                event_active(&connection->timer, EV_TIMEOUT, 0);
}

void http_answer_send(struct connection *connection, const struct http_answer *answer)
{
        if (answer_write(connection, answer) < 0)
                connection_abort(connection);
        else
                answer_end(connection);
}

static bool is_last(const struct connection *connection)
{
        return !connection->request.head.keeps_alive || !connection->server->listener;
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
        struct connection *connection = container_of(request, struct connection, request);

        if (!connection->socket) {
                connection_close(connection);
                return;
        }
        connection->closes = is_last(connection);
        http_answer_send(connection, answer);
}

/* ---- in pieces ---- */

/*
 * A client whose machine has died sends neither FIN nor RST, and a stream may be open for days. A living
 * kernel is not silent, however slow its reader: it acknowledges pieces, keepalive's questions when there are
 * none, and the probes of a window that is shut, at most 120 s apart (TCP_RTO_MAX). So who acknowledges
 * nothing for longer is dead. Left alone, Linux gives up after 15 minutes and more (tcp_retries2).
 * TCP_USER_TIMEOUT is shorter, but it counts a shut window too: on 6.18, set to 3 s, it ended readers that
 * had taken 16 KiB/s all the time, since a window opens in large steps. The measure of ANSWER does not fit
 * either: here it would measure how fast the owner writes.
 */
static bool is_dead(const struct connection *connection)
{
        struct tcp_info info = { 0 };
        socklen_t size = sizeof info;

        /* A socket that is no TCP has no silence. */
        getsockopt(bufferevent_getfd(connection->socket), IPPROTO_TCP, TCP_INFO, &info, &size);
        return info.tcpi_last_ack_recv >= connection->server->limits.silence_timeout_ms;
}

void http_answer_stream_look(struct connection *connection)
{
        if (connection->socket && !is_dead(connection)) {
                connection_set_timer(connection);
                return;
        }
        if (connection->socket)
                connection_reset(connection);
        http_watch_gone(connection);
}

/* Several questions in the time that an answer may take. */
static void socket_keep_alive(int fd, uint32_t silence_timeout_ms)
{
        int seconds = (int)MAX(silence_timeout_ms / 5000, 1U);

        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
}

/* No memory: what follows a hole must not be sent. The owner hears of it from the loop, as of a departure. */
static void stream_break(struct connection *connection)
{
        connection_reset(connection);
        event_active(&connection->timer, EV_TIMEOUT, 0);
}

void http_reply_begin(struct http_request *request, const struct http_answer *answer)
{
        struct connection *connection = container_of(request, struct connection, request);
        enum http_coding coding = request->head.is_1_1 ? CODING_CHUNKED : CODING_TO_END;

        if (!connection->socket)
                return;
        if (is_bare(answer))
                coding = CODING_NO_BODY;
        connection->closes = is_last(connection); /* 1.0 never keeps alive */
        connection_enter(connection, STREAM);
        if (head_write(connection, answer, coding, 0) < 0) {
                stream_break(connection);
                return;
        }
        request->coding = is_head(request) ? CODING_NO_BODY : coding;
        request->probe = answer->probe;
        socket_keep_alive(
                bufferevent_getfd(connection->socket), connection->server->limits.silence_timeout_ms);
}

static int piece_write(struct evbuffer *output, enum http_coding coding, const void *data, size_t length)
{
        bool chunked = coding == CODING_CHUNKED;

        if (chunked && evbuffer_add_printf(output, "%zx\r\n", length) < 0)
                return -ENOMEM;
        if (evbuffer_add(output, data, length) < 0)
                return -ENOMEM;
        if (chunked && evbuffer_add(output, "\r\n", 2) < 0)
                return -ENOMEM;
        return 0;
}

void http_reply_write(struct http_request *request, const void *data, size_t length)
{
        struct connection *connection = container_of(request, struct connection, request);

        /* A chunk of no bytes would be the last one. */
        if (!connection->socket || request->coding == CODING_NO_BODY || length == 0)
                return;
        if (piece_write(bufferevent_get_output(connection->socket), request->coding, data, length) < 0)
                stream_break(connection);
        else if (http_reply_unsent(request) > HTTP_DRAINED_BYTES)
                request->full = true;
}

size_t http_reply_unsent(const struct http_request *request)
{
        const struct connection *connection = container_of(request, const struct connection, request);

        return connection->socket ? evbuffer_get_length(bufferevent_get_output(connection->socket)) : 0;
}

size_t http_reply_untaken(const struct http_request *request)
{
        const struct connection *connection = container_of(request, const struct connection, request);

        return connection->socket ? unsent_bytes(connection) : 0;
}

void http_on_drained(struct http_request *request,
        void (*drained)(struct http_request *request, void *context), void *context)
{
        request->drained = drained;
        request->drained_context = context;
}

void http_answer_stream_output(struct connection *connection)
{
        struct http_request *request = &connection->request;

        if (!request->full || http_reply_unsent(request) > HTTP_DRAINED_BYTES)
                return;
        request->full = false;
        if (request->drained)
                request->drained(request, request->drained_context);
}

void http_reply_end(struct http_request *request)
{
        struct connection *connection = container_of(request, struct connection, request);
        bool chunked = request->coding == CODING_CHUNKED;

        if (!connection->socket)
                connection_close(connection);
        else if (chunked && evbuffer_add(bufferevent_get_output(connection->socket), "0\r\n\r\n", 5) < 0)
                connection_abort(connection);
        else
                answer_end(connection);
}

void http_reply_abort(struct http_request *request)
{
        struct connection *connection = container_of(request, struct connection, request);

        if (!connection->socket) {
                connection_close(connection);
        } else if (request->coding == CODING_TO_END) {
                connection_abort(connection);
        } else {
                connection->closes = true;
                answer_end(connection);
        }
}
