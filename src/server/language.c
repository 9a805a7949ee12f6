#include "server/language.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "wire/runtime.h"

static const struct language {
        const char *name;
        enum runtime run;
        enum runtime check;
} table[] = {
        [GUEST_JAVASCRIPT] = { "javascript", RUNTIME_NODE, RUNTIME_NODE },
        [GUEST_TYPESCRIPT] = { "typescript", RUNTIME_NODE, RUNTIME_TYPESCRIPT },
        [GUEST_PYTHON] = { "python", RUNTIME_PYTHON, RUNTIME_PYTHON },
};

int languages_init(struct languages *languages, const char *runtimes, char *error, size_t error_size)
{
        const char *bad;

        if (runtimes_parse(runtimes, &languages->runtimes, &bad) == 0)
                return 0;
        snprintf(error, error_size, "RUNTIMES=%s: no runtime is called %.*s; python and node are there",
                runtimes, (int)strcspn(bad, ","), bad);
        return error_trace(-EINVAL);
}

bool languages_use(const struct languages *languages, enum runtime runtime)
{
        return languages->runtimes & 1u << runtime;
}

enum runtime language_runtime(
        const struct languages *languages, enum guest_language language, enum guest_mode mode)
{
        enum runtime runtime = mode == GUEST_CHECK ? table[language].check : table[language].run;

        return !languages_use(languages, runtime) && languages_use(languages, RUNTIME_FAKE) ? RUNTIME_FAKE
                                                                                            : runtime;
}

bool language_served(const struct languages *languages, enum guest_language language)
{
        return languages_use(languages, language_runtime(languages, language, GUEST_RUN));
}

int language_parse(const char *name, size_t length, enum guest_language *ret_language)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                if (table[i].name && strlen(table[i].name) == length &&
                        strncmp(table[i].name, name, length) == 0) {
                        *ret_language = (enum guest_language)i;
                        return 0;
                }
        }
        return LANGUAGE_UNKNOWN;
}

const char *language_name(enum guest_language language)
{
        return table[language].name;
}
