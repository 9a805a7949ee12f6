#pragma once

/* What of the host's files the server gets, whose root holds none. */

#include <stddef.h>

struct brief_bind;
struct settings;

#define SERVER_DATA_DIR "/srv" /* in its root */

/*
 * Fills the list of what is bound into the server's root below `root`: DATA_DIR, or if that is "" and
 * functions are kept in Redis the files that find an address for its name. Whoever replaces such a file
 * (rename(2)) leaves a running server with the old one; the keeper binds them anew for every server that it
 * starts. To bind their directory would heal that, and show the server all of /etc.
 */
void server_files_bind(const char *root, const char *data_dir, struct brief_bind *binds);

/* The texts that settings name. */
struct server_files {
        size_t length; /* of all */
        char *texts[3];
};

/* Replaces the names in the REDIS_TLS_ settings by what those files hold, which `files` owns. 0, or negative
 * errno with a message that names the setting. */
int server_files_read(struct server_files *files, struct settings *settings, char *error, size_t size);
void server_files_deinit(struct server_files *files);
