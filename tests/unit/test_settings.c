/* Settings: who overrides whom, and that nothing wrong passes in silence. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/settings.h"

struct loaded {
        struct settings settings;
        char error[512];
        int r;
};

/* Loads from an environment, the text of a .env file and flags; each may be NULL, lists end in NULL. */
static void load(
        struct loaded *loaded, const char *const *environment, const char *file, const char *const *flags)
{
        char path[] = "/tmp/mayfly-test-XXXXXX", *argv[24] = { "mayfly" };
        int argc = 1, fd = -1;

        for (; flags && *flags; flags++)
                argv[argc++] = (char *)*flags;
        if (file) {
                fd = mkstemp(path);
                assert_int_equal(write(fd, file, strlen(file)), strlen(file));
                close(fd);
        }
        loaded->error[0] = 0;
        loaded->r = settings_load(argc, argv, (char **)environment, file ? path : "/nonexistent/.env",
                &loaded->settings, loaded->error, sizeof loaded->error);
        if (file)
                unlink(path);
}

static void load_flag(struct loaded *loaded, const char *flag)
{
        load(loaded, NULL, NULL, (const char *const[]){ flag, NULL });
}

static void must_be_fine(struct loaded *loaded)
{
        if (loaded->r != 0)
                fail_msg("%d: %s", loaded->r, loaded->error);
}

static void must_fail_naming(struct loaded *loaded, const char *input, const char *name)
{
        if (loaded->r != -EINVAL)
                fail_msg("%s: %d instead of an error", input, loaded->r);
        if (!strstr(loaded->error, name))
                fail_msg("%s: '%s' does not name %s", input, loaded->error, name);
        settings_deinit(&loaded->settings);
}

static void test_without_a_word_the_defaults_hold(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, NULL, NULL, NULL);
        must_be_fine(&loaded);
        assert_int_equal(loaded.settings.http_port, 8080);
        assert_string_equal(loaded.settings.http_host, "127.0.0.1");
        assert_int_equal(loaded.settings.max_containers, MIN(sysconf(_SC_NPROCESSORS_ONLN) * 2, 1024));
        assert_int_equal(loaded.settings.max_cpus_milli, 1000);
        assert_int_equal(loaded.settings.max_memory_bytes, 134217728);
        assert_int_equal(loaded.settings.code_max_bytes, 262144);
        assert_int_equal(loaded.settings.timeout_script_ms, 30000);
        assert_false(loaded.settings.gpu_enabled);
        assert_null(loaded.settings.redis_host);
        assert_int_equal(loaded.settings.redis_port, 6379);
        assert_false(settings_use_redis(&loaded.settings));
        assert_false(loaded.settings.redis_tls);
        assert_string_equal(loaded.settings.redis_sentinel_master, "mymaster");
        assert_string_equal(loaded.settings.redis_prefix, "mayfly:");
        assert_int_equal(loaded.settings.redis_timeout_ms, 1000);
        assert_int_equal(loaded.settings.redis_replicas, 0);
        assert_int_equal(loaded.settings.aliases_max, 64);
        assert_string_equal(loaded.settings.data_dir, "./data");
        assert_null(loaded.settings.auth_token);
        assert_int_equal(loaded.settings.log_level, LOG_INFO);
        settings_deinit(&loaded.settings);
}

static void test_flags_win_over_the_file_and_the_file_over_the_environment(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded,
                (const char *const[]){
                        "HTTP_PORT=1001", "QUEUE_MAX=1", "TIMEOUT_SCRIPT=1", "PATH=/bin", NULL },
                "HTTP_PORT=1002\nQUEUE_MAX=2\n", (const char *const[]){ "--http-port=1003", NULL });
        must_be_fine(&loaded);
        assert_int_equal(loaded.settings.http_port, 1003);
        assert_int_equal(loaded.settings.queue_max, 2);
        assert_int_equal(loaded.settings.timeout_script_ms, 1000);
        settings_deinit(&loaded.settings);
}

static void test_a_flag_may_be_one_word_or_two(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, NULL, NULL,
                (const char *const[]){
                        "--http-port", "81", "--data-dir=/x=y", "--log-level", "debug", NULL });
        must_be_fine(&loaded);
        assert_int_equal(loaded.settings.http_port, 81);
        assert_string_equal(loaded.settings.data_dir, "/x=y");
        assert_int_equal(loaded.settings.log_level, LOG_DEBUG);
        settings_deinit(&loaded.settings);
}

static void test_an_empty_value_means_the_default_whatever_was_said_before(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, (const char *const[]){ "HTTP_PORT=1001", "AUTH_TOKEN=secret", "NODE=/x", NULL },
                "HTTP_PORT=\nAUTH_TOKEN=\nNODE=\"\"\n", NULL);
        must_be_fine(&loaded);
        assert_int_equal(loaded.settings.http_port, 8080);
        assert_null(loaded.settings.auth_token);
        assert_null(loaded.settings.node);
        settings_deinit(&loaded.settings);
}

static void test_the_env_file_is_read_as_others_read_it(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, NULL,
                "# a comment\n\n   \n  HTTP_PORT=1002  \nexport DATA_DIR=\"/a b\"\r\nAUTH_TOKEN='x=y'\n"
                "SOMEBODY_ELSES=value\nMAX_MEMORY_PER_CONTAINER=256m\nQUEUE_MAX=3",
                NULL);
        must_be_fine(&loaded);
        assert_int_equal(loaded.settings.http_port, 1002);
        assert_string_equal(loaded.settings.data_dir, "/a b");
        assert_string_equal(loaded.settings.auth_token, "x=y");
        assert_int_equal(loaded.settings.max_memory_bytes, 256 << 20);
        assert_int_equal(loaded.settings.queue_max, 3);
        settings_deinit(&loaded.settings);
}

static void test_a_bad_line_of_the_env_file_is_named(void **state)
{
        static const char *const rows[] = { "A=1\nHTTP_PORT\n", "A=1\nHTTP_PORT = 80\n",
                "A=1\nHTTP_PORT: 80\n", "A=1\nHTTP_PORT=x\n", "A=1\nHTTP_PORT=80 # why\n",
                "A=1\nHTTP_PORT= 80\n" };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load(&loaded, NULL, rows[i], NULL);
                must_fail_naming(&loaded, rows[i], "line 2");
        }
}

static void test_a_line_too_long_to_read_is_no_shorter_secret(void **state)
{
        static char file[20000];
        struct loaded loaded;

        (void)state;
        memset(file, 'x', sizeof file - 1);
        memcpy(file, "AUTH_TOKEN=", 11);
        load(&loaded, NULL, file, NULL);
        must_fail_naming(&loaded, "a long line", "line 1");
}

static void test_an_env_file_that_cannot_be_read_is_an_error(void **state)
{
        struct loaded loaded;

        (void)state;
        loaded.r = settings_load(1, (char *[]){ "mayfly", NULL }, NULL, "/proc/self/environ/.env",
                &loaded.settings, loaded.error, sizeof loaded.error);
        must_fail_naming(&loaded, "not a directory", ".env");
}

static void test_every_bad_value_is_named(void **state)
{
        static const struct {
                const char *flag;
                const char *name;
        } rows[] = {
                { "--http-port=0", "HTTP_PORT" },
                { "--http-port=65536", "HTTP_PORT" },
                { "--http-port=-1", "HTTP_PORT" },
                { "--http-port=+1", "HTTP_PORT" },
                { "--http-port=80.0", "HTTP_PORT" },
                { "--http-port=0x50", "HTTP_PORT" },
                { "--http-port=8e1", "HTTP_PORT" },
                { "--http-port=80k", "HTTP_PORT" },
                { "--http-port= 80", "HTTP_PORT" },
                { "--http-port=eighty", "HTTP_PORT" },
                { "--http-port=", "HTTP_PORT" },
                { "--http-port=99999999999999999999999", "HTTP_PORT" },
                { "--max-containers=0", "MAX_CONTAINERS" },
                { "--max-containers=nan", "MAX_CONTAINERS" },
                { "--max-cpus-per-container=0", "MAX_CPUS_PER_CONTAINER" },
                { "--max-cpus-per-container=1.2.3", "MAX_CPUS_PER_CONTAINER" },
                { "--max-cpus-per-container=.", "MAX_CPUS_PER_CONTAINER" },
                { "--max-memory-per-container=1m", "MAX_MEMORY_PER_CONTAINER" },
                { "--max-memory-per-container=128x", "MAX_MEMORY_PER_CONTAINER" },
                { "--max-memory-per-container=128mm", "MAX_MEMORY_PER_CONTAINER" },
                { "--max-memory-per-container=m", "MAX_MEMORY_PER_CONTAINER" },
                { "--max-memory-per-container=128 m", "MAX_MEMORY_PER_CONTAINER" },
                { "--max-memory-per-container=inf", "MAX_MEMORY_PER_CONTAINER" },
                { "--code-max-size=0", "CODE_MAX_SIZE" },
                { "--timeout-script=0", "TIMEOUT_SCRIPT" },
                { "--timeout-script=30s", "TIMEOUT_SCRIPT" },
                { "--timeout-script=-30", "TIMEOUT_SCRIPT" },
                { "--timeout-script=1e9", "TIMEOUT_SCRIPT" },
                { "--timeout-script=86401", "TIMEOUT_SCRIPT" },
                { "--gpu-enabled=maybe", "GPU_ENABLED" },
                { "--gpu-enabled=2", "GPU_ENABLED" },
                { "--redis-port=abc", "REDIS_PORT" },
                { "--redis-db=-1", "REDIS_DB" },
                { "--redis-timeout=0", "REDIS_TIMEOUT" },
                { "--redis-replicas=65", "REDIS_REPLICAS" },
                { "--redis-tls=perhaps", "REDIS_TLS" },
                { "--aliases-max=0", "ALIASES_MAX" },
                { "--aliases-max=1001", "ALIASES_MAX" },
                { "--log-level=loud", "LOG_LEVEL" },
                { "--log-level=INFO", "LOG_LEVEL" },
                { "--uid-base=0", "UID_BASE" },
                { "--http-max-connections=0", "HTTP_MAX_CONNECTIONS" },
        };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load_flag(&loaded, rows[i].flag);
                must_fail_naming(&loaded, rows[i].flag, rows[i].name);
        }
}

static void test_a_bad_value_tells_where_it_stands(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, (const char *const[]){ "HTTP_PORT=x", NULL }, NULL, NULL);
        must_fail_naming(&loaded, "environment", "environment");
        load_flag(&loaded, "--http-port=x");
        must_fail_naming(&loaded, "flag", "command line");
}

static void test_good_values_of_every_kind_are_read(void **state)
{
        static const struct {
                const char *flag;
                size_t offset;
                uint64_t value;
                size_t size;
        } rows[] = {
#define ROW(flag, member, value)                                                                             \
        { flag, offsetof(struct settings, member), value, sizeof((struct settings){ 0 }.member) }
                ROW("--http-port=65535", http_port, 65535),
                ROW("--http-port=0080", http_port, 80),
                ROW("--max-memory-per-container=128M", max_memory_bytes, 134217728),
                ROW("--max-memory-per-container=1g", max_memory_bytes, 1073741824),
                ROW("--max-memory-per-container=1GiB", max_memory_bytes, 1073741824),
                ROW("--max-memory-per-container=1.5gb", max_memory_bytes, 1610612736),
                ROW("--max-memory-per-container=134217728", max_memory_bytes, 134217728),
                ROW("--max-memory-per-container=134217728b", max_memory_bytes, 134217728),
                ROW("--max-memory-per-container=65536k", max_memory_bytes, 67108864),
                ROW("--max-cpus-per-container=0.5", max_cpus_milli, 500),
                ROW("--max-cpus-per-container=.25", max_cpus_milli, 250),
                ROW("--max-cpus-per-container=2", max_cpus_milli, 2000),
                ROW("--timeout-script=0.25", timeout_script_ms, 250),
                ROW("--timeout-script=86400", timeout_script_ms, 86400000),
                ROW("--drain-timeout=0", drain_timeout_ms, 0),
                ROW("--gpu-enabled=No", gpu_enabled, 0),
                ROW("--gpu-enabled=0", gpu_enabled, 0),
                ROW("--gpu-enabled=FALSE", gpu_enabled, 0),
#undef ROW
        };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t value = 0;

                load_flag(&loaded, rows[i].flag);
                must_be_fine(&loaded);
                /* Little-endian or not: all settings tested here are whole words. */
                if (rows[i].size == sizeof(uint32_t))
                        value = *(uint32_t *)((char *)&loaded.settings + rows[i].offset);
                else if (rows[i].size == sizeof(uint64_t))
                        value = *(uint64_t *)((char *)&loaded.settings + rows[i].offset);
                if (value != rows[i].value)
                        fail_msg("%s: %llu", rows[i].flag, (unsigned long long)value);
                settings_deinit(&loaded.settings);
        }
}

static void test_unknown_flags_are_refused(void **state)
{
        static const char *const rows[] = { "--no-such-thing=1", "--", "-x", "word", "--http-port-x=1",
                "-http-port=80", "---http-port=80",
                "--a-very-long-flag-that-is-longer-than-any-name-of-a-setting-could-be=1" };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load_flag(&loaded, rows[i]);
                must_fail_naming(&loaded, rows[i], rows[i]);
        }
        load_flag(&loaded, "--http-port");
        must_fail_naming(&loaded, "--http-port", "--http-port");
}

static void test_what_is_wrong_only_in_combination_is_named_too(void **state)
{
        static const struct {
                const char *flags[4];
                const char *name;
        } rows[] = {
                { { "--http-host=0.0.0.0" }, "AUTH_TOKEN" },
                { { "--http-host=::" }, "AUTH_TOKEN" },
                { { "--http-host=192.168.0.1" }, "AUTH_TOKEN" },
                { { "--http-host=127.evil.test" }, "AUTH_TOKEN" },
                { { "--http-host=1.127.0.0" }, "AUTH_TOKEN" },
                { { "--http-host=0.0.0.0", "--auth-token=" }, "AUTH_TOKEN" },
                { { "--http-host=0.0.0.0", "--auth-token=," }, "AUTH_TOKEN" },
                { { "--auth-token=a,,b" }, "AUTH_TOKEN" },
                { { "--auth-token=a," }, "AUTH_TOKEN" },
                { { "--auth-token=a b" }, "AUTH_TOKEN" },
                { { "--http-host=" }, "HTTP_HOST" },
                { { "--data-dir=" }, "DATA_DIR" },
                { { "--gpu-enabled=true" }, "GPU_ENABLED" },
                { { "--redis-host=a b" }, "REDIS_HOST" },
                { { "--redis-username=u" }, "REDIS_USERNAME" },
                { { "--redis-host=h", "--redis-username=u" }, "REDIS_PASSWORD" },
                { { "--redis-tls=true" }, "REDIS_HOST" },
                { { "--redis-replicas=1" }, "REDIS_HOST" },
                { { "--redis-sentinel-password=x" }, "REDIS_SENTINELS" },
                { { "--redis-host=h", "--redis-tls-ca=/ca" }, "REDIS_TLS" },
                { { "--redis-host=h", "--redis-tls=true", "--redis-tls-cert=/c" }, "REDIS_TLS_KEY" },
                { { "--redis-host=h", "--redis-tls=true", "--redis-tls-key=/k" }, "REDIS_TLS_CERT" },
                { { "--redis-prefix=" }, "REDIS_PREFIX" },
                { { "--redis-prefix=meta:" }, "REDIS_PREFIX" },
                { { "--redis-prefix=code:x:" }, "REDIS_PREFIX" },
                { { "--redis-prefix=a b:" }, "REDIS_PREFIX" },
                { { "--redis-prefix=\x7f" }, "REDIS_PREFIX" },
                { { "--redis-prefix=12345678901234567890123456789012345678901234567890123456789012345" },
                        "REDIS_PREFIX" },
                { { "--redis-sentinels=," }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a," }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a,,b" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a, b" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=:26379" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a:" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a:0" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a:65536" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a:000001" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a:1x" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a,::1" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=[::1" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=[]:1" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=[::1]1" }, "REDIS_SENTINELS" },
                { { "--redis-sentinels=a", "--redis-sentinel-master=" }, "REDIS_SENTINEL_MASTER" },
        };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load(&loaded, NULL, NULL, rows[i].flags);
                must_fail_naming(&loaded, rows[i].flags[0], rows[i].name);
        }
}

static void test_loopback_needs_no_token_and_others_do_with_one(void **state)
{
        static const char *const rows[][3] = { { "--http-host=127.0.0.1" }, { "--http-host=127.8.9.1" },
                { "--http-host=::1" }, { "--http-host=localhost" },
                { "--http-host=0.0.0.0", "--auth-token=secret" }, { "--http-host=::", "--auth-token=a,b" } };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load(&loaded, NULL, NULL, rows[i]);
                must_be_fine(&loaded);
                settings_deinit(&loaded.settings);
        }
}

static void test_redis_is_meant_by_a_host_or_by_sentinels(void **state)
{
        static const struct {
                const char *flags[6];
                bool redis;
        } rows[] = {
                { { "--data-dir=/d" }, false },
                { { "--redis-port=1", "--redis-password=p", "--redis-db=2" }, false },
                { { "--redis-host=localhost" }, true },
                { { "--redis-host=::1", "--redis-password=p", "--redis-username=u" }, true },
                { { "--redis-sentinels=a" }, true },
                { { "--redis-sentinels=a:1,[::1]:65535,[::1],b.example", "--redis-sentinel-password=p",
                          "--redis-sentinel-master=m" },
                        true },
                { { "--redis-host=h", "--redis-tls=yes", "--redis-tls-ca=/ca", "--redis-tls-cert=/c",
                          "--redis-tls-key=/k" },
                        true },
                { { "--redis-host=h", "--redis-prefix=meta" }, true },
        };
        struct loaded loaded;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                load(&loaded, NULL, NULL, rows[i].flags);
                must_be_fine(&loaded);
                assert_int_equal(settings_use_redis(&loaded.settings), rows[i].redis);
                settings_deinit(&loaded.settings);
        }
}

static void test_asking_for_help_needs_no_settings_in_order(void **state)
{
        struct loaded loaded;

        (void)state;
        load(&loaded, (const char *const[]){ "HTTP_PORT=x", NULL }, NULL,
                (const char *const[]){ "--help", NULL });
        assert_int_equal(loaded.r, SETTINGS_HELP);
        settings_deinit(&loaded.settings);
        load(&loaded, NULL, NULL, (const char *const[]){ "--http-port=x", "--version", NULL });
        assert_int_equal(loaded.r, SETTINGS_VERSION);
        settings_deinit(&loaded.settings);
        load_flag(&loaded, "--print-settings-markdown");
        assert_int_equal(loaded.r, SETTINGS_MARKDOWN);
        settings_deinit(&loaded.settings);
}

static void round_trip(const char *const *flags)
{
        struct loaded before, after;
        char **first, **second;
        size_t n = 0;

        load(&before, NULL, NULL, flags);
        must_be_fine(&before);
        first = settings_environment(&before.settings);
        load(&after, (const char *const *)first, NULL, NULL);
        must_be_fine(&after);
        second = settings_environment(&after.settings);
        for (; first[n] && second[n]; n++)
                assert_string_equal(first[n], second[n]);
        assert_ptr_equal(first[n], second[n]);
        assert_true(n > 30);
        assert_int_equal(after.settings.timeout_script_ms, before.settings.timeout_script_ms);
        assert_int_equal(after.settings.max_memory_bytes, before.settings.max_memory_bytes);
        assert_int_equal(after.settings.max_cpus_milli, before.settings.max_cpus_milli);
        settings_environment_free(first);
        settings_environment_free(second);
        settings_deinit(&before.settings);
        settings_deinit(&after.settings);
}

static void test_settings_travel_to_a_child_without_loss(void **state)
{
        static const char *const odd[] = { "--timeout-script=0.123", "--max-memory-per-container=123456789",
                "--max-cpus-per-container=0.333", "--auth-token=a=b,c", "--data-dir=/with blank/ü",
                "--log-level=error", "--node=/n", "--queue-max=0", "--uid-base=4294900000",
                "--http-idle-timeout=86400", "--redis-host=h", "--redis-username=u", "--redis-password=p=q",
                "--redis-tls=true", "--redis-tls-ca=-----BEGIN\nlines\n", "--redis-timeout=0.25", NULL };

        (void)state;
        round_trip(NULL);
        round_trip(odd);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_a_word_the_defaults_hold),
                cmocka_unit_test(test_flags_win_over_the_file_and_the_file_over_the_environment),
                cmocka_unit_test(test_a_flag_may_be_one_word_or_two),
                cmocka_unit_test(test_an_empty_value_means_the_default_whatever_was_said_before),
                cmocka_unit_test(test_the_env_file_is_read_as_others_read_it),
                cmocka_unit_test(test_a_bad_line_of_the_env_file_is_named),
                cmocka_unit_test(test_a_line_too_long_to_read_is_no_shorter_secret),
                cmocka_unit_test(test_an_env_file_that_cannot_be_read_is_an_error),
                cmocka_unit_test(test_every_bad_value_is_named),
                cmocka_unit_test(test_a_bad_value_tells_where_it_stands),
                cmocka_unit_test(test_good_values_of_every_kind_are_read),
                cmocka_unit_test(test_unknown_flags_are_refused),
                cmocka_unit_test(test_what_is_wrong_only_in_combination_is_named_too),
                cmocka_unit_test(test_loopback_needs_no_token_and_others_do_with_one),
                cmocka_unit_test(test_redis_is_meant_by_a_host_or_by_sentinels),
                cmocka_unit_test(test_asking_for_help_needs_no_settings_in_order),
                cmocka_unit_test(test_settings_travel_to_a_child_without_loss),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
