#pragma once

/*
 * The JSON object of FRAME_ERROR and FRAME_SYNTAX. It comes from a cell, so it is hostile: only the known
 * members are taken, each if it is of the right type, and as much of it as may be told.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "server/json_scan.h"

enum error_member {
        ERROR_NAME,
        ERROR_MESSAGE,
        ERROR_STACK,
        ERROR_LINE,
        ERROR_COLUMN,
        ERROR_CODE, /* not told to the client */
        ERROR_MEMBERS,
};

/* A value without text is absent, or was not as it should be; of no object, or a bad one, all are. */
void error_object_read(const char *text, size_t length, struct json_span ret_values[ERROR_MEMBERS]);
/* Its code is this word, such as "ENOSPC". */
bool error_object_has_code(const struct json_span values[ERROR_MEMBERS], const char *code);
/* Appends `,"error":{…}`; what is absent becomes null, long text is cut. Results as of bytes_append(). */
int error_object_write(struct bytes *body, const struct json_span values[ERROR_MEMBERS]);
