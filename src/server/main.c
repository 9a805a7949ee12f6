/*
 * mayfly-server: the part that faces the network. The keeper starts it without privileges, with a listening
 * socket, a socket to itself, and a file of settings; it tells it over that socket when to stop.
 * One thread turns the loop; a store on disk has threads of its own.
 *
 * It trusts the keeper, its settings and its store. It does not trust clients, and it does not trust cells.
 */

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/settings.h"
#include "server/api.h"
#include "server/call.h"
#include "server/cell.h"
#include "server/functions.h"
#include "server/http.h"
#include "server/import_sets.h"
#include "server/keeper_link.h"
#include "server/language.h"
#include "server/recompile.h"
#include "server/record.h"
#include "server/store_open.h"
#include "store/store.h"

enum { HEADER_FIELDS_MAX = 100, SILENCE_TIMEOUT_MS = 300 * 1000, DRAIN_LOOK_MS = 10 };
/* It cannot start with these settings, and has said why: the keeper does not try again. */
enum { EXIT_UNUSABLE = 2 };

struct server {
        struct settings settings;
        struct languages languages;
        struct event_base *base;
        struct keeper_link *keeper;
        struct functions *functions;
        struct cells *cells;
        struct import_sets *sets;
        struct calls *calls;
        struct records *records;
        struct recompiler *recompiler;
        struct api api;
        struct http_server *http;
        struct event drain_timer;
        uint64_t drain_until_us;
};

/* --- what the keeper says --- */

static void server_on_done(const struct keeper_done *done, void *context)
{
        struct server *server = context;

        cells_on_done(server->cells, done);
}

static void server_on_limited(const struct keeper_limited *limited, void *context)
{
        struct server *server = context;

        cells_on_limited(server->cells, limited);
}

static void server_on_template(const struct keeper_template *template, void *context)
{
        struct server *server = context;

        cells_on_template(server->cells, template);
        if (template->place >= RUNTIME_COUNT) {
                import_sets_on_template(server->sets, template);
                return;
        }
        for (uint32_t i = 0; i < RUNTIME_COUNT; i++) {
                if (languages_use(&server->languages, i) && !cells_runtime_up(server->cells, i))
                        return;
        }
        log_info("server.ready", "url=http://%s:%u calls_at_a_time=%u", server->settings.http_host,
                server->settings.http_port, server->settings.max_containers);
}

static void server_drain_look(evutil_socket_t fd, short what, void *context)
{
        struct server *server = context;
        struct timeval soon = { .tv_usec = DRAIN_LOOK_MS * 1000 };
        bool idle = api_idle(&server->api) && calls_open(server->calls) == 0 &&
                    http_server_connections(server->http) == 0;

        (void)fd, (void)what;
        if (!idle && clock_us() < server->drain_until_us) {
                evtimer_add(&server->drain_timer, &soon);
                return;
        }
        log_info("server.drained", "complete=%d", idle);
        event_base_loopbreak(server->base);
}

static void server_on_drain(void *context)
{
        struct server *server = context;

        if (server->drain_until_us)
                return;
        log_info("server.drain", "calls=%zu connections=%zu", calls_open(server->calls),
                http_server_connections(server->http));
        server->drain_until_us = clock_us() + (uint64_t)server->settings.drain_timeout_ms * 1000;
        api_drain(&server->api);
        cells_drain(server->cells);
        import_sets_drain(server->sets);
        recompiler_drain(server->recompiler);
        http_server_drain(server->http);
        server_drain_look(-1, 0, server);
}

/* Without a keeper there are no cells, and nobody who would end us. What was stored is stored. */
static void server_on_lost(void *context)
{
        (void)context;
        log_error("server.exit", "reason=\"the keeper is gone\"");
        _exit(EXIT_FAILURE);
}

static const struct keeper_hooks keeper_hooks = {
        .on_done = server_on_done,
        .on_limited = server_on_limited,
        .on_template = server_on_template,
        .on_drain = server_on_drain,
        .on_lost = server_on_lost,
};

/* --- start, in this order --- */

/* The keeper says when to stop: a signal to the whole terminal must not end calls that it lets finish. */
static int server_set_process(struct server *server)
{
        struct rlimit files;

        (void)server;
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGXFSZ, SIG_IGN); /* a file limit is an error of the store, not our end */
        umask(077);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        return 0;
}

static int server_read_settings(struct server *server)
{
        char error[512] = "";
        int r;

        fcntl(KEEPER_SETTINGS_FD, F_SETFD, FD_CLOEXEC);
        r = settings_load_strings(KEEPER_SETTINGS_FD, &server->settings, error, sizeof error);
        if (r == 0) {
                log_set_level(server->settings.log_level);
                r = languages_init(&server->languages, server->settings.runtimes, error, sizeof error);
        }
        if (r != 0)
                log_error("server.settings", "%s", error);
        return r;
}

static int server_open_loop(struct server *server)
{
        server->base = event_base_new();
        return server->base ? 0 : -ENOMEM;
}

static int server_open_store(struct server *server)
{
        struct store *store;
        char error[512] = "";
        int r;

        r = store_open(server->base, &server->settings, &store, error, sizeof error);
        if (r != 0) {
                log_error("store.open", "%s", error[0] ? error : strerror(abs(r)));
                return -EIO;
        }
        r = functions_new(server->base, store, &server->settings, &server->functions);
        if (r < 0)
                store_free(store);
        return r;
}

static int server_open_keeper(struct server *server)
{
        fcntl(KEEPER_SERVER_FD, F_SETFD, FD_CLOEXEC);
        fcntl(KEEPER_LISTEN_FD, F_SETFD, FD_CLOEXEC);
        return keeper_link_new(server->base, KEEPER_SERVER_FD, &keeper_hooks, server, &server->keeper);
}

static int server_open_calls(struct server *server)
{
        int r;

        r = cells_new(server->base, server->keeper, &server->settings, &server->languages, &server->cells);
        if (r == 0)
                r = import_sets_new(
                        server->base, server->cells, server->keeper, &server->settings, &server->sets);
        if (r < 0)
                return r;
        server->calls =
                calls_new(server->base, server->cells, server->sets, &server->settings, &server->languages);
        if (!server->calls)
                return -ENOMEM;
        server->recompiler = recompiler_new(&(struct recompiler_needs){ .base = server->base,
                .calls = server->calls,
                .cells = server->cells,
                .functions = server->functions,
                .languages = &server->languages });
        if (!server->recompiler)
                return -ENOMEM;
        return records_new(
                server->base, server->calls, server->functions, &server->settings, &server->records);
}

static int server_open_http(struct server *server)
{
        const struct settings *settings = &server->settings;
        struct http_limits limits = {
                .connections = settings->http_connections_max,
                .header_timeout_ms = settings->http_header_timeout_ms,
                .body_timeout_ms = settings->http_body_timeout_ms,
                .idle_timeout_ms = settings->http_idle_timeout_ms,
                .silence_timeout_ms = SILENCE_TIMEOUT_MS,
                .header_bytes = settings->http_header_max_bytes,
                .header_count = HEADER_FIELDS_MAX,
                .body_bytes = settings->body_max_bytes,
        };

        server->api = (struct api){ .base = server->base,
                .settings = settings,
                .languages = &server->languages,
                .functions = server->functions,
                .calls = server->calls,
                .records = server->records,
                .recompiler = server->recompiler,
                .cells = server->cells,
                .sets = server->sets };
        api_init(&server->api);
        evtimer_assign(&server->drain_timer, server->base, server_drain_look, server);
        evutil_make_socket_nonblocking(KEEPER_LISTEN_FD);
        return http_server_new(
                server->base, KEEPER_LISTEN_FD, &limits, &api_hooks, &server->api, &server->http);
}

static const struct server_step {
        const char *name;
        int (*open)(struct server *server);
} steps[] = {
        { "process", server_set_process },
        { "settings", server_read_settings },
        { "loop", server_open_loop },
        { "store", server_open_store },
        { "keeper", server_open_keeper },
        { "calls", server_open_calls },
        { "http", server_open_http },
};

/* Backwards: first what may still call back into the rest. */
static void server_deinit(struct server *server)
{
        functions_free(server->functions);
        recompiler_free(server->recompiler);
        calls_free(server->calls);
        import_sets_free(server->sets);
        cells_free(server->cells);
        if (server->records)
                records_abandon(server->records);
        if (server->http)
                api_deinit(&server->api);
        records_free(server->records);
        http_server_free(server->http);
        keeper_link_free(server->keeper);
        if (server->base)
                event_base_free(server->base);
        settings_deinit(&server->settings);
        libevent_global_shutdown();
}

int main(void)
{
        static struct server server;
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++) {
                r = steps[i].open(&server);
                if (r != 0)
                        log_error("server.start", "step=%s error=\"%s\"", steps[i].name, strerror(abs(r)));
        }
        if (r != 0) {
                server_deinit(&server);
                return EXIT_UNUSABLE;
        }
        log_info("server.start", "version=%s store=%s", MAYFLY_VERSION,
                settings_use_redis(&server.settings) ? "redis" : "sqlite");
        r = event_base_dispatch(server.base);
        server_deinit(&server);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
