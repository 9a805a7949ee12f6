#include "server/store_open.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory_file.h"
#include "base/settings.h"
#include "store/store.h"
#include "store/store_settings.h"

/*
 * What mayflyd has read (PEM texts) has names again: the TLS library takes no texts, and the server's root
 * has no files. They stay open for as long as the process lives, for whoever opens them by these names;
 * nobody but this process can.
 */
static int name_text(const char **text, char *name, size_t size)
{
        int fd = -1, r;

        if (!*text)
                return 0;
        r = memory_file("mayfly-pem", *text, strlen(*text), &fd);
        if (r < 0)
                return r;
        snprintf(name, size, "/proc/self/fd/%d", fd);
        *text = name;
        return 0;
}

static int open_redis(struct event_base *base, const struct settings *settings, struct store **ret_store,
        char *error, size_t error_size)
{
        struct store_redis_options options = store_redis_options(settings);
        const char **texts[] = { &options.tls_ca, &options.tls_certificate, &options.tls_key };
        char names[ARRAY_SIZE(texts)][32];

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                int r = name_text(texts[i], names[i], sizeof names[i]);

                if (r < 0)
                        return r;
        }
        return store_open_redis(base, &options, ret_store, error, error_size);
}

int store_open(struct event_base *base, const struct settings *settings, struct store **ret_store,
        char *error, size_t error_size)
{
        return settings_use_redis(settings)
                       ? open_redis(base, settings, ret_store, error, error_size)
                       : store_open_sqlite(base, settings->data_dir, ret_store, error, error_size);
}
