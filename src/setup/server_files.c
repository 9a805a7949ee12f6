#include "setup/server_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "base/settings.h"
#include "wire/brief.h"

static const char *const names[] = { "/etc/resolv.conf", "/etc/hosts" };

static const struct {
        const char *name;
        size_t offset;
} rows[] = {
        { "REDIS_TLS_CA", offsetof(struct settings, redis_tls_ca) },
        { "REDIS_TLS_CERT", offsetof(struct settings, redis_tls_cert) },
        { "REDIS_TLS_KEY", offsetof(struct settings, redis_tls_key) },
};

static void add_bind(struct brief_bind *bind, const char *root, const char *source, const char *target,
        unsigned long flags)
{
        snprintf(bind->source, sizeof bind->source, "%s", source);
        snprintf(bind->target, sizeof bind->target, "%s%s", root, target);
        bind->flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC | flags;
}

void server_files_bind(const char *root, const char *data_dir, struct brief_bind *binds)
{
        if (*data_dir) {
                add_bind(binds, root, data_dir, SERVER_DATA_DIR, 0);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                add_bind(&binds[i], root, names[i], names[i], MS_RDONLY);
}

/* What it holds, or NULL with the reason. */
static char *read_text(const char *path, const char **ret_reason)
{
        /* A pipe would have the start wait for whoever writes it. */
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        ssize_t length;

        if (fd < 0 || fstat(fd, &st) < 0) {
                *ret_reason = strerror(errno);
                return NULL;
        }
        if (!S_ISREG(st.st_mode)) {
                *ret_reason = "is not a file";
                return NULL;
        }
        text = malloc(SETTINGS_FILE_MAX + 1);
        if (!text) {
                *ret_reason = "out of memory";
                return NULL;
        }
        length = read(fd, text, SETTINGS_FILE_MAX + 1);
        if (length < 0 || length > SETTINGS_FILE_MAX) {
                *ret_reason = length < 0 ? strerror(errno) : "is longer than 512 KiB";
                return NULL;
        }
        text[length] = 0;
        if (strlen(text) != (size_t)length || !strstr(text, "-----BEGIN ")) {
                *ret_reason = "holds no PEM text (-----BEGIN …)";
                return NULL;
        }
        return steal(&text);
}

int server_files_read(struct server_files *files, struct settings *settings, char *error, size_t size)
{
        const char *reason = "";

        *files = (struct server_files){ 0 };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char **value = (char **)((char *)settings + rows[i].offset);

                if (!*value)
                        continue;
                files->texts[i] = read_text(*value, &reason);
                if (!files->texts[i]) {
                        snprintf(error, size, "%s=%s: %s", rows[i].name, *value, reason);
                        server_files_deinit(files);
                        return -EINVAL;
                }
                files->length += strlen(files->texts[i]);
                *value = files->texts[i];
        }
        return 0;
}

void server_files_deinit(struct server_files *files)
{
        for (size_t i = 0; i < ARRAY_SIZE(files->texts); i++) {
                if (files->texts[i])
                        explicit_bzero(files->texts[i], strlen(files->texts[i]));
                free(files->texts[i]);
                files->texts[i] = NULL;
        }
}
