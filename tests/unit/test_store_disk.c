/*
 * The embedded store on a bad disk: slow, failing, full, read-only, damaged. SQLite's own calls of read and
 * write are led through this program, which is how SQLite's authors test such things too; a full disk and a
 * read-only one are real where the tests run as root.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "sqlite_place.h"

/* What becomes of SQLite's calls. */
static struct {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        int write_error, read_error; /* errno instead of doing it; 0: none */
        bool writes_hang;
        size_t n_hanging;
} disk = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static ssize_t disk_write(int fd, const void *data, size_t size, off_t at)
{
        int error;

        pthread_mutex_lock(&disk.mutex);
        disk.n_hanging++;
        pthread_cond_broadcast(&disk.changed);
        while (disk.writes_hang)
                pthread_cond_wait(&disk.changed, &disk.mutex);
        disk.n_hanging--;
        error = disk.write_error;
        pthread_mutex_unlock(&disk.mutex);
        if (!error)
                return pwrite(fd, data, size, at);
        errno = error;
        return -1;
}

static ssize_t disk_read(int fd, void *data, size_t size, off_t at)
{
        int error;

        pthread_mutex_lock(&disk.mutex);
        error = disk.read_error;
        pthread_mutex_unlock(&disk.mutex);
        if (!error)
                return pread(fd, data, size, at);
        errno = error;
        return -1;
}

static void disk_set(bool writes_hang, int write_error, int read_error)
{
        pthread_mutex_lock(&disk.mutex);
        disk.writes_hang = writes_hang;
        disk.write_error = write_error;
        disk.read_error = read_error;
        pthread_cond_broadcast(&disk.changed);
        pthread_mutex_unlock(&disk.mutex);
}

static void disk_wait_for_hanging(void)
{
        pthread_mutex_lock(&disk.mutex);
        while (disk.n_hanging == 0)
                pthread_cond_wait(&disk.changed, &disk.mutex);
        pthread_mutex_unlock(&disk.mutex);
}

/* SQLite calls one of the two, as it was built. */
static int disk_setup(void **state)
{
        sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

        (void)state;
        vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)disk_write);
        vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)disk_write);
        vfs->xSetSystemCall(vfs, "pread", (sqlite3_syscall_ptr)disk_read);
        vfs->xSetSystemCall(vfs, "pread64", (sqlite3_syscall_ptr)disk_read);
        return 0;
}

/* The disk is well again, however the test ended. */
static int disk_teardown(void **state)
{
        disk_set(false, 0, 0);
        return suite_teardown(state);
}

#define disk_test(test) cmocka_unit_test_setup_teardown(test, suite_setup, disk_teardown)

static void on_done(struct store_request *request)
{
        request->done = NULL;
}

static void test_reading_goes_on_while_a_write_hangs(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "2");
        struct store_request put = {
                .operation = STORE_PUT, .given = &given, .now_ms = 2000, .done = on_done
        };

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "b", "1", 1000);
        disk_set(true, 0, 0);
        store_start(suite->store, &put);
        disk_wait_for_hanging();
        for (int i = 0; i < 20; i++) {
                suite_expect_code(suite, "a", 0, "1");
                suite_expect_list(suite, "", NULL, 10, "a b");
        }
        assert_non_null(put.done);
        disk_set(false, 0, 0);
        while (put.done)
                event_base_loop(suite->base, EVLOOP_ONCE);
        assert_int_equal(put.r, 0);
        assert_int_equal(put.latest, 2000);
        suite_expect_code(suite, "a", 0, "2");
        store_request_deinit(&put);
}

static void test_a_failing_write_keeps_nothing_and_is_no_end(void **state)
{
        static const struct {
                int error;
                const char *words;
        } cases[] = { { EIO, "disk I/O error" }, { ENOSPC, "full" }, { EROFS, "disk I/O error" } };
        struct suite *suite = *state;
        struct store_request remove = { .operation = STORE_REMOVE, .path = "a" };

        suite_put(suite, "a", "1", 1000);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                disk_set(false, cases[i].error, 0);
                place_put_unavailable(suite, "a", "2", cases[i].words);
                place_put_unavailable(suite, "b", "2", cases[i].words);
                place_expect_unavailable(suite, &remove, cases[i].words);
                suite_expect_code(suite, "a", 0, "1");
                disk_set(false, 0, 0);
                suite_expect_code(suite, "a", 0, "1");
                suite_expect_list(suite, "", NULL, 10, "a");
        }
        assert_int_equal(suite_put(suite, "a", "2", 1), 1001);
        suite_reopen(suite);
        suite_expect_code(suite, "a", 0, "2");
        suite_expect_code(suite, "a", 1000, "1");
}

static void test_a_failing_read_is_not_the_same_as_nothing_there(void **state)
{
        static const enum store_operation operations[] = { STORE_GET, STORE_LIST, STORE_DESCRIBE };
        struct suite *suite = *state;

        suite_put(suite, "a", "1", 1000);
        suite_reopen(suite); /* so that nothing is in its memory */
        for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
                struct store_request request = { .operation = operations[i], .path = "a", .limit = 1 };

                disk_set(false, 0, EIO);
                place_expect_unavailable(suite, &request, "SQLite code");
                place_put_unavailable(suite, "a", "2", "SQLite code");
                disk_set(false, 0, 0);
                assert_int_equal(suite_ask(suite, &request), 0);
                store_request_deinit(&request);
                suite_expect_code(suite, "a", 0, "1");
                suite_reopen(suite);
        }
}

/* Two versions of code that no page holds. */
static void put_large(struct suite *suite, char letter)
{
        char code[20001];

        memset(code, letter, sizeof code - 1);
        code[sizeof code - 1] = 0;
        suite_put(suite, "large", code, 1000);
}

static void test_damaged_code_is_not_what_its_hash_says(void **state)
{
        struct suite *suite = *state;
        struct store_request get = { .operation = STORE_GET, .path = "large", .version = 1000 };

        put_large(suite, 'a');
        put_large(suite, 'b');
        sqlite3_close(place_sql(suite,
                "UPDATE function_version SET code = CAST(replace(code, 'aaaa', 'aaab') AS BLOB)"
                " WHERE version = 1000"));
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_false(store_version_is_whole(&get.found));
        store_request_deinit(&get);
        get.version = 0;
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_true(store_version_is_whole(&get.found));
        store_request_deinit(&get);
}

/* One table has lost what another one speaks of. */
static void test_what_contradicts_itself_is_an_error(void **state)
{
        struct suite *suite = *state;
        struct store_request list = { .operation = STORE_LIST, .path = "", .limit = 10 };
        struct store_version given = suite_version("b", "2");
        struct store_request put = { .operation = STORE_PUT, .given = &given, .now_ms = 1 };

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "b", "1", 1000);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1000), 0);
        sqlite3_close(place_sql(suite, "DELETE FROM function_version WHERE path = 'a';"
                                       "DELETE FROM function WHERE path = 'b'"));
        assert_int_equal(suite_get(suite, "a", 0, NULL), -EBADMSG);
        assert_int_equal(suite_get(suite, "a", 0, "prod"), -EBADMSG);
        assert_int_equal(suite_ask(suite, &list), -EBADMSG);
        store_request_deinit(&list);
        assert_int_equal(suite_get(suite, "b", 0, NULL), -EBADMSG);
        assert_int_equal(suite_ask(suite, &put), -EBADMSG);
        store_request_deinit(&put);
}

static void write_over(struct suite *suite, off_t at, const void *data, size_t size)
{
        int fd = open(place_of(suite)->file, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, size, at), size);
        close(fd);
}

static void test_what_is_no_database_is_refused(void **state)
{
        struct suite *suite = *state;
        char text[200];

        suite_put(suite, "a", "1", 1000);
        suite->store = store_free(suite->store);
        memset(text, 'x', sizeof text);
        write_over(suite, 0, text, sizeof text);
        place_expect_refusal(suite, place_of(suite)->directory, "not a database");
}

/* Whatever may be asked; the answers may be anything but wrong code with the right hash. */
static void ask_everything(struct suite *suite)
{
        static const enum store_operation operations[] = { STORE_LIST, STORE_DESCRIBE, STORE_GET, STORE_CHECK,
                STORE_REMOVE_ALIAS, STORE_PUT, STORE_KEEP_COMPILED, STORE_RESTORE, STORE_SET_ALIAS,
                STORE_REMOVE };
        struct store_version given = suite_version("p/03", "1"), content = given;

        given.version = 1000;
        for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
                struct store_request request = { .operation = operations[i],
                        .path = operations[i] == STORE_LIST ? "" : "p/03",
                        .alias = operations[i] == STORE_GET ? NULL : "prod",
                        .version = 1000,
                        .given = &given,
                        .now_ms = 1,
                        .limit = 100 };
                int r = suite_ask(suite, &request);

                assert_true(r >= 0 || r == -EBADMSG);
                assert_true(r != STORE_UNAVAILABLE || request.reason[0]);
                if (r == 0 && operations[i] == STORE_GET && store_version_is_whole(&request.found))
                        assert_string_equal(request.found.code.data, content.code.data);
                store_request_deinit(&request);
        }
}

static void test_damage_anywhere_is_survived(void **state)
{
        struct suite *suite = *state;
        char path[16], saved[112], command[512];
        struct store *store;
        unsigned seed = 1;
        struct stat stat_before;

        for (int i = 0; i < 40; i++) {
                snprintf(path, sizeof path, "p/%02d", i / 2);
                suite_put(suite, path, i % 2 ? "2" : "1", 1000);
        }
        put_large(suite, 'a');
        assert_int_equal(suite_set_alias(suite, "p/03", "prod", 1000), 0);
        suite->store = store_free(suite->store);
        snprintf(saved, sizeof saved, "%s.saved", place_of(suite)->file);
        assert_int_equal(rename(place_of(suite)->file, saved), 0);
        assert_int_equal(stat(saved, &stat_before), 0);
        for (int round = 0; round < 150; round++) {
                char junk[48], error[512];

                snprintf(command, sizeof command, "rm -f %s-*; cp %s %s", place_of(suite)->file, saved,
                        place_of(suite)->file);
                assert_int_equal(system(command), 0);
                for (size_t i = 0; i < sizeof junk; i++)
                        junk[i] = (char)rand_r(&seed);
                for (int i = 0; i < 4; i++)
                        write_over(suite, rand_r(&seed) % (stat_before.st_size - (off_t)sizeof junk), junk,
                                (size_t)rand_r(&seed) % sizeof junk + 1);
                if (store_open_sqlite(suite->base, place_of(suite)->directory, &store, error, sizeof error) !=
                        0)
                        continue;
                suite->store = store;
                ask_everything(suite);
                suite->store = store_free(suite->store);
        }
}

/* A small disk in the place of the store's directory, or none if these tests may not mount. */
static bool mount_small(struct suite *suite)
{
        suite->store = store_free(suite->store);
        if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("tmpfs", place_of(suite)->directory, "tmpfs", 0, "size=1m") == 0) {
                suite->store = suite->kind->open(suite->place, suite->base);
                return true;
        }
        suite->store = suite->kind->open(suite->place, suite->base);
        return false;
}

static void unmount_small(struct suite *suite)
{
        suite->store = store_free(suite->store);
        assert_int_equal(umount(place_of(suite)->directory), 0);
}

/* Writes until there is no room; the file's name is for taking it away. */
static void fill(struct suite *suite, char *ret_name, size_t size)
{
        static const char zeros[4096];
        int fd;

        snprintf(ret_name, size, "%s/filler", place_of(suite)->directory);
        fd = open(ret_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        while (write(fd, zeros, sizeof zeros) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
        close(fd);
}

static void test_a_full_disk_is_noticed_and_nothing_is_lost(void **state)
{
        struct suite *suite = *state;
        struct store_request check = { .operation = STORE_CHECK };
        char filler[112];

        if (!mount_small(suite)) {
                print_message("not allowed to mount: no full disk\n");
                return;
        }
        put_large(suite, '0');
        assert_int_equal(suite_ask(suite, &check), 0);
        store_request_deinit(&check);
        fill(suite, filler, sizeof filler);
        place_expect_unavailable(suite, &check, "No space left on device");
        for (int i = 0; i < 3; i++) {
                struct store_version given = suite_version("large", "");
                struct store_request put = { .operation = STORE_PUT, .given = &given, .now_ms = 1 };
                char code[60001];

                memset(code, '1' + i, sizeof code);
                given.code = (struct store_bytes){ code, sizeof code };
                store_hash(code, sizeof code, given.hash);
                place_expect_unavailable(suite, &put, "full");
                assert_int_equal(suite_get(suite, "large", 1000, NULL), 0);
        }
        assert_int_equal(unlink(filler), 0);
        assert_int_equal(suite_ask(suite, &check), 0);
        store_request_deinit(&check);
        assert_int_equal(suite_put(suite, "large", "small", 1), 1001);
        suite_reopen(suite);
        suite_expect_code(suite, "large", 0, "small");
        assert_int_equal(suite_get(suite, "large", 1000, NULL), 0);
        unmount_small(suite);
}

static void test_a_read_only_disk_is_noticed_and_still_read(void **state)
{
        struct suite *suite = *state;
        struct store_request check = { .operation = STORE_CHECK };
        const char *directory = place_of(suite)->directory;

        if (!mount_small(suite)) {
                print_message("not allowed to mount: no read-only disk\n");
                return;
        }
        suite_put(suite, "a", "1", 1000);
        suite_expect_code(suite, "a", 0, "1");
        /* A disk with files open for writing is not made read-only from outside; but a second view of it is.
         */
        assert_int_equal(mount(directory, directory, "none", MS_BIND, NULL), 0);
        assert_int_equal(mount("none", directory, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
        place_expect_unavailable(suite, &check, "Read-only file system");
        suite_expect_code(suite, "a", 0, "1");
        assert_int_equal(umount(directory), 0);
        assert_int_equal(suite_ask(suite, &check), 0);
        store_request_deinit(&check);

        suite->store = store_free(suite->store);
        assert_int_equal(mount("none", directory, "none", MS_REMOUNT | MS_RDONLY, NULL), 0);
        place_expect_refusal(suite, directory, "read-only file system");
        assert_int_equal(mount("none", directory, "none", MS_REMOUNT, NULL), 0);
        suite->store = suite->kind->open(suite->place, suite->base);
        suite_expect_code(suite, "a", 0, "1");
        unmount_small(suite);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                disk_test(test_reading_goes_on_while_a_write_hangs),
                disk_test(test_a_failing_write_keeps_nothing_and_is_no_end),
                disk_test(test_a_failing_read_is_not_the_same_as_nothing_there),
                disk_test(test_damaged_code_is_not_what_its_hash_says),
                disk_test(test_what_contradicts_itself_is_an_error),
                disk_test(test_what_is_no_database_is_refused),
                disk_test(test_damage_anywhere_is_survived),
                disk_test(test_a_full_disk_is_noticed_and_nothing_is_lost),
                disk_test(test_a_read_only_disk_is_noticed_and_still_read),
        };

        suite_use(&sqlite_kind);
        return cmocka_run_group_tests_name("store: bad disks", tests, disk_setup, NULL);
}
