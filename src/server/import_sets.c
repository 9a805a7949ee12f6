/*
 * Theory of operation. A row for each set that was called for lately; rows are few, and the one that was used
 * least lately makes way. A row's life: SEEN → BUILDING (KEEPER_WARM was sent) → UP → COOLING (it gets no
 * further calls, and waits for the end of those that it has) → SEEN, when the keeper says that the template
 * is no more. It says so once for each KEEPER_WARM, whatever ended it; only then is the place free again.
 *
 * A set whose template fails is left alone for a while that doubles. Why it failed is the keeper's to log:
 * it crashed, hung, kept a thread running, or drew the same random numbers in two cells. Its calls are served
 * by the base template, as those of a set that was not called for often enough.
 */

#include "server/import_sets.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/settings.h"
#include "server/cell.h"
#include "server/json_write.h"
#include "server/keeper_link.h"
#include "wire/runtime.h"

enum {
        ROWS = 64,
        NAMES_MAX = 1024, /* a longer list is no set */
        CALLS_MIN = 2,    /* before a template is worth it */
        LOOK_S = 1,
};
#define SECONDS          UINT64_C(1000000)
#define CALLS_WITHIN_US  (600 * SECONDS) /* of each other */
#define SPARE_FOR_US     (60 * SECONDS)  /* after a call one spare is kept */
#define IDLE_MAX_US      (300 * SECONDS) /* then the template is given up */
#define IN_USE_US        (5 * SECONDS)   /* within that no other may take its room: they would take turns */
#define FAILED_FIRST_US  (60 * SECONDS)  /* doubled with each failure */
#define FAILED_DOUBLINGS 6

enum set_state { SET_SEEN, SET_BUILDING, SET_UP, SET_COOLING };

static const char *const state_names[] = {
        [SET_SEEN] = "seen", [SET_BUILDING] = "building", [SET_UP] = "up", [SET_COOLING] = "cooling"
};

struct import_set {
        char *names; /* NULL: a free row */
        enum runtime runtime;
        enum set_state state;
        uint32_t place; /* unless SEEN */
        bool cool_sent;
        unsigned calls, failures;
        uint64_t used_us, not_before_us; /* clock_us() */
};

struct import_sets {
        struct cells *cells;
        struct keeper_link *link;
        const struct settings *settings;
        bool draining;
        struct event look_timer;
        uint64_t build_us, rest_until_us;
        struct import_set rows[ROWS];
};

#define sets_foreach(set, sets)                                                                              \
        for (struct import_set *set = (sets)->rows; set < (sets)->rows + ROWS; set++)                        \
                if (!set->names) {                                                                           \
                } else

static struct import_set *sets_at(struct import_sets *sets, uint32_t place)
{
        sets_foreach(set, sets)
        {
                if (set->state != SET_SEEN && set->place == place)
                        return set;
        }
        return NULL;
}

/* --- giving up --- */

static void set_cool(struct import_sets *sets, struct import_set *set, const char *why)
{
        log_info("set.cooling", "place=%u imports=\"%.200s\" why=\"%s\"", set->place, set->names, why);
        set->state = SET_COOLING;
        set->cool_sent = false;
        cells_keep(sets->cells, set->place, false, 0);
}

/* The one that is up, not in use, and was used least lately; NULL: none. */
static struct import_set *sets_find_idle(struct import_sets *sets, uint64_t now_us)
{
        struct import_set *found = NULL;

        sets_foreach(set, sets)
        {
                if (set->state == SET_UP && now_us - set->used_us > IN_USE_US &&
                        (!found || set->used_us < found->used_us))
                        found = set;
        }
        return found;
}

/* What is occupied when those are gone that are cooling. */
static uint64_t sets_memory(struct import_sets *sets)
{
        uint64_t bytes = cells_memory(sets->cells);

        sets_foreach(set, sets)
        {
                if (set->state == SET_COOLING)
                        bytes -= MIN(bytes, cells_look(sets->cells, set->place).memory_bytes);
        }
        return bytes;
}

static void set_fail(struct import_set *set, uint64_t now_us)
{
        set->not_before_us = now_us + (FAILED_FIRST_US << MIN(set->failures, (unsigned)FAILED_DOUBLINGS));
        set->failures++;
}

/* A new template may find the room taken by others; if they are in use, it is the one to go. */
static void sets_fit(struct import_sets *sets, struct import_set *newcomer)
{
        uint64_t now_us = clock_us();

        newcomer->used_us = now_us;
        while (sets_memory(sets) > sets->settings->template_memory_max_bytes) {
                struct import_set *idle = sets_find_idle(sets, now_us);

                if (!idle) {
                        set_cool(sets, newcomer, "TEMPLATE_MEMORY_MAX");
                        set_fail(newcomer, now_us);
                        return;
                }
                set_cool(sets, idle, "another needs its memory");
        }
}

/* Without a word from the cells: they are asked once a second, and only while there is a template. */
static bool set_look(struct import_sets *sets, struct import_set *set, uint64_t now_us)
{
        uint64_t idle_us = now_us - set->used_us;

        if (set->state == SET_UP && idle_us > IDLE_MAX_US)
                set_cool(sets, set, "nobody has called for it");
        else if (set->state == SET_UP && idle_us > SPARE_FOR_US)
                cells_keep(sets->cells, set->place, true, 0);
        if (set->state == SET_COOLING && !set->cool_sent && cells_look(sets->cells, set->place).cells == 0)
                set->cool_sent = keeper_link_cool(sets->link, set->place) == 0;
        return set->state != SET_SEEN;
}

static void sets_on_look(evutil_socket_t fd, short what, void *context)
{
        const struct timeval pause = { .tv_sec = LOOK_S };
        struct import_sets *sets = context;
        uint64_t now_us = clock_us();
        bool again = false;

        (void)fd, (void)what;
        sets_foreach(set, sets) again |= set_look(sets, set, now_us);
        if (again)
                evtimer_add(&sets->look_timer, &pause);
}

/* --- making --- */

/* 0: there is none. */
static uint32_t sets_free_place(struct import_sets *sets)
{
        for (uint32_t place = RUNTIME_COUNT; place < TEMPLATE_PLACES; place++) {
                if (!sets_at(sets, place))
                        return place;
        }
        return 0;
}

static int names_file(const char *names, int *ret_fd)
{
        _cleanup_(fd_closep) int fd = memfd_create("imports", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        size_t length = strlen(names);

        if (fd < 0)
                return -errno;
        if (write(fd, names, length) != (ssize_t)length)
                return -EIO;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        *ret_fd = fd_steal(&fd);
        return 0;
}

static int set_warm(struct import_sets *sets, struct import_set *set, uint32_t place)
{
        const struct timeval pause = { .tv_sec = LOOK_S };
        int fd = -1, r = names_file(set->names, &fd);

        if (r == 0)
                r = keeper_link_warm(sets->link, place, set->runtime, fd);
        if (r < 0)
                return r;
        set->state = SET_BUILDING;
        set->place = place;
        sets->build_us = clock_us();
        evtimer_add(&sets->look_timer, &pause);
        return 0;
}

static bool sets_are_building(struct import_sets *sets)
{
        sets_foreach(set, sets)
        {
                if (set->state == SET_BUILDING)
                        return true;
        }
        return false;
}

/* One at a time, and then a rest of the same length: imports take a CPU that calls may need. */
static void set_build(struct import_sets *sets, struct import_set *set, uint64_t now_us)
{
        uint32_t place = sets_free_place(sets);
        struct import_set *idle;
        int r;

        if (sets->draining || now_us < sets->rest_until_us || sets_are_building(sets))
                return;
        if (place && sets_memory(sets) < sets->settings->template_memory_max_bytes) {
                r = set_warm(sets, set, place);
                if (r < 0)
                        log_error("set.build", "error=\"%s\"", strerror(-r));
                return;
        }
        idle = sets_find_idle(sets, now_us); /* a later call finds the room */
        if (idle)
                set_cool(sets, idle, "another needs its place");
}

/* --- rows --- */

static struct import_set *sets_find(struct import_sets *sets, enum runtime runtime, const char *names)
{
        sets_foreach(set, sets)
        {
                if (set->runtime == runtime && strcmp(set->names, names) == 0)
                        return set;
        }
        return NULL;
}

/* A free row, or that of the set which was called for least lately and has no template. */
static struct import_set *sets_find_row(struct import_sets *sets)
{
        struct import_set *found = NULL;

        for (struct import_set *set = sets->rows; set < sets->rows + ROWS; set++) {
                if (!set->names)
                        return set;
                if (set->state == SET_SEEN && (!found || set->used_us < found->used_us))
                        found = set;
        }
        return found;
}

static struct import_set *sets_add(struct import_sets *sets, enum runtime runtime, const char *names)
{
        char *copy = strlen(names) <= NAMES_MAX ? strdup(names) : NULL;
        struct import_set *set = copy ? sets_find_row(sets) : NULL;

        if (!set) {
                free(copy);
                return NULL;
        }
        free(set->names);
        *set = (struct import_set){ .names = copy, .runtime = runtime };
        return set;
}

static void set_use(struct import_set *set, uint64_t now_us)
{
        if (now_us - set->used_us > CALLS_WITHIN_US)
                set->calls = 0;
        set->calls++;
        set->used_us = now_us;
}

/* Packages for Node.js come from the operator's /node_modules, and its own are warm in the base template. */
static bool runtime_has_sets(enum runtime runtime)
{
        return runtime == RUNTIME_PYTHON || runtime == RUNTIME_FAKE;
}

uint32_t import_sets_place(struct import_sets *sets, enum runtime runtime, const char *names)
{
        uint64_t now_us = clock_us();
        struct import_set *set;

        if (!*names || !runtime_has_sets(runtime) || sets->settings->template_memory_max_bytes == 0)
                return runtime;
        set = sets_find(sets, runtime, names);
        if (!set)
                set = sets_add(sets, runtime, names);
        if (!set)
                return runtime;
        set_use(set, now_us);
        if (set->state == SET_SEEN && set->calls >= CALLS_MIN && now_us >= set->not_before_us)
                set_build(sets, set, now_us);
        if (set->state != SET_UP)
                return runtime;
        cells_keep(sets->cells, set->place, true, 1);
        return set->place;
}

static void set_is_up(struct import_sets *sets, struct import_set *set)
{
        if (set->state != SET_BUILDING)
                return;
        set->state = SET_UP;
        cells_keep(sets->cells, set->place, true, 1);
        sets_fit(sets, set);
}

static void set_is_down(struct import_sets *sets, struct import_set *set, const char *why)
{
        cells_keep(sets->cells, set->place, false, 0);
        if (set->state != SET_COOLING) {
                log_warn("set.down", "place=%u imports=\"%.200s\" why=\"%s\"", set->place, set->names, why);
                set_fail(set, clock_us());
        }
        set->state = SET_SEEN;
        set->calls = 0;
}

void import_sets_on_template(struct import_sets *sets, const struct keeper_template *template)
{
        struct import_set *set = sets_at(sets, template->place);
        uint64_t now_us = clock_us();

        if (!set)
                return;
        if (set->state == SET_BUILDING)
                sets->rest_until_us = now_us + (now_us - sets->build_us);
        if (template->up)
                set_is_up(sets, set);
        else
                set_is_down(sets, set, template->version);
}

void import_sets_drain(struct import_sets *sets)
{
        sets->draining = true;
}

int import_sets_write(const struct import_sets *sets, struct bytes *body)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < ROWS; i++) {
                const struct import_set *set = &sets->rows[i];

                if (!set->names)
                        continue;
                r = bytes_append_text(body, ",{\"imports\":");
                if (r == 0)
                        r = json_write_text(body, set->names);
                if (r == 0)
                        r = bytes_format(body, ",\"runtime\":\"%s\",\"state\":\"%s\",\"failures\":%u",
                                runtime_name(set->runtime), state_names[set->state], set->failures);
                if (r == 0 && set->state != SET_SEEN)
                        r = cells_write(sets->cells, set->place, body);
                if (r == 0)
                        r = bytes_append_text(body, "}");
        }
        return r;
}

int import_sets_new(struct event_base *base, struct cells *cells, struct keeper_link *link,
        const struct settings *settings, struct import_sets **ret_sets)
{
        struct import_sets *sets = calloc(1, sizeof *sets);

        if (!sets)
                return error_trace(-ENOMEM);
        *sets = (struct import_sets){ .cells = cells, .link = link, .settings = settings };
        evtimer_assign(&sets->look_timer, base, sets_on_look, sets);
        *ret_sets = sets;
        return 0;
}

struct import_sets *import_sets_free(struct import_sets *sets)
{
        if (!sets)
                return NULL;
        evtimer_del(&sets->look_timer);
        sets_foreach(set, sets) free(set->names);
        free(sets);
        return NULL;
}
