#include "server/status.h"

#include <string.h>

#include "base/settings.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/import_sets.h"
#include "server/json_write.h"
#include "server/language.h"
#include "wire/runtime.h"

void status_health(struct exchange *exchange, const char *rest)
{
        static const char body[] = "{\"status\":\"ok\"}";

        (void)rest;
        exchange_answer(exchange, 200, body, sizeof body - 1);
}

/* The runtimes that the settings ask for, and how each is. *ready becomes false if one is down. */
static int status_write_runtimes(struct bytes *body, const struct api *api, bool *ready)
{
        int r = bytes_append_text(body, ",\"runtimes\":{");
        const char *comma = "";

        for (size_t i = 0; i < RUNTIME_COUNT && r == 0; i++) {
                enum runtime runtime = (enum runtime)i;
                bool up = cells_runtime_up(api->cells, runtime);

                if (!languages_use(api->languages, runtime))
                        continue;
                *ready = *ready && up;
                r = bytes_format(body, "%s\"%s\":{\"up\":%s,\"version\":", comma, runtime_name(runtime),
                        up ? "true" : "false");
                if (r == 0)
                        r = json_write_text(body, cells_runtime_version(api->cells, runtime));
                if (r == 0)
                        r = bytes_append_text(body, "}");
                comma = ",";
        }
        return r == 0 ? bytes_append_text(body, "}") : r;
}

static int status_write_walls(struct bytes *body, const char *missing)
{
        int r = bytes_append_text(body, ",\"walls\":{\"missing\":[");
        const char *comma = "";

        for (const char *wall = missing ? missing : ""; *wall && r == 0; wall += strspn(wall, ", ")) {
                size_t length = strcspn(wall, ", ");

                r = bytes_append_text(body, comma);
                if (r == 0)
                        r = json_write_string(body, wall, length);
                comma = ",";
                wall += length;
        }
        return r == 0 ? bytes_append_text(body, "]}}") : r;
}

void status_ready(struct exchange *exchange, const char *rest)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct api *api = exchange->api;
        bool store_up = functions_store_up(api->functions);
        bool ready = store_up && !api->draining;
        int r;

        (void)rest;
        r = bytes_format(&body, "{\"store\":\"%s\",\"draining\":%s", store_up ? "ok" : "unavailable",
                api->draining ? "true" : "false");
        if (r == 0)
                r = status_write_runtimes(&body, api, &ready);
        if (r == 0)
                r = status_write_walls(&body, api->settings->allow_missing_walls);
        if (r == 0)
                exchange_answer(exchange, ready ? 200 : 503, body.data, body.length);
        else
                exchange_surprise(exchange, r);
}

/* A base template, as one whose import set is empty. */
static int status_write_base(struct bytes *body, const struct api *api, enum runtime runtime)
{
        bool up = cells_runtime_up(api->cells, runtime);
        int r = bytes_format(body, "%s{\"imports\":\"\",\"runtime\":\"%s\",\"state\":\"%s\"",
                body->data[body->length - 1] == '[' ? "" : ",", runtime_name(runtime), up ? "up" : "down");

        if (r == 0)
                r = cells_write(api->cells, runtime, body);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

void status_templates(struct exchange *exchange, const char *rest)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct api *api = exchange->api;
        int r;

        (void)rest;
        r = bytes_format(&body, "{\"memory_bytes\":%llu,\"memory_max_bytes\":%llu,\"templates\":[",
                (unsigned long long)cells_memory(api->cells),
                (unsigned long long)api->settings->template_memory_max_bytes);
        for (uint32_t i = 0; i < RUNTIME_COUNT && r == 0; i++) {
                if (languages_use(api->languages, i))
                        r = status_write_base(&body, api, i);
        }
        if (r == 0)
                r = import_sets_write(api->sets, &body);
        if (r == 0)
                r = bytes_append_text(&body, "]}");
        if (r == 0)
                exchange_answer(exchange, 200, body.data, body.length);
        else
                exchange_surprise(exchange, r);
}
