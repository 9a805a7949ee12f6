/*
 * Theory of operation. V8 collects garbage when its old generation is as large as its flags allow, or has
 * grown by some factor; and objects that are small and young when their share of memory is full, a share
 * that it doubles up to 64 MiB. Both were set for the server's limit. For a call with less, the young share
 * stays as it is, and the old generation gets half of the memory: the other half is for the young ones, for
 * what a collection copies, and for what lies outside of the heap. Of buffers and the like, half as much as
 * the old generation may have makes V8 collect as well.
 *
 * A script may need more than half for what is alive. V8 asks before it gives up, and gets half of what is
 * left: so it never gets all, collects the harder the less is left, and the kernel has the last word.
 *
 * C++ symbols of V8 that every node binary exports: each was there, under this name, in Node.js 12 to 24.
 */
#include "guest/node_heap.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

#include "guest/guest.h"
#include "wire/guest_api.h"

enum { EXIT_BROKEN = 125 };

typedef void full_handler(const char *where, const void *details);
typedef size_t near_limit_handler(void *data, size_t limit, size_t initial_limit);

static struct {
        void *isolate;
        void (*add)(void *isolate, near_limit_handler *handler, void *data);
        void (*remove)(void *isolate, near_limit_handler *handler, size_t limit);
        void (*set_flags)(const char *flags);
        size_t memory;
} heap;

/* V8 gives up: its heap is full, or a table of it can grow no further. Node.js would abort, and the call be
 * told as one that was ended by a signal. */
static void on_full(const char *where, const void *details)
{
        char error[512];
        int length = snprintf(error, sizeof error,
                "{\"name\":\"RangeError\",\"message\":\"JavaScript heap out of memory: %s\",\"stack\":\"\","
                "\"line\":null,\"column\":null,\"code\":\"ENOMEM\"}",
                where ? where : "V8 gives no reason");

        (void)details;
        if (length < (int)sizeof error)
                guest_send(FRAME_ERROR, error, (size_t)length);
        guest_exit(EXIT_BROKEN);
}

static size_t on_near_limit(void *data, size_t limit, size_t initial_limit)
{
        (void)data, (void)initial_limit;
        return limit < heap.memory ? limit + (heap.memory - limit) / 2 : limit;
}

void node_heap_prepare(void)
{
        void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
        void (*set)(void *isolate, full_handler *handler) = (void (*)(void *, full_handler *))dlsym(
                RTLD_DEFAULT, "_ZN2v87Isolate18SetOOMErrorHandlerEPFvPKcRKNS_10OOMDetailsEE");

        heap.add = (void (*)(void *, near_limit_handler *, void *))dlsym(
                RTLD_DEFAULT, "_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_");
        heap.remove = (void (*)(void *, near_limit_handler *, size_t))dlsym(
                RTLD_DEFAULT, "_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm");
        heap.set_flags = (void (*)(const char *))dlsym(RTLD_DEFAULT, "_ZN2v82V818SetFlagsFromStringEPKc");
        heap.isolate = current ? current() : NULL;
        if (heap.isolate && set)
                set(heap.isolate, on_full);
}

void node_heap_fit(uint64_t memory_bytes)
{
        char flags[64];

        if (!heap.isolate || !heap.add || !heap.remove || !heap.set_flags)
                return;
        heap.memory = memory_bytes;
        heap.set_flags("--semi-space-growth-factor=1");
        /* For the isolates of workers, which are made from now on. */
        snprintf(flags, sizeof flags, "--max-old-space-size=%zu", heap.memory >> 20);
        heap.set_flags(flags);
        /* Removing a handler is what lowers a limit. */
        heap.add(heap.isolate, on_near_limit, NULL);
        heap.remove(heap.isolate, on_near_limit, heap.memory / 2);
        heap.add(heap.isolate, on_near_limit, NULL);
}
