#pragma once

/*
 * The life of a call: wait for a place, get a cell, hand the script over, hear how it ended. It knows nothing
 * of HTTP; whoever makes a call is told by its hooks what becomes of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cell.h"
#include "server/limits.h"
#include "server/script.h"

struct call;
struct calls;
struct event_base;
struct import_sets;
struct languages;
struct queue;
struct settings;

/* What is pointed to is the caller's, until the call has ended or was cancelled; id is copied. */
struct call_task {
        const char *id;       /* for the log */
        const char *client;   /* whose turn it is, among those who call... */
        const char *function; /* ...and among what is called: see queue.h */
        enum guest_mode mode; /* GUEST_RUN: TypeScript that is not compiled yet is compiled first */
        struct script *script;
        struct limits limits; /* of the run; checking and compiling have those of the settings */
        const char *input;    /* JSON text */
        size_t input_length;
        struct transcript *transcript; /* takes what the script writes; NULL: nobody wants it */
        bool wants_usage;              /* tell the end once the keeper has told what the call used */
};

enum call_ending {
        CALL_RETURNED,  /* body: one JSON value */
        CALL_ENDED,     /* it returned nothing, or exited with 0 */
        CALL_CHECKED,   /* not of GUEST_RUN: no fault; the script has what the check made */
        CALL_SYNTAX,    /* body: a JSON object, the fault */
        CALL_FAILED,    /* body: a JSON object, what the script threw */
        CALL_TOO_DEEP,  /* it returned JSON nested too deep */
        CALL_EXITED,    /* code: its exit status, not 0 */
        CALL_SIGNALED,  /* code: the signal */
        CALL_MEMORY,    /* it failed, and the memory limit was hit; body as of CALL_FAILED, or empty */
        CALL_PROCESSES, /* likewise for the process limit */
        CALL_TMP,       /* it failed, and its error says that /tmp was full; body as of CALL_FAILED */
        CALL_FILES,     /* likewise: there was no further descriptor */
        CALL_OUTPUT,    /* result, stdout or stderr over the limit */
        CALL_TIMED_OUT, /* its time limit passed */
        CALL_LOST,      /* the cell died or never lived, not by the script's fault */
        CALL_UNSERVED,  /* QUEUE_TIMEOUT passed, or the line was full and others had less of it */
        CALL_CANCELLED, /* somebody wanted it to end */
        CALL_ENDINGS,
};

/* Durations so far; 0 for what did not happen. */
struct call_times {
        uint64_t queue_us; /* wait for a place */
        uint64_t start_us; /* from the place until a cell began; compiling included */
        uint64_t run_us;
};

struct call_end {
        enum call_ending ending;
        int code;
        const char *body; /* valid while `ended` runs */
        size_t body_length;
        struct call_times times;
        bool has_usage; /* if the task wanted it and a cell was there */
        struct keeper_done usage;
};

/* Told from the loop, never from within call_new(). Any but `ended` may be NULL. */
struct call_hooks {
        void (*started)(void *context); /* a cell works on it: compiles, or runs the script */
        void (*written)(void *context); /* the transcript has grown */
        void (*ended)(const struct call_end *end, void *context); /* once, and last: the call is no more */
};

enum { CALL_QUEUE_FULL = 1 };

/* NULL: out of memory. */
struct calls *calls_new(struct event_base *base, struct cells *cells, struct import_sets *sets,
        const struct settings *settings, const struct languages *languages);
/* Drops the calls that are left, without a word. Before cells_free(). Takes NULL, returns NULL. */
struct calls *calls_free(struct calls *calls);
/* Calls that have not ended yet. */
size_t calls_open(const struct calls *calls);

/* A place is free, and nobody waits for one. */
bool calls_have_room(const struct calls *calls);

/* When somebody who was not served may try again; 1 to 60. */
unsigned calls_retry_after_s(const struct calls *calls);

/* What is known so far. */
struct call_times call_times(const struct call *call);

/* 0, CALL_QUEUE_FULL or -ENOMEM. Takes its own reference of the script. */
int call_new(struct calls *calls, const struct call_task *task, const struct call_hooks *hooks, void *context,
        struct call **ret_call);
/* Leaves what the script writes in its pipes, so that it waits, or reads on. */
void call_pause(struct call *call, bool paused);
/* Nobody wants the answer any more: the cell is killed at once, and no hook is called again. */
void call_cancel(struct call *call);
