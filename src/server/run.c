#include "server/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/language.h"

static void run_stored_ended(struct call *call, const struct call_end *end, void *context)
{
        struct exchange *exchange = context;

        (void)call;
        exchange->call = NULL;
        exchange->times = end->times;
        if (answer_is_data(end->ending))
                answer_data(exchange, end);
        else
                answer_problem(exchange, end, true);
}

static void run_script(struct exchange *exchange, struct script *script)
{
        if (!language_served(exchange->api->languages, script->language)) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "This function is written in %s, which is not served here: its runtime is not in "
                        "RUNTIMES.",
                        language_name(script->language));
                return;
        }
        exchange->script = script_ref(script);
        exchange->limits = script->limits;
        exchange_call(exchange, GUEST_RUN, run_stored_ended);
}

static void run_loaded(int r, struct script *script, void *context)
{
        struct exchange *exchange = context;

        if (r == 0)
                run_script(exchange, script);
        else if (r == FUNCTIONS_NOT_FOUND)
                exchange_problem(exchange, PROBLEM_NOT_FOUND,
                        exchange->version ? "No such function, or no such version of it."
                                          : "No such function.");
        else if (r == FUNCTIONS_UNAVAILABLE)
                exchange_problem(exchange, PROBLEM_STORE_UNAVAILABLE,
                        "The function is not in memory, and the store does not answer.");
        else
                exchange_surprise(exchange, r);
}

/* Digits alone, and not more than a version can have. */
static bool run_parse_version(const char *text, uint64_t *ret_version)
{
        size_t length = strlen(text);

        if (length < 1 || length > 18 || strspn(text, "0123456789") != length)
                return false;
        *ret_version = strtoull(text, NULL, 10);
        return true;
}

void run_stored(struct exchange *exchange, const char *rest)
{
        struct functions *functions = exchange->api->functions;
        const char *version = http_query(exchange->request, "version");
        struct script *script;
        int r;

        if (!function_path_valid(rest, strlen(rest))) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST, "What follows /run/ is not a valid path.");
                return;
        }
        if (version && !run_parse_version(version, &exchange->version)) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST, "`version` must be a number.");
                return;
        }
        if (!api_read_envelope(exchange, ENVELOPE_RUN))
                return;
        if (version && exchange->version == 0) { /* 0 would mean the latest, and nobody asked for that */
                exchange_problem(exchange, PROBLEM_NOT_FOUND, "No such version.");
                return;
        }

        script = functions_find(functions, rest, exchange->version);
        if (script) {
                run_script(exchange, script);
                return;
        }
        r = functions_load(functions, rest, exchange->version, run_loaded, exchange);
        if (r < 0)
                exchange_surprise(exchange, r);
}

static void run_now_ended(struct call *call, const struct call_end *end, void *context)
{
        struct exchange *exchange = context;

        (void)call;
        exchange->call = NULL;
        exchange->times = end->times;
        /* Compiling costs more than a short call: the same TypeScript is not compiled twice. */
        if (end->script->compiled.data)
                functions_keep_compiled(exchange->api->functions, end->script);
        if (answer_is_data(end->ending))
                answer_data(exchange, end);
        else
                answer_problem(exchange, end, false);
}

/* The script of the envelope; TypeScript perhaps compiled before. NULL: out of memory. */
static struct script *run_now_script(struct exchange *exchange)
{
        struct envelope *envelope = &exchange->envelope;
        struct script *script = NULL;

        if (envelope->language == GUEST_TYPESCRIPT)
                script = functions_find_compiled(
                        exchange->api->functions, envelope->code, envelope->code_length);
        if (script)
                return script_ref(script);
        script = script_new(envelope->language, NULL, envelope->code, envelope->code_length);
        if (script)
                envelope->code = NULL;
        return script;
}

void run_now(struct exchange *exchange, const char *rest)
{
        (void)rest;
        if (!api_read_envelope(exchange, ENVELOPE_RUN_NOW))
                return;
        exchange->script = run_now_script(exchange);
        exchange->limits = exchange->envelope.limits;
        if (exchange->script)
                exchange_call(exchange, GUEST_RUN, run_now_ended);
        else
                exchange_surprise(exchange, -ENOMEM);
}
