#include "server/json_write.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"
#include "server/utf8.h"

enum { ESCAPE_MAX = 6 };

static bool json_is_plain(unsigned char byte)
{
        return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* How many bytes from here on need no change. */
static size_t json_plain(const unsigned char *at, const unsigned char *end)
{
        const unsigned char *from = at;

        while (at < end) {
                size_t length = *at < 0x80 ? json_is_plain(*at) : utf8_sequence(at, end);

                if (length == 0)
                        break;
                at += length;
        }
        return (size_t)(at - from);
}

/* What stands for a byte that is not plain; its length. One that is no UTF-8 becomes U+FFFD. */
static size_t json_escape(unsigned char byte, char escape[ESCAPE_MAX])
{
        static const char special[] = "\"\\\n\r\t", letters[] = "\"\\nrt", hex[] = "0123456789abcdef";
        static const char replacement[] = { '\xef', '\xbf', '\xbd' }, unicode[] = { '\\', 'u', '0', '0' };
        const char *found = byte ? strchr(special, byte) : NULL;

        if (byte >= 0x80) {
                memcpy(escape, replacement, sizeof replacement);
                return sizeof replacement;
        }
        if (found) {
                escape[0] = '\\';
                escape[1] = letters[found - special];
                return 2;
        }
        memcpy(escape, unicode, sizeof unicode);
        escape[4] = hex[byte >> 4];
        escape[5] = hex[byte & 15];
        return 6;
}

/* A run of bytes that are not plain, as many as a block takes; *ret_taken of them. A script may write
 * megabytes of nothing else, and the loop waits. */
static int json_write_escapes(
        struct bytes *bytes, const unsigned char *at, const unsigned char *end, size_t *ret_taken)
{
        const unsigned char *from = at;
        char block[1024];
        size_t length = 0;

        while (at < end && length <= sizeof block - ESCAPE_MAX && json_plain(at, MIN(end, at + 4)) == 0)
                length += json_escape(*at++, block + length);
        *ret_taken = (size_t)(at - from);
        return bytes_append(bytes, block, length);
}

int json_write_string(struct bytes *bytes, const char *text, size_t length)
{
        const unsigned char *at = (const unsigned char *)text, *end = at + length;
        int r = bytes_append_text(bytes, "\"");

        while (r == 0 && at < end) {
                size_t taken = json_plain(at, end);

                r = bytes_append(bytes, at, taken);
                at += taken;
                if (r == 0) {
                        r = json_write_escapes(bytes, at, end, &taken);
                        at += taken;
                }
        }
        return r == 0 ? bytes_append_text(bytes, "\"") : r;
}

int json_write_text(struct bytes *bytes, const char *text)
{
        return text ? json_write_string(bytes, text, strlen(text)) : bytes_append_text(bytes, "null");
}
