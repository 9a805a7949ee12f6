#include "guest/node_restart.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

enum { WORDS_MAX = 64, TEXT_MAX = 16384 };

/* A list as the kernel tells it, each word with its NUL, and as execve() takes it. */
struct words {
        char text[TEXT_MAX];
        size_t length;
        char *list[WORDS_MAX + 2]; /* room for a flag and for NULL */
};

static struct words arguments, environment;

static int words_read(const char *path, struct words *ret_words)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = -1;

        if (fd < 0)
                return -errno;
        ret_words->length = 0;
        while (ret_words->length < TEXT_MAX - 1) {
                n = read(fd, ret_words->text + ret_words->length, TEXT_MAX - 1 - ret_words->length);
                if (n <= 0)
                        break;
                ret_words->length += (size_t)n;
        }
        close(fd);
        return n == 0 ? 0 : -E2BIG;
}

/* The first word, then `flag` if there is one, then the others. */
static int words_list(struct words *words, const char *flag)
{
        size_t n = 0;

        for (char *word = words->text; word < words->text + words->length; word += strlen(word) + 1) {
                if (n > WORDS_MAX)
                        return -E2BIG;
                words->list[n++] = word;
                if (n == 1 && flag)
                        words->list[n++] = (char *)flag;
        }
        words->list[n] = NULL;
        return 0;
}

int node_restart_remember(void)
{
        int r = words_read("/proc/self/cmdline", &arguments);

        return r < 0 ? r : words_read("/proc/self/environ", &environment);
}

bool node_restart_has(const char *flag)
{
        if (words_list(&arguments, NULL) < 0)
                return false;
        for (char **word = arguments.list; *word; word++) {
                if (strcmp(*word, flag) == 0)
                        return true;
        }
        return false;
}

int node_restart_with(const char *flag)
{
        int r = words_list(&arguments, flag);

        if (r == 0)
                r = words_list(&environment, NULL);
        if (r < 0)
                return r;
        execve("/proc/self/exe", arguments.list, environment.list);
        return -errno;
}
