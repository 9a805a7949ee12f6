#include "base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/settings_check.h"

static void fclosep(FILE **file)
{
        if (*file)
                fclose(*file);
}

/* What a value looks like, and so how it is read, checked and written. */
enum kind {
        KIND_COUNT,   /* uint32_t */
        KIND_SIZE,    /* uint64_t, bytes, with k, m or g */
        KIND_SECONDS, /* uint32_t milliseconds, given in seconds, fractions allowed */
        KIND_MILLI,   /* uint32_t thousandths, fractions allowed */
        KIND_SWITCH,  /* bool */
        KIND_TEXT,    /* char *, NULL when unset */
        KIND_LEVEL,   /* enum log_level */
};

struct setting {
        const char *name;
        enum kind kind;
        size_t offset;
        const char *fallback;    /* NULL: unset; "cores*2": worked out at start */
        double minimum, maximum; /* in the unit of the setting */
        const char *meaning;
};

#define AT(member) offsetof(struct settings, member)
#define MIB        (1024.0 * 1024.0)

static const struct setting table[] = {
        /* go-faas names, which keep their meaning */
        { "HTTP_PORT", KIND_COUNT, AT(http_port), "8080", 1, 65535, "TCP port" },
        { "HTTP_HOST", KIND_TEXT, AT(http_host), "127.0.0.1", 0, 0,
                "address to bind; anything but loopback needs AUTH_TOKEN" },
        { "MAX_CONTAINERS", KIND_COUNT, AT(max_containers), "cores*2", 1, 1024,
                "calls that run at the same time; further ones queue" },
        { "MAX_CPUS_PER_CONTAINER", KIND_MILLI, AT(max_cpus_milli), "1", 0.01, 1024,
                "CPU share of one cell, in cores" },
        { "MAX_MEMORY_PER_CONTAINER", KIND_SIZE, AT(max_memory_bytes), "128m", 16 * MIB, 1e15,
                "bytes that one cell may use" },
        { "GPU_ENABLED", KIND_SWITCH, AT(gpu_enabled), "false", 0, 0,
                "NVIDIA devices in cells (not built yet: only `false` is accepted)" },
        { "CODE_MAX_SIZE", KIND_SIZE, AT(code_max_bytes), "262144", 1, 64 * MIB,
                "bytes of `code`, on /upload and /run-now" },
        { "TIMEOUT_SCRIPT", KIND_SECONDS, AT(timeout_script_ms), "30", 0.01, 86400,
                "wall-clock limit of one call, seconds" },
        { "REDIS_HOST", KIND_TEXT, AT(redis_host), NULL, 0, 0,
                "keep functions in Redis or Valkey, there; unset, and no REDIS_SENTINELS: in SQLite under "
                "DATA_DIR" },
        { "REDIS_PORT", KIND_COUNT, AT(redis_port), "6379", 1, 65535, "port of Redis" },
        { "REDIS_PASSWORD", KIND_TEXT, AT(redis_password), NULL, 0, 0, "password of Redis" },
        { "REDIS_DB", KIND_COUNT, AT(redis_db), "0", 0, 1e6, "database number of Redis" },
        { "DATA_DIR", KIND_TEXT, AT(data_dir), "./data", 0, 0, "directory of the embedded store" },
        { "AUTH_TOKEN", KIND_TEXT, AT(auth_token), NULL, 0, 0,
                "bearer token(s) that clients must send, comma separated" },
        /* where functions are kept */
        { "REDIS_USERNAME", KIND_TEXT, AT(redis_username), NULL, 0, 0,
                "user of Redis, if it is not the default one; wants REDIS_PASSWORD" },
        { "REDIS_SENTINELS", KIND_TEXT, AT(redis_sentinels), NULL, 0, 0,
                "`host:port`, comma separated, of the Sentinels that know where the primary is (without a "
                "port: 26379); they win over REDIS_HOST and REDIS_PORT" },
        { "REDIS_SENTINEL_MASTER", KIND_TEXT, AT(redis_sentinel_master), "mymaster", 0, 0,
                "the name that the Sentinels know it by" },
        { "REDIS_SENTINEL_PASSWORD", KIND_TEXT, AT(redis_sentinel_password), NULL, 0, 0,
                "password of the Sentinels" },
        { "REDIS_TLS", KIND_SWITCH, AT(redis_tls), "false", 0, 0, "speak TLS to Redis and to the Sentinels" },
        { "REDIS_TLS_CA", KIND_TEXT, AT(redis_tls_ca), NULL, 0, 0,
                "file with the certificates (PEM) that Redis' own must lead to; unset: the host's" },
        { "REDIS_TLS_CERT", KIND_TEXT, AT(redis_tls_cert), NULL, 0, 0,
                "file with a certificate (PEM) to show to Redis; wants REDIS_TLS_KEY" },
        { "REDIS_TLS_KEY", KIND_TEXT, AT(redis_tls_key), NULL, 0, 0, "file with its key (PEM)" },
        { "REDIS_TIMEOUT", KIND_SECONDS, AT(redis_timeout_ms), "1", 0.05, 60,
                "for Redis to take a connection, and to answer, seconds" },
        { "REDIS_PREFIX", KIND_TEXT, AT(redis_prefix), "mayfly:", 0, 0,
                "what the names of mayfly's own keys begin with" },
        { "REDIS_REPLICAS", KIND_COUNT, AT(redis_replicas), "0", 0, 64,
                "replicas of Redis that must have an upload before it is answered" },
        { "ALIASES_MAX", KIND_COUNT, AT(aliases_max), "64", 1, 1000, "aliases of one function" },
        /* limits of one cell */
        { "MAX_PROCESSES_PER_CONTAINER", KIND_COUNT, AT(max_processes), "64", 4, 65536,
                "processes and threads of one cell" },
        { "MAX_TMP_PER_CONTAINER", KIND_SIZE, AT(max_tmp_bytes), "64m", 65536, 1e15,
                "bytes in a cell's /tmp (they count as its memory too)" },
        { "MAX_TMP_FILES_PER_CONTAINER", KIND_COUNT, AT(max_tmp_files), "4096", 16, 1e9,
                "files and directories in a cell's /tmp" },
        { "MAX_OPEN_FILES_PER_CONTAINER", KIND_COUNT, AT(max_open_files), "1024", 64, 1e6,
                "open descriptors of one process of a cell" },
        { "OUTPUT_MAX_SIZE", KIND_SIZE, AT(output_max_bytes), "4m", 1024, 1024 * MIB,
                "bytes of the result, of stdout and of stderr, each" },
        /* admission */
        { "QUEUE_MAX", KIND_COUNT, AT(queue_max), "1024", 0, 1e6,
                "calls that may wait for a place; beyond, 429" },
        { "QUEUE_MAX_SIZE", KIND_SIZE, AT(queue_max_bytes), "256m", 1024, 1e12,
                "bytes of script and input that waiting calls may hold together; beyond, 429" },
        { "QUEUE_TIMEOUT", KIND_SECONDS, AT(queue_timeout_ms), "60", 0.01, 86400,
                "longest wait for a place, seconds; beyond, 429" },
        { "SPARE_CELLS", KIND_COUNT, AT(spare_cells), "8", 0, 256,
                "fresh cells kept waiting for each template, at most; how many there are follows the calls" },
        { "TEMPLATE_MEMORY_MAX", KIND_SIZE, AT(template_memory_max_bytes), "512m", 0, 1e12,
                "bytes that templates with imported packages, and waiting cells, may occupy together; 0: "
                "there are no such templates, and one waiting cell for each language" },
        { "CACHE_MAX_SIZE", KIND_SIZE, AT(cache_max_bytes), "64m", 0, 1e12,
                "bytes of functions kept in the server's memory" },
        /* streams and kept calls */
        { "STREAM_PING", KIND_SECONDS, AT(stream_ping_ms), "15", 0.01, 3600,
                "between two comments that keep a silent event stream open, seconds" },
        { "CALLS_KEEP", KIND_SECONDS, AT(calls_keep_ms), "300", 0, 86400,
                "that a finished call can be asked for at /calls/{id}, and that an Idempotency-Key is "
                "remembered, seconds" },
        { "CALLS_KEEP_SIZE", KIND_SIZE, AT(calls_keep_bytes), "64m", 0, 1e12,
                "bytes of finished calls kept in the server's memory; the oldest leave first" },
        /* HTTP */
        { "BODY_MAX_SIZE", KIND_SIZE, AT(body_max_bytes), "8m", 1024, 1024 * MIB,
                "bytes of a request body; beyond, 413" },
        { "HTTP_MAX_CONNECTIONS", KIND_COUNT, AT(http_connections_max), "2048", 1, 1e6,
                "open connections; beyond, 503" },
        { "HTTP_MAX_HEADER_SIZE", KIND_SIZE, AT(http_header_max_bytes), "32k", 1024, MIB,
                "bytes of request line and headers; beyond, 431" },
        { "HTTP_HEADER_TIMEOUT", KIND_SECONDS, AT(http_header_timeout_ms), "10", 0.01, 3600,
                "for a whole request header to arrive, seconds" },
        { "HTTP_BODY_TIMEOUT", KIND_SECONDS, AT(http_body_timeout_ms), "60", 0.01, 3600,
                "for a whole request body to arrive, seconds" },
        { "HTTP_IDLE_TIMEOUT", KIND_SECONDS, AT(http_idle_timeout_ms), "60", 0.01, 86400,
                "for an open connection without a request, seconds" },
        /* the host */
        { "DRAIN_TIMEOUT", KIND_SECONDS, AT(drain_timeout_ms), "40", 0, 86400,
                "after SIGTERM, seconds that running calls may take to end" },
        { "PYTHON", KIND_TEXT, AT(python), "/usr/bin/python3", 0, 0, "CPython 3.9 or newer" },
        { "NODE", KIND_TEXT, AT(node), NULL, 0, 0, "Node.js; unset: the pinned one that `make` installs" },
        { "NODE_HELPER_THREADS", KIND_SWITCH, AT(node_helper_threads), "true", 0, 0,
                "V8 works in threads of its own too, if a trial of that succeeds; without them scripts that "
                "compute for long take up to twice as long" },
        { "RUNTIMES", KIND_TEXT, AT(runtimes), "python,node", 0, 0,
                "language runtimes to start, comma separated" },
        { "UID_BASE", KIND_COUNT, AT(uid_base), "70000", 1000, 4294900000.0,
                "first of the user ids for server, templates and cells; nothing else may use UID_BASE to "
                "UID_BASE+2047" },
        { "CGROUP_PARENT", KIND_TEXT, AT(cgroup_parent), NULL, 0, 0,
                "cgroup to live in, such as `mayfly.slice`, with no processes of its own (cgroup v2 wants "
                "that); unset: "
                "v2 the root, v1 the starting process's own" },
        { "ALLOW_MISSING_WALLS", KIND_TEXT, AT(allow_missing_walls), NULL, 0, 0,
                "walls that may be missing, comma separated: the operator's explicit choice" },
        { "LOG_LEVEL", KIND_LEVEL, AT(log_level), "info", 0, 0, "error, warn, info or debug" },
};

static void *setting_at(const struct setting *setting, struct settings *settings)
{
        return (char *)settings + setting->offset;
}

static int fail(char *error, size_t size, const char *format, ...) _printf_(3, 4);

static int fail(char *error, size_t size, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(error, size, format, args);
        va_end(args);
        return -EINVAL;
}

/* Plain decimals only: no sign, exponent, hexadecimal or blank that strtod() would take. */
static int parse_number(const char *text, const char **ret_rest, double *ret_number)
{
        size_t digits = strspn(text, "0123456789."), points = 0;
        char *end;

        for (size_t i = 0; i < digits; i++)
                points += text[i] == '.';
        if (digits == 0 || digits == points || points > 1)
                return -EINVAL;
        *ret_number = strtod(text, &end);
        *ret_rest = text + digits;
        return end == text + digits ? 0 : -EINVAL;
}

static int parse_size(const char *text, double *ret_bytes)
{
        static const char units[] = "kmgt";
        const char *rest, *unit;
        double number;

        if (parse_number(text, &rest, &number) < 0)
                return -EINVAL;
        if (*rest && (unit = strchr(units, tolower((unsigned char)*rest)))) {
                for (const char *u = units; u <= unit; u++)
                        number *= 1024;
                rest++;
                if (tolower((unsigned char)*rest) == 'i')
                        rest++;
        }
        if (tolower((unsigned char)*rest) == 'b')
                rest++;
        *ret_bytes = number;
        return *rest ? -EINVAL : 0;
}

static int parse_switch(const char *text, bool *ret_value)
{
        if (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcasecmp(text, "yes") == 0)
                *ret_value = true;
        else if (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0 || strcasecmp(text, "no") == 0)
                *ret_value = false;
        else
                return -EINVAL;
        return 0;
}

static const char *kind_expected(const struct setting *setting)
{
        switch (setting->kind) {
        case KIND_COUNT:
                return "a whole number";
        case KIND_SIZE:
                return "a number of bytes such as 134217728, 128m or 1g";
        case KIND_SECONDS:
                return "a number of seconds such as 30 or 0.5";
        case KIND_MILLI:
                return "a number such as 1 or 0.5";
        case KIND_SWITCH:
                return "true or false";
        case KIND_LEVEL:
                return "error, warn, info or debug";
        case KIND_TEXT:
                break;
        }
        return "text";
}

static int setting_assign_number(const struct setting *setting, void *at, const char *text)
{
        const char *rest = "";
        double number;

        if (setting->kind == KIND_SIZE ? parse_size(text, &number) < 0
                                       : parse_number(text, &rest, &number) < 0)
                return -EINVAL;
        if (*rest || (setting->kind == KIND_COUNT && strchr(text, '.')))
                return -EINVAL;
        if (number < setting->minimum || number > setting->maximum)
                return -ERANGE;
        if (setting->kind == KIND_SIZE)
                *(uint64_t *)at = (uint64_t)number;
        else if (setting->kind == KIND_COUNT)
                *(uint32_t *)at = (uint32_t)number;
        else
                *(uint32_t *)at = (uint32_t)(number * 1000 + 0.5);
        return 0;
}

static int setting_assign_text(char **at, const char *text)
{
        free(*at);
        *at = *text ? strdup(text) : NULL;
        return *text && !*at ? -ENOMEM : 0;
}

/* Reads one value; an empty one means the default, as an unset variable does. */
static int setting_assign(const struct setting *setting, struct settings *settings, const char *text,
        const char *source, char *error, size_t size)
{
        void *at = setting_at(setting, settings);
        int r;

        switch (setting->kind) {
        case KIND_TEXT:
                r = setting_assign_text(at, text);
                break;
        case KIND_SWITCH:
                r = parse_switch(text, at);
                break;
        case KIND_LEVEL:
                r = log_level_parse(text, at);
                break;
        default:
                r = setting_assign_number(setting, at, text);
        }
        if (r == -ERANGE)
                return fail(error, size, "%s=%s (%s): must be between %.15g and %.15g", setting->name, text,
                        source, setting->minimum, setting->maximum);
        if (r < 0)
                return fail(error, size, "%s=%s (%s): expected %s", setting->name, text, source,
                        kind_expected(setting));
        return 0;
}

static int assign_default(const struct setting *setting, struct settings *settings, char *error, size_t size)
{
        char cores[16];
        /* No default: only texts have none, and an empty one is an unset one, whatever was said before. */
        const char *text = setting->fallback ? setting->fallback : "";

        if (strcmp(text, "cores*2") == 0) {
                snprintf(cores, sizeof cores, "%ld", MIN(sysconf(_SC_NPROCESSORS_ONLN) * 2, 1024L));
                text = cores;
        }
        return setting_assign(setting, settings, text, "default", error, size);
}

static const struct setting *setting_find(const char *name, size_t length)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0)
                        return &table[i];
        }
        return NULL;
}

/* NAME=value, as in the environment. Names that are not ours are passed over. */
static int assign_pair(
        struct settings *settings, const char *pair, const char *source, char *error, size_t size)
{
        const char *equals = strchr(pair, '=');
        const struct setting *setting = equals ? setting_find(pair, (size_t)(equals - pair)) : NULL;

        if (!setting)
                return 0;
        if (!equals[1])
                return assign_default(setting, settings, error, size);
        return setting_assign(setting, settings, equals + 1, source, error, size);
}

/* `export NAME="value"`, comments and blank lines, as docker compose and go-faas read them. */
static char *env_line_trim(char *line)
{
        size_t length;
        char *value;

        line += strspn(line, " \t");
        if (strncmp(line, "export ", 7) == 0)
                line += 7 + strspn(line + 7, " \t");
        length = strlen(line);
        while (length && isspace((unsigned char)line[length - 1]))
                line[--length] = 0;
        value = strchr(line, '=');
        if (value && (value[1] == '"' || value[1] == '\'') && length > (size_t)(value + 2 - line) &&
                line[length - 1] == value[1]) {
                line[length - 1] = 0;
                memmove(value + 1, value + 2, strlen(value + 2) + 1);
        }
        return line;
}

static int load_file(struct settings *settings, const char *path, char *error, size_t size)
{
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        char line[8192], source[300];

        if (!file)
                return errno == ENOENT ? 0
                                       : fail(error, size, "%s: cannot be read: %s", path, strerror(errno));
        for (unsigned n = 1; fgets(line, sizeof line, file); n++) {
                bool is_whole = strchr(line, '\n') || feof(file);
                char *text = env_line_trim(line);
                int r;

                if (!is_whole)
                        return fail(
                                error, size, "%s, line %u: longer than %zu bytes", path, n, sizeof line - 1);
                if (!*text || *text == '#')
                        continue;
                if (text[strcspn(text, "= \t")] != '=')
                        return fail(error, size, "%s, line %u: expected NAME=value, or # before a comment",
                                path, n);
                snprintf(source, sizeof source, "%s, line %u", path, n);
                r = assign_pair(settings, text, source, error, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --http-port=80 or --http-port 80 is HTTP_PORT. */
static int load_flags(struct settings *settings, int argc, char **argv, char *error, size_t size)
{
        for (int i = 1; i < argc; i++) {
                const char *equals = strchr(argv[i], '=');
                size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
                const struct setting *setting;
                const char *value;
                char name[64];
                int r;

                for (size_t k = 2; k < length && k < sizeof name; k++)
                        name[k - 2] = argv[i][k] == '-' ? '_' : (char)toupper((unsigned char)argv[i][k]);
                setting = strncmp(argv[i], "--", 2) == 0 && length < sizeof name
                                  ? setting_find(name, length - 2)
                                  : NULL;
                if (!setting)
                        return fail(error, size, "%s: no such option; --help lists them all", argv[i]);
                value = equals ? equals + 1 : argv[++i];
                if (!value)
                        return fail(error, size, "%s: needs a value", argv[i - 1]);
                r = setting_assign(setting, settings, value, "command line", error, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_load(int argc, char **argv, char **environment, const char *env_file,
        struct settings *ret_settings, char *error, size_t error_size)
{
        int r;

        *ret_settings = (struct settings){ 0 };
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
                        return SETTINGS_HELP;
                if (strcmp(argv[i], "--version") == 0)
                        return SETTINGS_VERSION;
                if (strcmp(argv[i], "--print-settings-markdown") == 0)
                        return SETTINGS_MARKDOWN;
        }

        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                r = assign_default(&table[i], ret_settings, error, error_size);
                if (r < 0)
                        return r;
        }
        for (char **pair = environment; pair && *pair; pair++) {
                r = assign_pair(ret_settings, *pair, "environment", error, error_size);
                if (r < 0)
                        return r;
        }
        if (env_file) {
                r = load_file(ret_settings, env_file, error, error_size);
                if (r < 0)
                        return r;
        }
        r = load_flags(ret_settings, argc, argv, error, error_size);
        if (r < 0)
                return r;
        return settings_check(ret_settings, error, error_size);
}

int settings_load_strings(int fd, struct settings *ret_settings, char *error, size_t error_size)
{
        const size_t size = SETTINGS_BYTES_MAX + 3 * SETTINGS_FILE_MAX + 2;
        char *pairs[ARRAY_SIZE(table) + 1], *no_flags[] = { NULL };
        _cleanup_(freep) char *text = malloc(size);
        ssize_t length = text ? pread(fd, text, size - 1, 0) : -1;
        size_t n = 0;

        *ret_settings = (struct settings){ 0 };
        if (length < 0 || (size_t)length == size - 1)
                return fail(error, error_size, "the settings cannot be read whole: %s",
                        length < 0 ? strerror(errno) : "they are too long");
        text[length] = 0;
        for (char *pair = text; pair < text + length && n < ARRAY_SIZE(table); pair += strlen(pair) + 1)
                pairs[n++] = pair;
        pairs[n] = NULL;
        return settings_load(0, no_flags, pairs, NULL, ret_settings, error, error_size);
}

void settings_deinit(struct settings *settings)
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                char **text = setting_at(&table[i], settings);

                if (table[i].kind == KIND_TEXT) {
                        free(*text);
                        *text = NULL;
                }
        }
}

/* The value as settings_load() reads it back, without loss. */
static char *setting_format(const struct setting *setting, struct settings *settings)
{
        const void *at = setting_at(setting, settings);
        char *pair = NULL;
        int n = 0;

        switch (setting->kind) {
        case KIND_COUNT:
                n = asprintf(&pair, "%s=%u", setting->name, *(const uint32_t *)at);
                break;
        case KIND_SIZE:
                n = asprintf(&pair, "%s=%llu", setting->name, (unsigned long long)*(const uint64_t *)at);
                break;
        case KIND_SECONDS:
        case KIND_MILLI:
                n = asprintf(&pair, "%s=%u.%03u", setting->name, *(const uint32_t *)at / 1000,
                        *(const uint32_t *)at % 1000);
                break;
        case KIND_SWITCH:
                n = asprintf(&pair, "%s=%s", setting->name, *(const bool *)at ? "true" : "false");
                break;
        case KIND_LEVEL:
                n = asprintf(&pair, "%s=%s", setting->name, log_level_names[*(const enum log_level *)at]);
                break;
        case KIND_TEXT:
                n = asprintf(&pair, "%s=%s", setting->name, *(char *const *)at ? *(char *const *)at : "");
                break;
        }
        return n < 0 ? NULL : pair;
}

char **settings_environment(const struct settings *settings)
{
        struct settings copy = *settings;
        char **environment = calloc(ARRAY_SIZE(table) + 1, sizeof *environment);

        for (size_t i = 0; environment && i < ARRAY_SIZE(table); i++) {
                environment[i] = setting_format(&table[i], &copy);
                if (!environment[i]) {
                        settings_environment_free(environment);
                        return NULL;
                }
        }
        return environment;
}

void settings_environment_free(char **environment)
{
        for (char **pair = environment; pair && *pair; pair++)
                free(*pair);
        free(environment);
}

static const char *flag_name(const char *name, char *buffer)
{
        size_t n = 0;

        for (; name[n]; n++)
                buffer[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
        buffer[n] = 0;
        return buffer;
}

void settings_print_help(const char *program)
{
        char flag[64];

        printf("usage: %s [--name=value ...]\n\n"
               "Serves functions over HTTP until SIGINT or SIGTERM. Each setting is an environment variable, "
               "a line of .env in the\n"
               "working directory, or a flag; a flag wins over .env, and .env over the environment.\n\n",
                program);
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                printf("  --%-30s %s [%s]\n", flag_name(table[i].name, flag), table[i].meaning,
                        table[i].fallback ? table[i].fallback : "unset");
        printf("\n  --help, --version\n");
}

void settings_print_markdown(void)
{
        printf("# Settings\n\n"
               "Written by `make docs` from the table in `src/base/settings.c`.\n\n"
               "Each setting is an environment variable, a line of `.env` in the working directory, or a "
               "command-line flag\n"
               "(`HTTP_PORT` is `--http-port=8080`). Flags win over `.env`, `.env` wins over the "
               "environment. A value that cannot be\n"
               "understood stops the start with a message that names it. Sizes take `k`, `m` and `g`.\n\n"
               "| name | default | meaning |\n|---|---|---|\n");
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                printf("| `%s` | %s%s%s | %s |\n", table[i].name, table[i].fallback ? "`" : "",
                        table[i].fallback ? table[i].fallback : "unset", table[i].fallback ? "`" : "",
                        table[i].meaning);
}
