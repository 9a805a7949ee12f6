/* What of the host's files goes to the server: only what is asked for, only what it can be, and whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/memory_file.h"
#include "base/settings.h"
#include "setup/server_files.h"
#include "wire/brief.h"

#define PEM "-----BEGIN CERTIFICATE-----\nMIIB=\n-----END CERTIFICATE-----\n"

struct folder {
        char path[32];
        char file[64];
};

static void folder_make(struct folder *folder)
{
        snprintf(folder->path, sizeof folder->path, "/tmp/mayfly-test-XXXXXX");
        assert_non_null(mkdtemp(folder->path));
        snprintf(folder->file, sizeof folder->file, "%s/file", folder->path);
}

static void folder_remove(struct folder *folder)
{
        unlink(folder->file);
        rmdir(folder->file);
        assert_int_equal(rmdir(folder->path), 0);
}

static void folder_write(struct folder *folder, const void *data, size_t length)
{
        FILE *file = fopen(folder->file, "w");

        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, length, file), length);
        fclose(file);
}

static void test_names_become_what_the_files_hold(void **state)
{
        struct folder folder;
        struct server_files files;
        struct settings settings = { 0 };
        char error[256] = "";

        (void)state;
        folder_make(&folder);
        folder_write(&folder, PEM PEM, strlen(PEM PEM));
        settings.redis_tls_ca = folder.file;
        settings.redis_tls_key = folder.file;
        assert_int_equal(server_files_read(&files, &settings, error, sizeof error), 0);
        assert_string_equal(settings.redis_tls_ca, PEM PEM);
        assert_null(settings.redis_tls_cert);
        assert_string_equal(settings.redis_tls_key, PEM PEM);
        assert_int_equal(files.length, 2 * strlen(PEM PEM));
        server_files_deinit(&files);
        folder_remove(&folder);
}

static void must_be_refused(struct folder *folder, const char *why)
{
        struct server_files files;
        struct settings settings = { .redis_tls_cert = folder->file };
        char error[256] = "";

        assert_int_equal(server_files_read(&files, &settings, error, sizeof error), -EINVAL);
        if (!strstr(error, why) || !strstr(error, "REDIS_TLS_CERT") || !strstr(error, folder->file))
                fail_msg("'%s' does not say %s", error, why);
        assert_ptr_equal(settings.redis_tls_cert, folder->file);
        server_files_deinit(&files);
}

static void test_what_is_no_pem_file_is_named(void **state)
{
        static char large[SETTINGS_FILE_MAX + 1];
        struct folder folder;

        (void)state;
        folder_make(&folder);
        must_be_refused(&folder, "No such file");
        folder_write(&folder, "", 0);
        must_be_refused(&folder, "PEM");
        folder_write(&folder, "0\x82\x01", 3);
        must_be_refused(&folder, "PEM");
        folder_write(&folder, PEM "\0", strlen(PEM) + 1);
        must_be_refused(&folder, "PEM");
        memset(large, '\n', sizeof large);
        memcpy(large, PEM, strlen(PEM));
        folder_write(&folder, large, sizeof large);
        must_be_refused(&folder, "512 KiB");
        unlink(folder.file);
        assert_int_equal(mkdir(folder.file, 0700), 0);
        must_be_refused(&folder, "not a file");
        rmdir(folder.file);
        assert_int_equal(mkfifo(folder.file, 0600), 0);
        must_be_refused(&folder, "not a file"); /* and nobody waits for its writer */
        folder_remove(&folder);
}

static void test_the_largest_files_arrive_whole(void **state)
{
        struct settings settings, loaded;
        char error[256] = "", *text = malloc(SETTINGS_FILE_MAX + 1);
        FILE *file = tmpfile();
        char **pairs;

        (void)state;
        memset(text, 'x', SETTINGS_FILE_MAX);
        memcpy(text, PEM, strlen(PEM));
        text[SETTINGS_FILE_MAX] = 0;
        assert_int_equal(settings_load(0, (char *[]){ NULL }, NULL, NULL, &settings, error, sizeof error), 0);
        settings.redis_host = strdup("h");
        settings.redis_tls = true;
        settings.redis_tls_ca = settings.redis_tls_cert = settings.redis_tls_key = text;
        pairs = settings_environment(&settings);
        for (char **pair = pairs; *pair; pair++)
                fwrite(*pair, 1, strlen(*pair) + 1, file);
        fflush(file);
        if (settings_load_strings(fileno(file), &loaded, error, sizeof error) != 0)
                fail_msg("%s", error);
        assert_string_equal(loaded.redis_tls_ca, text);
        assert_string_equal(loaded.redis_tls_cert, text);
        assert_string_equal(loaded.redis_tls_key, text);
        settings_environment_free(pairs);
        settings.redis_tls_ca = settings.redis_tls_cert = settings.redis_tls_key = NULL;
        settings_deinit(&settings);
        settings_deinit(&loaded);
        free(text);
        fclose(file);
}

static void test_either_the_data_or_what_finds_redis_is_bound(void **state)
{
        struct brief brief = { 0 };

        (void)state;
        server_files_bind("/run/root", "/var/data", brief.server_binds);
        assert_string_equal(brief.server_binds[0].source, "/var/data");
        assert_string_equal(brief.server_binds[0].target, "/run/root/srv");
        assert_false(brief.server_binds[0].flags & MS_RDONLY);
        assert_string_equal(brief.server_binds[1].source, "");

        server_files_bind("/run/root", "", brief.server_binds);
        assert_string_equal(brief.server_binds[0].target, "/run/root/etc/resolv.conf");
        assert_string_equal(brief.server_binds[1].target, "/run/root/etc/hosts");
        assert_true(brief.server_binds[1].flags & MS_RDONLY);
        assert_string_equal(brief.server_binds[ARRAY_SIZE(brief.server_binds) - 1].source, "");
}

static void test_a_memory_file_can_be_opened_by_its_number_and_not_be_changed(void **state)
{
        char name[64], text[16] = "";
        int fd = -1;
        FILE *file;

        (void)state;
        assert_int_equal(memory_file("test", "secret", 6, &fd), 0);
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        for (int i = 0; i < 2; i++) {
                file = fopen(name, "r");
                assert_non_null(file);
                assert_int_equal(fread(text, 1, sizeof text, file), 6);
                fclose(file);
        }
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        close(fd);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_become_what_the_files_hold),
                cmocka_unit_test(test_what_is_no_pem_file_is_named),
                cmocka_unit_test(test_the_largest_files_arrive_whole),
                cmocka_unit_test(test_either_the_data_or_what_finds_redis_is_bound),
                cmocka_unit_test(test_a_memory_file_can_be_opened_by_its_number_and_not_be_changed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
