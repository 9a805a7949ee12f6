#include "server/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"

struct script *script_new(enum guest_language language, char *path, char *code, size_t code_length)
{
        struct script *script = calloc(1, sizeof *script);

        if (!script)
                return NULL;
        script->references = 1;
        script->language = language;
        script->path = path;
        script->code = (struct store_bytes){ .data = code, .length = code_length };
        return script;
}

struct script *script_ref(struct script *script)
{
        script->references++;
        return script;
}

struct script *script_unref(struct script *script)
{
        if (!script || --script->references > 0)
                return NULL;
        free(script->path);
        free(script->code.data);
        free(script->compiled.data);
        free(script->map.data);
        free(script);
        return NULL;
}

void script_unrefp(struct script **script)
{
        *script = script_unref(*script);
}

bool script_needs_compiling(const struct script *script)
{
        return script->language == GUEST_TYPESCRIPT && !script->compiled.data;
}

static int script_copy(struct store_bytes *bytes, const char *data, size_t length)
{
        char *copy = malloc(length + 1);

        if (!copy)
                return -ENOMEM;
        if (length)
                memcpy(copy, data, length);
        copy[length] = 0;
        free(bytes->data);
        *bytes = (struct store_bytes){ .data = copy, .length = length };
        return 0;
}

int script_set_compiled(
        struct script *script, const char *code, size_t code_length, const char *map, size_t map_length)
{
        if (script_copy(&script->map, map, map_length) < 0 ||
                script_copy(&script->compiled, code, code_length) < 0)
                return error_trace(-ENOMEM);
        return 0;
}

size_t script_size(const struct script *script)
{
        return sizeof *script + (script->path ? strlen(script->path) : 0) + script->code.length +
               script->compiled.length + script->map.length;
}
