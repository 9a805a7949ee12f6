/* The layout of a template's memory: nothing of it may get lost, and forks must be cheaper for it. Each test
 * lays out the memory of a process of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/image.h"

enum { PAGE = 4096, PAGES = 64 };

static char *memory;

static int in_process(int (*body)(void))
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(body());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static char *pages_new(void)
{
        char *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (int i = 0; i < PAGES; i++)
                memset(pages + i * PAGE, i + 1, PAGE);
        return pages;
}

static bool pages_hold(const char *pages)
{
        for (int i = 0; i < PAGES * PAGE; i++) {
                if (pages[i] != i / PAGE + 1)
                        return false;
        }
        return true;
}

static int freeze_and_compare(void)
{
        char *text = strdup("what malloc() gave"), *pages = pages_new();
        struct image *image = image_new();
        void *later;

        if (!image || image_freeze(image) != 0)
                return 1;
        image_free(image);
        later = malloc(1 << 20);
        return strcmp(text, "what malloc() gave") == 0 && pages_hold(pages) && later ? 0 : 2;
}

static void test_frozen_memory_holds_what_it_held(void **state)
{
        (void)state;
        assert_int_equal(in_process(freeze_and_compare), 0);
}

/* Pages far apart: what lies between them was never touched, and is nobody's. */
static int freeze_with_gaps(void)
{
        enum { SPAN = 8 << 20, STEP = 3 << 20 };
        char *span = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct image *image = image_new();

        for (int at = STEP / 2; at < SPAN; at += STEP)
                span[at] = 'x';
        if (!image || image_freeze(image) != 0)
                return 1;
        for (int at = 0; at < SPAN; at++) {
                if (span[at] != (at % STEP == STEP / 2 ? 'x' : 0))
                        return 2;
        }
        memset(span, 'y', SPAN);
        return span[0] == 'y' && span[SPAN - 1] == 'y' ? 0 : 3;
}

static void test_what_was_never_touched_is_still_there(void **state)
{
        (void)state;
        assert_int_equal(in_process(freeze_with_gaps), 0);
}

static int child_writes(void)
{
        memset(memory, 99, PAGE);
        return 0;
}

static int freeze_and_fork(void)
{
        struct image *image = image_new();

        memory = pages_new();
        if (!image || image_freeze(image) != 0)
                return 1;
        if (in_process(child_writes) != 0 || !pages_hold(memory))
                return 2;
        memory[0] = 77; /* its own writes go nowhere else either */
        return memory[0] == 77 && memory[1] == 1 ? 0 : 3;
}

static void test_what_a_fork_writes_stays_its_own(void **state)
{
        (void)state;
        assert_int_equal(in_process(freeze_and_fork), 0);
}

/* Every second page is written, the others are read. */
static int use_memory(void)
{
        volatile char *pages = memory;
        char sum = 0;

        for (int i = 0; i < PAGES; i += 2) {
                pages[i * PAGE] = 3;
                sum = (char)(sum + pages[(i + 1) * PAGE]);
        }
        return sum == 1 ? 1 : 0; /* so that it is read */
}

static long faults(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_minflt;
}

static int count_faults(void)
{
        long before = faults();

        use_memory();
        return (int)(faults() - before);
}

static int probe(struct image *image)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                image_begin(image);
                use_memory();
                image_learn(image);
                _exit(0);
        }
        return waitpid(pid, &status, 0) == pid ? status : -1;
}

static int lay_out_and_count(void)
{
        struct image *image = image_new();

        memory = pages_new();
        if (!image || image_freeze(image) != 0 || probe(image) != 0)
                return 100;
        if (image_hand_over(image) != 0)
                return 101; /* no io_uring here */
        if (probe(image) != 0)
                return 102;
        image_settle(image);
        image_free(image);
        if (!pages_hold(memory))
                return 103;
        return WEXITSTATUS(in_process(count_faults));
}

static void test_a_fork_has_the_pages_that_it_will_use(void **state)
{
        int left = WEXITSTATUS(in_process(lay_out_and_count));

        (void)state;
        if (left == 101)
                skip();
        print_message("%d of %d pages left to page faults\n", left, PAGES);
        assert_in_range(left, 0, PAGES / 8);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_frozen_memory_holds_what_it_held),
                cmocka_unit_test(test_what_was_never_touched_is_still_there),
                cmocka_unit_test(test_what_a_fork_writes_stays_its_own),
                cmocka_unit_test(test_a_fork_has_the_pages_that_it_will_use),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
