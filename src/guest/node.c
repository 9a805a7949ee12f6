/*
 * Theory of operation. Node.js as a thing to fork: boot.mjs loads this addon into the template, warms up and
 * calls serve(), which blocks in guest_serve() for ever; the template runs no JavaScript again. Each forked
 * child comes out of serve() in the middle of boot.mjs, on a copy of the whole heap, and goes on as the cell.
 *
 * Node.js does not expect that. What a fork breaks is mended here:
 *
 * - V8 asks the kernel to leave its heap out of forks (MADV_DONTFORK): undone before the first one.
 * - libuv's io_uring mappings are shared memory that cells would have in common: private copies take their
 *   place. Their loops do not use them again, but look at them.
 * - The event loop's descriptors are the template's: uv_loop_fork() makes new ones.
 * - Helper threads are not there in the child: carried over, see node_threads.c. Whether that works with this
 *   node and this libc is tried before anybody relies on it, in a child that uses them; if not, the template
 *   starts again with --single-threaded, where V8 needs none.
 * - Those that are left catch the signals that guest.c waits for in the main one: handed on to it.
 * - The way out through Node.js would wait for helpers that may not be there. A cell ends by exit() below.
 * - OpenSSL tells a fork by getpid() alone, which is 2 in every cell: RAND_poll() mixes in fresh entropy.
 * - Math.random: see node_random.c.
 *
 * Node-API only, and public symbols of libuv, OpenSSL and V8 that every node binary exports.
 */
#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif
#include <node_api.h>
#include <uv.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#undef MIN /* libuv brings <sys/param.h> */
#undef MAX
#include "base/macros.h"
#include "guest/guest.h"
#include "guest/node_heap.h"
#include "guest/node_random.h"
#include "guest/node_restart.h"
#include "guest/node_threads.h"
#include "wire/guest_api.h"
#include "wire/template_api.h"

enum {
        EXIT_BROKEN = 125,
        ADVICE_MAX = 4096,
        VERSION_MAX = 128,
        TRIAL_MAX_MS = 10000,
        /* When helper threads come back (node_threads.h): most calls have used half a millisecond of CPU when
         * they are over. A spare cell warms up and waits without them; should it wait for one, it gets it. */
        CALL_TICK_US = 500,
        CALL_BUSY_US = 1000,
        SPARE_TICK_US = 20000,
        SPARE_BUSY_US = 1000000,
};

#define SINGLE_THREADED "--single-threaded"

static struct {
        uv_loop_t *loop;
        pthread_t main_thread;
        int (*rand_poll)(void);
        bool random_found;
        bool carries_threads;
} node;

/* A cell that cannot go on has nobody to tell but stderr. */
static void __attribute__((noreturn)) node_die(const char *what)
{
        dprintf(STDERR_FILENO, "mayfly node: %s\n", what);
        guest_exit(EXIT_BROKEN);
}

/* A failure of Node-API here is a defect, or an exception that is pending already. */
static void check(napi_status status)
{
        if (status != napi_ok && status != napi_pending_exception)
                node_die("a call of Node-API failed");
}

static size_t arguments(napi_env env, napi_callback_info info, napi_value *ret_values, size_t n)
{
        check(napi_get_cb_info(env, info, &n, ret_values, NULL, NULL));
        return n;
}

static napi_value number_new(napi_env env, uint32_t number)
{
        napi_value value = NULL;

        check(napi_create_uint32(env, number, &value));
        return value;
}

static napi_value text_new(napi_env env, const char *text, size_t length)
{
        napi_value value = NULL;

        check(napi_create_string_utf8(env, text, length, &value));
        return value;
}

static napi_value size_new(napi_env env, uint64_t size)
{
        napi_value value = NULL;

        check(napi_create_double(env, (double)size, &value));
        return value;
}

/* A Buffer; undefined if there is nothing. */
static napi_value bytes_new(napi_env env, const char *bytes, size_t length)
{
        napi_value value = NULL;

        if (length > 0)
                check(napi_create_buffer_copy(env, length, bytes, NULL, &value));
        else
                check(napi_get_undefined(env, &value));
        return value;
}

struct advice {
        uintptr_t start;
        size_t length;
        int advice;
};

enum { ADVICE_PRIVATE = -1 }; /* none of madvise()'s: a private copy takes its place */

/* What a mapping needs, by its line and its VmFlags in smaps; 0: nothing. */
static int advice_for(const char *permissions, const char *path, const char *flags)
{
        if (strstr(path, "[io_uring]"))
                return ADVICE_PRIVATE;
        return permissions[3] == 'p' && strstr(flags, " dc") ? MADV_DOFORK : 0;
}

/* In smaps a mapping is its line of maps, then what is known of it, each with a capital letter. */
static size_t advice_collect(FILE *smaps, struct advice *advices, size_t max)
{
        char line[1024], permissions[8] = "", path[512] = "";
        unsigned long start = 0, end = 0;
        size_t n = 0;

        while (n < max && fgets(line, sizeof line, smaps)) {
                int advice;

                if (line[0] < 'A' || line[0] > 'Z') {
                        path[0] = '\0';
                        sscanf(line, "%lx-%lx %7s %*s %*s %*s %511s", &start, &end, permissions, path);
                        continue;
                }
                advice = strncmp(line, "VmFlags:", 8) == 0 ? advice_for(permissions, path, line) : 0;
                if (advice != 0)
                        advices[n++] = (struct advice){ start, end - start, advice };
        }
        return n;
}

static int memory_make_private(void *start, size_t length)
{
        void *copy = malloc(length), *at;

        if (!copy)
                return -1;
        memcpy(copy, start, length);
        at = mmap(start, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (at == start)
                memcpy(start, copy, length);
        free(copy);
        return at == start ? 0 : -1;
}

static int advice_follow(const struct advice *advice)
{
        if (advice->advice == ADVICE_PRIVATE)
                return memory_make_private((void *)advice->start, advice->length);
        return madvise((void *)advice->start, advice->length, advice->advice);
}

/* Collected first, given after: advice splits and joins the very mappings that are listed. */
static void memory_prepare_fork(void)
{
        struct advice *advices = malloc(ADVICE_MAX * sizeof *advices);
        FILE *smaps = fopen("/proc/self/smaps", "re");
        size_t n;

        if (!advices || !smaps)
                node_die("/proc/self/smaps cannot be read, so V8's heap would be missing in every cell");
        n = advice_collect(smaps, advices, ADVICE_MAX);
        fclose(smaps);
        for (size_t i = 0; i < n; i++) {
                if (advice_follow(&advices[i]) < 0)
                        node_die("memory that every cell needs cannot be carried over a fork");
        }
        free(advices);
}

/* guest.c has SIGCHLD blocked in the main thread and waits for it with a signalfd; the kernel then gives it
 * to a helper thread, where it would come to nothing. */
static void on_child(int number)
{
        if (!pthread_equal(pthread_self(), node.main_thread))
                pthread_kill(node.main_thread, number);
}

static void signals_prepare_fork(void)
{
        struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART };

        node.main_thread = pthread_self();
        sigaction(SIGCHLD, &action, NULL);
}

static void node_after_fork(void)
{
        signal(SIGCHLD, SIG_DFL);
        if (node.carries_threads) {
                if (node_threads_after_fork() < 0)
                        node_die("the helper threads cannot be prepared");
                node_threads_watch(SPARE_TICK_US, SPARE_BUSY_US);
        }
        if (uv_loop_fork(node.loop) != 0)
                node_die("the event loop cannot be made anew");
        if (node.rand_poll() != 1 || node_random_reseed() < 0)
                node_die("no fresh randomness");
        uv_update_time(node.loop);
}

/* --- helper threads --- */

static void __attribute__((noreturn)) restart_without_threads(const char *why)
{
        dprintf(STDERR_FILENO,
                "mayfly node: the helper threads cannot be carried into cells (%s); it starts again "
                "with " SINGLE_THREADED ": scripts that compute for long take up to twice as long\n",
                why);
        fcntl(GUEST_CONTROL_FD, F_SETFD, 0); /* Node.js has set FD_CLOEXEC */
        node_restart_with(SINGLE_THREADED);
        node_die("it cannot be started again");
}

static void threads_park(void)
{
        const char *why = NULL;

        if (node.carries_threads && node_threads_park(&why) != 0)
                restart_without_threads(why ? why : "no signal for them");
}

static void threads_release(void)
{
        if (node.carries_threads)
                node_threads_release();
}

/* --- randomness --- */

struct draws {
        napi_env env;
        napi_value functions[2]; /* draw, draw_fresh */
};

static double draw_from(const struct draws *draws, size_t index)
{
        napi_handle_scope scope;
        napi_value global, result;
        double number = -1;

        check(napi_open_handle_scope(draws->env, &scope));
        check(napi_get_global(draws->env, &global));
        if (napi_call_function(draws->env, global, draws->functions[index], 0, NULL, &result) == napi_ok)
                check(napi_get_value_double(draws->env, result, &number));
        check(napi_close_handle_scope(draws->env, scope));
        return number;
}

static double draw_main(void *closure)
{
        return draw_from(closure, 0);
}

static double draw_fresh(void *closure)
{
        return draw_from(closure, 1);
}

static void random_hold(void *closure)
{
        (void)closure;
        threads_park();
}

static void random_release(void *closure)
{
        (void)closure;
        threads_release();
}

static void random_prepare_fork(struct draws *draws)
{
        struct node_random_source source = { .draw = draw_main,
                .draw_fresh = draw_fresh,
                .hold = random_hold,
                .release = random_release,
                .closure = draws };

        node.random_found = node_random_find(&source) == 0;
        if (!node.random_found)
                dprintf(STDERR_FILENO,
                        "mayfly node: where this V8 keeps Math.random is not known; cells draw it "
                        "from node:crypto, and new vm contexts repeat each other\n");
        node.rand_poll = (int (*)(void))dlsym(RTLD_DEFAULT, "RAND_poll");
        if (!node.rand_poll)
                node_die("this node exports no RAND_poll, so cells would share their random bytes");
}

/* --- serving --- */

/* 0: it ended well. */
static int trial_await(pid_t pid)
{
        for (unsigned ms = 0; ms < TRIAL_MAX_MS; ms += 5) {
                int status = 0;

                if (waitpid(pid, &status, WNOHANG) == pid)
                        return status;
                usleep(5000);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -ETIME;
}

/* A child that has what a cell has, but no walls yet. True in it; false in the template, if it did well. */
static bool trial_is_here(void)
{
        pid_t pid;

        if (!node.carries_threads)
                return false;
        pid = node_threads_fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(STDIN_FILENO, GUEST_CHANNEL_FD); /* the keeper is the template's alone */
                node_after_fork();
                node_threads_watch(CALL_TICK_US, CALL_BUSY_US);
                return true;
        }
        if (pid < 0 || trial_await(pid) != 0)
                restart_without_threads("a child that used them failed");
        return false;
}

static char *member_text(napi_env env, napi_value object, const char *name, size_t *ret_length)
{
        napi_value value;
        char *text;

        check(napi_get_named_property(env, object, name, &value));
        check(napi_get_value_string_utf8(env, value, NULL, 0, ret_length));
        text = malloc(*ret_length + 1);
        if (!text)
                node_die("no memory for a sample");
        check(napi_get_value_string_utf8(env, value, text, *ret_length + 1, ret_length));
        return text;
}

/* {code, cache, input}; false if there is none. What it points at is kept. */
static bool sample_get(napi_env env, napi_value object, struct guest_call *ret_sample)
{
        struct guest_call sample = { .mode = GUEST_RUN, .language = GUEST_JAVASCRIPT };
        napi_valuetype type;
        napi_value cache;
        bool has_cache;
        void *bytes = NULL;

        check(napi_typeof(env, object, &type));
        if (type != napi_object)
                return false;
        sample.code = member_text(env, object, "code", &sample.code_length);
        sample.input = member_text(env, object, "input", &sample.input_length);
        check(napi_get_named_property(env, object, "cache", &cache));
        check(napi_is_typedarray(env, cache, &has_cache));
        if (has_cache)
                check(napi_get_typedarray_info(env, cache, NULL, &sample.cache_length, &bytes, NULL, NULL));
        sample.cache = bytes;
        *ret_sample = sample;
        return true;
}

/*
 * serve(version, drawRandom, drawFreshRandom, sample): 'cell', 'selftest' or 'trial'. Returns only in forked
 * children. The functions draw one number with Math.random, in this and in a new context. sample: a call as
 * most are, {code, cache, input}, to see which memory it takes; undefined: forks are few, and the template is
 * to be small.
 */
static napi_value serve(napi_env env, napi_callback_info info)
{
        static struct guest_hooks hooks = { .after_fork_child = node_after_fork,
                .inherited = GUEST_INHERITED_BLANK };
        static struct guest_call sample;
        struct draws draws = { .env = env };
        char version[VERSION_MAX];
        napi_value values[4];
        enum guest_role role;
        bool has_sample;

        arguments(env, info, values, ARRAY_SIZE(values));
        check(napi_get_value_string_utf8(env, values[0], version, sizeof version, NULL));
        check(napi_get_uv_event_loop(env, &node.loop));
        draws.functions[0] = values[1];
        draws.functions[1] = values[2];
        node.carries_threads = !node_restart_has(SINGLE_THREADED);
        random_prepare_fork(&draws);
        node_heap_prepare();
        has_sample = sample_get(env, values[3], &sample);
        if (!has_sample)
                node_heap_shrink();
        threads_park();
        memory_prepare_fork();
        if (trial_is_here())
                return text_new(env, "trial", NAPI_AUTO_LENGTH);

        signals_prepare_fork();
        hooks.fork = node.carries_threads ? node_threads_fork : NULL;
        /* With helpers that run, its memory cannot be laid out. */
        hooks.sample = node.carries_threads && has_sample ? &sample : NULL;
        role = guest_serve(version, &hooks);
        return text_new(env, role == GUEST_ROLE_SELFTEST ? "selftest" : "cell", NAPI_AUTO_LENGTH);
}

/* randomFound(): whether cells get a Math.random of their own without further ado. Known after serve(). */
static napi_value random_found(napi_env env, napi_callback_info info)
{
        napi_value value = NULL;

        (void)info;
        check(napi_get_boolean(env, node.random_found, &value));
        return value;
}

/* waiting(ms): whether the call is there, or comes so soon, so that warming up would only delay it. */
static napi_value waiting(napi_env env, napi_callback_info info)
{
        napi_value value = NULL;
        uint32_t ms = 0;

        arguments(env, info, &value, 1);
        check(napi_get_value_uint32(env, value, &ms));
        check(napi_get_boolean(env, guest_has_call((int)ms), &value));
        return value;
}

/* receive(): {mode, language, code, map, cache, memory, input}. Blocks until the call arrives. */
static napi_value receive(napi_env env, napi_callback_info info)
{
        struct guest_call call;
        napi_value object = NULL;

        (void)info;
        if (node.carries_threads)
                node_threads_watch(0, 0);
        if (guest_receive(&call) < 0)
                node_die("no call could be received");
        if (node.carries_threads && !guest_is_probe())
                node_threads_watch(CALL_TICK_US, CALL_BUSY_US);
        uv_update_time(node.loop); /* it may have blocked for long, and new timers count from here */
        check(napi_create_object(env, &object));
        check(napi_set_named_property(env, object, "mode", number_new(env, call.mode)));
        check(napi_set_named_property(env, object, "language", number_new(env, call.language)));
        check(napi_set_named_property(env, object, "code", text_new(env, call.code, call.code_length)));
        check(napi_set_named_property(env, object, "map", text_new(env, call.map, call.map_length)));
        check(napi_set_named_property(env, object, "cache", bytes_new(env, call.cache, call.cache_length)));
        check(napi_set_named_property(env, object, "memory", size_new(env, call.memory_bytes)));
        check(napi_set_named_property(env, object, "input", text_new(env, call.input, call.input_length)));
        guest_call_deinit(&call);
        return object;
}

/* fitHeap(bytes): V8 is to get along with so much memory from here on. */
static napi_value fit_heap(napi_env env, napi_callback_info info)
{
        napi_value values[1];
        double bytes = 0;

        arguments(env, info, values, ARRAY_SIZE(values));
        check(napi_get_value_double(env, values[0], &bytes));
        node_heap_fit((uint64_t)bytes);
        return NULL;
}

static int send_text(napi_env env, uint32_t kind, napi_value text)
{
        size_t length = 0;
        char *bytes;
        int r;

        check(napi_get_value_string_utf8(env, text, NULL, 0, &length));
        bytes = malloc(length + 1);
        if (!bytes)
                return -ENOMEM;
        check(napi_get_value_string_utf8(env, text, bytes, length + 1, &length));
        r = guest_send(kind, bytes, length);
        free(bytes);
        return r;
}

/* send(kind, string or Uint8Array). A cell that cannot report has nothing left to do. */
static napi_value send_frame(napi_env env, napi_callback_info info)
{
        napi_value values[2];
        uint32_t kind = 0;
        bool is_bytes = false;
        void *bytes = NULL;
        size_t length = 0;
        int r;

        arguments(env, info, values, ARRAY_SIZE(values));
        check(napi_get_value_uint32(env, values[0], &kind));
        check(napi_is_typedarray(env, values[1], &is_bytes));
        if (is_bytes) {
                check(napi_get_typedarray_info(env, values[1], NULL, &length, &bytes, NULL, NULL));
                r = guest_send(kind, bytes, length);
        } else {
                r = send_text(env, kind, values[1]);
        }
        if (r < 0)
                node_die("the answer cannot be sent: the script has closed or replaced descriptor 3");
        return NULL;
}

/* exit(code): at once; nothing of Node.js or V8 is taken down. */
static napi_value leave(napi_env env, napi_callback_info info)
{
        napi_value values[1];
        int32_t code = 0;

        arguments(env, info, values, ARRAY_SIZE(values));
        check(napi_get_value_int32(env, values[0], &code));
        guest_exit(code);
}

/* pid(): as it is now; process.pid is that of the template. */
static napi_value pid(napi_env env, napi_callback_info info)
{
        (void)info;
        return number_new(env, (uint32_t)getpid());
}

static const struct {
        const char *name;
        napi_callback function;
} functions[] = {
        { "serve", serve },
        { "randomFound", random_found },
        { "waiting", waiting },
        { "receive", receive },
        { "fitHeap", fit_heap },
        { "send", send_frame },
        { "exit", leave },
        { "pid", pid },
};

/* The words of wire/guest_api.h that boot.mjs speaks. */
static const struct {
        const char *name;
        uint32_t value;
} words[] = {
        { "FRAME_RESULT", FRAME_RESULT },
        { "FRAME_NOTHING", FRAME_NOTHING },
        { "FRAME_ERROR", FRAME_ERROR },
        { "FRAME_SYNTAX", FRAME_SYNTAX },
        { "FRAME_COMPILED", FRAME_COMPILED },
        { "GUEST_RUN", GUEST_RUN },
        { "GUEST_CHECK", GUEST_CHECK },
        { "GUEST_COMPILE", GUEST_COMPILE },
        { "GUEST_JAVASCRIPT", GUEST_JAVASCRIPT },
        { "GUEST_TYPESCRIPT", GUEST_TYPESCRIPT },
};

int32_t NODE_API_MODULE_GET_API_VERSION(void); /* defined by the next line */

NAPI_MODULE_INIT()
{
        if (node_restart_remember() < 0)
                node_die("it cannot read how it was started");
        for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
                napi_value function = NULL;

                check(napi_create_function(
                        env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function));
                check(napi_set_named_property(env, exports, functions[i].name, function));
        }
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                check(napi_set_named_property(env, exports, words[i].name, number_new(env, words[i].value)));
        return exports;
}
