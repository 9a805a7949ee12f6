#include "server/language.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"

static const struct language {
        const char *name;
        enum runtime run;
        enum runtime check;
} table[] = {
        [GUEST_JAVASCRIPT] = { "javascript", RUNTIME_NODE, RUNTIME_NODE },
        [GUEST_TYPESCRIPT] = { "typescript", RUNTIME_NODE, RUNTIME_TYPESCRIPT },
        [GUEST_PYTHON] = { "python", RUNTIME_PYTHON, RUNTIME_PYTHON },
};

static const char *const runtime_names[RUNTIME_COUNT] = {
        [RUNTIME_PYTHON] = "python",
        [RUNTIME_NODE] = "node",
        [RUNTIME_TYPESCRIPT] = "typescript",
        [RUNTIME_FAKE] = "fake",
};

static int language_enable(struct languages *languages, const char *name, size_t length)
{
        for (size_t i = 0; i < RUNTIME_COUNT; i++) {
                if (strlen(runtime_names[i]) == length && strncmp(runtime_names[i], name, length) == 0) {
                        languages->enabled[i] = true;
                        return 0;
                }
        }
        return -EINVAL;
}

int languages_init(struct languages *languages, const char *runtimes, char *error, size_t error_size)
{
        *languages = (struct languages){ 0 };
        for (const char *name = runtimes ? runtimes : ""; *name; name += strspn(name, ", ")) {
                size_t length = strcspn(name, ", ");

                if (language_enable(languages, name, length) < 0) {
                        snprintf(error, error_size,
                                "RUNTIMES=%s: no runtime is called %.*s; python and node are there", runtimes,
                                (int)length, name);
                        return error_trace(-EINVAL);
                }
                name += length;
        }
        /* What Node.js runs, the compiler's own Node.js prepares. */
        languages->enabled[RUNTIME_TYPESCRIPT] |= languages->enabled[RUNTIME_NODE];
        return 0;
}

enum runtime language_runtime(
        const struct languages *languages, enum guest_language language, enum guest_mode mode)
{
        enum runtime runtime = mode == GUEST_CHECK ? table[language].check : table[language].run;

        return !languages->enabled[runtime] && languages->enabled[RUNTIME_FAKE] ? RUNTIME_FAKE : runtime;
}

bool language_served(const struct languages *languages, enum guest_language language)
{
        return languages->enabled[language_runtime(languages, language, GUEST_RUN)];
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

const char *runtime_name(enum runtime runtime)
{
        return runtime_names[runtime];
}
