/*
 * Theory of operation. V8 has two kinds of state, both xorshift128+, two words each.
 *
 * The state of a context's Math.random lies on the JavaScript heap (src/numbers/math-random.cc). It is
 * stepped 64 times at once into a cache that is then used from its end, so the first number of a batch is
 * made from the state that memory still holds: draw, look for a word from which a drawn number follows, and
 * its place among those drawn says where the batch began. The cache outlives a write to the state; hence the
 * search ends on a batch's end, where the next draw fills it anew.
 *
 * The seed of a new context comes from the isolate's RandomNumberGenerator (src/base/utils): its seed and two
 * words that are murmur(seed), murmur(~murmur(seed)) and then stepped. That relation finds all generators of
 * the process, the one for address hints included.
 */
#include "guest/node_random.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/macros.h"

enum {
        BATCH = 64,          /* MathRandom::kCacheSize */
        DRAWN = 3 * BATCH,   /* holds a whole batch whatever the phase */
        GENERATORS_MAX = 64, /* three or four are usual */
        STATES_MAX = 16,     /* candidates: the state, and stale copies of it */
        STEPS_MAX = 2000,    /* that a generator may have gone since it was seeded */
        REGIONS_MAX = 4096,
        PAGE = 4096,
};

struct region {
        uintptr_t start, end;
        bool is_likely; /* for generators: malloc's own, or a library's data */
};

static struct {
        uint64_t *main;                       /* NULL: not found */
        uint64_t *generators[GENERATORS_MAX]; /* seed, state */
        size_t n_generators;
} found;

static uint64_t murmur(uint64_t hash)
{
        hash ^= hash >> 33;
        hash *= 0xFF51AFD7ED558CCDull;
        hash ^= hash >> 33;
        hash *= 0xC4CEB9FE1A85EC53ull;
        return hash ^ hash >> 33;
}

static void xorshift(uint64_t *a, uint64_t *b)
{
        uint64_t s1 = *a, s0 = *b;

        *a = s0;
        s1 ^= s1 << 23;
        s1 ^= s1 >> 17;
        *b = s1 ^ s0 ^ s0 >> 26;
}

/* The three ways in which V8 has made a number from a state: up to 13.x from 52 or 53 bits of the first word,
 * then from the sum of both. */
static void state_numbers(const uint64_t *words, double ret_numbers[3])
{
        union {
                uint64_t bits;
                double value;
        } mantissa = { .bits = words[0] >> 12 | 0x3FF0000000000000ull };

        ret_numbers[0] = (double)(words[0] >> 11) * 0x1p-53;
        ret_numbers[1] = mantissa.value - 1;
        ret_numbers[2] = (double)((words[0] + words[1]) >> 11) * 0x1p-53;
}

/* Private, writable and readable mappings. Negative errno, or their number. */
static ssize_t regions_list(struct region *regions, size_t max)
{
        char line[512];
        unsigned long likely_end = 0;
        size_t n = 0;
        FILE *maps = fopen("/proc/self/maps", "re");

        if (!maps)
                return -errno;
        while (n < max && fgets(line, sizeof line, maps)) {
                unsigned long start, end;
                char permissions[8], path[256] = "";

                if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &end, permissions, path) < 3 ||
                        strcmp(permissions, "rw-p") != 0 || strncmp(path, "[stack", 6) == 0)
                        continue;
                regions[n].start = start;
                regions[n].end = end;
                /* A library's zeroed data follows its named mapping without a name. */
                regions[n].is_likely = path[0] != '\0' || start == likely_end;
                likely_end = regions[n].is_likely ? end : likely_end;
                n++;
        }
        fclose(maps);
        return (ssize_t)n;
}

/* Calls visit for each run of pages that are there; the rest has never been written. */
static void region_visit(
        const struct region *region, void (*visit)(uint64_t *words, size_t n, void *closure), void *closure)
{
        unsigned char resident[256] = { 0 };
        uintptr_t run = 0;

        for (uintptr_t at = region->start; at < region->end; at += sizeof resident * PAGE) {
                /* Regions are counted; the analyzer loses count.
                 * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
                size_t n = MIN(sizeof resident, (region->end - at) / PAGE);

                if (mincore((void *)at, n * PAGE, resident) < 0)
                        memset(resident, 0, n);
                for (size_t i = 0; i < n; i++) {
                        uintptr_t page = at + i * PAGE;

                        if (resident[i] & 1) {
                                run = run ? run : page;
                        } else if (run) {
                                visit((uint64_t *)run, (page - run) / sizeof(uint64_t), closure);
                                run = 0;
                        }
                }
        }
        if (run)
                visit((uint64_t *)run, (region->end - run) / sizeof(uint64_t), closure);
}

struct state_search {
        const struct node_random_source *source;
        int drawn; /* since the search began */
        struct seen {
                double value;
                int place;            /* among those drawn */
        } seen[DRAWN];                /* by value */
        unsigned char top_bits[8192]; /* one bit for the first 16 bits of each number seen */
        struct state {
                uint64_t *words;
                int place; /* of the number that follows from it */
        } states[STATES_MAX];
        size_t n_states;
};

static double search_draw(struct state_search *search)
{
        search->drawn++;
        return search->source->draw(search->source->closure);
}

static int seen_compare(const void *a, const void *b)
{
        const struct seen *x = a, *y = b;

        return (x->value > y->value) - (x->value < y->value);
}

static bool top_bits_seen(const struct state_search *search, uint64_t word)
{
        return search->top_bits[word >> 51] >> (word >> 48 & 7) & 1;
}

static void search_see(struct state_search *search)
{
        for (int i = 0; i < DRAWN; i++) {
                double value = search_draw(search);
                unsigned top = (unsigned)(value * 65536);

                search->seen[i] = (struct seen){ value, i };
                search->top_bits[top >> 3] |= (unsigned char)(1 << (top & 7));
        }
        qsort(search->seen, DRAWN, sizeof *search->seen, seen_compare);
}

static void search_words(uint64_t *words, size_t n, void *closure)
{
        struct state_search *search = closure;

        for (size_t i = 0; i + 1 < n; i++) {
                double numbers[3];

                if (!top_bits_seen(search, words[i]) && !top_bits_seen(search, words[i] + words[i + 1]))
                        continue;
                state_numbers(words + i, numbers);
                for (size_t k = 0; k < ARRAY_SIZE(numbers) && search->n_states < STATES_MAX; k++) {
                        struct seen key = { .value = numbers[k] };
                        struct seen *hit = bsearch(&key, search->seen, DRAWN, sizeof key, seen_compare);

                        if (hit)
                                search->states[search->n_states++] = (struct state){ words + i, hit->place };
                }
        }
}

/* Does writing there decide what is drawn? Leaves Math.random at the end of a batch if so. */
static bool search_try(struct state_search *search, const struct state *state)
{
        static const uint64_t mark[2] = { 0x9E3779B97F4A7C15ull, 0xBF58476D1CE4E5B9ull };
        double batches[2][BATCH];
        uint64_t old[2];

        memcpy(old, state->words, sizeof old);
        while ((search->drawn - state->place) % BATCH != 0)
                search_draw(search);
        for (int i = 0; i < 2; i++) {
                memcpy(state->words, mark, sizeof mark);
                for (int k = 0; k < BATCH; k++)
                        batches[i][k] = search_draw(search);
        }
        /* The same bits are meant. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
        if (memcmp(batches[0], batches[1], sizeof batches[0]) == 0 && batches[0][0] != batches[0][1])
                return true;
        memcpy(state->words, old, sizeof old);
        return false;
}

/* Negative errno, or the number of regions that were searched. */
static ssize_t regions_search(const struct node_random_source *source, bool likely_alone,
        void (*visit)(uint64_t *words, size_t n, void *closure), void *closure)
{
        struct region *regions = calloc(REGIONS_MAX, sizeof *regions);
        ssize_t n;

        if (!regions)
                return -ENOMEM;
        source->hold(source->closure);
        n = regions_list(regions, REGIONS_MAX);
        for (ssize_t i = 0; i < n; i++) {
                if (regions[i].is_likely || !likely_alone)
                        region_visit(&regions[i], visit, closure);
        }
        source->release(source->closure);
        free(regions);
        return n;
}

static int find_main(const struct node_random_source *source)
{
        struct state_search *search = calloc(1, sizeof *search);
        ssize_t n;

        if (!search)
                return -ENOMEM;
        search->source = source;
        search_see(search);
        n = regions_search(source, false, search_words, search);
        for (size_t i = 0; i < search->n_states && !found.main; i++) {
                if (search_try(search, &search->states[i]))
                        found.main = search->states[i].words;
        }
        free(search);
        if (n < 0)
                return (int)n;
        return found.main ? 0 : NODE_RANDOM_NOT_FOUND;
}

/* Pointers, small numbers and text, which is nearly all of memory, are passed over at once. One state in tens
 * of thousands looks like them; it is then not found, which the caller notices. */
static bool looks_random(uint64_t a, uint64_t b)
{
        return a >> 48 != 0 && b >> 48 != 0 && ((a | b) & 0x8080808080808080ull) != 0 && (uint32_t)a != 0 &&
               (uint32_t)b != 0;
}

/* words: the seed, then the state that it began. */
static bool generator_is_at(const uint64_t *words)
{
        uint64_t a, b;

        if (!looks_random(words[1], words[2]))
                return false;
        a = murmur(words[0]);
        b = murmur(~a);
        for (int i = 0; i < STEPS_MAX; i++) {
                if (a == words[1] && b == words[2])
                        return true;
                xorshift(&a, &b);
        }
        return false;
}

static void generator_search(uint64_t *words, size_t n, void *closure)
{
        (void)closure;
        for (size_t i = 0; i + 2 < n; i++) {
                if (found.n_generators < GENERATORS_MAX && generator_is_at(words + i))
                        found.generators[found.n_generators++] = words + i;
        }
}

static void generators_seed(uint64_t seed)
{
        for (size_t i = 0; i < found.n_generators; i++) {
                uint64_t *words = found.generators[i];

                words[0] = seed + i;
                words[1] = murmur(words[0]);
                words[2] = murmur(~words[1]);
        }
}

/* Equal seeds must give equal numbers, and others others. */
static int generators_verify(const struct node_random_source *source)
{
        static const uint64_t seeds[] = { 1, 1, 1000 };
        double drawn[ARRAY_SIZE(seeds)] = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(seeds); i++) {
                generators_seed(seeds[i]);
                drawn[i] = source->draw_fresh(source->closure);
        }
        return drawn[0] == drawn[1] && drawn[1] != drawn[2] ? 0 : NODE_RANDOM_NOT_FOUND;
}

/* Everywhere takes a second or two, so the likely regions come first. */
static int find_generators(const struct node_random_source *source)
{
        for (int everywhere = 0; everywhere <= 1; everywhere++) {
                ssize_t n;

                found.n_generators = 0;
                n = regions_search(source, !everywhere, generator_search, NULL);
                if (n < 0)
                        return (int)n;
                if (generators_verify(source) == 0)
                        return 0;
        }
        found.n_generators = 0;
        return NODE_RANDOM_NOT_FOUND;
}

int node_random_find(const struct node_random_source *source)
{
        int r = NODE_RANDOM_NOT_FOUND;

        for (int attempt = 0; attempt < 4 && r == NODE_RANDOM_NOT_FOUND; attempt++) {
                r = find_generators(source);
                /* New contexts have come and gone, but the main one is where it was. */
                if (r == 0)
                        r = find_main(source);
        }
        return r;
}

int node_random_reseed(void)
{
        uint64_t fresh[2 * (GENERATORS_MAX + 1)];
        size_t n = 0, length = sizeof *fresh * 2 * (found.n_generators + 1);

        if (getrandom(fresh, length, 0) != (ssize_t)length)
                return -EIO;
        /* A state of zeros would mean "not seeded", so one bit is given up. */
        for (size_t i = 0; i < found.n_generators; i++) {
                found.generators[i][1] = fresh[n++] | 1;
                found.generators[i][2] = fresh[n++];
        }
        if (found.main) {
                found.main[0] = fresh[n++] | 1;
                found.main[1] = fresh[n++];
        }
        return 0;
}
