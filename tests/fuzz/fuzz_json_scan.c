/* JSON out of arbitrary bytes: what json_check() accepts, the other functions must be able to read. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_scan.h"
#include "server/utf8.h"

static const char *const names[] = { "a", "code", "\xc3\xa9", "" };

enum { N_NAMES = 4 };

static void string_check(struct json_span value)
{
        const unsigned char *at, *end;
        size_t length;
        char *text;
        int r = json_string(value, &text, &length);

        must(r == 0 || r == JSON_BAD);
        if (r != 0)
                return;
        must(length <= value.length - 2 && text[length] == 0);
        at = (const unsigned char *)text;
        end = at + length;
        for (size_t n; at < end; at += n) {
                n = utf8_sequence(at, end);
                must(n > 0);
        }
        free(text);
}

static void members_check(const char *text, size_t size, int checked, struct json_span value)
{
        struct json_span members[N_NAMES];
        int r = json_members(text, size, names, N_NAMES, members);

        if (checked != 0) {
                must(r == checked);
                return;
        }
        must(json_type(value) == JSON_OBJECT ? r == 0 || r == JSON_DUPLICATE : r == JSON_NOT_OBJECT);
        for (size_t i = 0; r == 0 && i < N_NAMES; i++) {
                struct json_span again;

                if (!members[i].text)
                        continue;
                must(json_check(members[i].text, members[i].length, &again, NULL) == 0);
                must(again.text == members[i].text && again.length == members[i].length);
                if (json_type(again) == JSON_STRING)
                        string_check(again);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        struct json_span value = { 0 };
        size_t offset = 0;
        int r = json_check(text, size, &value, &offset);

        must(r == 0 || r == JSON_BAD || r == JSON_DEEP);
        must(offset <= size);
        if (r == 0) {
                must(value.text >= text && value.text + value.length <= text + size && value.length > 0);
                if (json_type(value) == JSON_STRING)
                        string_check(value);
        }
        members_check(text, size, r, value);
        return 0;
}
