/*
 * Spares: for each runtime that runs scripts, a few cells that have said READY and wait for a call. One that
 * is taken is replaced a moment later, while its runtime is up: the call that took it has the CPUs first. One
 * that dies while it waits costs nobody a call; it is replaced after a pause that doubles, so a runtime that
 * cannot hold a cell does not keep the host busy.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/settings.h"
#include "server/cell_pool.h"
#include "server/language.h"
#include "wire/runtime.h"

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 5000, HEALTHY_US = 1000000, REPLACE_AFTER_MS = 4 };

static void cell_pool_refill(struct cell_pool *pool)
{
        while (pool->up && pool->n_spares < pool->wanted && !evtimer_pending(&pool->refill_timer, NULL)) {
                struct cell *cell;
                int r;

                r = cell_new(pool->cells, pool->runtime, &cell);
                if (r < 0) {
                        log_error("cell.spare", "runtime=%s error=\"%s\"", runtime_name(pool->runtime),
                                strerror(-r));
                        return;
                }
                list_append(&pool->spares, &cell->spare);
                pool->n_spares++;
        }
}

static void cell_pool_on_timer(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        cell_pool_refill(context);
}

static void cell_pool_refill_in(struct cell_pool *pool, uint32_t ms)
{
        struct timeval pause = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

        evtimer_add(&pool->refill_timer, &pause);
}

static void cell_pool_reset_backoff(struct cell_pool *pool)
{
        pool->backoff_ms = 0;
        evtimer_del(&pool->refill_timer);
}

/* A spare has died unused. Several at once (their template died) are one misfortune; one that had waited for
 * long is no sign of a runtime that cannot hold any. */
static void cell_pool_lose(struct cell_pool *pool, struct cell *cell)
{
        bool was_healthy = clock_us() - cell->born_us > HEALTHY_US;

        list_remove(&cell->spare);
        pool->n_spares--;
        if (evtimer_pending(&pool->refill_timer, NULL))
                return;
        pool->backoff_ms = pool->backoff_ms && !was_healthy ? MIN(pool->backoff_ms * 2, BACKOFF_MAX_MS)
                                                            : BACKOFF_FIRST_MS;
        cell_pool_refill_in(pool, pool->backoff_ms);
}

static void cell_pool_log_wall(const struct cell *cell, const struct cell_notice *notice)
{
        struct frame_wall wall;

        frame_wall_read(notice->body, &wall);
        log_error("cell.wall", "cell=%llu runtime=%s wall=%u error=\"%s\"", (unsigned long long)cell->id,
                runtime_name(cell->runtime), wall.wall, strerror(wall.error));
}

/* The news of a cell that nobody has taken. */
void cell_pool_hear(struct cell *cell, const struct cell_notice *notice)
{
        struct cell_pool *pool = &cell->cells->pools[cell->runtime];

        switch (notice->news) {
        case CELL_IS_GONE:
                cell_pool_lose(pool, cell);
                break;
        case CELL_SENT_FRAME: /* without a call, only FRAME_WALL gets this far */
                cell_pool_log_wall(cell, notice);
                cell_kill(cell);
                break;
        case CELL_MISBEHAVED:
                log_error("cell.misbehaved", "cell=%llu spare=1 fault=\"%s\"", (unsigned long long)cell->id,
                        notice->fault);
                break;
        case CELL_IS_READY:
        case CELL_IS_LIMITED:
        case CELL_SENT_LARGE:
        case CELL_HAS_OUTPUT:
        case CELL_OUTPUT_FULL:
                break;
        }
}

/* A spare without a channel is of no use. */
void cell_pool_look(struct cell *cell)
{
        if (cell->eof)
                cell_kill(cell);
}

static bool cell_pool_alive(struct cell *cell, bool must_be_ready)
{
        if (cell->frames.phase == CELL_SPOKEN || cell->killed)
                return false;
        cell_read(cell);
        cell_pool_look(cell);
        return !cell->killed && cell->frames.phase != CELL_SPOKEN &&
               (!must_be_ready || cell->frames.phase == CELL_READY);
}

/* A ready one if there is one, otherwise one that will be ready sooner than a new one. */
static struct cell *cell_pool_choose(struct cell_pool *pool)
{
        for (int must_be_ready = 1; must_be_ready >= 0; must_be_ready--) {
                list_foreach(link, &pool->spares) {
                        struct cell *cell = container_of(link, struct cell, spare);

                        if (cell_pool_alive(cell, must_be_ready))
                                return cell;
                }
        }
        return NULL;
}

int cell_take(
        struct cells *cells, enum runtime runtime, cell_owner *owner, void *context, struct cell **ret_cell)
{
        struct cell_pool *pool = &cells->pools[runtime];
        struct cell *cell = cell_pool_choose(pool);
        int r = 0;

        if (cell) {
                list_remove(&cell->spare);
                pool->n_spares--;
                cell_pool_reset_backoff(pool);
        } else {
                r = cell_new(cells, runtime, &cell);
                if (r < 0)
                        return r;
        }
        cell->owner = owner;
        cell->context = context;
        if (!evtimer_pending(&pool->refill_timer, NULL))
                cell_pool_refill_in(pool, REPLACE_AFTER_MS);
        *ret_cell = cell;
        return 0;
}

static struct cell *cells_find(struct cells *cells, uint64_t id)
{
        list_foreach(link, &cells->all) {
                struct cell *cell = container_of(link, struct cell, link);

                if (cell->id == id)
                        return cell;
        }
        return NULL;
}

void cells_on_done(struct cells *cells, const struct keeper_done *done)
{
        struct cell *cell = cells_find(cells, done->cell);

        if (cell)
                cell_finish(cell, done);
        else
                log_warn("cell.done", "cell=%llu error=unknown", (unsigned long long)done->cell);
}

void cells_on_limited(struct cells *cells, const struct keeper_limited *limited)
{
        struct cell *cell = cells_find(cells, limited->cell);

        if (cell)
                cell_limited(cell, limited->error);
}

/* "CPython 3.11.2 #1a2b3c4d": behind the mark is what its compiled code depends on besides the version. */
static void cell_pool_set_version(struct cell_pool *pool, const char version[KEEPER_TEXT])
{
        char *mark;

        memcpy(pool->build, version, KEEPER_TEXT);
        memcpy(pool->version, version, KEEPER_TEXT);
        mark = pool->up ? strstr(pool->version, " #") : NULL;
        if (mark)
                *mark = 0;
}

void cells_on_runtime(struct cells *cells, const struct keeper_template *runtime)
{
        struct cell_pool *pool = &cells->pools[runtime->place];

        pool->up = runtime->up != 0;
        cell_pool_set_version(pool, runtime->version);
        /* The keeper has logged it, with the reason. */
        log_debug("runtime.news", "runtime=%s up=%d generation=%u", runtime_name(pool->runtime), pool->up,
                runtime->generation);
        cell_pool_reset_backoff(pool);
        cell_pool_refill(pool);
}

bool cells_runtime_up(const struct cells *cells, enum runtime runtime)
{
        return cells->pools[runtime].up;
}

const char *cells_runtime_version(const struct cells *cells, enum runtime runtime)
{
        return cells->pools[runtime].version;
}

const char *cells_runtime_build(const struct cells *cells, enum runtime runtime)
{
        return cells->pools[runtime].up ? cells->pools[runtime].build : "";
}

void cells_drain(struct cells *cells)
{
        for (size_t i = 0; i < RUNTIME_COUNT; i++)
                cells->pools[i].wanted = 0;
}

/* The compiler keeps none: an upload can wait for a fork. */
static size_t cell_pool_wanted(
        const struct settings *settings, const struct languages *languages, enum runtime runtime)
{
        if (runtime == RUNTIME_TYPESCRIPT || !languages_use(languages, runtime))
                return 0;
        return settings->spare_cells;
}

int cells_new(struct event_base *base, struct keeper_link *link, const struct settings *settings,
        const struct languages *languages, struct cells **ret_cells)
{
        struct cells *cells = calloc(1, sizeof *cells);

        if (!cells)
                return error_trace(-ENOMEM);
        /* Numbers rise across restarts too: the keeper may still report cells of a server before us. */
        *cells = (struct cells){ .base = base, .link = link, .settings = settings, .last_id = clock_us() };
        list_init(&cells->all);
        for (size_t i = 0; i < RUNTIME_COUNT; i++) {
                struct cell_pool *pool = &cells->pools[i];

                pool->cells = cells;
                pool->runtime = (enum runtime)i;
                pool->wanted = cell_pool_wanted(settings, languages, pool->runtime);
                list_init(&pool->spares);
                evtimer_assign(&pool->refill_timer, base, cell_pool_on_timer, pool);
        }
        *ret_cells = cells;
        return 0;
}

struct cells *cells_free(struct cells *cells)
{
        if (!cells)
                return NULL;
        list_foreach(link, &cells->all) {
                cell_free(container_of(link, struct cell, link));
        }
        for (size_t i = 0; i < RUNTIME_COUNT; i++)
                evtimer_del(&cells->pools[i].refill_timer);
        free(cells);
        return NULL;
}
