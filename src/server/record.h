#pragma once

/*
 * The record of a call: what it has written, how it ended, and who waits to hear of it. A call runs for its
 * record, and the record tells its watchers; one that was made for later (respond-async), or under an
 * Idempotency-Key, is kept for a while after its end, in the server's memory.
 *
 * A record lives while its call runs, while somebody watches it, and while it is kept.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "server/answer.h"
#include "server/call.h"
#include "server/transcript.h"

struct event_base;
struct functions;
struct records;
struct settings;

enum record_state { RECORD_QUEUED, RECORD_RUNNING, RECORD_DONE, RECORD_CANCELLED };

/* Somebody who wants to know; embed it. Both are told from the loop. */
struct watcher {
        struct list link;
        bool is_full; /* for record_set_full() alone */
        /* It has started, or its transcript has grown. May be NULL. */
        void (*on_progress)(struct watcher *watcher);
        /* It has ended; nothing changes any more. Whoever has heard enough leaves. */
        void (*on_end)(struct watcher *watcher);
};

enum { RECORD_ID_LENGTH = 32, RECORD_KEY_MAX = 255 };

struct record {
        struct list link; /* in records->all */
        struct list kept; /* in records->kept, from its end on */
        struct records *records;
        enum record_state state;
        char id[RECORD_ID_LENGTH + 1]; /* hexadecimal; nobody can guess it */
        char request_id[65];           /* of the request that made it */
        unsigned owner;                /* whose token made it; others do not see it. 0: without tokens */
        bool is_for_later;
        bool is_stored;
        bool has_begun; /* a cell worked on it: whoever follows it has messages */
        char *key;      /* Idempotency-Key, or NULL */
        uint64_t fingerprint;
        struct script *script; /* NULL from its end on */
        char *input;           /* its own copy, if it has to outlive its request */
        struct call *call;     /* NULL from its end on */
        struct transcript transcript;
        struct call_end end; /* once state is RECORD_DONE or RECORD_CANCELLED */
        struct bytes body;   /* of end */
        uint64_t ended_us;
        size_t size;  /* bytes, while it is kept */
        bool is_held; /* somebody is telling its watchers, and must find it there afterwards */
        struct list watchers;
};

/* What a record is made of. */
struct record_wish {
        struct call_task task; /* its id is the request's; transcript is set here */
        unsigned owner;
        bool is_stored;
        bool is_for_later;
        const char *key; /* NULL: none */
        uint64_t fingerprint;
};

/* functions: keeps TypeScript of /run-now once it is compiled. 0 or -ENOMEM. */
int records_new(struct event_base *base, struct calls *calls, struct functions *functions,
        const struct settings *settings, struct records **ret_records);
/* At the end of the server: forgets calls that are no more, so that watchers may leave without a word to
 * them. */
void records_abandon(struct records *records);
/* Nobody may watch any more. Takes NULL, returns NULL. */
struct records *records_free(struct records *records);

/* A new call, which is told of later, never from within. One that is not for later must be watched at once.
 * 0, CALL_QUEUE_FULL or negative errno. */
int record_new(struct records *records, const struct record_wish *wish, struct record **ret_record);
/* It is asked for by its id from now on, whoever watches. 0 or negative errno. */
int record_keep_for_later(struct record *record);

/* By its id, or by its key; NULL: there is none of this owner. */
struct record *records_find(struct records *records, unsigned owner, const char *id);
struct record *records_find_key(struct records *records, unsigned owner, const char *key);

/* One that has ended is watched like any other: ask for its state. */
void record_watch(struct record *record, struct watcher *watcher);
/* A call that is not for later and that nobody watches any more is cancelled. The record may be gone then. */
void record_leave(struct record *record, struct watcher *watcher);
/* This watcher cannot take any more now, or can again. What writes is held back while all of them are full,
 * unless it is for later. */
void record_set_full(struct record *record, struct watcher *watcher, bool is_full);
/* How it ended, to be written down. */
struct answer record_answer(const struct record *record);
bool record_has_ended(const struct record *record);
/* Ends the call, or forgets one that has ended. */
void record_delete(struct record *record);
