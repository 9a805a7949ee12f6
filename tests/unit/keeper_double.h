#pragma once

/*
 * A keeper for tests of mayfly-server: a process of its own that speaks wire/keeper_api.h and plays the cells
 * itself, each as a forked child that speaks wire/guest_api.h. It walls nothing.
 *
 * A cell does what the script says, one command a line (cell_double.c has the table):
 *
 *      out some text       (to stdout, with a line break)
 *      result {"a":1}
 */

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/keeper_api.h"

/* Shared with the test: what the keeper and its cells do from now on, and what they have done. */
struct keeper_play {
        atomic_int refuse;       /* answer KEEPER_START with CELL_REFUSED */
        atomic_int die_early;    /* cells exit before they say READY */
        atomic_int report_wall;  /* cells report FRAME_WALL */
        atomic_int deaf;         /* cells say READY and never read */
        atomic_int garbage;      /* cells answer with random bytes; counts, to seed them */
        char early[64];          /* cells do this before they say READY */
        atomic_int go;           /* cells go on that have come to `wait` */
        atomic_int kill_idle;    /* once: kill every cell; 0 again when they are dead */
        atomic_int down;         /* once: say that the runtimes went down, and up again */
        atomic_int drain;        /* once: KEEPER_DRAIN */
        atomic_int limit_error;  /* of the answers to KEEPER_LIMIT */
        atomic_int limit_deaf;   /* KEEPER_LIMITs are not answered */
        atomic_int limit_kills;  /* KEEPER_LIMITs come too late: the cell dies instead */
        atomic_int kill_deaf;    /* KEEPER_KILLs are counted, and nothing else */
        atomic_int warm_fails;   /* templates for import sets go down instead of up */
        atomic_ulong warm_bytes; /* that they occupy */
        atomic_int sets_refuse;  /* their cells are refused */
        atomic_int sets_lose;    /* their cells are lost before they are ready */
        atomic_int nonsense;     /* once: news of places that nobody has asked for */

        atomic_int started[TEMPLATE_PLACES]; /* by place */
        atomic_int warmed, cooled;           /* KEEPER_WARMs and KEEPER_COOLs */
        char names[64];                      /* of the last KEEPER_WARM */
        atomic_int alive, most_alive;
        atomic_int killed;  /* KEEPER_KILLs */
        atomic_int waiting; /* cells that have come to `wait` so far */
        atomic_int limited; /* KEEPER_LIMITs */
        struct {
                atomic_ulong memory, tmp; /* bytes */
                atomic_uint processes, cpus_milli;
        } limit; /* as of the last one */
};

/* Forks the keeper with its end of the socket. The test owns the process. */
pid_t keeper_double_start(int server_fd, struct keeper_play *play);
