#include "server/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/macros.h"
#include "server/api.h"
#include "server/calls.h"
#include "server/catalog.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/language.h"
#include "server/recompile.h"
#include "server/record.h"
#include "store/function_name.h"

/* --- the call, and who waits for it --- */

static void run_on_end(struct watcher *watcher)
{
        exchange_answer_record(container_of(watcher, struct exchange, watcher));
}

/* The answer comes when the call has ended; for another request's call that may be now. */
static void run_wait(struct exchange *exchange, struct record *record)
{
        exchange->watcher.on_progress = NULL;
        exchange->watcher.on_end = run_on_end;
        exchange_watch_record(exchange, record);
        if (record_has_ended(record))
                exchange_answer_record(exchange);
}

static bool prefers_later(const char *at)
{
        static const char wanted[] = "respond-async";

        while (*at) {
                size_t length;

                at += strspn(at, ", \t");
                length = strcspn(at, ",; \t=");
                if (length == sizeof wanted - 1 && strncasecmp(at, wanted, length) == 0)
                        return true;
                at += strcspn(at, ",");
        }
        return false;
}

/* RFC 7240: a list of preferences, of which `respond-async` is the one that matters here. */
static bool run_is_for_later(const struct exchange *exchange)
{
        const char *prefer;

        for (size_t i = 0; (prefer = http_header_nth(exchange->request, "Prefer", i)); i++) {
                if (prefers_later(prefer))
                        return true;
        }
        return false;
}

static void run_follow(struct exchange *exchange, struct record *record, bool is_for_later)
{
        int r = is_for_later ? record_keep_for_later(record) : 0;

        if (r < 0)
                exchange_surprise(exchange, r);
        else if (is_for_later)
                calls_accept(exchange, record);
        else if (exchange->envelope.stream)
                events_open(exchange, record, 0, false);
        else
                run_wait(exchange, record);
}

/* Whoever finds two requests with the same print has fooled himself alone: keys are kept apart. */
static uint64_t run_fingerprint(const struct exchange *exchange)
{
        const char *path = http_path(exchange->request), *body;
        const char *version = http_query(exchange->request, "version");
        uint64_t print = HASH_START;
        size_t length;

        body = http_body(exchange->request, &length);
        print = hash_add(print, path, strlen(path) + 1);
        print = hash_add(print, version ? version : "", version ? strlen(version) + 1 : 1);
        return hash_add(print, body, length);
}

static bool run_key_is_valid(const char *key)
{
        size_t length = strlen(key);

        for (size_t i = 0; i < length; i++) {
                if (key[i] < 0x21 || key[i] > 0x7e)
                        return false;
        }
        return length >= 1 && length <= RECORD_KEY_MAX;
}

/* Does an earlier request under the same key answer this one? Then the exchange is taken care of. */
static bool run_replay(struct exchange *exchange, const struct record_wish *wish)
{
        struct record *record;

        if (!wish->key)
                return false;
        if (!run_key_is_valid(wish->key)) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "`Idempotency-Key` must be 1 to %d visible ASCII characters.", RECORD_KEY_MAX);
                return true;
        }
        record = records_find_key(exchange->api->records, exchange->owner, wish->key);
        if (record && record->fingerprint != wish->fingerprint) {
                exchange_problem(exchange, PROBLEM_IDEMPOTENCY,
                        "Another request was made with this Idempotency-Key; take a new key for a new "
                        "request.");
        } else if (record) {
                exchange->headers = "Idempotency-Replayed: true\r\n";
                run_follow(exchange, record, wish->is_for_later);
        }
        return record;
}

/* Runs exchange->script. function: whose turn it takes. */
static void run_call(struct exchange *exchange, const char *function, bool is_stored)
{
        const struct envelope *envelope = &exchange->envelope;
        const char *key = http_header(exchange->request, "Idempotency-Key");
        bool is_for_later = run_is_for_later(exchange);
        const struct record_wish wish = {
                .task = { .id = http_id(exchange->request),
                        .client = exchange->client,
                        .function = function,
                        .mode = GUEST_RUN,
                        .script = exchange->script,
                        .limits = exchange->limits,
                        .input = envelope->input,
                        .input_length = envelope->input_length,
                        .wants_usage = envelope->detail || is_for_later },
                .owner = exchange->owner,
                .is_stored = is_stored,
                .is_for_later = is_for_later,
                .key = key,
                .fingerprint = key ? run_fingerprint(exchange) : 0,
        };
        struct record *record;
        int r;

        if (run_replay(exchange, &wish))
                return;
        r = record_new(exchange->api->records, &wish, &record);
        if (r == 0)
                run_follow(exchange, record, is_for_later);
        else
                exchange_refuse_call(exchange, r);
}

/* --- the script --- */

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
        recompiler_look(exchange->api->recompiler, script);
        run_call(exchange, script->path, true);
}

static void run_loaded(int r, struct script *script, void *context)
{
        struct exchange *exchange = context;

        if (r == 0)
                run_script(exchange, script);
        else if (r == FUNCTIONS_NOT_FOUND)
                exchange_problem(exchange, PROBLEM_NOT_FOUND,
                        exchange->version || exchange->alias
                                ? "No such function, or no such version or alias of it."
                                : "No such function.");
        else if (r == FUNCTIONS_UNAVAILABLE)
                exchange_problem(exchange, PROBLEM_STORE_UNAVAILABLE,
                        "The function is not in memory, and the store does not answer.");
        else if (r == -EBADMSG)
                exchange_problem(exchange, PROBLEM_INTERNAL_ERROR,
                        "What is stored of this function is damaged; the server's log says what.");
        else
                exchange_surprise(exchange, r);
}

void run_stored(struct exchange *exchange, const char *rest)
{
        struct functions *functions = exchange->api->functions;
        struct script *script;
        int r;

        if (!function_path_valid(rest, strlen(rest))) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST, "What follows /run/ is not a valid path.");
                return;
        }
        if (!api_read_envelope(exchange, ENVELOPE_RUN) || !catalog_read_which(exchange))
                return;

        script = functions_find(functions, rest, exchange->alias, exchange->version);
        if (script) {
                run_script(exchange, script);
                return;
        }
        r = functions_load(functions, rest, exchange->alias, exchange->version, run_loaded, exchange);
        if (r < 0)
                exchange_surprise(exchange, r);
}

/* The script of the envelope; TypeScript perhaps compiled before. NULL: out of memory. */
static struct script *run_now_script(struct exchange *exchange)
{
        struct envelope *envelope = &exchange->envelope;
        struct script *script = NULL;

        if (envelope->language == GUEST_TYPESCRIPT)
                script = functions_find_code(exchange->api->functions, envelope->code, envelope->code_length);
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
                run_call(exchange, "/run-now", false);
        else
                exchange_surprise(exchange, -ENOMEM);
}
