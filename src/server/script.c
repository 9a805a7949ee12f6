#include "server/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"

/* What malloc() takes for itself, about, and how many pieces a script has of it. */
enum { ALLOCATION_HEAD = 16, ALLOCATIONS = 8 };

struct script *script_new(enum guest_language language, char *path, char *code, size_t code_length)
{
        struct script *script = calloc(1, sizeof *script);

        if (!script)
                return NULL;
        script->imports = strdup("");
        if (!script->imports) {
                free(script);
                return NULL;
        }
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
        free(script->imports);
        free(script->cache.data);
        free(script->cache_for);
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

/* Of the dotted name that stands there, up to a blank or the end; 0: it is none. */
static size_t import_length(const char *text, size_t length)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
        bool begins = true; /* a part between dots, where no digit may stand */
        size_t i = 0;

        for (; i < length && text[i] != ' '; i++) {
                bool is_dot = text[i] == '.', is_digit = text[i] >= '0' && text[i] <= '9';

                if (is_dot || is_digit ? begins : !memchr(letters, text[i], sizeof letters - 1))
                        return 0;
                begins = is_dot;
        }
        return begins ? 0 : i;
}

static bool imports_valid(const char *text, size_t length)
{
        const char *end = text + length, *last = NULL;
        size_t last_length = 0;

        if (length > IMPORTS_MAX_BYTES)
                return false;
        for (size_t n = 1;; n++) {
                size_t found = import_length(text, (size_t)(end - text));
                int order = last ? memcmp(last, text, MIN(last_length, found)) : -1;

                if (found == 0 || n > IMPORTS_MAX || order > 0 || (order == 0 && last_length >= found))
                        return false;
                if (text + found == end)
                        return true;
                last = text;
                last_length = found;
                text += found + 1;
        }
}

int script_set_imports(struct script *script, const char *imports, size_t length)
{
        char *copy = length > 0 && imports_valid(imports, length) ? strndup(imports, length) : strdup("");

        if (!copy)
                return error_trace(-ENOMEM);
        free(script->imports);
        script->imports = copy;
        return 0;
}

int script_set_cache(struct script *script, const char *cache, size_t length, const char *cache_for)
{
        struct store_bytes bytes = { 0 };
        char *name = strdup(cache_for);

        if (!name || (length > 0 && script_copy(&bytes, cache, length) < 0)) {
                free(name);
                return error_trace(-ENOMEM);
        }
        free(script->cache.data);
        free(script->cache_for);
        script->cache = bytes;
        script->cache_for = name;
        script->was_recompiled = false;
        return 0;
}

bool script_cache_fits(const struct script *script, const char *build)
{
        return script->cache_for && strcmp(script->cache_for, build) == 0;
}

size_t script_size(const struct script *script)
{
        return sizeof *script + ALLOCATIONS * ALLOCATION_HEAD + (script->path ? strlen(script->path) : 0) +
               script->code.length + script->compiled.length + script->map.length + script->cache.length +
               strlen(script->imports) + (script->cache_for ? strlen(script->cache_for) : 0);
}
