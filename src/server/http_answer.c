/*
 * The writing half of the HTTP server: answers, and readers that are too slow for theirs. Run by the server,
 * from its loop or from whoever answers a request. http.c has the theory of operation.
 */

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <linux/sockios.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/macros.h"
#include "server/http_connection.h"

enum { ANSWER_BYTES_PER_SECOND = 1024 /* slower readers are cut off */ };

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

void http_answer_measure(struct connection *connection)
{
        uint64_t least =
                (uint64_t)connection->server->limits.idle_timeout_ms * ANSWER_BYTES_PER_SECOND / 1000;
        size_t unsent = unsent_bytes(connection);

        if (connection->unsent - MIN(unsent, connection->unsent) < MAX(least, 1U)) {
                connection_abort(connection);
                return;
        }
        connection->unsent = unsent;
        connection_set_timer(connection);
}

static int answer_write(struct connection *connection, const struct http_answer *answer)
{
        struct evbuffer *output = bufferevent_get_output(connection->socket);
        const struct http_request *request = &connection->request;
        bool is_head = request->head.method && strcmp(request->head.method, "HEAD") == 0;
        bool bare = answer->status == 204 || answer->status == 304; /* RFC 9110 8.6: no Content-Length */
        size_t length = answer->content_type && !bare ? answer->body_length : 0;
        time_t now = time(NULL);
        char date[64];
        struct tm utc;
        int r;

        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
        r = evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n%s",
                answer->status, reason_find(answer->status), date, request->id,
                answer->extra_headers ? answer->extra_headers : "");
        if (r >= 0 && answer->content_type)
                r = evbuffer_add_printf(output, "Content-Type: %s\r\n", answer->content_type);
        if (r >= 0 && !bare)
                r = evbuffer_add_printf(output, "Content-Length: %zu\r\n", length);
        if (r >= 0)
                r = evbuffer_add_printf(
                        output, "Connection: %s\r\n\r\n", connection->closes ? "close" : "keep-alive");
        if (r >= 0 && length > 0 && !is_head)
                r = evbuffer_add(output, answer->body, length);
        return r < 0 ? -ENOMEM : 0;
}

void http_answer_send(struct connection *connection, const struct http_answer *answer)
{
        int r = answer_write(connection, answer);

        http_request_deinit(&connection->request);
        connection->scan = (struct http_scan){ 0 };
        if (r < 0) {
                connection_abort(connection);
                return;
        }
        connection->unsent = unsent_bytes(connection);
        connection_enter(connection, ANSWER);
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
        struct connection *connection = container_of(request, struct connection, request);

        if (!connection->socket) {
                connection_close(connection);
                return;
        }
        http_watch_remove(connection);
        connection->closes = !request->head.keeps_alive || !connection->server->listener;
        http_answer_send(connection, answer);
}
