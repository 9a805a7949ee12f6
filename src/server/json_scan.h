#pragma once

/*
 * Reads JSON (RFC 8259, UTF-8) without changing a byte of it: user data is checked and spliced, never
 * re-serialised, so big integers, key order and spelling survive. Strict: no comments, no trailing comma, no
 * NaN, no BOM, no bad UTF-8, no raw control characters in strings; escaped lone surrogates (\ud800) pass,
 * since Python and JavaScript both produce and read them.
 */

#include <stddef.h>

enum { JSON_BAD = 1, JSON_DEEP = 2, JSON_DUPLICATE = 3, JSON_NOT_OBJECT = 4 };
enum { JSON_DEPTH_MAX = 512 };

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_span {
        const char *text; /* NULL: the member is not there */
        size_t length;    /* without surrounding blanks */
};

/*
 * Is text exactly one JSON value, blanks around it allowed? 0, JSON_BAD (the byte offset in *ret_offset if
 * not NULL), JSON_DEEP. On 0 *ret_value (if not NULL) is the value without the blanks.
 */
int json_check(const char *text, size_t length, struct json_span *ret_value, size_t *ret_offset);

/* The type of a value that json_check() accepted. */
enum json_type json_type(struct json_span value);

/*
 * Finds members of the outermost object by name (names are compared after unescaping). Members of other names
 * are passed over. 0, JSON_BAD, JSON_DEEP, JSON_NOT_OBJECT, JSON_DUPLICATE (any key, asked for or not, twice
 * in the outermost object).
 */
int json_members(
        const char *text, size_t length, const char *const *names, size_t n, struct json_span *ret_values);

/*
 * The first member of the outermost object that has none of these names: its name as it is written, a JSON
 * string; its text is NULL if there is no such member. Results as of json_members(), without JSON_DUPLICATE.
 */
int json_stranger(
        const char *text, size_t length, const char *const *names, size_t n, struct json_span *ret_name);

/*
 * Decodes a JSON string value to UTF-8 (malloc'd, NUL-terminated; it may hold NULs, so mind the length).
 * 0; JSON_BAD if the value is no string or holds a lone surrogate; -ENOMEM.
 */
int json_string(struct json_span value, char **ret_text, size_t *ret_length);
