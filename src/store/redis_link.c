/*
 * A round goes: host, its addresses, and with each a connection and the greeting, until one is welcome. With
 * sentinels the first host is a sentinel, and its answer is the next host of the same round. A round in which
 * all failed is followed by a pause.
 */

#include "store/redis_link.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/log.h"
#include "base/macros.h"
#include "store/redis_args.h"
#include "store/redis_greeting.h"
#include "store/redis_hosts.h"
#include "store/redis_pipe.h"
#include "store/redis_resolve.h"
#include "store/redis_timer.h"
#include "store/redis_tls.h"

enum { PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 1000, SENTINEL_PORT = 26379 };

enum link_goal { GOAL_SENTINEL, GOAL_PRIMARY };

struct link_question {
        struct redis_command command;
        struct redis_link *link;
};

struct redis_link {
        struct event_base *base;
        const struct store_redis_options *options;
        struct redis_link_hooks hooks;
        struct redis_tls *tls;
        struct redis_hosts sentinels; /* none: options->host is the primary */
        size_t sentinel_first;        /* that answered last */
        size_t n_tried;               /* hosts of this round */

        enum link_goal goal;
        struct redis_host host;
        struct redis_resolve *resolve;
        struct redis_addresses addresses;
        size_t address_at; /* the next one */
        struct redis_pipe *pipe;
        bool opened;  /* the pipe was */
        bool answers; /* something at this host takes connections, and `reason` is why it is not welcome */
        struct redis_greeting greeting;
        struct link_question questions[REDIS_GREETING_ROWS];
        size_t n_unanswered; /* of these */
        const char *warned_of;

        bool ready;
        struct event *timer; /* of the pause, and of looking up a name */
        uint32_t pause_ms;
        char reason[256];
};

static void link_next_address(struct redis_link *link);
static void link_begin_host(struct redis_link *link, enum link_goal goal, const char *name, uint32_t port);

static void link_set_reason(struct redis_link *link, const char *why)
{
        snprintf(link->reason, sizeof link->reason, "%s %.60s:%u: %s",
                link->goal == GOAL_SENTINEL ? "Sentinel" : "Redis", link->host.name, link->host.port, why);
}

/* Of a host with several addresses, the one where something listens says more. */
static void link_set_reason_of_address(struct redis_link *link, const char *why)
{
        if (!link->answers || link->opened)
                link_set_reason(link, why);
        link->answers |= link->opened;
}

/* Several nodes that lost the same Redis do not come back in step. */
static void link_pause(struct redis_link *link)
{
        uint32_t random = 0;

        link->pause_ms = link->pause_ms ? MIN(link->pause_ms * 2, (uint32_t)PAUSE_MAX_MS) : PAUSE_MIN_MS;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
                random = 0;
        redis_timer_set(link->timer, link->pause_ms / 2 + random % (link->pause_ms / 2));
}

static void link_next_host(struct redis_link *link)
{
        const struct redis_hosts *sentinels = &link->sentinels;

        if (link->n_tried >= MAX(sentinels->n, (size_t)1)) {
                link->n_tried = 0;
                link_pause(link);
        } else if (sentinels->n) {
                const struct redis_host *next =
                        &sentinels->items[(link->sentinel_first + link->n_tried++) % sentinels->n];

                link_begin_host(link, GOAL_SENTINEL, next->name, next->port);
        } else {
                link->n_tried++;
                link_begin_host(link, GOAL_PRIMARY, link->options->host, link->options->port);
        }
}

static void link_on_resolved(struct redis_resolve *resolve, const struct redis_addresses *addresses,
        const char *failed, void *context)
{
        struct redis_link *link = context;

        link->addresses = *addresses;
        if (failed) {
                link->addresses.n = 0;
                link_set_reason(link, failed);
        }
        event_del(link->timer);
        link->resolve = redis_resolve_free(resolve);
        link_next_address(link);
}

/* Goes on from the timer where the name cannot even be looked up, so that this never calls itself. */
static void link_begin_host(struct redis_link *link, enum link_goal goal, const char *name, uint32_t port)
{
        link->goal = goal;
        link->answers = false;
        snprintf(link->host.name, sizeof link->host.name, "%s", name);
        link->host.port = port;
        link->addresses.n = link->address_at = 0;
        if (redis_resolve_new(link->base, name, link_on_resolved, link, &link->resolve) == 0) {
                redis_timer_set(link->timer, link->options->timeout_ms);
                return;
        }
        link_set_reason(link, "its name cannot be looked up now");
        redis_timer_set(link->timer, PAUSE_MIN_MS);
}

static void link_on_timer(evutil_socket_t fd, short what, void *context)
{
        struct redis_link *link = context;

        (void)fd;
        (void)what;
        if (link->resolve) {
                link->resolve = redis_resolve_free(link->resolve);
                link_set_reason(link, "its name was not found in time");
        }
        link_next_host(link);
}

static void link_welcome(struct redis_link *link)
{
        const char *risk = redis_survey_risk(&link->greeting.survey);

        if (link->goal == GOAL_SENTINEL) {
                link->sentinel_first = (link->sentinel_first + link->n_tried - 1) % link->sentinels.n;
                link->n_tried = 1;
                link->pipe = redis_pipe_free(link->pipe);
                link_begin_host(link, GOAL_PRIMARY, link->greeting.primary.name, link->greeting.primary.port);
                return;
        }
        if (risk && risk != link->warned_of)
                log_warn("store.risk", "reason=\"%s\"", risk);
        link->warned_of = risk;
        link->ready = true;
        link->n_tried = 0;
        link->pause_ms = 0;
        link->hooks.ready(link->hooks.context);
}

static void link_on_greeted(struct redis_command *command, const redisReply *reply, const char *no_reply)
{
        struct link_question *question = container_of(command, struct link_question, command);
        struct redis_link *link = question->link;
        const char *failed;
        char why[224];

        (void)no_reply; /* link_on_closed() was told */
        if (!reply)
                return;
        failed = redis_greeting_read(
                &link->greeting, (size_t)(question - link->questions), reply, why, sizeof why);
        if (failed)
                redis_pipe_close(link->pipe, failed);
        else if (--link->n_unanswered == 0)
                link_welcome(link);
}

static int link_ask(struct redis_link *link, size_t row)
{
        struct redis_args args;
        int r = 0;

        redis_args_init(&args);
        if (redis_greeting_build(&link->greeting, row, &args)) {
                link->n_unanswered++;
                link->questions[row] =
                        (struct link_question){ .command.answered = link_on_greeted, .link = link };
                r = redis_pipe_send(link->pipe, &link->questions[row].command, &args);
        }
        redis_args_deinit(&args);
        return r;
}

/* All of it at once. */
static void link_on_opened(struct redis_pipe *pipe, void *context)
{
        struct redis_link *link = context;

        link->opened = true;
        link->n_unanswered = 0;
        link->greeting = (struct redis_greeting){
                .options = link->options,
                .to_sentinel = link->goal == GOAL_SENTINEL,
                .has_sentinels = link->sentinels.n > 0,
        };
        for (size_t row = 0; row < REDIS_GREETING_ROWS; row++) {
                if (link_ask(link, row) < 0) {
                        redis_pipe_close(pipe, "memory is out");
                        return;
                }
        }
}

static void link_on_closed(struct redis_pipe *pipe, const char *why, void *context)
{
        struct redis_link *link = context;
        bool was_ready = link->ready;

        link_set_reason_of_address(link, why);
        link->ready = false;
        link->pipe = redis_pipe_free(pipe);
        if (!was_ready) {
                link_next_address(link);
                return;
        }
        link->hooks.lost(link->hooks.context);
        link_pause(link);
}

static void link_next_address(struct redis_link *link)
{
        while (link->address_at < link->addresses.n) {
                const struct redis_pipe_plan plan = {
                        .base = link->base,
                        .address = link->addresses.text[link->address_at++],
                        .port = link->host.port,
                        .tls = link->tls,
                        .server_name = link->host.name,
                        .timeout_ms = link->options->timeout_ms,
                        .opened = link_on_opened,
                        .closed = link_on_closed,
                        .context = link,
                };
                char error[128] = "memory is out";

                link->opened = false;
                if (redis_pipe_new(&plan, &link->pipe, error, sizeof error) == 0)
                        return;
                link_set_reason_of_address(link, error);
        }
        link_next_host(link);
}

static int link_read_options(struct redis_link *link, char *error, size_t error_size)
{
        const struct store_redis_options *options = link->options;

        if (options->tls) {
                int r = redis_tls_new(options, &link->tls, error, error_size);

                if (r < 0)
                        return r;
        }
        if (options->sentinels && *options->sentinels)
                return redis_hosts_parse(
                        options->sentinels, SENTINEL_PORT, &link->sentinels, error, error_size);
        return 0;
}

int redis_link_new(struct event_base *base, const struct store_redis_options *options,
        const struct redis_link_hooks *hooks, struct redis_link **ret_link, char *error, size_t error_size)
{
        struct redis_link *link = calloc(1, sizeof *link);
        int r;

        if (!link)
                return error_trace(-ENOMEM);
        link->base = base;
        link->options = options;
        link->hooks = *hooks;
        snprintf(link->reason, sizeof link->reason, "not connected to Redis yet");
        r = link_read_options(link, error, error_size);
        if (r == 0) {
                link->timer = evtimer_new(base, link_on_timer, link);
                r = link->timer ? 0 : error_trace(-ENOMEM);
        }
        if (r < 0) {
                redis_link_free(link);
                return r;
        }
        redis_timer_set(link->timer, 0);
        *ret_link = link;
        return 0;
}

void redis_link_stop(struct redis_link *link)
{
        link->ready = false;
        snprintf(link->reason, sizeof link->reason, "the store is ending");
        if (link->timer)
                event_del(link->timer);
        link->resolve = redis_resolve_free(link->resolve);
        link->pipe = redis_pipe_free(link->pipe);
}

struct redis_link *redis_link_free(struct redis_link *link)
{
        if (!link)
                return NULL;
        redis_link_stop(link);
        if (link->timer)
                event_free(link->timer);
        redis_hosts_deinit(&link->sentinels);
        redis_tls_free(link->tls);
        free(link);
        return NULL;
}

bool redis_link_is_ready(const struct redis_link *link)
{
        return link->ready;
}

const char *redis_link_reason(const struct redis_link *link)
{
        return link->reason;
}

int redis_link_send(struct redis_link *link, struct redis_command *command, struct redis_args *args)
{
        return link->ready ? redis_pipe_send(link->pipe, command, args) : -ENOTCONN;
}

void redis_link_drop(struct redis_link *link, const char *why)
{
        if (link->ready)
                redis_pipe_close(link->pipe, why);
}
