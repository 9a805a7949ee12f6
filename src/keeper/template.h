#pragma once

/*
 * A runtime's template: a warm interpreter that cells are forked from. Started, tried out by two self-test
 * cells, and replaced when it dies or answers no more.
 */

#include "keeper/keeper.h"

enum template_state {
        TEMPLATE_OFF,      /* not configured */
        TEMPLATE_DOWN,     /* started anew at retry_us */
        TEMPLATE_STARTING, /* the interpreter is warming up */
        TEMPLATE_TESTING,  /* self-test cells run */
        TEMPLATE_UP,
};

/* May it fork a cell? */
enum template_answer { TEMPLATE_TAKES, TEMPLATE_MAY_TAKE /* soon */, TEMPLATE_REFUSES };

enum { TEMPLATE_TESTS = 2 };

struct template
{
        enum runtime runtime;
        enum template_state state;
        struct watch control;
        pid_t pid;
        uint32_t generation;
        uint32_t failures; /* since it was last up */
        bool was_up;
        uint64_t retry_us;
        uint64_t deadline_us; /* for the next step on the way up */
        char version[KEEPER_TEXT];
        unsigned tests_done;
};

void template_init(struct keeper *keeper, struct template *template, enum runtime runtime);
/* Ends it, saying why in the log; its cells are lost; it is started anew. */
void template_kill(struct keeper *keeper, enum runtime runtime, const char *why);
/* The process has ended (seen by wait). */
void template_died(struct keeper *keeper, struct template *template);
/* A self-test cell has ended. */
void template_test_done(struct keeper *keeper, struct template *template, const struct keeper_done *done);
/* Timers: returns when to call again (clock_us), 0 for never. */
uint64_t template_tick(struct keeper *keeper, struct template *template, uint64_t now_us);
/* Tells the server how it is. */
void template_announce(struct keeper *keeper, const struct template *template);
enum template_answer template_look(const struct template *template, bool selftest);
