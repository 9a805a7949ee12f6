#pragma once

/*
 * A runtime's template: a warm interpreter that cells are forked from. Started, tried out by two self-test
 * cells, and replaced when it dies or answers no more.
 */

#include "keeper/keeper.h"

enum template_state {
        TEMPLATE_OFF,      /* not configured */
        TEMPLATE_DOWN,     /* to be started */
        TEMPLATE_STARTING, /* the interpreter is warming up */
        TEMPLATE_TESTING,  /* self-test cells run */
        TEMPLATE_UP,
};

enum template_answer { TEMPLATE_TAKES, TEMPLATE_MAY_TAKE /* soon */, TEMPLATE_REFUSES };

enum { TEMPLATE_TESTS = 2 };

struct template
{
        struct child child; /* wakes to be started, or when its next step on the way up is late */
        enum runtime runtime;
        enum template_state state;
        uint32_t generation;
        bool was_up;
        unsigned tests_done;
        char version[KEEPER_TEXT];
};

/* Makes one of the keeper's children, if it is configured. */
void template_add(struct keeper *keeper, enum runtime runtime);
/* Ends it, saying why in the log; its cells are lost; it is started anew. */
void template_kill(struct keeper *keeper, struct template *template, const char *why);
/* A self-test cell has ended. */
void template_test_done(struct keeper *keeper, struct template *template, const struct keeper_done *done);
/* Tells the server how it is. */
void template_announce(struct keeper *keeper, const struct template *template);
/* May it fork a cell? */
enum template_answer template_look(const struct template *template, bool selftest);
