#pragma once

/*
 * The life of a call: wait for a place, get a cell, hand the script over, hear how it ended. It knows nothing
 * of HTTP; whoever makes a call is told once how it ended, by `ended`.
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
struct languages;
struct queue;
struct settings;

struct call_task {
        const char *id;       /* for the log; copied */
        enum guest_mode mode; /* GUEST_RUN: TypeScript that is not compiled yet is compiled first */
        struct script *script;
        const char *input; /* JSON text, the caller's until the call has ended or was cancelled */
        size_t input_length;
        struct limits limits; /* of the run; checking and compiling have those of the settings */
        const char *client, *function; /* for fairness in the queue; copied; NULL: "" */
};

enum call_ending {
        CALL_RETURNED,  /* body: one JSON value */
        CALL_ENDED,     /* it returned nothing, or exited with 0 */
        CALL_CHECKED,   /* GUEST_CHECK: no fault; TypeScript is compiled now */
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
        CALL_TIMED_OUT, /* TIMEOUT_SCRIPT passed */
        CALL_LOST,      /* the cell died or never lived, not by the script's fault */
        CALL_UNSERVED,  /* QUEUE_TIMEOUT passed, or the line was full and others had less of it */
        CALL_ENDINGS,
};

/* Durations so far; 0 for what did not happen. */
struct call_times {
        uint64_t queue_us; /* wait for a place */
        uint64_t start_us; /* from the place until a cell began; compiling included */
        uint64_t run_us;
};

/* Valid while `ended` runs. */
struct call_end {
        enum call_ending ending;
        const char *body;
        size_t body_length;
        int code;
        struct cell_text output[CELL_STREAMS]; /* written so far, at most the limit */
        struct script *script;                 /* the task's, compiled if it had to be */
        struct call_times times;
};

typedef void call_ended(struct call *call, const struct call_end *end, void *context);

enum { CALL_QUEUE_FULL = 1 };

struct calls *calls_new(struct event_base *base, struct cells *cells, const struct settings *settings,
        const struct languages *languages); /* NULL: out of memory */
/* Drops the calls that are left, without a word. Before cells_free(). Takes NULL, returns NULL. */
struct calls *calls_free(struct calls *calls);
/* Calls that have not ended yet. */
size_t calls_open(const struct calls *calls);

/* 0, CALL_QUEUE_FULL or -ENOMEM; `ended` comes later, never from within. Takes its own reference of the
 * script. */
int call_new(struct calls *calls, const struct call_task *task, call_ended *ended, void *context,
        struct call **ret_call);
/* Nobody wants the answer any more: the cell is killed at once, and `ended` will not come. */
void call_cancel(struct call *call);
