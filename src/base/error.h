#pragma once

/*
 * Three kinds of result: 0 is done, a positive number is an outcome that the header names, a negative errno
 * is a surprise that rises to the loop. error_trace() leaves file and line on the way up when MAYFLY_TRACE is
 * set.
 */

#define error_trace(r) error_trace_at((r), __FILE__, __LINE__, __func__)

int error_trace_at(int r, const char *file, int line, const char *function);
