#include "cell_double.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "wire/guest_api.h"

struct played_call {
        struct frame_call frame;
        char *code, *map, *cache, *input;
};

static struct keeper_play *playing;

static void cell_write(int fd, const void *data, size_t length)
{
        const char *at = data;

        while (length > 0) {
                ssize_t n = write(fd, at, length);

                if (n <= 0)
                        _exit(99);
                at += n;
                length -= (size_t)n;
        }
}

static void cell_read(int fd, void *data, size_t length)
{
        char *at = data;

        while (length > 0) {
                ssize_t n = read(fd, at, length);

                if (n <= 0)
                        _exit(0);
                at += n;
                length -= (size_t)n;
        }
}

static void cell_header(uint32_t kind, uint32_t length)
{
        struct frame_header header = { .length = length, .kind = kind };

        cell_write(GUEST_CHANNEL_FD, &header, sizeof header);
}

static void cell_frame(uint32_t kind, const void *data, size_t length)
{
        cell_header(kind, (uint32_t)length);
        cell_write(GUEST_CHANNEL_FD, data, length);
}

static char *cell_read_text(size_t length)
{
        char *text = calloc(1, length + 1);

        cell_read(GUEST_CHANNEL_FD, text, length);
        return text;
}

static void do_result(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_frame(FRAME_RESULT, argument, strlen(argument));
}

static void do_echo(const struct played_call *call, const char *argument)
{
        (void)argument;
        cell_frame(FRAME_RESULT, call->input, call->frame.input_length);
}

static void do_nothing(const struct played_call *call, const char *argument)
{
        (void)call, (void)argument;
        cell_header(FRAME_NOTHING, 0);
}

static void do_error(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_frame(FRAME_ERROR, argument, strlen(argument));
}

static void do_syntax(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_frame(FRAME_SYNTAX, argument, strlen(argument));
}

static void do_out(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_write(STDOUT_FILENO, argument, strlen(argument));
        cell_write(STDOUT_FILENO, "\n", 1);
}

static void do_err(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_write(STDERR_FILENO, argument, strlen(argument));
}

/* Bytes that no text holds. */
static void do_out_bad(const struct played_call *call, const char *argument)
{
        (void)call, (void)argument;
        cell_write(STDOUT_FILENO, "a\xff\xc3(\n", 5);
}

static void do_flood(const struct played_call *call, const char *argument)
{
        char block[4096];

        (void)call;
        memset(block, 'x', sizeof block);
        for (long left = atol(argument); left > 0; left -= (long)sizeof block)
                cell_write(STDOUT_FILENO, block, MIN((size_t)left, sizeof block));
}

/* So many lines of 1 KiB. */
static void do_lines(const struct played_call *call, const char *argument)
{
        char line[1024];

        (void)call;
        memset(line, 'x', sizeof line);
        line[sizeof line - 1] = '\n';
        for (long left = atol(argument); left > 0; left--)
                cell_write(STDOUT_FILENO, line, sizeof line);
}

/* "kind length": a header that promises, and a few bytes that do not keep it. */
static void do_header(const struct played_call *call, const char *argument)
{
        unsigned kind = 0, length = 0;

        (void)call;
        if (sscanf(argument, "%u %u", &kind, &length) != 2)
                _exit(98);
        cell_header(kind, length);
}

static void do_bytes(const struct played_call *call, const char *argument)
{
        (void)call;
        cell_write(GUEST_CHANNEL_FD, argument, strlen(argument));
}

/* Each byte brings descriptors along. */
static void do_descriptors(const struct played_call *call, const char *argument)
{
        enum { N = 100 };
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(N * sizeof(int))];
        } control = { .header = { .cmsg_len = CMSG_LEN(N * sizeof(int)),
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS } };
        int fds[N];

        (void)call;
        for (size_t i = 0; i < N; i++)
                fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
        for (; *argument; argument++) {
                struct iovec byte = { (void *)argument, 1 };
                struct msghdr message = { .msg_iov = &byte,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control };

                if (sendmsg(GUEST_CHANNEL_FD, &message, MSG_NOSIGNAL) != 1)
                        _exit(94);
        }
}

/* So many bytes that are no frame. */
static void do_spew(const struct played_call *call, const char *argument)
{
        char block[65536];

        (void)call;
        memset(block, 'x', sizeof block);
        for (size_t left = strtoul(argument, NULL, 10), n; left > 0; left -= n) {
                n = MIN(left, sizeof block);
                cell_write(GUEST_CHANNEL_FD, block, n);
        }
}

/* A result of so many bytes. */
static void do_long(const struct played_call *call, const char *argument)
{
        size_t length = strtoul(argument, NULL, 10);
        char *text = malloc(length);

        (void)call;
        memset(text, 'x', length);
        text[0] = text[length - 1] = '"';
        cell_frame(FRAME_RESULT, text, length);
        free(text);
}

static void do_deep(const struct played_call *call, const char *argument)
{
        int depth = atoi(argument);
        char text[4096];

        (void)call;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        cell_frame(FRAME_RESULT, text, (size_t)depth * 2);
}

static void do_compiled(const struct played_call *call, const char *argument)
{
        struct frame_compiled lengths = { .code_length = 1000, .map_length = 1000 };

        (void)call, (void)argument;
        cell_frame(FRAME_COMPILED, &lengths, sizeof lengths);
}

/* A check makes this of the script... */
static void do_make(const struct played_call *call, const char *argument)
{
        struct frame_compiled lengths = { .cache_length = (uint32_t)strlen(argument) };

        (void)call;
        cell_header(FRAME_COMPILED, (uint32_t)sizeof lengths + lengths.cache_length);
        cell_write(GUEST_CHANNEL_FD, &lengths, sizeof lengths);
        cell_write(GUEST_CHANNEL_FD, argument, lengths.cache_length);
        _exit(0);
}

/* ... and its run tells whether it got that. */
static void do_made(const struct played_call *call, const char *argument)
{
        (void)argument;
        if (call->frame.cache_length > 0)
                cell_frame(FRAME_RESULT, call->cache, call->frame.cache_length);
        else
                cell_header(FRAME_NOTHING, 0);
}

/* The modules that a check finds. */
static void do_imports(const struct played_call *call, const char *argument)
{
        struct frame_compiled lengths = { .imports_length = (uint32_t)strlen(argument) };

        (void)call;
        cell_header(FRAME_COMPILED, (uint32_t)sizeof lengths + lengths.imports_length);
        cell_write(GUEST_CHANNEL_FD, &lengths, sizeof lengths);
        cell_write(GUEST_CHANNEL_FD, argument, lengths.imports_length);
}

static void do_close(const struct played_call *call, const char *argument)
{
        (void)call, (void)argument;
        close(GUEST_CHANNEL_FD);
}

static void do_exit(const struct played_call *call, const char *argument)
{
        (void)call;
        _exit(atoi(argument));
}

/* Bits of enum cell_limit. */
static void do_limit(const struct played_call *call, const char *argument)
{
        (void)call;
        _exit(EXIT_LIMITS + atoi(argument));
}

static void do_lost(const struct played_call *call, const char *argument)
{
        (void)call, (void)argument;
        _exit(EXIT_LOST);
}

static void do_signal(const struct played_call *call, const char *argument)
{
        (void)call;
        kill(getpid(), atoi(argument));
        pause();
}

static void do_sleep(const struct played_call *call, const char *argument)
{
        (void)call;
        usleep((useconds_t)atoi(argument) * 1000);
}

/* Until the test says so. */
static void do_wait(const struct played_call *call, const char *argument)
{
        (void)call, (void)argument;
        playing->waiting++;
        while (!playing->go)
                usleep(1000);
}

static const struct command {
        const char *name;
        void (*run)(const struct played_call *call, const char *argument);
} commands[] = {
        { "result", do_result },
        { "echo", do_echo },
        { "nothing", do_nothing },
        { "error", do_error },
        { "syntax", do_syntax },
        { "out", do_out },
        { "err", do_err },
        { "out_bad", do_out_bad },
        { "flood", do_flood },
        { "lines", do_lines },
        { "header", do_header },
        { "bytes", do_bytes },
        { "descriptors", do_descriptors },
        { "spew", do_spew },
        { "long", do_long },
        { "deep", do_deep },
        { "compiled", do_compiled },
        { "make", do_make },
        { "made", do_made },
        { "imports", do_imports },
        { "close", do_close },
        { "exit", do_exit },
        { "limit", do_limit },
        { "lost", do_lost },
        { "signal", do_signal },
        { "sleep", do_sleep },
        { "wait", do_wait },
};

static void cell_run_line(const struct played_call *call, const char *line)
{
        size_t length = strcspn(line, " ");

        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                if (strlen(commands[i].name) == length && strncmp(line, commands[i].name, length) == 0) {
                        commands[i].run(call, line + length + (line[length] == ' '));
                        return;
                }
        }
        _exit(97);
}

static void cell_run(const struct played_call *call, char *script)
{
        char *save = NULL;

        for (char *line = strtok_r(script, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                cell_run_line(call, line);
}

/* What follows `check ` on a line is done by the check, and not by the run. */
static void cell_check(const struct played_call *call)
{
        char *check = strstr(call->code, "check ");

        if (check) {
                cell_run(call, check + strlen("check "));
        } else if (call->frame.language == GUEST_TYPESCRIPT && call->frame.mode == GUEST_CHECK) {
                struct frame_compiled lengths = { .code_length = call->frame.code_length + 9,
                        .map_length = 2 };

                cell_header(FRAME_COMPILED, (uint32_t)sizeof lengths + lengths.code_length + 2);
                cell_write(GUEST_CHANNEL_FD, &lengths, sizeof lengths);
                cell_write(GUEST_CHANNEL_FD, "out js:1\n", 9);
                cell_write(GUEST_CHANNEL_FD, call->code, call->frame.code_length);
                cell_write(GUEST_CHANNEL_FD, "{}", 2);
        } else {
                cell_header(FRAME_NOTHING, 0);
        }
}

static void cell_garbage(int seed)
{
        unsigned char noise[512];

        srandom((unsigned)seed);
        for (size_t i = 0; i < sizeof noise; i++)
                noise[i] = (unsigned char)random();
        /* Half of them begin like a frame, to get further in. */
        if (seed % 2)
                memcpy(noise,
                        &(struct frame_header){ .length = (uint32_t)random() % 600,
                                .kind = FRAME_RESULT + (uint32_t)random() % 7 },
                        sizeof(struct frame_header));
        cell_write(GUEST_CHANNEL_FD, noise, sizeof noise);
        _exit(0);
}

void cell_double_main(struct keeper_play *play)
{
        struct frame_header header;
        struct played_call call;

        playing = play;
        if (play->die_early)
                _exit(3);
        if (play->report_wall) {
                cell_frame(FRAME_WALL, &(struct frame_wall){ .wall = 5, .error = -EPERM },
                        sizeof(struct frame_wall));
                _exit(0);
        }
        cell_run(NULL, strdup(play->early));
        cell_header(FRAME_READY, 0);
        if (play->deaf)
                for (;;)
                        pause();
        cell_read(GUEST_CHANNEL_FD, &header, sizeof header);
        cell_read(GUEST_CHANNEL_FD, &call.frame, sizeof call.frame);
        call.code = cell_read_text(call.frame.code_length);
        call.map = cell_read_text(call.frame.map_length);
        call.cache = cell_read_text(call.frame.cache_length);
        call.input = cell_read_text(call.frame.input_length);
        if (play->garbage)
                cell_garbage(play->garbage++);
        if (call.frame.mode != GUEST_RUN)
                cell_check(&call);
        else if (call.frame.language == GUEST_TYPESCRIPT && call.frame.map_length != 2)
                _exit(96);
        else
                cell_run(&call, strncmp(call.code, "check ", 6) == 0 ? call.code + strcspn(call.code, "\n")
                                                                     : call.code);
        _exit(0);
}
