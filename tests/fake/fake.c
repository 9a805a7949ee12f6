/*
 * A runtime in C for the tests: the same guest.c, walls and frames as the real ones, without an interpreter,
 * so that sandbox and life of a call run under sanitizers, and the sandbox can be measured alone. Its
 * "scripts" are one word and an argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macros.h"
#include "guest/guest.h"
#include "wire/guest_api.h"

#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#ifdef ADDRESS_SANITIZER
/* A cell's signals are the test's: SIGSEGV must end it as it would without the sanitizer. Cells have no exit
 * to look for leaks at. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
        return "handle_segv=0:handle_abort=0:detect_leaks=0";
}
#endif

static void result(const char *text)
{
        guest_send(FRAME_RESULT, text, strlen(text));
        guest_exit(0);
}

static void result_number(long number)
{
        char text[32];

        snprintf(text, sizeof text, "%ld", number);
        result(text);
}

static void do_echo(const struct guest_call *call, const char *argument)
{
        (void)argument;
        guest_send(FRAME_RESULT, call->input, call->input_length);
        guest_exit(0);
}

static void do_json(const struct guest_call *call, const char *argument)
{
        (void)call;
        result(argument);
}

static void do_print(const struct guest_call *call, const char *argument)
{
        (void)call;
        printf("%s\n", argument);
        fflush(stdout);
        guest_send(FRAME_NOTHING, NULL, 0);
        guest_exit(0);
}

/* "count milliseconds": numbers, a line each, and a pause after each; then a line on stderr. */
static void do_lines(const struct guest_call *call, const char *argument)
{
        long count = 0;
        unsigned pause_ms = 0;

        (void)call;
        sscanf(argument, "%ld %u", &count, &pause_ms);
        for (long i = 1; i <= count; i++) {
                printf("%ld\n", i);
                fflush(stdout);
                usleep(pause_ms * 1000);
        }
        fprintf(stderr, "counted\n");
        result_number(count);
}

static void do_sleep(const struct guest_call *call, const char *argument)
{
        (void)call;
        printf("before the sleep\n");
        fflush(stdout);
        usleep((useconds_t)(atof(argument) * 1e6));
        result("true");
}

static void do_exit(const struct guest_call *call, const char *argument)
{
        (void)call;
        guest_exit(atoi(argument));
}

static void do_signal(const struct guest_call *call, const char *argument)
{
        (void)call;
        kill(getpid(), atoi(argument));
        for (;;)
                pause();
}

static void do_memory(const struct guest_call *call, const char *argument)
{
        size_t bytes = strtoul(argument, NULL, 10);
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        (void)call;
        for (size_t i = 0; memory != MAP_FAILED && i < bytes; i += 4096)
                memory[i] = 1;
        result("true");
}

/* How many children could be forked. */
static void do_fork(const struct guest_call *call, const char *argument)
{
        long n = 0;

        (void)call;
        for (; n < atoi(argument); n++) {
                pid_t pid = fork();

                if (pid == 0)
                        for (;;)
                                pause();
                if (pid < 0)
                        break;
        }
        result_number(n);
}

static void do_open(const struct guest_call *call, const char *argument)
{
        int fd = open(argument, O_RDONLY);

        (void)call;
        result_number(fd < 0 ? -errno : 0);
}

static void do_create(const struct guest_call *call, const char *argument)
{
        int fd = open(argument, O_WRONLY | O_CREAT, 0600);

        (void)call;
        result_number(fd < 0 ? -errno : write(fd, "x", 1) == 1 ? 0 : -errno);
}

/* How many of these bytes fit into /tmp. */
static void do_fill(const struct guest_call *call, const char *argument)
{
        int fd = open("/tmp/fill", O_WRONLY | O_CREAT, 0600);
        const char block[4096] = { 0 };
        long written = 0;

        (void)call;
        while (written < atol(argument)) {
                ssize_t n = write(fd, block, sizeof block);

                if (n < 0)
                        break;
                written += n;
        }
        result_number(written);
}

/* The number of a system call, made with zeros; negative errno or its result. */
static void do_syscall(const struct guest_call *call, const char *argument)
{
        long r = syscall(atol(argument), 0, 0, 0, 0, 0, 0);

        (void)call;
        result_number(r < 0 ? -errno : r);
}

static void do_flood(const struct guest_call *call, const char *argument)
{
        char block[65536];

        (void)call;
        memset(block, 'x', sizeof block);
        for (long left = atol(argument); left > 0; left -= (long)sizeof block) {
                if (write(STDOUT_FILENO, block, sizeof block) < 0)
                        break;
        }
        result("true");
}

static void do_status(const struct guest_call *call, const char *argument)
{
        char text[4096] = "";
        int fd = open("/proc/self/status", O_RDONLY);
        ssize_t n = read(fd, text, sizeof text - 1);

        (void)call;
        (void)argument;
        text[MAX(n, 0)] = 0;
        printf("%s", text);
        fflush(stdout);
        guest_send(FRAME_NOTHING, NULL, 0);
        guest_exit(0);
}

/* Raw bytes on the channel: a hostile cell. */
static void do_raw(const struct guest_call *call, const char *argument)
{
        struct frame_header header = { 0 };

        (void)call;
        sscanf(argument, "%u %u", &header.kind, &header.length);
        if (write(3, &header, sizeof header) < 0 || write(3, "{}", 2) < 0)
                guest_exit(1);
        guest_exit(0);
}

static const struct {
        const char *word;
        void (*run)(const struct guest_call *call, const char *argument);
} commands[] = {
        { "echo", do_echo },
        { "json", do_json },
        { "print", do_print },
        { "lines", do_lines },
        { "sleep", do_sleep },
        { "exit", do_exit },
        { "signal", do_signal },
        { "memory", do_memory },
        { "fork", do_fork },
        { "open", do_open },
        { "create", do_create },
        { "fill", do_fill },
        { "syscall", do_syscall },
        { "flood", do_flood },
        { "status", do_status },
        { "raw", do_raw },
};

static void fault(uint32_t kind, const char *name, const char *message)
{
        char text[512];

        snprintf(text, sizeof text,
                "{\"name\":\"%s\",\"message\":\"%s\",\"stack\":\"\",\"line\":1,\"column\":1}", name, message);
        guest_send(kind, text, strlen(text));
        guest_exit(0);
}

static void call_run(const struct guest_call *call)
{
        char code[1024] = "", *argument;
        size_t length = MIN(call->code_length, sizeof code - 1);

        memcpy(code, call->code, length);
        argument = strchr(code, ' ');
        if (argument)
                *argument++ = 0;
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                if (strcmp(commands[i].word, code) != 0)
                        continue;
                if (call->mode != GUEST_RUN) {
                        guest_send(FRAME_NOTHING, NULL, 0);
                        guest_exit(0);
                }
                commands[i].run(call, argument ? argument : "");
        }
        if (strcmp(code, "throw") == 0 && call->mode == GUEST_RUN)
                fault(FRAME_ERROR, "Error", argument ? argument : "");
        fault(FRAME_SYNTAX, "SyntaxError", "no such word");
}

/* Tests lay a file beside this program that says what is wrong with it. */
static bool has_fault(const char *name)
{
        char text[16] = "";
        int fd = open("/mayfly/guest/fault", O_RDONLY | O_CLOEXEC);

        if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
                text[0] = 0;
        close(fd);
        return strcmp(text, name) == 0;
}

static void __attribute__((noreturn)) selftest(void)
{
        unsigned long random = 0;

        if (has_fault("failing") || getrandom(&random, sizeof random, 0) != sizeof random)
                guest_exit(3);
        if (has_fault("copied"))
                random = 1;
        if (!has_fault("silent"))
                printf("getrandom %lx\n", random);
        fflush(stdout);
        guest_exit(0);
}

int main(void)
{
        static const struct guest_hooks hooks = { .inherited = GUEST_INHERITED_CLOSE };
        struct guest_call call = { 0 };

        if (has_fault("dying"))
                return 1;
        if (guest_serve("fake 1.0", &hooks) == GUEST_ROLE_SELFTEST)
                selftest();
        if (guest_receive(&call) < 0)
                guest_exit(1);
        call_run(&call);
        guest_exit(1);
}
