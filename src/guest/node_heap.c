/*
 * Theory of operation. V8 has one share of memory for young objects, which it doubles up to 64 MiB (three
 * times that, while it collects), and one for old ones, whose limit is a flag. Garbage lies until a share is
 * full. The template's flags are made for the server's limit; a call with less would meet the kernel's first.
 *
 * So for such a call the young ones keep to the share that they have, and the old ones get half of its
 * memory. The rest is for the young ones, for what a collection copies of the pages that a fork shares, and
 * for what lies outside of the heap, of which V8 lets half as much as of the old ones come together before it
 * collects.
 *
 * What is alive may be more than half. V8 asks before it gives up, and gets half of what is left: it never
 * gets all, collects the more often the less is left, and the kernel keeps the last word.
 *
 * V8's API is C++, found by the names that its symbols have in the node binary (seen in Node.js 20 and 24).
 */
#include "guest/node_heap.h"

#include <dlfcn.h>
#include <malloc.h>
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

void node_heap_shrink(void)
{
        void (*collect)(void *isolate) =
                (void (*)(void *))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv");

        if (heap.isolate && collect)
                collect(heap.isolate);
        malloc_trim(0);
}

void node_heap_fit(uint64_t memory_bytes)
{
        char flags[96];

        if (!heap.isolate || !heap.add || !heap.remove || !heap.set_flags)
                return;
        heap.memory = memory_bytes;
        /* The second is for the heaps of workers to come, which read it as they start. */
        snprintf(flags, sizeof flags, "--semi-space-growth-factor=1 --max-old-space-size=%zu",
                heap.memory >> 20);
        heap.set_flags(flags);
        heap.add(heap.isolate, on_near_limit, NULL);
        heap.remove(heap.isolate, on_near_limit, heap.memory / 2); /* this lowers it */
        heap.add(heap.isolate, on_near_limit, NULL);
}
