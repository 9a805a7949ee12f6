#pragma once

/*
 * Every setting and every limit of mayfly, in one table (settings.c). Read from environment variables, then
 * `.env` in the working directory, then command-line flags, each overriding the one before. `--help` and
 * docs/settings.md are printed from the table.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct settings {
        uint32_t http_port;
        char *http_host;
        char *auth_token; /* comma separated tokens, or NULL */
        char *data_dir;

        uint32_t max_containers;
        uint32_t max_cpus_milli; /* CPU share of one cell, thousandths of a core */
        uint64_t max_memory_bytes;
        uint32_t max_processes;
        uint64_t max_tmp_bytes;
        uint32_t max_tmp_files;
        uint32_t max_open_files;
        uint64_t output_max_bytes; /* result, stdout and stderr, each */
        uint64_t code_max_bytes;
        uint64_t body_max_bytes;
        uint32_t timeout_script_ms;
        uint32_t queue_max;
        uint64_t queue_max_bytes; /* of script and input of the calls that wait */
        uint32_t queue_timeout_ms;
        uint32_t stream_ping_ms;
        uint32_t calls_keep_ms;
        uint64_t calls_keep_bytes;
        uint32_t spare_cells; /* waiting cells kept per template, at most */
        uint64_t template_memory_max_bytes;
        uint64_t cache_max_bytes;

        uint32_t http_connections_max;
        uint64_t http_header_max_bytes;
        uint32_t http_header_timeout_ms;
        uint32_t http_body_timeout_ms;
        uint32_t http_idle_timeout_ms;
        uint32_t drain_timeout_ms;

        bool gpu_enabled; /* refused until it is built */

        char *redis_host; /* NULL, and no sentinels: SQLite */
        uint32_t redis_port;
        char *redis_username;
        char *redis_password;
        uint32_t redis_db;
        char *redis_sentinels; /* comma separated addresses, or NULL */
        char *redis_sentinel_master;
        char *redis_sentinel_password;
        bool redis_tls;
        char *redis_tls_ca; /* names of files; in the server: what they hold (PEM) */
        char *redis_tls_cert;
        char *redis_tls_key;
        uint32_t redis_timeout_ms;
        char *redis_prefix;
        uint32_t redis_replicas;
        uint32_t aliases_max; /* of a function */

        char *python;
        char *node;
        bool node_helper_threads;
        char *runtimes; /* comma separated: python, node; tests: fake */
        uint32_t uid_base;
        char *cgroup_parent;
        char *allow_missing_walls;
        enum log_level log_level;
};

enum { SETTINGS_HELP = 1, SETTINGS_VERSION = 2, SETTINGS_MARKDOWN = 3 };

/*
 * Fills ret_settings. 0; SETTINGS_HELP, _VERSION, _MARKDOWN if the flags asked for that (nothing else is
 * checked then); or -EINVAL with a message in `error` that names the setting, what was wrong, and what to do.
 * env_file may be absent. The caller calls settings_deinit() in every case.
 */
int settings_load(int argc, char **argv, char **environment, const char *env_file,
        struct settings *ret_settings, char *error, size_t error_size);
enum { SETTINGS_BYTES_MAX = 65534, SETTINGS_FILE_MAX = 512 << 10 };
/* The same from a file that holds NAME=value strings, each with its NUL, read from its start: at most
 * SETTINGS_BYTES_MAX, and SETTINGS_FILE_MAX for each of the files that the REDIS_TLS_ ones have named. */
int settings_load_strings(int fd, struct settings *ret_settings, char *error, size_t error_size);
void settings_deinit(struct settings *settings);

/* Where functions are kept: in Redis, or under DATA_DIR. */
static inline bool settings_use_redis(const struct settings *settings)
{
        return settings->redis_host || settings->redis_sentinels;
}

/* The settings as NAME=value strings for a child's environment, NULL-terminated, owned by the caller; NULL
 * when memory is out. */
char **settings_environment(const struct settings *settings);
void settings_environment_free(char **environment);

void settings_print_help(const char *program);
void settings_print_markdown(void);
