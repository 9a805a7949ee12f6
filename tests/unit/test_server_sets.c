/* Import sets as the server keeps them: who gets a template, where calls go, and what becomes of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server_stage.h"

enum { FIRST = RUNTIME_COUNT };

static void run_times(struct stage *stage, const char *path, int times)
{
        for (int i = 0; i < times; i++)
                expect(stage_run_stored(stage, path, "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
}

/* A function that imports numpy, called as often as it takes to get a template. */
static void begin(struct stage *stage, const char *settings)
{
        stage_open(stage, settings);
        assert_true(comes_true(stage_is_ready, stage));
        stage_upload(stage, "f", "python", "check imports numpy\\nresult 1");
}

static bool is_warmed(struct stage *stage)
{
        return stage->play->warmed == 1;
}

static bool is_told_of(struct stage *stage, const char *text)
{
        struct reply reply = stage_ask(stage, "GET", "/templates", NULL, NULL);
        bool told = strstr(reply.body, text) != NULL;

        assert_int_equal(reply.status, 200);
        reply_free(&reply);
        return told;
}

static bool is_up(struct stage *stage)
{
        return is_told_of(stage, "\"imports\":\"numpy\",\"runtime\":\"python\",\"state\":\"up\"");
}

static bool has_failed(struct stage *stage)
{
        return is_told_of(stage, "\"state\":\"seen\",\"failures\":1");
}

static void test_the_second_call_has_a_template_made(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, "SPARE_CELLS=0");
        run_times(&stage, "f", 1);
        assert_true(is_told_of(&stage, "\"state\":\"seen\""));
        assert_int_equal(stage.play->warmed, 0);
        run_times(&stage, "f", 1);
        assert_true(comes_true(is_up, &stage));
        assert_string_equal(stage.play->names, "numpy");
        assert_int_equal(stage.play->started[FIRST], 0);
        run_times(&stage, "f", 3);
        assert_int_equal(stage.play->started[FIRST], 3);
        assert_int_equal(stage.play->warmed, 1);
        /* Others are not served there. */
        stage_upload(&stage, "plain", "python", "result 1");
        stage_upload(&stage, "more", "python", "check imports numpy os2\\nresult 1");
        run_times(&stage, "plain", 3);
        run_times(&stage, "more", 1);
        assert_int_equal(stage.play->started[FIRST], 3);
        stage_close(&stage);
}

static void test_a_set_keeps_a_spare(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, "SPARE_CELLS=2");
        run_times(&stage, "f", 2);
        assert_true(comes_true(is_up, &stage));
        for (int i = 0; i < 2000 && stage.play->started[FIRST] == 0; i++)
                usleep(1000);
        assert_int_equal(stage.play->started[FIRST], 1);
        run_times(&stage, "f", 5);
        stage_close(&stage);
}

/* The keeper has lost the template and the server does not know yet. */
static void test_a_call_is_not_lost_with_a_template(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, "SPARE_CELLS=0");
        run_times(&stage, "f", 2);
        assert_true(comes_true(is_up, &stage));
        stage.play->sets_refuse = 1;
        run_times(&stage, "f", 2);
        assert_int_equal(stage.play->started[FIRST], 2);
        stage.play->sets_refuse = 0;
        stage.play->sets_lose = 1;
        run_times(&stage, "f", 2);
        assert_int_equal(stage.play->started[FIRST], 4);
        /* The base template has nobody behind it. */
        stage.play->refuse = 1;
        expect_problem(stage_run_stored(&stage, "f", "{}"), 502, "cell_lost", NULL);
        stage.play->refuse = 0;
        stage_close(&stage);
}

static void test_a_set_that_fails_is_left_alone(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, NULL);
        stage.play->warm_fails = 1;
        run_times(&stage, "f", 2);
        assert_true(comes_true(has_failed, &stage));
        run_times(&stage, "f", 5);
        assert_int_equal(stage.play->warmed, 1);
        assert_true(stage_is_ready(&stage));
        stage_close(&stage);
}

static void test_a_template_that_is_too_large_goes(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, "TEMPLATE_MEMORY_MAX=64m");
        stage.play->warm_bytes = 65 << 20;
        run_times(&stage, "f", 2);
        assert_true(comes_true(is_warmed, &stage));
        assert_true(comes_true(has_failed, &stage));
        assert_int_equal(stage.play->cooled, 1);
        run_times(&stage, "f", 3);
        assert_int_equal(stage.play->warmed, 1);
        stage_close(&stage);
}

static void test_there_are_sixteen_places(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=0");
        assert_true(comes_true(stage_is_ready, &stage));
        for (int i = 0; i < 20; i++) {
                char path[16], code[64];

                snprintf(path, sizeof path, "f%d", i);
                snprintf(code, sizeof code, "check imports m%d\\nresult 1", i);
                stage_upload(&stage, path, "python", code);
                for (int calls = 0; calls < 50 && stage.play->warmed <= i && i < 16; calls++)
                        run_times(&stage, path, 1);
                run_times(&stage, path, 2);
        }
        assert_int_equal(stage.play->warmed, 16);
        assert_int_equal(stage.play->cooled, 0); /* they were all in use just now */
        stage_close(&stage);
}

static bool is_said(struct stage *stage)
{
        return stage->play->nonsense == 0;
}

static void test_news_that_nobody_asked_for_means_nothing(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, NULL);
        stage.play->nonsense = 1;
        assert_true(comes_true(is_said, &stage));
        run_times(&stage, "f", 2);
        assert_true(comes_true(is_up, &stage));
        run_times(&stage, "f", 2);
        stage_close(&stage);
}

static void test_without_memory_there_are_no_sets(void **state)
{
        struct stage stage;

        (void)state;
        begin(&stage, "TEMPLATE_MEMORY_MAX=0");
        run_times(&stage, "f", 4);
        assert_int_equal(stage.play->warmed, 0);
        assert_false(is_told_of(&stage, "numpy"));
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_second_call_has_a_template_made),
                cmocka_unit_test(test_a_set_keeps_a_spare),
                cmocka_unit_test(test_a_call_is_not_lost_with_a_template),
                cmocka_unit_test(test_a_set_that_fails_is_left_alone),
                cmocka_unit_test(test_a_template_that_is_too_large_goes),
                cmocka_unit_test(test_there_are_sixteen_places),
                cmocka_unit_test(test_news_that_nobody_asked_for_means_nothing),
                cmocka_unit_test(test_without_memory_there_are_no_sets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
