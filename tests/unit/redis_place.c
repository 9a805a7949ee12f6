#include "redis_place.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <md5.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

struct redis_server redis_main;

int redis_free_port(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        close(fd);
        return ntohs(address.sin_port);
}

/* It goes when this program goes, however that ends. */
pid_t redis_server_spawn(const char *directory, char *const arguments[])
{
        pid_t parent = getpid(), pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent && chdir(directory) == 0) {
                int fd = open("output", O_WRONLY | O_CREAT | O_APPEND, 0600);

                dup2(fd, STDOUT_FILENO);
                dup2(fd, STDERR_FILENO);
                /* One program with several names; by this one it is in redis-tools, which brings no service.
                 */
                execvp("redis-check-rdb", arguments);
        }
        _exit(127);
}

static void server_spawn(struct redis_server *server)
{
        char name[96], *arguments[] = { (char *)"redis-server", name, NULL };

        snprintf(name, sizeof name, "%s/redis.conf", server->directory);
        server->pid = redis_server_spawn(server->directory, arguments);
}

void redis_server_wait(const struct redis_server *server)
{
        for (int tries = 0; tries < 500; tries++) {
                redisContext *context = redisConnect("127.0.0.1", server->port);
                redisReply *reply = context && !context->err ? redisCommand(context, "PING") : NULL;
                bool answers = reply && strncmp(reply->str, "LOADING", 7) != 0;

                freeReplyObject(reply);
                if (context)
                        redisFree(context);
                if (answers)
                        return;
                usleep(10000);
        }
        fail_msg("redis-server on port %d does not start; see %s/output", server->port, server->directory);
}

void redis_server_restart_slowly(struct redis_server *server)
{
        char name[96];
        FILE *file;

        snprintf(name, sizeof name, "%s/redis.conf", server->directory);
        file = fopen(name, "w");
        assert_non_null(file);
        fprintf(file,
                "bind 127.0.0.1\nport %d\ndir %s\nsave \"\"\nappendonly yes\nappendfsync always\n"
                "enable-debug-command yes\n%s\n",
                server->port, server->directory, server->options);
        fclose(file);
        server_spawn(server);
}

void redis_server_restart(struct redis_server *server)
{
        redis_server_restart_slowly(server);
        redis_server_wait(server);
}

void redis_server_start(struct redis_server *server, const char *options)
{
        *server = (struct redis_server){ .port = redis_free_port() };
        strcpy(server->directory, "/tmp/mayfly-redis-XXXXXX");
        assert_non_null(mkdtemp(server->directory));
        snprintf(server->options, sizeof server->options, "%s", options);
        redis_server_restart(server);
}

void redis_server_end(struct redis_server *server, int signal)
{
        if (server->pid == 0)
                return;
        kill(server->pid, signal);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
}

void redis_server_clean(struct redis_server *server)
{
        char command[96];

        redis_server_end(server, SIGKILL);
        snprintf(command, sizeof command, "rm -r %s", server->directory);
        assert_int_equal(system(command), 0);
}

/* NULL: it cannot be connected to. */
static redisReply *server_command(const struct redis_server *server, const char *format, va_list list)
{
        static redisReply *last;
        redisContext *context = redisConnect("127.0.0.1", server->port);

        assert_non_null(context);
        freeReplyObject(last);
        last = context->err ? NULL : redisvCommand(context, format, list);
        redisFree(context);
        return last;
}

static redisReply *server_try(const struct redis_server *server, const char *format, ...)
{
        redisReply *reply;
        va_list list;

        va_start(list, format);
        reply = server_command(server, format, list);
        va_end(list);
        return reply;
}

const char *redis_try(const struct redis_server *server, const char *command)
{
        redisReply *reply = server_try(server, command);

        return reply && reply->str ? reply->str : "";
}

const char *redis_tell(const struct redis_server *server, const char *format, ...)
{
        redisReply *reply;
        va_list list;

        va_start(list, format);
        reply = server_command(server, format, list);
        va_end(list);
        assert_non_null(reply);
        return reply->str ? reply->str : "";
}

long long redis_tell_number(const struct redis_server *server, const char *format, ...)
{
        redisReply *reply;
        va_list list;

        va_start(list, format);
        reply = server_command(server, format, list);
        va_end(list);
        assert_non_null(reply);
        if (reply->type == REDIS_REPLY_ARRAY)
                return (long long)reply->elements;
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        return reply->integer;
}

void go_faas_upload(const struct redis_server *server, const char *path, const char *language,
        const char *code, long long seconds)
{
        char md5[MD5_DIGEST_STRING_LENGTH];

        MD5Data((const uint8_t *)path, strlen(path), md5);
        redis_tell_number(
                server, "HSET meta:%s path %s language %s latest %lld", md5, path, language, seconds);
        redis_tell(server, "SET code:%s:%lld %s", md5, seconds, code);
        redis_tell_number(server, "SADD meta:%s:version %lld", md5, seconds);
}

struct store_redis_options redis_options(const struct redis_server *server)
{
        return (struct store_redis_options){
                .host = "127.0.0.1", .port = (uint32_t)server->port, .prefix = "mayfly:", .timeout_ms = 1000
        };
}

struct store *redis_open_with(struct event_base *base, const struct store_redis_options *options)
{
        struct store *store = NULL;
        char error[256] = "";

        if (store_open_redis(base, options, &store, error, sizeof error) != 0)
                fail_msg("%s", error);
        return store;
}

int redis_check(struct event_base *base, struct store *store, const char *words)
{
        struct store_request request = { .operation = STORE_CHECK };
        int r = store_wait(store, base, &request);

        if (words && !strstr(request.reason, words))
                fail_msg("'%s' is not in '%s'", words, request.reason);
        store_request_deinit(&request);
        return r;
}

void redis_turn(struct event_base *base, unsigned ms)
{
        const struct timeval after = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

        event_base_loopexit(base, &after);
        event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void redis_wait_for(struct event_base *base, struct store *store)
{
        uint64_t end = clock_us() + 5000000;
        struct store_request request;

        do {
                request = (struct store_request){ .operation = STORE_CHECK };
                if (store_wait(store, base, &request) == 0)
                        return;
                redis_turn(base, 10);
        } while (clock_us() < end);
        fail_msg("Redis does not come back: %s", request.reason);
}

static void *place_begin(void)
{
        struct place *place = calloc(1, sizeof *place);

        assert_non_null(place);
        place->server = &redis_main;
        strcpy(place->prefix, "mayfly:");
        redis_tell(&redis_main, "FLUSHALL");
        return place;
}

static struct store *place_open(void *context, struct event_base *base)
{
        struct place *place = context;
        struct store_redis_options options = redis_options(place->server);
        struct store *store;

        options.prefix = place->prefix;
        store = redis_open_with(base, &options);
        assert_int_equal(redis_check(base, store, NULL), 0);
        return store;
}

static void place_end(void *context)
{
        free(context);
}

const struct suite_kind redis_kind = {
        .name = "store: Redis", .begin = place_begin, .open = place_open, .end = place_end, .has_peers = true
};
