#pragma once

/*
 * The part of a runtime that every language shares: wait in the template, fork, raise the walls, talk to the
 * server. Linked into the CPython module (python.c), the Node.js addon (node.c) and the tests' C runtime
 * (tests/fake).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a template's inherited descriptors (4 and above) become in a cell. */
enum guest_inherited {
        GUEST_INHERITED_CLOSE,
        /* /dev/null under the same number: Node.js closes some of its own after the fork, and writes to
         * others for ever, so the numbers must stay taken while what was behind them must not be shared. */
        GUEST_INHERITED_BLANK,
};

/* One call, as it came. The pointers point into one allocation that guest_call_deinit() frees. */
struct guest_call {
        uint32_t mode;         /* enum guest_mode */
        uint32_t language;     /* enum guest_language */
        uint64_t memory_bytes; /* as in struct frame_call */
        const char *code;      /* none of the four is NUL-terminated */
        const char *map;
        const char *cache;
        const char *input;
        size_t code_length;
        size_t map_length;
        size_t cache_length;
        size_t input_length;
        void *allocation;
};

/* What an interpreter wants done around fork(). Any function may be NULL. They run in the template's only
 * thread. */
struct guest_hooks {
        pid_t (*fork)(void); /* NULL: the libc's own */
        /* Once, before the first: the template does nothing but fork from then on. */
        void (*before_fork)(void);
        void (*after_fork_child)(void); /* in a cell the walls stand already */
        enum guest_inherited inherited;
        /* A call as most are, for a fork that shows which memory calls use; NULL: no such fork. No thread but
         * this one may run then. */
        const struct guest_call *sample;
};

enum guest_role { GUEST_ROLE_CELL, GUEST_ROLE_SELFTEST };

/*
 * Tells the keeper that the template is warm and serves its fork requests. Never returns in the template (it
 * exits when the keeper goes); returns once in each forked child, walls raised, with descriptors 0
 * (/dev/null), 1, 2 and the channel alone. A probe returns too, as a cell without walls, whose call is the
 * sample. `version` names the interpreter. A child that cannot be walled reports FRAME_WALL and exits without
 * returning.
 */
enum guest_role guest_serve(const char *version, const struct guest_hooks *hooks);

/* Whether the call, or the channel's end, is there, or comes within so many milliseconds. */
bool guest_has_call(int ms);
/* Says FRAME_READY and blocks until the server sends the call. 0, or negative errno; exits if the server
 * closed the channel. */
int guest_receive(struct guest_call *ret_call);
void guest_call_deinit(struct guest_call *call);

/* Sends one frame (enum frame_kind), blocking. 0 or negative errno (-EPIPE: nobody listens any more). */
int guest_send(uint32_t kind, const void *data, size_t length);

/* Whether this is a probe: it is not to do what only a later time would show. */
bool guest_is_probe(void);

/* Ends the cell: no exit handlers, no destructors, nothing flushed. */
void guest_exit(int code) __attribute__((noreturn));
