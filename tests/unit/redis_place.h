#pragma once

/* Real Redis servers of the tests' own, each on a free port with a temporary directory, and stores on them.
 */

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/types.h>

#include "store_suite.h"

struct redis_server {
        char directory[64];
        char options[512]; /* further lines of its configuration */
        int port;
        pid_t pid; /* 0: not running */
};

/* Starts one with these lines in its configuration ("": none), and waits until it answers. */
void redis_server_start(struct redis_server *server, const char *options);
/* Ends it by `signal` (SIGKILL: as a crash), and waits until it is gone. */
void redis_server_end(struct redis_server *server, int signal);
/* Once more on the same port with the same data. */
void redis_server_restart(struct redis_server *server);
/* The same, without waiting until it answers. */
void redis_server_restart_slowly(struct redis_server *server);
/* Ends it and removes its directory. */
void redis_server_clean(struct redis_server *server);
/* Waits until it answers PING, if only to say that it would rather not. */
void redis_server_wait(const struct redis_server *server);
/* Any other program in that directory, with its output in a file there; returns its pid. */
pid_t redis_server_spawn(const char *directory, char *const arguments[]);
int redis_free_port(void);

/* Sends a command as a client of its own would; the text of the answer is valid until the next one. */
const char *redis_tell(const struct redis_server *server, const char *format, ...);
/* Also how many there are in a list. */
long long redis_tell_number(const struct redis_server *server, const char *format, ...);

/* "" where it cannot be connected to. */
const char *redis_try(const struct redis_server *server, const char *command);

/* What go-faas does for an upload. */
void go_faas_upload(const struct redis_server *server, const char *path, const char *language,
        const char *code, long long seconds);

struct place {
        struct redis_server *server;
        char prefix[32];
};

/* The server that the suite runs on: emptied for each test. */
extern struct redis_server redis_main;
extern const struct suite_kind redis_kind;

struct store_redis_options redis_options(const struct redis_server *server);
struct store *redis_open_with(struct event_base *base, const struct store_redis_options *options);
/* The result of CHECK; if `words` is not NULL, they must be in the reason. */
int redis_check(struct event_base *base, struct store *store, const char *words);
/* Asks CHECK until it is answered with 0, for 5 s at most. */
void redis_wait_for(struct event_base *base, struct store *store);
/* Turns the loop for so long. */
void redis_turn(struct event_base *base, unsigned ms);
