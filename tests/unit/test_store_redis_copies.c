/* Several servers: sentinels that say which is the primary, a failover, and uploads that replicas must have.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "redis_place.h"

struct copies {
        struct event_base *base;
        struct redis_server primary, replica, sentinel;
        struct store_redis_options options;
        char sentinels[128];
        struct suite suite;
};

static void copies_begin(struct copies *copies)
{
        char configuration[128];

        *copies = (struct copies){ .base = event_base_new() };
        redis_server_start(&copies->primary, "repl-diskless-sync-delay 0");
        snprintf(configuration, sizeof configuration, "replicaof 127.0.0.1 %d\nrepl-diskless-sync-delay 0",
                copies->primary.port);
        redis_server_start(&copies->replica, configuration);
        while (!strstr(redis_tell(&copies->replica, "INFO replication"), "master_link_status:up"))
                redis_turn(copies->base, 20);
        copies->options = redis_options(&copies->primary);
        copies->suite.base = copies->base;
}

static void copies_open(struct copies *copies)
{
        copies->suite.store = redis_open_with(copies->base, &copies->options);
}

static void copies_end(struct copies *copies)
{
        store_free(copies->suite.store);
        if (copies->sentinel.pid)
                redis_server_clean(&copies->sentinel);
        redis_server_clean(&copies->replica);
        redis_server_clean(&copies->primary);
        event_base_free(copies->base);
}

static void sentinel_start(struct copies *copies, const char *password)
{
        struct redis_server *sentinel = &copies->sentinel;
        char name[96], *arguments[] = { (char *)"redis-sentinel", name, NULL };
        FILE *file;

        sentinel->port = redis_free_port();
        strcpy(sentinel->directory, "/tmp/mayfly-redis-XXXXXX");
        assert_non_null(mkdtemp(sentinel->directory));
        snprintf(name, sizeof name, "%s/sentinel.conf", sentinel->directory);
        file = fopen(name, "w");
        assert_non_null(file);
        fprintf(file,
                "bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor functions 127.0.0.1 %d 1\n"
                "sentinel down-after-milliseconds functions 2500\nsentinel failover-timeout functions 2000\n",
                sentinel->port, sentinel->directory, copies->primary.port);
        if (*password)
                fprintf(file, "requirepass %s\n", password);
        fclose(file);
        sentinel->pid = redis_server_spawn(sentinel->directory, arguments);
        redis_server_wait(sentinel);
        /* One that is not there, and one that is. */
        snprintf(copies->sentinels, sizeof copies->sentinels, "127.0.0.1:%d, 127.0.0.1:%d", redis_free_port(),
                sentinel->port);
        copies->options.host = NULL;
        copies->options.sentinels = copies->sentinels;
        copies->options.sentinel_master = "functions";
        copies->options.sentinel_password = password;
}

static void copies_expect_failover(struct copies *copies)
{
        for (int tries = 0; tries < 2000; tries++) {
                if (redis_check(copies->base, copies->suite.store, NULL) == 0)
                        return;
                redis_turn(copies->base, 10);
        }
        fail_msg("no failover");
}

/* Connections are cut once more when roles change: an upload that was not acknowledged is sent again. */
static void copies_put(struct copies *copies, const char *code)
{
        const struct store_version given = suite_version("a", code);

        for (int tries = 0; tries < 2000; tries++) {
                struct store_request put = { .operation = STORE_PUT, .given = &given, .now_ms = 1000 };
                int r = suite_ask(&copies->suite, &put);

                store_request_deinit(&put);
                if (r == 0)
                        return;
                redis_turn(copies->base, 10);
        }
        fail_msg("the upload is not taken");
}

static void copies_expect(struct copies *copies, const char *code)
{
        redis_wait_for(copies->base, copies->suite.store);
        suite_expect_code(&copies->suite, "a", 0, code);
}

/* Is one of them the other's replica? (A connection is cut where roles change.) Which one is the sentinel's
 * to decide, on a slow machine also twice. */
static bool copies_follow(const struct copies *copies)
{
        return strstr(redis_try(&copies->primary, "INFO replication"), "master_link_status:up") ||
               strstr(redis_try(&copies->replica, "INFO replication"), "master_link_status:up");
}

static void test_a_failover_is_followed(void **state)
{
        struct copies copies;

        (void)state;
        copies_begin(&copies);
        sentinel_start(&copies, "");
        copies_open(&copies);
        suite_put(&copies.suite, "a", "1", 1000);
        assert_int_equal(redis_tell_number(&copies.primary, "EXISTS mayfly:function:a"), 1);
        while (redis_tell_number(&copies.replica, "EXISTS mayfly:function:a") == 0 ||
                !strstr(redis_try(&copies.sentinel, "INFO sentinel"), "slaves=1"))
                redis_turn(copies.base, 20);
        redis_server_end(&copies.primary, SIGKILL);
        copies_expect_failover(&copies);
        copies_expect(&copies, "1");
        copies_put(&copies, "2");
        copies_expect(&copies, "2");

        /* The old one comes back, and becomes a replica: it must not be asked. */
        redis_server_restart(&copies.primary);
        while (!copies_follow(&copies))
                redis_turn(copies.base, 20);
        copies_expect(&copies, "2");
        copies_put(&copies, "3");
        copies_expect(&copies, "3");
        copies_end(&copies);
}

static void test_a_primary_that_hangs_is_left(void **state)
{
        struct copies copies;

        (void)state;
        copies_begin(&copies);
        sentinel_start(&copies, "");
        copies_open(&copies);
        suite_put(&copies.suite, "a", "1", 1000);
        while (redis_tell_number(&copies.replica, "EXISTS mayfly:function:a") == 0 ||
                !strstr(redis_try(&copies.sentinel, "INFO sentinel"), "slaves=1"))
                redis_turn(copies.base, 20);
        kill(copies.primary.pid, SIGSTOP);
        copies_expect_failover(&copies);
        copies_expect(&copies, "1");
        copies_put(&copies, "2");
        copies_expect(&copies, "2");
        copies_end(&copies);
}

static void test_sentinels_have_a_password_of_their_own(void **state)
{
        struct copies copies;

        (void)state;
        copies_begin(&copies);
        sentinel_start(&copies, "gu4rd");
        copies_open(&copies);
        assert_int_equal(redis_check(copies.base, copies.suite.store, NULL), 0);
        copies.suite.store = store_free(copies.suite.store);
        copies.options.sentinel_password = "wr0ng";
        copies_open(&copies);
        assert_int_equal(redis_check(copies.base, copies.suite.store, "Sentinel"), STORE_UNAVAILABLE);
        copies.suite.store = store_free(copies.suite.store);
        copies.options.sentinel_password = "gu4rd";
        copies.options.sentinel_master = "other";
        copies_open(&copies);
        assert_int_equal(redis_check(copies.base, copies.suite.store, "no primary of the name 'other'"),
                STORE_UNAVAILABLE);
        copies_end(&copies);
}

static void test_an_upload_is_with_its_replicas_or_said_not_to_be(void **state)
{
        struct store_version given = suite_version("a", "2");
        struct store_request put = { .operation = STORE_PUT, .given = &given, .now_ms = 1000 };
        struct copies copies;

        (void)state;
        copies_begin(&copies);
        copies.options.replicas = 1;
        copies.options.timeout_ms = 4000; /* of which a replica has a quarter */
        copies_open(&copies);
        suite_put(&copies.suite, "a", "1", 1000);
        assert_int_equal(redis_tell_number(&copies.replica, "EXISTS mayfly:version:a:1000"), 1);
        redis_server_end(&copies.replica, SIGKILL);
        assert_int_equal(suite_ask(&copies.suite, &put), STORE_UNAVAILABLE);
        assert_non_null(strstr(put.reason, "stored, but with 0 of 1 replicas"));
        assert_int_equal(put.latest, 0);
        store_request_deinit(&put);
        suite_expect_code(&copies.suite, "a", 0, "2");
        assert_int_equal(redis_check(copies.base, copies.suite.store, "REDIS_REPLICAS"), STORE_UNAVAILABLE);
        redis_server_restart(&copies.replica);
        redis_wait_for(copies.base, copies.suite.store);
        copies_end(&copies);
}

struct upload {
        struct store_request request;
        struct store_version given;
        char code[16];
        size_t *n_done;
};

static void upload_on_done(struct store_request *request)
{
        ++*container_of(request, struct upload, request)->n_done;
}

/* Uploads that wait for a replica that is gone are all answered in time, and reads meanwhile. */
static void test_many_uploads_wait_for_their_replicas_together(void **state)
{
        static struct upload uploads[60];
        struct copies copies;
        size_t n_done = 0;

        (void)state;
        copies_begin(&copies);
        copies.options.replicas = 1;
        copies.options.timeout_ms = 4000; /* of which a replica has a quarter */
        copies_open(&copies);
        suite_put(&copies.suite, "a", "1", 1000);
        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < ARRAY_SIZE(uploads); i++) {
                        struct upload *upload = &uploads[i];

                        *upload = (struct upload){ .n_done = &n_done };
                        snprintf(upload->code, sizeof upload->code, "%d %zu", round, i);
                        upload->given = suite_version("a", upload->code);
                        upload->request = (struct store_request){
                                .operation = STORE_PUT, .given = &upload->given, .done = upload_on_done
                        };
                        store_start(copies.suite.store, &upload->request);
                }
                suite_wait_for(&copies.suite, &n_done, ARRAY_SIZE(uploads));
                for (size_t i = 0; i < ARRAY_SIZE(uploads); i++) {
                        assert_int_equal(uploads[i].request.r, round == 0 ? 0 : STORE_UNAVAILABLE);
                        if (round == 1)
                                assert_non_null(strstr(uploads[i].request.reason, "stored, but"));
                }
                suite_expect_code(&copies.suite, "a", 0, uploads[ARRAY_SIZE(uploads) - 1].code);
                redis_server_end(&copies.replica, SIGKILL);
                n_done = 0;
        }
        copies_end(&copies);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_failover_is_followed),
                cmocka_unit_test(test_a_primary_that_hangs_is_left),
                cmocka_unit_test(test_sentinels_have_a_password_of_their_own),
                cmocka_unit_test(test_an_upload_is_with_its_replicas_or_said_not_to_be),
                cmocka_unit_test(test_many_uploads_wait_for_their_replicas_together),
        };

        return cmocka_run_group_tests_name("store: several Redis", tests, NULL, NULL);
}
