#pragma once

/*
 * Compiled code is of one build of an interpreter. A version whose code is of another one, or that has none
 * yet, runs from source, and soon after its code is made anew: by a check cell like at its upload, one
 * version at a time, and only while a place is free that nobody waits for.
 */

struct calls;
struct cells;
struct event_base;
struct functions;
struct languages;
struct recompiler;
struct script;

struct recompiler_needs {
        struct event_base *base;
        struct calls *calls;
        struct cells *cells;
        struct functions *functions;
        const struct languages *languages;
};

/* NULL: out of memory. */
struct recompiler *recompiler_new(const struct recompiler_needs *needs);
/* Before calls_free() and after functions_free(). Takes NULL, returns NULL. */
struct recompiler *recompiler_free(struct recompiler *recompiler);

/* This version is about to run: does it need its code made anew? */
void recompiler_look(struct recompiler *recompiler, struct script *script);
/* Begins nothing any more: the server is about to leave. */
void recompiler_drain(struct recompiler *recompiler);
