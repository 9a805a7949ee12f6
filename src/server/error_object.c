#include "server/error_object.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_write.h"

enum { NAME_MAX_BYTES = 256, TEXT_MAX_BYTES = 65536, POSITION_MAX_DIGITS = 10 };

static const struct error_rule {
        const char *name;
        enum json_type type;
        size_t longest; /* text is cut when it is told, a number is dropped */
        bool told;
} rules[ERROR_MEMBERS] = {
        [ERROR_NAME] = { "name", JSON_STRING, NAME_MAX_BYTES, true },
        [ERROR_MESSAGE] = { "message", JSON_STRING, TEXT_MAX_BYTES, true },
        [ERROR_STACK] = { "stack", JSON_STRING, TEXT_MAX_BYTES, true },
        [ERROR_LINE] = { "line", JSON_NUMBER, POSITION_MAX_DIGITS, true },
        [ERROR_COLUMN] = { "column", JSON_NUMBER, POSITION_MAX_DIGITS, true },
        [ERROR_CODE] = { "code", JSON_STRING, NAME_MAX_BYTES, false },
};

static bool error_is_position(struct json_span value, size_t longest)
{
        for (size_t i = 0; i < value.length; i++) {
                if (value.text[i] < '0' || value.text[i] > '9')
                        return false;
        }
        return value.length <= longest;
}

static bool error_is_right(struct json_span value, const struct error_rule *rule)
{
        return json_type(value) == rule->type &&
               (rule->type != JSON_NUMBER || error_is_position(value, rule->longest));
}

void error_object_read(const char *text, size_t length, struct json_span ret_values[ERROR_MEMBERS])
{
        const char *names[ERROR_MEMBERS];

        for (size_t i = 0; i < ERROR_MEMBERS; i++)
                names[i] = rules[i].name;
        if (length == 0 || json_members(text, length, names, ERROR_MEMBERS, ret_values) != 0) {
                memset(ret_values, 0, ERROR_MEMBERS * sizeof *ret_values);
                return;
        }
        for (size_t i = 0; i < ERROR_MEMBERS; i++) {
                if (ret_values[i].text && !error_is_right(ret_values[i], &rules[i]))
                        ret_values[i] = (struct json_span){ 0 };
        }
}

bool error_object_has_code(const struct json_span values[ERROR_MEMBERS], const char *code)
{
        struct json_span value = values[ERROR_CODE];

        return value.text && value.length == strlen(code) + 2 &&
               memcmp(value.text + 1, code, value.length - 2) == 0;
}

/* Long text is decoded to be cut: not in the middle of a character. */
static int error_write_cut(struct bytes *body, struct json_span value, size_t longest)
{
        size_t length;
        char *text;
        int r;

        r = json_string(value, &text, &length);
        if (r != 0)
                return r < 0 ? r : bytes_append_text(body, "null");
        length = MIN(length, longest);
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
                length--;
        r = json_write_string(body, text, length);
        free(text);
        return r;
}

static int error_write_member(struct bytes *body, const struct error_rule *rule, struct json_span value)
{
        int r;

        r = bytes_format(body, "%s\"%s\":", body->data[body->length - 1] == '{' ? "" : ",", rule->name);
        if (r != 0)
                return r;
        if (!value.text)
                return bytes_append_text(body, "null");
        if (value.length > rule->longest)
                return error_write_cut(body, value, rule->longest);
        return bytes_append(body, value.text, value.length);
}

int error_object_write(struct bytes *body, const struct json_span values[ERROR_MEMBERS])
{
        int r;

        r = bytes_append_text(body, ",\"error\":{");
        for (size_t i = 0; r == 0 && i < ERROR_MEMBERS; i++)
                r = rules[i].told ? error_write_member(body, &rules[i], values[i]) : 0;
        return r == 0 ? bytes_append_text(body, "}") : r;
}
