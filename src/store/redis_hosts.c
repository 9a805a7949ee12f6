#include "store/redis_hosts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static bool hosts_parse_port(const char *text, size_t length, uint32_t *ret_port)
{
        uint32_t port = 0;

        if (length < 1 || length > 5)
                return false;
        for (size_t i = 0; i < length; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                port = port * 10 + (uint32_t)(text[i] - '0');
        }
        if (port < 1 || port > 65535)
                return false;
        *ret_port = port;
        return true;
}

/* One of: name, name:port, [address], [address]:port, and an IPv6 address as it is. */
static bool hosts_parse_one(
        const char *text, size_t length, uint32_t default_port, struct redis_host *ret_host)
{
        const char *end = text + length, *name = text, *stop, *port = NULL;

        if (length && *text == '[') {
                name = text + 1;
                stop = memchr(text, ']', length);
                if (!stop || (stop + 1 < end && stop[1] != ':'))
                        return false;
                if (stop + 1 < end)
                        port = stop + 2;
        } else {
                stop = memchr(text, ':', length);
                if (!stop || memchr(stop + 1, ':', (size_t)(end - stop - 1)))
                        stop = end;
                else
                        port = stop + 1;
        }
        if (stop == name || (size_t)(stop - name) >= sizeof ret_host->name ||
                memchr(name, ' ', (size_t)(stop - name)))
                return false;
        ret_host->port = default_port;
        if (port && !hosts_parse_port(port, (size_t)(end - port), &ret_host->port))
                return false;
        memcpy(ret_host->name, name, (size_t)(stop - name));
        ret_host->name[stop - name] = 0;
        return true;
}

static size_t hosts_count(const char *text)
{
        size_t n = 1;

        for (; *text; text++)
                n += *text == ',';
        return n;
}

int redis_hosts_parse(const char *text, uint32_t default_port, struct redis_hosts *ret_hosts, char *error,
        size_t error_size)
{
        struct redis_hosts hosts = { .items = calloc(hosts_count(text), sizeof *hosts.items) };

        if (!hosts.items)
                return error_trace(-ENOMEM);
        for (;;) {
                size_t length;

                text += strspn(text, " ");
                length = strcspn(text, ",");
                while (length && text[length - 1] == ' ')
                        length--;
                if (!hosts_parse_one(text, length, default_port, &hosts.items[hosts.n++])) {
                        snprintf(error, error_size, "REDIS_SENTINELS: '%.*s' is not host:port",
                                (int)(length < 64 ? length : 64), text);
                        redis_hosts_deinit(&hosts);
                        return error_trace(-EINVAL);
                }
                text += strcspn(text, ",");
                if (!*text++)
                        break;
        }
        *ret_hosts = hosts;
        return 0;
}

void redis_hosts_deinit(struct redis_hosts *hosts)
{
        free(hosts->items);
        *hosts = (struct redis_hosts){ 0 };
}
