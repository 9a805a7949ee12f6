#pragma once

/*
 * A template: a warm interpreter that cells are forked from. Started, and tried out by two self-test cells. A
 * base one is replaced when it dies or answers no more; one for an import set is the server's to ask for.
 */

#include "keeper/keeper.h"

enum template_state {
        TEMPLATE_OFF,      /* not configured, or not asked for */
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
        uint32_t place;
        uint32_t runtime; /* enum runtime */
        int names;        /* of its import set, unread; -1: none */
        enum template_state state;
        uint32_t generation;
        bool was_up;
        unsigned tests_done;
        uint64_t memory_bytes;
        char version[KEEPER_TEXT];
};

/* Makes one of the keeper's children; a base one that is configured is started. */
void template_add(struct keeper *keeper, uint32_t place);
/* Starts one for an import set; takes the descriptor over. 0; -EBADMSG: that cannot be asked for. */
int template_warm(struct keeper *keeper, const struct keeper_warm *warm, int names);
/* Ends it, saying why in the log; its cells are lost; a base one is started anew. */
void template_kill(struct keeper *keeper, struct template *template, const char *why);
/* Ends one for an import set, if there is one. */
void template_cool(struct keeper *keeper, struct template *template);
/* A self-test cell has ended. */
void template_test_done(struct keeper *keeper, struct template *template, const struct keeper_done *done);
/* Tells the server how it is. */
void template_announce(struct keeper *keeper, const struct template *template);
/* May it fork a cell? */
enum template_answer template_look(const struct template *template, bool selftest);
