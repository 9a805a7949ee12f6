/*
 * The embedded store: one SQLite database, and a lane for each thread that uses it: one that writes and some
 * that read. A lane is a thread and a connection that no other thread touches. Reads go to the lane that has
 * least to do. The table says what answers which request.
 */

#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/macros.h"
#include "store/sqlite_connection.h"
#include "store/sqlite_operations.h"
#include "store/worker.h"

enum { LANES = 3 }; /* the first one writes */

/* A lock of another process is waited for from when the request was given, so that those that queue behind a
 * lock do not wait one after the other; but a queue that was long for another reason leaves a little. */
enum { BUSY_US = 2000000, BUSY_LEAST_US = 50000 };

static sqlite_operation *const operations[STORE_OPERATIONS] = {
        [STORE_CHECK] = sqlite_check,
        [STORE_PUT] = sqlite_put,
        [STORE_GET] = sqlite_get,
        [STORE_KEEP_COMPILED] = sqlite_keep_compiled,
        [STORE_LIST] = sqlite_list,
        [STORE_DESCRIBE] = sqlite_describe,
        [STORE_REMOVE] = sqlite_remove,
        [STORE_SET_ALIAS] = sqlite_set_alias,
        [STORE_REMOVE_ALIAS] = sqlite_remove_alias,
        [STORE_RESTORE] = sqlite_restore,
};

struct sqlite_lane {
        struct sqlite_connection connection;
        struct worker *worker;
};

struct sqlite_store {
        struct store store;
        char *directory;
        char *file;
        struct sqlite_lane lanes[LANES];
        struct list refused;         /* requests that no lane can take, until the loop's next turn */
        struct event *refused_event; /* activated by hand */
        bool closing;
};

struct sqlite_job {
        struct worker_job job;
        struct store_request *request;
        uint64_t given_us;
};

static struct sqlite_store *sqlite_from(struct store *store)
{
        return container_of(store, struct sqlite_store, store);
}

static int sqlite_transact(struct sqlite_connection *connection, struct store_request *request)
{
        bool writes = store_operation_writes(request->operation);
        int r = sqlite_run(connection, writes ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ);

        if (r == 0)
                r = operations[request->operation](connection, request);
        if (r == 0)
                r = sqlite_run(connection, STATEMENT_COMMIT);
        else if (!connection->failed) /* closing takes the transaction back too */
                sqlite_run(connection, STATEMENT_ROLLBACK);
        return r;
}

/* On the lane's thread. */
static void sqlite_answer(struct sqlite_connection *connection, struct store_request *request)
{
        int r = store_request_is_complete(request) ? 0 : -EINVAL;

        connection->reason[0] = 0;
        if (r == 0)
                r = sqlite_open(connection);
        if (r == 0)
                r = sqlite_transact(connection, request);
        if (connection->failed)
                sqlite_close(connection);
        if (r != 0)
                store_request_deinit(request);
        if (r == STORE_UNAVAILABLE || r == STORE_IN_USE || r == -EBADMSG)
                memcpy(request->reason, connection->reason, sizeof request->reason);
        request->r = r;
}

static void sqlite_job_work(struct worker_job *worker_job, void *context)
{
        struct sqlite_job *job = container_of(worker_job, struct sqlite_job, job);
        struct sqlite_connection *connection = context;

        connection->until_us = MAX(job->given_us + BUSY_US, clock_us() + BUSY_LEAST_US);
        sqlite_answer(connection, job->request);
}

static void sqlite_job_done(struct worker_job *worker_job)
{
        struct sqlite_job *job = container_of(worker_job, struct sqlite_job, job);
        struct store_request *request = job->request;

        free(job);
        request->done(request);
}

static void sqlite_refuse(
        struct sqlite_store *sqlite, struct store_request *request, int r, const char *reason)
{
        request->r = r;
        snprintf(request->reason, sizeof request->reason, "%s", reason);
        list_append(&sqlite->refused, &request->link);
        event_active(sqlite->refused_event, EV_TIMEOUT, 0);
}

static void sqlite_finish_refused(struct sqlite_store *sqlite)
{
        while (!list_empty(&sqlite->refused)) {
                struct store_request *request =
                        container_of(sqlite->refused.next, struct store_request, link);

                list_remove(&request->link);
                request->done(request);
        }
}

static void sqlite_on_refused(evutil_socket_t fd, short what, void *context)
{
        (void)fd;
        (void)what;
        sqlite_finish_refused(context);
}

static struct sqlite_lane *sqlite_choose_lane(struct sqlite_store *sqlite, enum store_operation operation)
{
        struct sqlite_lane *best = &sqlite->lanes[1];

        if (store_operation_writes(operation))
                return &sqlite->lanes[0];
        for (size_t i = 2; i < LANES; i++) {
                if (worker_load(sqlite->lanes[i].worker) < worker_load(best->worker))
                        best = &sqlite->lanes[i];
        }
        return best;
}

static void sqlite_start(struct store *store, struct store_request *request)
{
        struct sqlite_store *sqlite = sqlite_from(store);
        struct sqlite_job *job;

        if (sqlite->closing) {
                sqlite_refuse(sqlite, request, STORE_UNAVAILABLE, "the store is closing");
                return;
        }
        if (request->operation >= STORE_OPERATIONS) {
                sqlite_refuse(sqlite, request, -EINVAL, "");
                return;
        }
        job = malloc(sizeof *job);
        if (!job) {
                sqlite_refuse(sqlite, request, error_trace(-ENOMEM), "");
                return;
        }
        *job = (struct sqlite_job){
                .job = { .work = sqlite_job_work, .done = sqlite_job_done },
                .request = request,
                .given_us = clock_us(),
        };
        worker_give(sqlite_choose_lane(sqlite, request->operation)->worker, &job->job);
}

/* The lane that writes goes last: closing the last connection tidies the journal away. */
static void sqlite_free(struct store *store)
{
        struct sqlite_store *sqlite = sqlite_from(store);

        sqlite->closing = true;
        for (size_t i = LANES; i-- > 0;)
                sqlite->lanes[i].worker = worker_free(sqlite->lanes[i].worker);
        sqlite_finish_refused(sqlite);
        for (size_t i = LANES; i-- > 0;)
                sqlite_close(&sqlite->lanes[i].connection);
        if (sqlite->refused_event)
                event_free(sqlite->refused_event);
        free(sqlite->directory);
        free(sqlite->file);
        free(sqlite);
}

static const struct store_ops sqlite_ops = { .start = sqlite_start, .free = sqlite_free };

static int sqlite_prepare(struct sqlite_store *sqlite, struct event_base *base, const char *directory)
{
        int r = 0;

        list_init(&sqlite->refused);
        sqlite->directory = strdup(directory);
        sqlite->refused_event = event_new(base, -1, 0, sqlite_on_refused, sqlite);
        if (!sqlite->directory || !sqlite->refused_event ||
                asprintf(&sqlite->file, "%s/mayfly.db", directory) < 0)
                return error_trace(-ENOMEM);
        for (size_t i = 0; i < LANES && r == 0; i++) {
                struct sqlite_lane *lane = &sqlite->lanes[i];

                lane->connection = (struct sqlite_connection){
                        .directory = sqlite->directory, .file = sqlite->file, .writes = i == 0
                };
                r = worker_new(base, &lane->connection, &lane->worker);
        }
        return r;
}

/* All of them, since opening may have to write: who reads has it behind him when the disk is full. No request
 * is there yet, so their threads have not looked at the connections. */
static int sqlite_open_lanes(struct sqlite_store *sqlite, const char **ret_reason)
{
        int r = 0;

        for (size_t i = 0; i < LANES && r == 0; i++) {
                struct sqlite_connection *connection = &sqlite->lanes[i].connection;

                connection->until_us = clock_us() + BUSY_US;
                r = sqlite_open(connection);
                *ret_reason = connection->reason;
        }
        return r;
}

int store_open_sqlite(struct event_base *base, const char *directory, struct store **ret_store, char *error,
        size_t error_size)
{
        struct sqlite_store *sqlite = calloc(1, sizeof *sqlite);
        const char *reason = "cannot start its threads";
        int r;

        if (!sqlite)
                return error_trace(-ENOMEM);
        sqlite->store.ops = &sqlite_ops;
        r = sqlite_prepare(sqlite, base, directory);
        if (r == 0)
                r = sqlite_open_lanes(sqlite, &reason);
        if (r != 0) {
                snprintf(error, error_size, "%s/mayfly.db: %s", directory, reason);
                sqlite_free(&sqlite->store);
                return r;
        }
        *ret_store = &sqlite->store;
        return 0;
}
