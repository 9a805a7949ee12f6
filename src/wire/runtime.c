#include "wire/runtime.h"

static const char *const names[RUNTIME_COUNT] = {
        [RUNTIME_PYTHON] = "python",
        [RUNTIME_NODE] = "node",
        [RUNTIME_TYPESCRIPT] = "typescript",
        [RUNTIME_FAKE] = "fake",
};

const char *runtime_name(enum runtime runtime)
{
        return names[runtime];
}
