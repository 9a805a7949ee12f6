#pragma once

/* What the parts of the suite share beside store_suite.h. */

#include "store_suite.h"

enum { ALIASES = 3 }; /* that a function may have, in these tests */

int suite_run_versions(void);
int suite_run_functions(void);

/* Many requests at once, each with content of its own. */
struct crowd {
        struct crowd_request {
                struct store_request request;
                struct store_version given;
                char path[32];
                char code[32];
                size_t *n_done;
        } * members;
        size_t n;
        size_t n_done;
};

void crowd_init(struct crowd *crowd, size_t n, enum store_operation operation);
/* What the member puts. */
void crowd_give(struct crowd_request *member, uint64_t now_ms);
void crowd_deinit(struct crowd *crowd);
/* Puts all of it, half of it on another node where there can be one. */
void suite_put_crowd(struct suite *suite, struct crowd *crowd);
void suite_expect_put(struct suite *suite, const struct store_version *given, bool created, uint64_t version);
/* Expects that lists show `latest` as the function's. */
void suite_expect_listed(
        struct suite *suite, const char *path, const struct store_version *latest, uint64_t n_versions);
int suite_remove_alias(struct suite *suite, const char *path, const char *alias);
