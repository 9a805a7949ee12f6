/* What settings may not say, though each can be read. */
#include "base/settings_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/settings.h"

enum { PREFIX_MAX = 64 };

static int check_http(const struct settings *settings, char *error, size_t size);
static int check_tokens(const struct settings *settings, char *error, size_t size);
static int check_redis_is_meant(const struct settings *settings, char *error, size_t size);
static int check_redis_login(const struct settings *settings, char *error, size_t size);
static int check_redis_tls(const struct settings *settings, char *error, size_t size);
static int check_redis_prefix(const struct settings *settings, char *error, size_t size);
static int check_sentinels(const struct settings *settings, char *error, size_t size);
static int check_else(const struct settings *settings, char *error, size_t size);

static int (*const checks[])(const struct settings *settings, char *error, size_t size) = {
        check_http,
        check_tokens,
        check_redis_is_meant,
        check_redis_login,
        check_redis_tls,
        check_redis_prefix,
        check_sentinels,
        check_else,
};

static int fail(char *error, size_t size, const char *format, ...) _printf_(3, 4);

static int fail(char *error, size_t size, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(error, size, format, args);
        va_end(args);
        return -EINVAL;
}

static bool host_is_loopback(const char *host)
{
        struct in_addr address;

        /* 127.0.0.0/8 as an address: a name may well begin with "127." and be anywhere. */
        if (inet_pton(AF_INET, host, &address) == 1)
                return ntohl(address.s_addr) >> 24 == 127;
        return strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static bool has_empty_item(const char *list)
{
        return *list == ',' || strstr(list, ",,") || list[strlen(list) - 1] == ',';
}

static bool has_blank(const char *text)
{
        for (; *text; text++) {
                if (isspace((unsigned char)*text) || iscntrl((unsigned char)*text))
                        return true;
        }
        return false;
}

static int check_http(const struct settings *settings, char *error, size_t size)
{
        if (!settings->http_host)
                return fail(error, size, "HTTP_HOST: must not be empty; 127.0.0.1 is the default");
        if (!host_is_loopback(settings->http_host) && !settings->auth_token)
                return fail(error, size,
                        "HTTP_HOST=%s is not loopback and AUTH_TOKEN is not set: anybody who reaches it "
                        "could run code. Set AUTH_TOKEN to a secret (for example: openssl rand -hex 32), or "
                        "bind 127.0.0.1",
                        settings->http_host);
        return 0;
}

static int check_tokens(const struct settings *settings, char *error, size_t size)
{
        if (settings->auth_token && settings->auth_token[strcspn(settings->auth_token, " \t\r\n")])
                return fail(error, size, "AUTH_TOKEN: a token must not hold blanks");
        if (settings->auth_token && has_empty_item(settings->auth_token))
                return fail(error, size, "AUTH_TOKEN: an empty token between commas would let everybody in");
        return 0;
}

/* go-faas' own (REDIS_PORT, REDIS_PASSWORD, REDIS_DB) may stand in an old .env without a host; whoever wrote
 * one of these wants Redis, and would find functions kept elsewhere. */
static int check_redis_is_meant(const struct settings *settings, char *error, size_t size)
{
        const struct {
                const char *name;
                bool is_set;
        } rows[] = {
                { "REDIS_USERNAME", settings->redis_username },
                { "REDIS_SENTINEL_PASSWORD", settings->redis_sentinel_password },
                { "REDIS_TLS", settings->redis_tls },
                { "REDIS_REPLICAS", settings->redis_replicas },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows) && !settings_use_redis(settings); i++) {
                if (rows[i].is_set)
                        return fail(error, size,
                                "%s is set, and neither REDIS_HOST nor REDIS_SENTINELS: set one of them to "
                                "keep functions in Redis, or unset %s to keep them under DATA_DIR",
                                rows[i].name, rows[i].name);
        }
        return 0;
}

static int check_redis_login(const struct settings *settings, char *error, size_t size)
{
        if (settings->redis_host && has_blank(settings->redis_host))
                return fail(error, size, "REDIS_HOST=%s: a name or an address holds no blanks",
                        settings->redis_host);
        if (settings->redis_username && !settings->redis_password)
                return fail(error, size, "REDIS_USERNAME=%s wants REDIS_PASSWORD beside it",
                        settings->redis_username);
        return 0;
}

static int check_redis_tls(const struct settings *settings, char *error, size_t size)
{
        bool any = settings->redis_tls_ca || settings->redis_tls_cert || settings->redis_tls_key;

        if (any && !settings->redis_tls)
                return fail(error, size,
                        "REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY mean nothing without REDIS_TLS=true");
        if (settings->redis_tls_cert && !settings->redis_tls_key)
                return fail(error, size, "REDIS_TLS_CERT wants its key: set REDIS_TLS_KEY too");
        if (settings->redis_tls_key && !settings->redis_tls_cert)
                return fail(error, size, "REDIS_TLS_KEY wants its certificate: set REDIS_TLS_CERT too");
        return 0;
}

static int check_redis_prefix(const struct settings *settings, char *error, size_t size)
{
        const char *prefix = settings->redis_prefix;

        if (!prefix)
                return fail(error, size, "REDIS_PREFIX: must not be empty; mayfly: is the default");
        if (strlen(prefix) > PREFIX_MAX)
                return fail(error, size, "REDIS_PREFIX: must not be longer than %d bytes", PREFIX_MAX);
        if (has_blank(prefix))
                return fail(error, size, "REDIS_PREFIX: must not hold blanks or control characters");
        if (strncmp(prefix, "meta:", 5) == 0 || strncmp(prefix, "code:", 5) == 0)
                return fail(error, size,
                        "REDIS_PREFIX=%s: keys that begin with meta: or code: are those of go-faas", prefix);
        return 0;
}

/* host, host:port, or [address]:port for one with colons. */
static bool sentinel_is_fine(const char *item, size_t length)
{
        const char *end = item + length, *colon, *host_end = NULL;
        unsigned long port = 0;

        if (length && *item == '[') {
                host_end = memchr(item, ']', length);
                if (!host_end || host_end == item + 1)
                        return false;
                colon = host_end + 1;
        } else {
                colon = memchr(item, ':', length);
                colon = colon ? colon : end;
                if (colon == item)
                        return false;
        }
        if (colon == end)
                return true;
        if (*colon != ':' || colon + 1 == end || end - colon > 6)
                return false;
        for (const char *c = colon + 1; c < end; c++) {
                if (!isdigit((unsigned char)*c))
                        return false;
                port = port * 10 + (unsigned)(*c - '0');
        }
        return port > 0 && port <= 65535;
}

static int check_sentinels(const struct settings *settings, char *error, size_t size)
{
        const char *list = settings->redis_sentinels;

        if (!list)
                return 0;
        if (has_blank(list))
                return fail(error, size, "REDIS_SENTINELS=%s: must not hold blanks", list);
        if (!settings->redis_sentinel_master)
                return fail(error, size, "REDIS_SENTINEL_MASTER: must not be empty; mymaster is the default");
        for (const char *item = list;; item++) {
                size_t length = strcspn(item, ",");

                if (length == 0)
                        return fail(
                                error, size, "REDIS_SENTINELS=%s: an address between commas is empty", list);
                if (!sentinel_is_fine(item, length))
                        return fail(error, size,
                                "REDIS_SENTINELS: %.*s is not host, host:port or [IPv6 address]:port",
                                (int)length, item);
                item += length;
                if (!*item)
                        return 0;
        }
}

static int check_else(const struct settings *settings, char *error, size_t size)
{
        if (settings->gpu_enabled)
                return fail(error, size, "GPU_ENABLED=true: GPU access is not built yet; set it to false");
        if (!settings->data_dir)
                return fail(error, size, "DATA_DIR: must not be empty; ./data is the default");
        return 0;
}

int settings_check(const struct settings *settings, char *error, size_t size)
{
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(checks) && r == 0; i++)
                r = checks[i](settings, error, size);
        return r;
}
