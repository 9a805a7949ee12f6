#pragma once

/*
 * What is done for each enum store_operation, on a worker's thread and within a transaction, which is taken
 * back if the result is not 0. sqlite_read.c, sqlite_write.c.
 */

#include <stdbool.h>
#include <stdint.h>

struct sqlite_connection;
struct store_request;

typedef int sqlite_operation(struct sqlite_connection *connection, struct store_request *request);

sqlite_operation sqlite_get, sqlite_list, sqlite_describe;
sqlite_operation sqlite_check, sqlite_put, sqlite_keep_compiled, sqlite_remove, sqlite_set_alias,
        sqlite_remove_alias, sqlite_restore;

struct sqlite_function {
        uint64_t last_version; /* 0: there never was one */
        uint64_t latest;       /* 0: there is none */
};

int sqlite_read_function(
        struct sqlite_connection *connection, const char *path, struct sqlite_function *ret_function);
/* 0 or STORE_NOT_FOUND, or a failure. */
int sqlite_has_version(struct sqlite_connection *connection, const char *path, uint64_t version);
/* Without the alias `except`. */
int sqlite_count_aliases(
        struct sqlite_connection *connection, const char *path, const char *except, uint64_t *ret_n);
