#pragma once

/* mayfly-server on a stage: the real program, a keeper double behind it, a directory of its own, and a plain
 * HTTP client in front. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "keeper_double.h"

struct stage {
        char directory[64];
        char *settings[16]; /* further NAME=value, NULL-terminated */
        int port;
        pid_t server, keeper;
        struct keeper_play *play;
};

struct reply {
        int status;
        char *head; /* status line and fields */
        char *body;
        size_t length;
};

/* settings: further NAME=value, separated by blanks, or NULL. */
void stage_open(struct stage *stage, const char *settings);
/* Ends server and keeper the hard way, and starts them again on the same data. */
void stage_restart(struct stage *stage);
/* Drains; asserts that the server ends with 0, which with sanitizers also says that nothing leaked. */
void stage_close(struct stage *stage);

/* A connection; the caller closes it. */
int stage_connect(const struct stage *stage);
void stage_send(int fd, const char *method, const char *target, const char *headers, const char *body);
struct reply stage_receive(int fd);

struct reply stage_ask(const struct stage *stage, const char *method, const char *target, const char *headers,
        const char *body);
/* POSTs, and takes the format's text as the body. */
struct reply stage_post(const struct stage *stage, const char *target, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* /run-now of this script (commands of keeper_double.c) in JavaScript. */
struct reply stage_run(const struct stage *stage, const char *script);
/* The same, without waiting for the answer: stage_receive() has it. The caller closes it. */
int stage_begin(const struct stage *stage, const char *script);
/* Asserts that it succeeds; returns the version. */
unsigned long long stage_upload(
        const struct stage *stage, const char *path, const char *language, const char *code);
/* POST /run/{path}, which may have a query. */
struct reply stage_run_stored(const struct stage *stage, const char *path, const char *body);
bool stage_is_ready(struct stage *stage);
void reply_free(struct reply *reply);

/* Asks, compares status and whole body, frees. */
void expect(struct reply reply, int status, const char *body);
/* Status, `code`, and that it is a problem document; `text`, if not NULL, must occur in it. */
void expect_problem(struct reply reply, int status, const char *code, const char *text);
/* Waits up to 5 s. */
bool comes_true(bool (*condition)(struct stage *stage), struct stage *stage);
