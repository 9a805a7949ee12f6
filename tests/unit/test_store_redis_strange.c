/* Whom Redis lets in, and what listens on its port when it is no Redis: a clear reason, no secret, no crash.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "redis_place.h"

/* All that a user of mayfly's needs; docs/decisions/0010-store.md says so too. */
#define NEEDED                                                                                               \
        "~mayfly:* ~meta:* ~code:* +select +client|setname +wait +role +eval +evalsha +scan +type +del "     \
        "+unlink "                                                                                           \
        "+get +strlen +hmget +hget +hset +hdel +hlen +hexists +hgetall +zadd +zrem +zcard +zscore "          \
        "+zrangebylex +zrangebyscore +zrevrangebyscore +xadd +xlen +xrange +xrevrange +smembers +scard "     \
        "+sismember "                                                                                        \
        "+srem +srandmember"

static const struct {
        const char *configuration, *username, *password;
        uint32_t database;
        int r;
        const char *words;
} doors[] = {
        { "requirepass s3cret", NULL, "s3cret", 0, 0, NULL },
        { "requirepass s3cret", NULL, "s3cret", 7, 0, NULL },
        { "requirepass s3cret", NULL, "s3cret", 16, STORE_UNAVAILABLE, "out of range" },
        { "requirepass s3cret", NULL, "", 0, STORE_UNAVAILABLE, "REDIS_PASSWORD" },
        { "requirepass s3cret", NULL, NULL, 0, STORE_UNAVAILABLE, "REDIS_PASSWORD" },
        { "requirepass s3cret", NULL, "wr0ng", 0, STORE_UNAVAILABLE, "REDIS_PASSWORD" },
        { "requirepass s3cret", "nobody", "s3cret", 0, STORE_UNAVAILABLE, "REDIS_USERNAME" },
        { "requirepass s3cret\nrename-command AUTH LETIN", NULL, "s3cret", 0, STORE_UNAVAILABLE, "AUTH" },
        { "", NULL, "s3cret", 0, STORE_UNAVAILABLE, "REDIS_PASSWORD is set" },
        { "user mayfly on >s3cret " NEEDED, "mayfly", "s3cret", 0, 0, NULL },
        { "user mayfly on >s3cret " NEEDED " -xadd", "mayfly", "s3cret", 0, STORE_UNAVAILABLE,
                "mayfly needs" },
        { "user mayfly on >s3cret " NEEDED " -evalsha", "mayfly", "s3cret", 0, STORE_UNAVAILABLE,
                "mayfly needs" },
        { "user mayfly on >s3cret ~other:* +@all", "mayfly", "s3cret", 0, STORE_UNAVAILABLE, "mayfly needs" },
        { "maxclients 1\nrequirepass s3cret", NULL, "s3cret", 0, 0, NULL },
};

static void expect_no_secret(const char *reason)
{
        if (strstr(reason, "s3cret") || strstr(reason, "wr0ng"))
                fail_msg("a secret is told: %s", reason);
}

static void test_who_may_not_come_in_is_told_why(void **state)
{
        struct event_base *base = event_base_new();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
                struct store_request check = { .operation = STORE_CHECK };
                struct store_redis_options options;
                struct redis_server server;
                struct store *store;

                redis_server_start(&server, doors[i].configuration);
                options = redis_options(&server);
                options.timeout_ms = 300;
                options.username = doors[i].username;
                options.password = doors[i].password;
                options.database = doors[i].database;
                store = redis_open_with(base, &options);
                if (store_wait(store, base, &check) != doors[i].r)
                        fail_msg("%s: %d %s", doors[i].configuration, check.r, check.reason);
                if (doors[i].words && !strstr(check.reason, doors[i].words))
                        fail_msg("%s: %s", doors[i].configuration, check.reason);
                expect_no_secret(check.reason);
                store_request_deinit(&check);
                store_free(store);
                redis_server_clean(&server);
        }
        event_base_free(base);
}

static void test_every_operation_works_for_a_user_with_what_is_needed(void **state)
{
        struct event_base *base = event_base_new();
        struct store_redis_options options;
        struct redis_server server;
        struct suite suite = { .base = base };

        (void)state;
        redis_server_start(&server, "user mayfly on >s3cret " NEEDED);
        options = redis_options(&server);
        options.username = "mayfly";
        options.password = "s3cret";
        suite.store = redis_open_with(base, &options);
        go_faas_upload(&server, "a", "python", "1", 1700000000);
        go_faas_upload(&server, "a", "python", "2", 1700000001);
        suite_expect_code(&suite, "a", 0, "2");
        suite_put(&suite, "a", "3", 1);
        assert_int_equal(suite_set_alias(&suite, "a", "prod", 1700000001), 0);
        suite_expect_alias(&suite, "a", "prod", 1700000001);
        suite_expect_list(&suite, "", NULL, 10, "a");
        assert_int_equal(suite_remove(&suite, "a", 1700000000), 0);
        assert_int_equal(suite_remove(&suite, "a", 0), 0);
        suite_expect_list(&suite, "", NULL, 10, "");
        redis_turn(base, 300);
        /* INFO and CONFIG GET, by which it would know more. */
        assert_int_equal(redis_tell_number(&server, "ACL LOG"), 2);
        store_free(suite.store);
        redis_server_clean(&server);
        event_base_free(base);
}

/* What a listener says to whoever has said something: the first time, and the second. */
struct words {
        const char *text;
        size_t length;
};
#define WORDS(text)                                                                                          \
        {                                                                                                    \
                text, sizeof text - 1                                                                        \
        }
#define WELCOME "+OK\r\n$0\r\n\r\n*0\r\n" /* to the greeting: CLIENT SETNAME, INFO, CONFIG GET */

static const struct {
        struct words first, second;
} strangers[] = {
        { WORDS(""), WORDS("") },
        { WORDS("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), WORDS("") },
        { WORDS("\x16\x03\x01\x02\x00\x01\x00\x00\xff\xff\0\0\0"), WORDS("") },
        { WORDS("SSH-2.0-OpenSSH_9.2\r\n"), WORDS("") },
        { WORDS("+OK\r\n"), WORDS("") },
        { WORDS("+OK"), WORDS("") },
        { WORDS("$100\r\nhalf"), WORDS("") },
        { WORDS("$99999999999999999999\r\nx"), WORDS("") },
        { WORDS("$9223372036854775807\r\nx"), WORDS("") },
        { WORDS("$-7\r\n"), WORDS("") },
        { WORDS("*2147483647\r\n"), WORDS("") },
        { WORDS("*1048577\r\n"), WORDS("") },
        { WORDS("*-2\r\n"), WORDS("") },
        { WORDS("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), WORDS("") },
        { WORDS("-\r\n"), WORDS("") },
        { WORDS("-ERR \xff\x01\"quoted\"\r\n"), WORDS("") },
        { WORDS(":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n"), WORDS("") },
        { WORDS(">3\r\n+message\r\n+a\r\n+b\r\n"), WORDS("") },
        { WORDS("%1\r\n+a\r\n+b\r\n"), WORDS("") },
        { WORDS(WELCOME "+OK\r\n"), WORDS("") }, /* what nobody asked for */
        { WORDS(WELCOME "-ERR gone\r\n"), WORDS("") },
        { WORDS(WELCOME), WORDS("") },
        { WORDS(WELCOME), WORDS("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n") },
        { WORDS(WELCOME), WORDS("*0\r\n*0\r\n*0\r\n*0\r\n*0\r\n") },
        { WORDS(WELCOME), WORDS("*1\r\n$2\r\nok\r\n") },
        { WORDS(WELCOME), WORDS("*1\r\n:5\r\n") },
        { WORDS(WELCOME), WORDS("$-1\r\n$-1\r\n$-1\r\n") },
        { WORDS(WELCOME), WORDS("*3\r\n$2\r\nok\r\n$4\r\n12x4\r\n:1\r\n") },
        { WORDS(WELCOME), WORDS("*3\r\n$2\r\nok\r\n*0\r\n*0\r\n") },
        { WORDS(WELCOME), WORDS("*3\r\n$2\r\nok\r\n$-1\r\n:1\r\n") },
        { WORDS(WELCOME), WORDS("*6\r\n$2\r\nok\r\n:1\r\n:1\r\n:1\r\n:0\r\n*2\r\n$1\r\na\r\n$-1\r\n") },
        { WORDS(WELCOME),
                WORDS("*6\r\n$2\r\nok\r\n:1\r\n:1\r\n:1\r\n:0\r\n*4\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n$-1\r\n") },
        { WORDS(WELCOME), WORDS("*5\r\n$2\r\nok\r\n:1\r\n:0\r\n*1\r\n:1\r\n*0\r\n") },
        { WORDS(WELCOME), WORDS("*5\r\n$2\r\nok\r\n:1\r\n:0\r\n*0\r\n*2\r\n*0\r\n:3\r\n") },
        { WORDS(WELCOME), WORDS("*2\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$2\r\nok\r\n*1\r\n:1\r\n") },
        { WORDS(WELCOME), WORDS("*1\r\n$3\r\na\0b\r\n") },
        { WORDS(WELCOME), WORDS("*2\r\n$4\r\nused\r\n:1\r\n") },
        { WORDS(WELCOME), WORDS("*2\r\n$7\r\ndamaged\r\n$5\r\n\x01\x02\"\n\xff\r\n") },
        { WORDS(WELCOME), WORDS("-NOSCRIPT no\r\n-NOSCRIPT no\r\n-NOSCRIPT no\r\n-NOSCRIPT no\r\n") },
        { WORDS(WELCOME), WORDS("-READONLY no\r\n") },
        { WORDS(WELCOME), WORDS("-MOVED 1 127.0.0.1:1\r\n") },
        { WORDS(WELCOME), WORDS("$200000\r\nhalf") },
};

static void stranger_answer(int fd, size_t which)
{
        const struct words *turns[] = { &strangers[which].first, &strangers[which].second };
        char heard[4096];

        for (size_t i = 0; i < 2; i++) {
                if (read(fd, heard, sizeof heard) <= 0)
                        return;
                if (send(fd, turns[i]->text, turns[i]->length, MSG_NOSIGNAL) < 0)
                        return;
        }
        while (read(fd, heard, sizeof heard) > 0)
                ;
}

/* Listens in a process of its own, answering one connection after the other. */
static pid_t stranger_start(size_t which, int *ret_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof address;
        pid_t pid;

        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(fd, 5), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        *ret_port = ntohs(address.sin_port);
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        int connection = accept(fd, NULL, NULL);

                        stranger_answer(connection, which);
                        close(connection);
                }
        }
        close(fd);
        return pid;
}

static void stranger_ask(struct event_base *base, struct store *store, enum store_operation operation)
{
        const struct store_version given = { .path = (char *)"a",
                .language = (char *)"python",
                .version = 1,
                .code = { .data = (char *)"1", .length = 1 } };
        struct store_request request = { .operation = operation,
                .path = "a",
                .alias = operation == STORE_SET_ALIAS || operation == STORE_REMOVE_ALIAS ? "prod" : NULL,
                .given = &given,
                .now_ms = 1000,
                .limit = 10 };

        store_wait(store, base, &request);
        /* A well-formed outcome may be believed; anything else is no answer. */
        if (request.r != STORE_UNAVAILABLE)
                assert_true(request.r == -EBADMSG || request.r == 0 || request.r == STORE_IN_USE);
        for (const char *at = request.reason; *at; at++)
                assert_true(*at >= ' ' && *at <= '~');
        store_request_deinit(&request);
}

static void test_what_is_no_redis_is_no_answer(void **state)
{
        struct event_base *base = event_base_new();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
                struct redis_server server = { 0 };
                struct store_redis_options options;
                pid_t pid = stranger_start(i, &server.port);

                options = redis_options(&server);
                options.timeout_ms = 40;
                for (enum store_operation operation = 0; operation < STORE_OPERATIONS; operation++) {
                        struct store *store = redis_open_with(base, &options);

                        stranger_ask(base, store, operation);
                        if (operation == STORE_CHECK)
                                redis_turn(base, 150);
                        store_free(store);
                        if (strangers[i].second.length == 0)
                                break;
                }
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
        }
        event_base_free(base);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_may_not_come_in_is_told_why),
                cmocka_unit_test(test_every_operation_works_for_a_user_with_what_is_needed),
                cmocka_unit_test(test_what_is_no_redis_is_no_answer),
        };

        return cmocka_run_group_tests_name("store: a Redis that is strange", tests, NULL, NULL);
}
