/*
 * Spares: for each template, a few cells that have said READY and wait for a call: as many as calls are
 * expected while one is replaced (demand.c), at least one for each language. One that is taken is replaced
 * when its call has ended, at the latest some time later, one at a time, and only while no call waits for a
 * cell or for a place: calls have the CPUs first, and a cell that finds its call there already saves the
 * rehearsal, a third of its CPU time. One that dies while it waits costs nobody a call; it is replaced after
 * a pause that doubles, so a template that cannot hold a cell does not keep the host busy.
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

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 5000, HEALTHY_US = 1000000, REPLACE_AFTER_MS = 12 };
enum { LOOK_S = 1, SPARE_BYTES = 2 << 20 /* what one has for itself, as measured */ };

static bool cell_pool_is_base(const struct cell_pool *pool)
{
        return pool->place < RUNTIME_COUNT;
}

/* --- how many --- */

static size_t cell_pool_wanted(const struct cell_pool *pool)
{
        return MIN(MAX(demand_spares(&pool->demand, clock_us()), pool->least), pool->most);
}

uint64_t cells_memory(const struct cells *cells)
{
        uint64_t bytes = cells->n_spares * (uint64_t)SPARE_BYTES;

        for (size_t i = RUNTIME_COUNT; i < TEMPLATE_PLACES; i++)
                bytes += cells->pools[i].up ? cells->pools[i].memory_bytes : 0;
        return bytes;
}

/* The slots are for two shares of spares, whoever has them. The first spare of a base template is always
 * granted: room for it is kept. */
static bool cells_have_room(const struct cells *cells, const struct cell_pool *pool)
{
        size_t kept = 0;

        if (cell_pool_is_base(pool) && pool->n_spares < pool->least)
                return true;
        for (size_t i = 0; i < RUNTIME_COUNT; i++)
                kept += cells->pools[i].least > cells->pools[i].n_spares ? 1 : 0;
        return cells->n_spares + kept < 2 * (size_t)cells->settings->spare_cells &&
               cells_memory(cells) + SPARE_BYTES <= cells->settings->template_memory_max_bytes;
}

/* --- making them --- */

static void cell_pool_add(struct cell_pool *pool, struct cell *cell)
{
        cell->is_made = true;
        pool->cells->n_made++;
        list_append(&pool->spares, &cell->spare);
        pool->n_spares++;
        pool->cells->n_spares++;
}

static void cell_pool_remove(struct cell_pool *pool, struct cell *cell)
{
        list_remove(&cell->spare);
        pool->n_spares--;
        pool->cells->n_spares--;
}

static void cell_pool_refill_in(struct cell_pool *pool, uint32_t ms)
{
        struct timeval pause = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

        evtimer_add(&pool->refill_timer, &pause);
}

/* One at a time, and none while calls wait for cells or places. */
static bool cells_are_busy(const struct cells *cells)
{
        return cells->crowded || cells->n_waited_for > 0 || cells->n_made > 0;
}

static void cell_pool_refill(struct cell_pool *pool)
{
        size_t wanted = cell_pool_wanted(pool);

        while (pool->up && pool->n_spares < wanted && !evtimer_pending(&pool->refill_timer, NULL) &&
                cells_have_room(pool->cells, pool)) {
                struct cell *cell;
                int r;

                if (cells_are_busy(pool->cells)) {
                        cell_pool_refill_in(pool, REPLACE_AFTER_MS);
                        return;
                }
                r = cell_new(pool, &cell);
                if (r < 0) {
                        log_error("cell.spare", "place=%u error=\"%s\"", pool->place, strerror(-r));
                        return;
                }
                cell_pool_add(pool, cell);
        }
}

static void cell_pool_on_timer(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        cell_pool_refill(context);
}

static void cell_pool_reset_backoff(struct cell_pool *pool)
{
        pool->backoff_ms = 0;
        evtimer_del(&pool->refill_timer);
}

/* --- letting them go --- */

static void cell_pool_trim(struct cell_pool *pool)
{
        size_t wanted = cell_pool_wanted(pool), live = 0;

        list_foreach(link, &pool->spares) {
                struct cell *cell = container_of(link, struct cell, spare);

                if (!cell->killed && ++live > wanted) {
                        cell->surplus = true;
                        cell_kill(cell);
                }
        }
}

/* Once a second while there is a spare that nobody may want any more. */
static void cells_on_look(evutil_socket_t fd, short what, void *context)
{
        struct cells *cells = context;
        const struct timeval pause = { .tv_sec = LOOK_S };
        size_t kept = 0;

        (void)fd, (void)what;
        for (size_t i = 0; i < TEMPLATE_PLACES; i++) {
                cell_pool_trim(&cells->pools[i]);
                kept += cells->pools[i].least;
        }
        if (cells->n_spares > kept)
                evtimer_add(&cells->look_timer, &pause);
}

/* A spare has died unused. Several at once (their template died) are one misfortune; one that had waited for
 * long is no sign of a runtime that cannot hold any. */
static void cell_pool_lose(struct cell_pool *pool, struct cell *cell)
{
        bool was_healthy = clock_us() - cell->born_us > HEALTHY_US;

        cell_pool_remove(pool, cell);
        if (cell->surplus || evtimer_pending(&pool->refill_timer, NULL))
                return;
        pool->backoff_ms = pool->backoff_ms && !was_healthy ? MIN(pool->backoff_ms * 2, BACKOFF_MAX_MS)
                                                            : BACKOFF_FIRST_MS;
        cell_pool_refill_in(pool, pool->backoff_ms);
}

static void cell_pool_log_wall(const struct cell *cell, const struct cell_notice *notice)
{
        struct frame_wall wall;

        frame_wall_read(notice->body, &wall);
        log_error("cell.wall", "cell=%llu place=%u wall=%u error=\"%s\"", (unsigned long long)cell->id,
                cell->pool->place, wall.wall, strerror(wall.error));
}

/* The news of a cell that nobody has taken. */
void cell_pool_hear(struct cell *cell, const struct cell_notice *notice)
{
        struct cell_pool *pool = cell->pool;

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
                demand_add_replacement(&pool->demand, clock_us() - cell->born_us);
                cell_pool_refill(pool);
                break;
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

/* A cell for a call: its READY ends the wait. */
static void cell_pool_hand_out(struct cell_pool *pool, struct cell *cell)
{
        const struct timeval pause = { .tv_sec = LOOK_S };

        cell_pool_stop_waiting(cell);
        cell->waited_for = cell->frames.phase != CELL_READY;
        pool->cells->n_waited_for += cell->waited_for;
        demand_add_call(&pool->demand, clock_us());
        if (!evtimer_pending(&pool->refill_timer, NULL))
                cell_pool_refill_in(pool, REPLACE_AFTER_MS);
        if (!evtimer_pending(&pool->cells->look_timer, NULL))
                evtimer_add(&pool->cells->look_timer, &pause);
}

void cell_pool_stop_waiting(struct cell *cell)
{
        cell->cells->n_made -= cell->is_made;
        cell->is_made = false;
        cell->cells->n_waited_for -= cell->waited_for;
        cell->waited_for = false;
}

int cell_take(struct cells *cells, uint32_t place, cell_owner *owner, void *context, struct cell **ret_cell)
{
        struct cell_pool *pool = &cells->pools[place];
        struct cell *cell = cell_pool_choose(pool);
        int r = 0;

        if (cell) {
                cell_pool_remove(pool, cell);
                cell_pool_reset_backoff(pool);
        } else {
                r = cell_new(pool, &cell);
                if (r < 0)
                        return r;
        }
        cell->owner = owner;
        cell->context = context;
        cell_pool_hand_out(pool, cell);
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

/* A call's CPU is free for its successor now. */
static void cell_pool_finish(struct cell *cell, const struct keeper_done *done)
{
        struct cell_pool *pool = cell->pool;
        bool was_spare = !cell->owner;

        cell_finish(cell, done);
        if (was_spare || pool->backoff_ms > 0)
                return;
        evtimer_del(&pool->refill_timer);
        cell_pool_refill(pool);
}

void cells_on_done(struct cells *cells, const struct keeper_done *done)
{
        struct cell *cell = cells_find(cells, done->cell);

        if (cell)
                cell_pool_finish(cell, done);
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

void cells_on_template(struct cells *cells, const struct keeper_template *template)
{
        struct cell_pool *pool = &cells->pools[template->place];

        pool->up = template->up != 0;
        pool->generation = template->generation;
        pool->memory_bytes = template->memory_bytes;
        cell_pool_set_version(pool, template->version);
        /* The keeper has logged it, with the reason. */
        log_debug("template.news", "place=%u up=%d generation=%u", pool->place, pool->up, pool->generation);
        cell_pool_reset_backoff(pool);
        cell_pool_refill(pool);
}

struct cells_view cells_look(const struct cells *cells, uint32_t place)
{
        const struct cell_pool *pool = &cells->pools[place];

        return (struct cells_view){ .up = pool->up,
                .generation = pool->generation,
                .memory_bytes = pool->memory_bytes,
                .spares = pool->n_spares,
                .cells = pool->n_cells };
}

int cells_write(const struct cells *cells, uint32_t place, struct bytes *body)
{
        struct cells_view view = cells_look(cells, place);

        return bytes_format(body, ",\"generation\":%u,\"memory_bytes\":%llu,\"spares\":%zu,\"cells\":%zu",
                view.generation, (unsigned long long)view.memory_bytes, view.spares, view.cells);
}

void cells_keep(struct cells *cells, uint32_t place, bool is_open, size_t least)
{
        struct cell_pool *pool = &cells->pools[place];

        pool->most = is_open ? cells->settings->spare_cells : 0;
        pool->least = MIN(least, pool->most);
        cell_pool_trim(pool);
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

void cells_set_crowded(struct cells *cells, bool crowded)
{
        cells->crowded = crowded;
}

void cells_drain(struct cells *cells)
{
        for (size_t i = 0; i < TEMPLATE_PLACES; i++)
                cells->pools[i].most = 0;
}

/* The compiler keeps none: an upload can wait for a fork. */
static bool cell_pool_may_keep(const struct languages *languages, uint32_t place)
{
        return place < RUNTIME_COUNT && place != RUNTIME_TYPESCRIPT && languages_use(languages, place);
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
        evtimer_assign(&cells->look_timer, base, cells_on_look, cells);
        for (uint32_t i = 0; i < TEMPLATE_PLACES; i++) {
                struct cell_pool *pool = &cells->pools[i];

                pool->cells = cells;
                pool->place = i;
                pool->most = cell_pool_may_keep(languages, i) ? settings->spare_cells : 0;
                pool->least = MIN(1u, pool->most);
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
        for (size_t i = 0; i < TEMPLATE_PLACES; i++)
                evtimer_del(&cells->pools[i].refill_timer);
        evtimer_del(&cells->look_timer);
        free(cells);
        return NULL;
}
