#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int error_trace_at(int r, const char *file, int line, const char *function)
{
        if (r < 0 && getenv("MAYFLY_TRACE"))
                fprintf(stderr, "trace: %s:%d %s(): %s\n", file, line, function, strerror(-r));
        return r;
}
