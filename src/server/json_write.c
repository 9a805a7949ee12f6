#include "server/json_write.h"

#include <stdio.h>
#include <string.h>

#include "server/utf8.h"

/* NULL: the byte stands for itself. */
static const char *json_escape(unsigned char byte, char buffer[8])
{
        switch (byte) {
        case '"':
                return "\\\"";
        case '\\':
                return "\\\\";
        case '\n':
                return "\\n";
        case '\r':
                return "\\r";
        case '\t':
                return "\\t";
        }
        if (byte >= 0x20 && byte != 0x7f)
                return NULL;
        snprintf(buffer, 8, "\\u%04x", byte);
        return buffer;
}

/* How many bytes from here on need no change. */
static size_t json_plain(const unsigned char *at, const unsigned char *end)
{
        const unsigned char *from = at;
        char buffer[8];

        while (at < end) {
                size_t length = utf8_sequence(at, end);

                if (length == 0 || (length == 1 && json_escape(*at, buffer)))
                        break;
                at += length;
        }
        return (size_t)(at - from);
}

int json_write_string(struct bytes *bytes, const char *text, size_t length)
{
        const unsigned char *at = (const unsigned char *)text, *end = at + length;
        int r = bytes_append_text(bytes, "\"");

        while (r == 0 && at < end) {
                size_t plain = json_plain(at, end);
                char buffer[8];

                r = bytes_append(bytes, at, plain);
                at += plain;
                if (r == 0 && at < end) {
                        const char *escape = *at < 0x80 ? json_escape(*at, buffer) : "\xef\xbf\xbd";

                        r = bytes_append_text(bytes, escape);
                        at++;
                }
        }
        return r == 0 ? bytes_append_text(bytes, "\"") : r;
}

int json_write_text(struct bytes *bytes, const char *text)
{
        return text ? json_write_string(bytes, text, strlen(text)) : bytes_append_text(bytes, "null");
}
