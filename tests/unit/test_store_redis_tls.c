/* TLS to Redis: whoever cannot prove to be it is not talked to. A build whose hiredis has no TLS says so. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "redis_place.h"

/* An authority, and what it says of a server and of a client; another authority. */
static const char make_certificates[] =
        "cd %s && exec >/dev/null 2>&1 && make() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "
        "/CN=$1 "
        "-keyout $1.key -out $1.pem; } && make authority && make stranger && "
        "issue() { openssl req -newkey rsa:2048 -nodes -subj /CN=$1 -keyout $1.key -out $1.csr && "
        "printf \"subjectAltName=$2\" >$1.ext && openssl x509 -req -in $1.csr -CA authority.pem -CAkey "
        "authority.key "
        "-CAcreateserial -days 2 -extfile $1.ext -out $1.pem; } && "
        "issue server IP:127.0.0.1,DNS:localhost && issue other DNS:redis.example && issue client DNS:mayfly";

static char directory[64];

static const char *in_directory(const char *name)
{
        static char names[8][96];
        static size_t at;

        at = (at + 1) % ARRAY_SIZE(names);
        snprintf(names[at], sizeof names[at], "%s/%s", directory, name);
        return names[at];
}

static void server_start(struct redis_server *server, int port, const char *certificate, const char *clients)
{
        char configuration[512];

        snprintf(configuration, sizeof configuration,
                "tls-port %d\ntls-cert-file %s/%s.pem\ntls-key-file %s/%s.key\ntls-ca-cert-file "
                "%s/authority.pem\n"
                "tls-auth-clients %s",
                port, directory, certificate, directory, certificate, directory, clients);
        redis_server_start(server, configuration);
}

static const struct {
        const char *server, *clients; /* its certificate, and whether it wants one */
        const char *host, *authority, *client;
        int r;
        const char *words;
} meetings[] = {
        { "server", "no", "127.0.0.1", "authority.pem", NULL, 0, NULL },
        { "server", "no", "localhost", "authority.pem", NULL, 0, NULL },
        { "server", "no", "127.0.0.1", "stranger.pem", NULL, STORE_UNAVAILABLE, "certificate" },
        { "server", "no", "127.0.0.1", NULL, NULL, STORE_UNAVAILABLE, "certificate" },
        { "other", "no", "127.0.0.1", "authority.pem", NULL, STORE_UNAVAILABLE, "certificate" },
        { "other", "no", "localhost", "authority.pem", NULL, STORE_UNAVAILABLE, "certificate" },
        { "server", "yes", "127.0.0.1", "authority.pem", "client", 0, NULL },
        { "server", "yes", "127.0.0.1", "authority.pem", NULL, STORE_UNAVAILABLE, "" },
        { "server", "yes", "127.0.0.1", "authority.pem", "stranger", STORE_UNAVAILABLE, "" },
};

/* Is there TLS in this build? */
static bool tls_is_built(struct event_base *base)
{
        const struct store_redis_options options = {
                .host = "127.0.0.1", .port = 1, .prefix = "mayfly:", .timeout_ms = 100, .tls = true
        };
        char error[256] = "";
        struct store *store;
        int r = store_open_redis(base, &options, &store, error, sizeof error);

        if (r == 0) {
                store_free(store);
                return true;
        }
        assert_int_equal(r, -EINVAL);
        assert_non_null(strstr(error, "hiredis"));
        assert_non_null(strstr(error, "stunnel"));
        return false;
}

static void test_only_who_proves_to_be_redis_is_talked_to(void **state)
{
        struct event_base *base = event_base_new();
        char command[2048];

        (void)state;
        if (!tls_is_built(base)) {
                event_base_free(base);
                skip();
        }
        strcpy(directory, "/tmp/mayfly-tls-XXXXXX");
        assert_non_null(mkdtemp(directory));
        snprintf(command, sizeof command, make_certificates, directory);
        assert_int_equal(system(command), 0);
        for (size_t i = 0; i < ARRAY_SIZE(meetings); i++) {
                char key[96], certificate[96];
                struct redis_server server;
                struct store_redis_options options;
                struct suite suite = { .base = base };
                int port = redis_free_port();

                server_start(&server, port, meetings[i].server, meetings[i].clients);
                options = redis_options(&server);
                options.host = meetings[i].host;
                options.port = (uint32_t)port;
                options.tls = true;
                options.tls_ca = meetings[i].authority ? in_directory(meetings[i].authority) : NULL;
                if (meetings[i].client) {
                        snprintf(certificate, sizeof certificate, "%s/%s.pem", directory, meetings[i].client);
                        snprintf(key, sizeof key, "%s/%s.key", directory, meetings[i].client);
                        options.tls_certificate = certificate;
                        options.tls_key = key;
                }
                suite.store = redis_open_with(base, &options);
                if (redis_check(base, suite.store, meetings[i].words) != meetings[i].r)
                        fail_msg("%zu", i);
                if (meetings[i].r == 0) {
                        char *large = calloc(1, 3000001);

                        memset(large, 'x', 3000000);
                        suite_put(&suite, "a", large, 1000);
                        suite_expect_code(&suite, "a", 0, large);
                        free(large);
                        redis_server_end(&server, SIGKILL);
                        assert_int_equal(redis_check(base, suite.store, NULL), STORE_UNAVAILABLE);
                        redis_server_restart(&server);
                        redis_wait_for(base, suite.store);
                }
                store_free(suite.store);
                redis_server_clean(&server);
        }
        event_base_free(base);
}

static void test_files_that_cannot_be_used_are_named(void **state)
{
        const struct {
                const char *authority, *certificate, *key, *words;
        } wrong[] = {
                { "/nowhere.pem", NULL, NULL, "REDIS_TLS_CA /nowhere.pem" },
                { NULL, "/nowhere.pem", "/nowhere.key", "REDIS_TLS_CERT /nowhere.pem" },
                { NULL, "/nowhere.pem", NULL, "go together" },
                { NULL, in_directory("client.pem"), in_directory("stranger.key"), "REDIS_TLS_KEY" },
        };
        struct event_base *base = event_base_new();
        char command[96];

        (void)state;
        if (!tls_is_built(base)) {
                event_base_free(base);
                skip();
        }
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                const struct store_redis_options options = { .host = "127.0.0.1",
                        .port = 1,
                        .prefix = "mayfly:",
                        .timeout_ms = 100,
                        .tls = true,
                        .tls_ca = wrong[i].authority,
                        .tls_certificate = wrong[i].certificate,
                        .tls_key = wrong[i].key };
                struct store *store;
                char error[256];

                assert_int_equal(store_open_redis(base, &options, &store, error, sizeof error), -EINVAL);
                if (!strstr(error, wrong[i].words))
                        fail_msg("%s", error);
        }
        snprintf(command, sizeof command, "rm -r %s", directory);
        assert_int_equal(system(command), 0);
        event_base_free(base);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_who_proves_to_be_redis_is_talked_to),
                cmocka_unit_test(test_files_that_cannot_be_used_are_named),
        };

        return cmocka_run_group_tests_name("store: TLS to Redis", tests, NULL, NULL);
}
