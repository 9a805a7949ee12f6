/*
 * Theory of operation. What a fork costs is page tables to copy, pages to copy when they are written, and all
 * of it to be torn down at the end. A warm interpreter has some 16 MiB of memory of its own; a call writes
 * to 1 MiB of it, because it counts references all over the heap. Three things are done about that.
 *
 * Frozen. What private writable memory was ever touched is copied to a sealed memory file, which is mapped in
 * its place. The
 * template has then no page of it in its page tables, so a fork has none to copy. It holds as long as the
 * template does not touch the pages itself: it waits in C, on a few pages of its own.
 *
 * Handed over. Nearly all pages that a call writes are written by every call. A first probe, a fork, goes the
 * way of a call and shows which they are. Left to themselves they would be copied one by one, by a page
 * fault each: 2 to 5 us. Instead the template registers them as buffers of an io_uring that is used for
 * nothing else. Such pages are pinned, and a pinned page may not be shared copy-on-write with a child: fork()
 * copies it at once (Linux 5.11, commit 70e806e4e645), which costs a third. In the child they are ordinary
 * pages, its own, and already there. They are charged to the template's cgroup, since it is the template that
 * forks.
 *
 * Mapped. What a call only reads would be mapped by page faults too, 16 pages at a time. The template maps
 * such pages itself, and a fork copies the entries, which takes some 20 ns each. The first probe shows
 * roughly which ones, a second one exactly: fork() leaves entries marked as unused, so what is marked as used
 * at its end, was. smaps tells this of mappings, not of pages, so the probe makes each page a mapping of its
 * own.
 */
#include "guest/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/io_uring.h>

#include "base/fd.h"
#include "base/macros.h"

enum {
        MAPPINGS_MAX = 8192,
        RANGES_MAX = 8192,
        MAPS_MAX = 1 << 20,
        PAGE = 4096,
        PAGES_AT_ONCE = 512,
        OWN_PAGE_MIN = 4,
        GAP = 1 << 20 /* bytes */,
        FORGET = 1 << 20
};

/* Of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
static const uint64_t PAGE_PRESENT = UINT64_C(1) << 63, PAGE_OF_FILE = UINT64_C(1) << 61,
                      PAGE_SWAPPED = UINT64_C(1) << 62, PAGE_EXCLUSIVE = UINT64_C(1) << 56;

struct mapping {
        uintptr_t start, end;
        int protection;
};

struct ranges {
        size_t n;
        struct iovec list[RANGES_MAX];
};

struct image {
        unsigned probes;                        /* that have ended */
        struct rlimit file_limit, locked_limit; /* as they were */
        size_t n_mappings;
        struct mapping mappings[MAPPINGS_MAX]; /* private ones, the stack among them */
        struct ranges written, read;           /* by the probe */
        char maps[MAPS_MAX];
};

static void limit_raise(int resource, struct rlimit *ret_before)
{
        getrlimit(resource, ret_before);
        setrlimit(resource, &(struct rlimit){ ret_before->rlim_max, ret_before->rlim_max });
}

struct image *image_new(void)
{
        struct image *image =
                mmap(NULL, sizeof *image, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (image == MAP_FAILED)
                return NULL;
        limit_raise(RLIMIT_FSIZE, &image->file_limit);
        limit_raise(RLIMIT_MEMLOCK, &image->locked_limit);
        return image;
}

struct image *image_free(struct image *image)
{
        if (!image)
                return NULL;
        setrlimit(RLIMIT_FSIZE, &image->file_limit);
        setrlimit(RLIMIT_MEMLOCK, &image->locked_limit);
        munmap(image, sizeof *image);
        return NULL;
}

static int maps_read(char *text, size_t size)
{
        _cleanup_(fd_closep) int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        size_t length = 0;
        ssize_t n = 0;

        if (fd < 0)
                return -errno;
        while (length < size - 1 && (n = read(fd, text + length, size - 1 - length)) > 0)
                length += (size_t)n;
        text[length] = '\0';
        return n < 0 ? -errno : length == size - 1 ? -E2BIG : 0;
}

/* "start-end rwxp offset device inode path" */
static bool maps_line(const char *line, struct mapping *ret_mapping)
{
        char permissions[5] = "", path[16] = "";
        unsigned long start = 0, end = 0;

        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %15s", &start, &end, permissions, path) < 3)
                return false;
        *ret_mapping = (struct mapping){ .start = start,
                .end = end,
                .protection = (permissions[0] == 'r' ? PROT_READ : 0) |
                              (permissions[1] == 'w' ? PROT_WRITE : 0) |
                              (permissions[2] == 'x' ? PROT_EXEC : 0) };
        return permissions[0] == 'r' && permissions[3] == 'p' && strncmp(path, "[v", 2) != 0;
}

static int image_list(struct image *image)
{
        int r = maps_read(image->maps, sizeof image->maps);

        for (char *line = image->maps, *end; r == 0 && (end = strchr(line, '\n')); line = end + 1) {
                *end = '\0';
                if (!maps_line(line, &image->mappings[image->n_mappings]))
                        continue;
                if (++image->n_mappings == MAPPINGS_MAX)
                        r = -E2BIG;
        }
        return r;
}

static int pages_read(int pagemap, uintptr_t at, uint64_t *ret_pages, size_t n)
{
        ssize_t length = (ssize_t)(n * sizeof *ret_pages);

        return pread(pagemap, ret_pages, (size_t)length, (off_t)(at / PAGE * sizeof *ret_pages)) == length
                       ? 0
                       : -EIO;
}

static bool page_is_there(uint64_t page)
{
        return page & (PAGE_PRESENT | PAGE_SWAPPED);
}

/* Not the stack that this very function runs on, and not what a JIT guards with keys of the processor. */
static bool mapping_can_move(const struct mapping *mapping)
{
        uintptr_t stack = (uintptr_t)__builtin_frame_address(0);

        return mapping->protection == (PROT_READ | PROT_WRITE) &&
               (stack < mapping->start || stack >= mapping->end);
}

struct frozen {
        int pagemap, file;
        off_t offset; /* where the next piece goes */
};

/* Every page: one that was never touched becomes one of zeroes. Left out it would be made by the first cell
 * that touches it, for all to notice. Only system calls: the memory that is copied may be that of malloc().
 */
static int piece_copy(const struct frozen *frozen, uintptr_t start, uintptr_t end)
{
        static const char zeroes[PAGE];
        uint64_t pages[PAGES_AT_ONCE];

        for (uintptr_t at = start; at < end;) {
                size_t n = MIN((end - at) / PAGE, (size_t)PAGES_AT_ONCE);

                if (pages_read(frozen->pagemap, at, pages, n) < 0)
                        return -EIO;
                for (size_t i = 0; i < n; i++, at += PAGE) {
                        const void *page = page_is_there(pages[i]) ? (const void *)at : zeroes;

                        if (pwrite(frozen->file, page, PAGE, frozen->offset + (off_t)(at - start)) != PAGE)
                                return -EIO;
                }
        }
        return 0;
}

/* It goes into the file and comes back from it. Between the two nothing may write to it. */
static int piece_freeze(struct frozen *frozen, const struct mapping *mapping, uintptr_t start, uintptr_t end)
{
        size_t length = end - start;
        int r;

        if (ftruncate(frozen->file, frozen->offset + (off_t)length) < 0)
                return -errno;
        r = piece_copy(frozen, start, end);
        if (r == 0 && mmap((void *)start, length, mapping->protection, MAP_PRIVATE | MAP_FIXED, frozen->file,
                              frozen->offset) == MAP_FAILED)
                r = -errno;
        frozen->offset += (off_t)length;
        return r;
}

/* In pieces: long stretches that were never touched, as of a thread's stack, stay what they are. */
static int mapping_freeze(struct frozen *frozen, const struct mapping *mapping)
{
        uintptr_t start = 0, end = 0; /* of the piece; 0: none yet */
        uint64_t page;
        int r = 0;

        for (uintptr_t at = mapping->start; r == 0 && at < mapping->end; at += PAGE) {
                if (pages_read(frozen->pagemap, at, &page, 1) < 0)
                        return -EIO;
                if (!page_is_there(page))
                        continue;
                if (end && at - end > GAP) {
                        r = piece_freeze(frozen, mapping, start, end);
                        start = at;
                } else if (!end) {
                        start = at - mapping->start > GAP ? at : mapping->start;
                }
                end = at + PAGE;
        }
        if (r < 0 || !end)
                return r;
        return piece_freeze(frozen, mapping, start, mapping->end - end > GAP ? end : mapping->end);
}

int image_freeze(struct image *image)
{
        struct frozen frozen = { .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
                .file = memfd_create("mayfly-image", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
        int r = frozen.pagemap < 0 || frozen.file < 0 ? -errno : image_list(image);

        for (size_t i = 0; r == 0 && i < image->n_mappings; i++) {
                if (mapping_can_move(&image->mappings[i]))
                        r = mapping_freeze(&frozen, &image->mappings[i]);
        }
        if (r == 0 &&
                fcntl(frozen.file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                r = -errno;
        fd_closep(&frozen.pagemap);
        fd_closep(&frozen.file);
        return r;
}

/* Written by this process since it was forked: its own, and nobody else's. */
static bool page_is_own(uint64_t page)
{
        return page & PAGE_PRESENT && page & PAGE_EXCLUSIVE && !(page & PAGE_OF_FILE);
}

static void ranges_add(struct ranges *ranges, uintptr_t page)
{
        struct iovec *last = &ranges->list[ranges->n - (ranges->n > 0)];

        if (ranges->n > 0 && (uintptr_t)last->iov_base + last->iov_len == page)
                last->iov_len += PAGE;
        else if (ranges->n < RANGES_MAX)
                ranges->list[ranges->n++] = (struct iovec){ .iov_base = (void *)page, .iov_len = PAGE };
}

typedef void page_visitor(struct image *image, const struct mapping *mapping, uintptr_t at, uint64_t page);

static void mapping_visit(
        struct image *image, const struct mapping *mapping, int pagemap, page_visitor *visit)
{
        uint64_t pages[PAGES_AT_ONCE];

        for (uintptr_t at = mapping->start; at < mapping->end;) {
                size_t n = MIN((mapping->end - at) / PAGE, (size_t)PAGES_AT_ONCE);

                if (pages_read(pagemap, at, pages, n) < 0)
                        return;
                for (size_t i = 0; i < n; i++, at += PAGE)
                        visit(image, mapping, at, pages[i]);
        }
}

/* All pages of its mappings, by their entries in /proc/self/pagemap. */
static void image_visit(struct image *image, page_visitor *visit)
{
        _cleanup_(fd_closep) int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

        for (size_t i = 0; pagemap >= 0 && i < image->n_mappings; i++)
                mapping_visit(image, &image->mappings[i], pagemap, visit);
}

/* A mapping of its own: every second page gets a flag that its neighbours have not. */
static void page_set_apart(struct image *image, const struct mapping *mapping, uintptr_t at, uint64_t page)
{
        (void)image, (void)mapping;
        if (page & PAGE_PRESENT && at / PAGE % 2)
                madvise((void *)at, PAGE, MADV_DONTDUMP);
}

static void page_note(struct image *image, const struct mapping *mapping, uintptr_t at, uint64_t page)
{
        if (page_is_own(page) && mapping->protection & PROT_WRITE)
                ranges_add(&image->written, at);
        else if (page & PAGE_PRESENT && page & PAGE_OF_FILE)
                ranges_add(&image->read, at);
}

static void image_note_referenced(struct image *image)
{
        unsigned long start = 0, end = 0, kilobytes;
        char line[512];
        FILE *smaps = fopen("/proc/self/smaps", "re");

        image->read.n = 0;
        while (smaps && fgets(line, sizeof line, smaps)) {
                if (line[0] < 'A' || line[0] > 'Z')
                        sscanf(line, "%lx-%lx", &start, &end);
                else if (sscanf(line, "Referenced: %lu", &kilobytes) == 1 && kilobytes > 0 &&
                         end - start == PAGE)
                        ranges_add(&image->read, start);
        }
        if (smaps)
                fclose(smaps);
}

void image_begin(struct image *image)
{
        int fd;

        if (image->probes == 0)
                return;
        image_visit(image, page_set_apart);
        /* Files of the page cache have a mark of their own, which would count, too. */
        fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "1", 1) != 1)
                image->probes++; /* what the first probe has shown must do */
        fd_closep(&fd);
}

void image_learn(struct image *image)
{
        image->probes++;
        if (image->probes == 1)
                image_visit(image, page_note);
        else if (image->probes == 2)
                image_note_referenced(image);
}

/* How many of its pages are read; *ret_first becomes one of them. */
static size_t mapping_pages_read(const struct mapping *mapping, const struct ranges *read, char **ret_first)
{
        size_t pages = 0;

        for (size_t i = 0; i < read->n; i++) {
                uintptr_t start = (uintptr_t)read->list[i].iov_base;

                if (start < mapping->start || start >= mapping->end)
                        continue;
                if (pages == 0)
                        *ret_first = read->list[i].iov_base;
                pages += read->list[i].iov_len / PAGE;
        }
        return pages;
}

/* fork() leaves the page table of a file mapping behind unless it has a page of its own: give it one. */
static void mapping_own_page(const struct mapping *mapping, volatile char *page)
{
        size_t length = mapping->end - mapping->start;

        if (mprotect((void *)mapping->start, length, mapping->protection | PROT_WRITE) < 0)
                return;
        *page = *page;
        mprotect((void *)mapping->start, length, mapping->protection);
}

static bool ranges_have(const struct ranges *ranges, uintptr_t page)
{
        size_t low = 0, high = ranges->n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                uintptr_t start = (uintptr_t)ranges->list[middle].iov_base;

                if (page < start)
                        high = middle;
                else if (page >= start + ranges->list[middle].iov_len)
                        low = middle + 1;
                else
                        return true;
        }
        return false;
}

/* The kernel maps 16 pages where one is asked for. A page of a file comes back when it is needed. */
static void page_drop(struct image *image, const struct mapping *mapping, uintptr_t at, uint64_t page)
{
        (void)mapping;
        if (page & PAGE_PRESENT && page & PAGE_OF_FILE && !ranges_have(&image->read, at))
                madvise((void *)at, PAGE, MADV_DONTNEED);
}

static void image_map_read(struct image *image)
{
        for (size_t i = 0; i < image->n_mappings; i++) {
                const struct mapping *mapping = &image->mappings[i];
                char *page;

                if (!(mapping->protection & PROT_WRITE) &&
                        mapping_pages_read(mapping, &image->read, &page) >= OWN_PAGE_MIN)
                        mapping_own_page(mapping, page);
        }
        for (size_t i = 0; i < image->read.n; i++)
                madvise(image->read.list[i].iov_base, image->read.list[i].iov_len, MADV_POPULATE_READ);
}

void image_settle(struct image *image)
{
        image_visit(image, page_drop);
}

int image_hand_over(struct image *image)
{
        struct io_uring_params parameters = { 0 };
        /* Open as long as the template lives; its cells have it closed or covered like all that is not
         * theirs. */
        int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);

        if (ring < 0)
                return -errno;
        if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, image->written.list,
                    image->written.n) < 0) {
                int r = -errno;

                close(ring);
                return r;
        }
        image_map_read(image);
        return 0;
}
