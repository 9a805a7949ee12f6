#include "server_stage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server/json_scan.h"
#include "wire/packet.h"

static int stage_listen(struct stage *stage)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, 128), 0);
        getsockname(fd, (struct sockaddr *)&address, &length);
        stage->port = ntohs(address.sin_port);
        return fd;
}

/* As the keeper writes them down for the server. */
static int stage_write_settings(const struct stage *stage)
{
        int fd = memfd_create("settings", 0);

        dprintf(fd, "DATA_DIR=%s%c", stage->directory, 0);
        dprintf(fd, "LOG_LEVEL=error%cMAX_CONTAINERS=4%cTIMEOUT_SCRIPT=10%cOUTPUT_MAX_SIZE=65536%c", 0, 0, 0,
                0);
        for (char *const *setting = stage->settings; *setting; setting++)
                dprintf(fd, "%s%c", *setting, 0);
        return fd;
}

static void __attribute__((noreturn)) stage_exec(struct stage *stage, int keeper_fd, int listen_fd)
{
        dup2(keeper_fd, 20);
        dup2(listen_fd, 21);
        dup2(stage_write_settings(stage), 22);
        dup2(20, KEEPER_SERVER_FD);
        dup2(21, KEEPER_LISTEN_FD);
        dup2(22, KEEPER_SETTINGS_FD);
        close_range(KEEPER_FDS_END, ~0u, 0);
        execl(getenv("MAYFLY_SERVER"), "mayfly-server", (char *)NULL);
        _exit(127);
}

static void stage_start(struct stage *stage)
{
        int listen_fd = stage_listen(stage), ends[2];

        assert_int_equal(packet_pair(ends), 0);
        stage->server = fork();
        if (stage->server == 0)
                stage_exec(stage, ends[0], listen_fd);
        close(ends[0]);
        close(listen_fd);
        stage->keeper = keeper_double_start(ends[1], stage->play);
        close(ends[1]);
}

void stage_open(struct stage *stage, const char *settings)
{
        char *copy = strdup(settings ? settings : ""), *save = NULL;
        size_t n = 0;

        *stage = (struct stage){ .directory = "/tmp/mayfly-stage-XXXXXX" };
        for (char *one = strtok_r(copy, " ", &save); one && n < ARRAY_SIZE(stage->settings) - 1;
                one = strtok_r(NULL, " ", &save))
                stage->settings[n++] = strdup(one);
        free(copy);
        assert_non_null(getenv("MAYFLY_SERVER"));
        assert_non_null(mkdtemp(stage->directory));
        stage->play =
                mmap(NULL, sizeof *stage->play, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(stage->play != MAP_FAILED);
        stage_start(stage);
}

static void stage_end_keeper(struct stage *stage)
{
        kill(stage->keeper, SIGKILL);
        waitpid(stage->keeper, NULL, 0);
}

void stage_restart(struct stage *stage)
{
        kill(stage->server, SIGKILL);
        waitpid(stage->server, NULL, 0);
        stage_end_keeper(stage);
        memset(stage->play, 0, sizeof *stage->play);
        stage_start(stage);
}

void stage_close(struct stage *stage)
{
        char command[128];
        int status = -1;

        stage->play->drain = 1;
        waitpid(stage->server, &status, 0);
        assert_int_equal(status, 0);
        stage_end_keeper(stage);
        munmap(stage->play, sizeof *stage->play);
        for (char **setting = stage->settings; *setting; setting++)
                free(*setting);
        snprintf(command, sizeof command, "rm -r %s", stage->directory);
        assert_int_equal(system(command), 0);
}

int stage_connect(const struct stage *stage)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_port = htons((uint16_t)stage->port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        return fd;
}

static void stage_write(int fd, const char *data, size_t length)
{
        while (length > 0) {
                ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

                if (n <= 0)
                        return; /* refused before it was read: the answer is there */
                data += n;
                length -= (size_t)n;
        }
}

void stage_send(int fd, const char *method, const char *target, const char *headers, const char *body)
{
        size_t length = body ? strlen(body) : 0;
        char *head = NULL;
        int n = asprintf(&head,
                "%s %s HTTP/1.1\r\nHost: stage\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n", method,
                target, length, headers ? headers : "");

        assert_true(n > 0);
        stage_write(fd, head, (size_t)n);
        stage_write(fd, body ? body : "", length);
        free(head);
}

struct reply stage_receive(int fd)
{
        struct reply reply = { 0 };
        size_t room = 1 << 16, length = 0;
        char *text = malloc(room + 1), *end;

        for (;;) {
                ssize_t n = read(fd, text + length, room - length);

                if (n <= 0)
                        break;
                length += (size_t)n;
                if (length == room)
                        text = realloc(text, (room *= 2) + 1);
        }
        text[length] = 0;
        end = memmem(text, length, "\r\n\r\n", 4);
        if (!end || sscanf(text, "HTTP/1.1 %d", &reply.status) != 1)
                fail_msg("no answer: %.200s", text);
        reply.length = length - (size_t)(end + 4 - text);
        reply.body = malloc(reply.length + 1);
        memcpy(reply.body, end + 4, reply.length + 1);
        end[2] = 0;
        reply.head = text;
        return reply;
}

struct reply stage_ask(const struct stage *stage, const char *method, const char *target, const char *headers,
        const char *body)
{
        int fd = stage_connect(stage);
        struct reply reply;

        stage_send(fd, method, target, headers, body);
        reply = stage_receive(fd);
        close(fd);
        return reply;
}

struct reply stage_post(const struct stage *stage, const char *target, const char *format, ...)
{
        struct reply reply;
        char *body = NULL;
        va_list args;

        va_start(args, format);
        assert_true(vasprintf(&body, format, args) >= 0);
        va_end(args);
        reply = stage_ask(stage, "POST", target, NULL, body);
        free(body);
        return reply;
}

/* As a JSON string, without its quotes; scripts here hold nothing worse than quotes and line breaks. */
static char *stage_escape(const char *text)
{
        char *escaped = malloc(strlen(text) * 2 + 1), *at = escaped;

        for (; *text; text++) {
                if (*text == '\n' || *text == '"' || *text == '\\')
                        *at++ = '\\';
                *at++ = *text == '\n' ? 'n' : *text;
        }
        *at = 0;
        return escaped;
}

int stage_begin(const struct stage *stage, const char *script)
{
        char *code = stage_escape(script), *body = NULL;
        int fd = stage_connect(stage);

        assert_true(asprintf(&body, "{\"language\":\"javascript\",\"code\":\"%s\",\"input\":[1]}", code) > 0);
        stage_send(fd, "POST", "/run-now", NULL, body);
        free(body);
        free(code);
        return fd;
}

struct reply stage_run(const struct stage *stage, const char *script)
{
        int fd = stage_begin(stage, script);
        struct reply reply = stage_receive(fd);

        close(fd);
        return reply;
}

void reply_free(struct reply *reply)
{
        free(reply->head);
        free(reply->body);
        *reply = (struct reply){ 0 };
}

void expect(struct reply reply, int status, const char *body)
{
        assert_int_equal(json_check(reply.body, reply.length, NULL, NULL), 0);
        if (reply.status != status || strcmp(reply.body, body) != 0)
                fail_msg("expected %d %s\ngot %d %s", status, body, reply.status, reply.body);
        assert_non_null(strstr(reply.head, "Server-Timing: "));
        assert_non_null(strstr(reply.head, "X-Request-Id: "));
        reply_free(&reply);
}

void expect_problem(struct reply reply, int status, const char *code, const char *text)
{
        char member[64], number[32];

        snprintf(member, sizeof member, "\"code\":\"%s\"", code);
        snprintf(number, sizeof number, "\"status\":%d", status);
        assert_int_equal(json_check(reply.body, reply.length, NULL, NULL), 0);
        if (reply.status != status || !strstr(reply.body, member) || !strstr(reply.body, number) ||
                (text && !strstr(reply.body, text)))
                fail_msg("expected %d %s with %s\ngot %d %s", status, code, text ? text : "anything",
                        reply.status, reply.body);
        assert_non_null(strstr(reply.head, "Content-Type: application/problem+json"));
        assert_non_null(strstr(reply.body, "\"type\":"));
        assert_non_null(strstr(reply.body, "\"title\":"));
        assert_non_null(strstr(reply.body, "\"detail\":"));
        assert_non_null(strstr(reply.body, "\"request_id\":"));
        reply_free(&reply);
}

bool comes_true(bool (*condition)(struct stage *stage), struct stage *stage)
{
        for (int i = 0; i < 5000; i++) {
                if (condition(stage))
                        return true;
                usleep(1000);
        }
        return false;
}

unsigned long long stage_upload(
        const struct stage *stage, const char *path, const char *language, const char *code)
{
        struct reply reply = stage_post(stage, "/upload",
                "{\"path\":\"%s\",\"language\":\"%s\",\"code\":\"%s\"}", path, language, code);
        unsigned long long version = 0;
        char expected[256];
        const char *at = strstr(reply.body, "\"version\":");

        assert_non_null(at);
        version = strtoull(at + strlen("\"version\":"), NULL, 10);
        snprintf(expected, sizeof expected,
                "{\"path\":\"%s\",\"language\":\"%s\",\"version\":%llu,\"created\":", path, language,
                version);
        assert_int_equal(reply.status, 200);
        assert_memory_equal(reply.body, expected, strlen(expected));
        reply_free(&reply);
        return version;
}

struct reply stage_run_stored(const struct stage *stage, const char *path, const char *body)
{
        char target[300];

        snprintf(target, sizeof target, "/run/%s", path);
        return stage_ask(stage, "POST", target, NULL, body);
}

bool stage_is_ready(struct stage *stage)
{
        struct reply reply = stage_ask(stage, "GET", "/readyz", NULL, NULL);
        bool ready = reply.status == 200;

        reply_free(&reply);
        return ready;
}
