/*
 * A Redis that is away, hangs, is full, is somebody else's or is no Redis at all: every request is answered,
 * the loop keeps turning, and what was acknowledged is there afterwards.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "redis_place.h"

/* A server and a store of the test's own. */
struct away {
        struct event_base *base;
        struct redis_server server;
        struct store_redis_options options;
        struct store *store;
};

static void away_begin(struct away *away, const char *configuration)
{
        *away = (struct away){ .base = event_base_new() };
        redis_server_start(&away->server, configuration);
        away->options = redis_options(&away->server);
        away->options.timeout_ms = 300;
}

static void away_open(struct away *away)
{
        away->store = redis_open_with(away->base, &away->options);
}

/* For the suite's helpers. */
static struct suite away_suite(const struct away *away)
{
        return (struct suite){ .base = away->base, .store = away->store };
}

static void away_end(struct away *away)
{
        store_free(away->store);
        redis_server_clean(&away->server);
        event_base_free(away->base);
}

static void test_a_redis_that_is_not_there_is_waited_for_a_moment(void **state)
{
        struct away away;

        (void)state;
        away_begin(&away, "");
        redis_server_end(&away.server, SIGTERM);
        away_open(&away);
        assert_int_equal(redis_check(away.base, away.store, "Connection refused"), STORE_UNAVAILABLE);
        /* From then on nobody waits. */
        assert_int_equal(redis_check(away.base, away.store, "Connection refused"), STORE_UNAVAILABLE);
        redis_server_restart(&away.server);
        redis_wait_for(away.base, away.store);
        away_end(&away);
}

static void test_what_was_acknowledged_survives_a_crash(void **state)
{
        struct away away;
        struct suite suite;
        char path[16];

        (void)state;
        away_begin(&away, "");
        away_open(&away);
        suite = away_suite(&away);
        for (int round = 0; round < 5; round++) {
                snprintf(path, sizeof path, "round%d", round);
                suite_put(&suite, path, "code", 1000);
                redis_server_end(&away.server, SIGKILL);
                assert_int_equal(redis_check(away.base, away.store, NULL), STORE_UNAVAILABLE);
                redis_server_restart(&away.server);
                redis_wait_for(away.base, away.store);
                suite_expect_code(&suite, path, 0, "code");
        }
        suite_expect_list(&suite, "", NULL, 10, "round0 round1 round2 round3 round4");
        away_end(&away);
}

struct upload {
        struct store_request request;
        struct store_version given;
        char path[16];
        size_t *n_done;
};

static void upload_on_done(struct store_request *request)
{
        ++*container_of(request, struct upload, request)->n_done;
}

static void upload_start(struct upload *upload, size_t i, struct store *store, size_t *n_done)
{
        *upload = (struct upload){ .n_done = n_done };
        snprintf(upload->path, sizeof upload->path, "path%zu", i);
        upload->given = suite_version(upload->path, "code");
        upload->request = (struct store_request){
                .operation = STORE_PUT, .given = &upload->given, .now_ms = 1000, .done = upload_on_done
        };
        store_start(store, &upload->request);
}

static void test_uploads_during_a_crash_are_whole_or_not_there(void **state)
{
        enum { UPLOADS = 400 };
        static struct upload uploads[UPLOADS];
        struct away away;
        struct suite suite;
        size_t n_done = 0;

        (void)state;
        away_begin(&away, "");
        away_open(&away);
        suite = away_suite(&away);
        assert_int_equal(redis_check(away.base, away.store, NULL), 0);
        for (size_t i = 0; i < UPLOADS; i++)
                upload_start(&uploads[i], i, away.store, &n_done);
        while (n_done < UPLOADS / 4)
                event_base_loop(away.base, EVLOOP_ONCE);
        redis_server_end(&away.server, SIGKILL);
        suite_wait_for(&suite, &n_done, UPLOADS);
        redis_server_restart(&away.server);
        redis_wait_for(away.base, away.store);
        for (size_t i = 0; i < UPLOADS; i++) {
                if (uploads[i].request.r == 0)
                        suite_expect_code(&suite, uploads[i].path, 1000, "code");
                else
                        assert_int_equal(uploads[i].request.r, STORE_UNAVAILABLE);
        }
        away_end(&away);
}

static void tick(evutil_socket_t fd, short what, void *context)
{
        (void)fd;
        (void)what;
        ++*(size_t *)context;
}

static void test_a_hung_redis_delays_its_own_requests_only(void **state)
{
        const struct timeval often = { .tv_usec = 5000 };
        static struct upload uploads[10];
        struct away away;
        struct suite suite;
        size_t n_done = 0, n_ticks = 0;
        struct event *ticks;

        (void)state;
        away_begin(&away, "");
        away_open(&away);
        suite = away_suite(&away);
        suite_put(&suite, "a", "1", 1000);
        kill(away.server.pid, SIGSTOP);
        ticks = event_new(away.base, -1, EV_PERSIST, tick, &n_ticks);
        event_add(ticks, &often);
        for (size_t i = 0; i < ARRAY_SIZE(uploads); i++)
                upload_start(&uploads[i], i, away.store, &n_done);
        suite_wait_for(&suite, &n_done, ARRAY_SIZE(uploads));
        assert_true(n_ticks >= 10);
        for (size_t i = 0; i < ARRAY_SIZE(uploads); i++) {
                assert_int_equal(uploads[i].request.r, STORE_UNAVAILABLE);
                assert_non_null(strstr(uploads[i].request.reason, "no answer within 300 ms"));
        }
        assert_int_equal(redis_check(away.base, away.store, NULL), STORE_UNAVAILABLE);
        redis_turn(away.base, 500); /* it takes connections, and says nothing */
        assert_int_equal(redis_check(away.base, away.store, "no answer"), STORE_UNAVAILABLE);
        kill(away.server.pid, SIGCONT);
        redis_wait_for(away.base, away.store);
        suite_expect_code(&suite, "a", 0, "1");
        event_free(ticks);
        away_end(&away);
}

static void test_a_full_redis_keeps_nothing_and_serves_what_it_has(void **state)
{
        struct away away;
        struct suite suite;

        (void)state;
        away_begin(&away, "");
        away_open(&away);
        suite = away_suite(&away);
        suite_put(&suite, "a", "1", 1000);
        suite_put(&suite, "a", "2", 1000);
        suite_put(&suite, "b", "1", 1000);
        redis_tell(&away.server, "CONFIG SET maxmemory 1");
        assert_int_equal(redis_check(away.base, away.store, "maxmemory"), STORE_UNAVAILABLE);
        suite_expect_code(&suite, "a", 0, "2");
        suite_expect_list(&suite, "", NULL, 10, "a b");
        /* Removing is how room is made. */
        assert_int_equal(suite_set_alias(&suite, "a", "prod", 1000), STORE_UNAVAILABLE);
        assert_int_equal(suite_remove(&suite, "a", 1001), 0);
        assert_int_equal(suite_remove(&suite, "b", 0), 0);
        redis_tell(&away.server, "CONFIG SET maxmemory 0");
        assert_int_equal(redis_check(away.base, away.store, NULL), 0);
        suite_expect_list(&suite, "", NULL, 10, "a");
        assert_int_equal(suite_put(&suite, "a", "3", 1000), 1002);
        away_end(&away);
}

static void test_a_redis_that_cannot_save_says_so(void **state)
{
        struct away away;
        struct suite suite;
        char name[96];

        (void)state;
        away_begin(&away, "save 3600 1000000\ndbfilename taken.rdb");
        away_open(&away);
        suite = away_suite(&away);
        suite_put(&suite, "a", "1", 1000);
        snprintf(name, sizeof name, "%s/taken.rdb", away.server.directory);
        assert_int_equal(mkdir(name, 0700), 0);
        redis_tell(&away.server, "BGSAVE");
        while (!strstr(redis_tell(&away.server, "INFO persistence"), "rdb_last_bgsave_status:err"))
                redis_turn(away.base, 10);
        assert_int_equal(redis_check(away.base, away.store, "its disk"), STORE_UNAVAILABLE);
        suite_expect_code(&suite, "a", 0, "1");
        redis_tell(&away.server, "CONFIG SET stop-writes-on-bgsave-error no");
        assert_int_equal(redis_check(away.base, away.store, NULL), 0);
        away_end(&away);
}

static void test_a_redis_that_still_loads_says_so(void **state)
{
        struct away away;
        struct suite suite;

        (void)state;
        away_begin(&away, "");
        away_open(&away);
        suite = away_suite(&away);
        suite_put(&suite, "a", "1", 1000);
        redis_tell(&away.server, "DEBUG POPULATE 1000");
        redis_tell(&away.server, "BGREWRITEAOF");
        while (!strstr(redis_tell(&away.server, "INFO persistence"), "aof_rewrite_in_progress:0"))
                redis_turn(away.base, 10);
        redis_server_end(&away.server, SIGKILL);
        strcpy(away.server.options, "key-load-delay 3000\nloading-process-events-interval-bytes 1024");
        redis_server_restart_slowly(&away.server);
        while (!strstr(redis_try(&away.server, "PING"), "LOADING"))
                redis_turn(away.base, 5);
        redis_turn(away.base, 1100); /* the longest pause */
        assert_int_equal(redis_check(away.base, away.store, "loading"), STORE_UNAVAILABLE);
        redis_tell(&away.server, "CONFIG SET key-load-delay 0");
        redis_wait_for(away.base, away.store);
        suite_expect_code(&suite, "a", 0, "1");
        away_end(&away);
}

static void test_a_script_that_keeps_redis_busy_is_told(void **state)
{
        struct away away;
        struct suite suite;
        redisContext *other;
        int written = 0;

        (void)state;
        away_begin(&away, "busy-reply-threshold 20");
        away_open(&away);
        suite = away_suite(&away);
        suite_put(&suite, "a", "1", 1000);
        other = redisConnect("127.0.0.1", away.server.port);
        redisAppendCommand(other, "EVAL %s 0", "while true do end");
        while (!written)
                redisBufferWrite(other, &written);
        redis_turn(away.base, 60);
        assert_int_equal(redis_check(away.base, away.store, "SCRIPT KILL"), STORE_UNAVAILABLE);
        redis_tell(&away.server, "SCRIPT KILL");
        redis_wait_for(away.base, away.store);
        suite_expect_code(&suite, "a", 0, "1");
        redisFree(other);
        away_end(&away);
}

static void test_a_replica_is_read_and_not_written(void **state)
{
        struct away primary, away;
        struct suite suite;
        char configuration[128];

        (void)state;
        away_begin(&primary, "repl-diskless-sync-delay 0");
        away_open(&primary);
        suite = away_suite(&primary);
        suite_put(&suite, "a", "1", 1000);
        snprintf(configuration, sizeof configuration, "replicaof 127.0.0.1 %d", primary.server.port);
        away_begin(&away, configuration);
        while (!strstr(redis_tell(&away.server, "INFO replication"), "master_link_status:up"))
                redis_turn(away.base, 20);
        away_open(&away);
        suite = away_suite(&away);
        suite_expect_code(&suite, "a", 0, "1");
        assert_int_equal(redis_check(away.base, away.store, "read-only replica"), STORE_UNAVAILABLE);
        redis_tell(&away.server, "REPLICAOF NO ONE");
        redis_wait_for(away.base, away.store);
        away_end(&away);
        away_end(&primary);
}

static void test_a_cluster_is_not_supported(void **state)
{
        struct away away;
        char configuration[64];

        (void)state;
        snprintf(configuration, sizeof configuration, "cluster-enabled yes\ncluster-port %d",
                redis_free_port());
        away_begin(&away, configuration);
        away_open(&away);
        assert_int_equal(redis_check(away.base, away.store, "Redis Cluster"), STORE_UNAVAILABLE);
        away_end(&away);
}

static void test_names_are_looked_up_beside_the_loop(void **state)
{
        struct away away;

        (void)state;
        away_begin(&away, "");
        away.options.host = "localhost";
        away_open(&away);
        assert_int_equal(redis_check(away.base, away.store, NULL), 0);
        away.store = store_free(away.store);
        away.options.host = "nowhere.invalid";
        away_open(&away);
        assert_int_equal(redis_check(away.base, away.store, "nowhere.invalid"), STORE_UNAVAILABLE);
        away.store = store_free(away.store);
        away_open(&away); /* freed while it is looked up */
        redis_turn(away.base, 1);
        away_end(&away);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_redis_that_is_not_there_is_waited_for_a_moment),
                cmocka_unit_test(test_what_was_acknowledged_survives_a_crash),
                cmocka_unit_test(test_uploads_during_a_crash_are_whole_or_not_there),
                cmocka_unit_test(test_a_hung_redis_delays_its_own_requests_only),
                cmocka_unit_test(test_a_full_redis_keeps_nothing_and_serves_what_it_has),
                cmocka_unit_test(test_a_redis_that_cannot_save_says_so),
                cmocka_unit_test(test_a_redis_that_still_loads_says_so),
                cmocka_unit_test(test_a_script_that_keeps_redis_busy_is_told),
                cmocka_unit_test(test_a_replica_is_read_and_not_written),
                cmocka_unit_test(test_a_cluster_is_not_supported),
                cmocka_unit_test(test_names_are_looked_up_beside_the_loop),
        };

        return cmocka_run_group_tests_name("store: a Redis that is away or unwell", tests, NULL, NULL);
}
