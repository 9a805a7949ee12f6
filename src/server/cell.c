/*
 * A cell's life here: STARTING (KEEPER_START was sent) → READY (it said so) → SPOKEN (it sent its last frame,
 * or broke the protocol, or its owner has heard enough) → gone with KEEPER_DONE. A call may be handed over
 * before READY; it waits in the socket.
 *
 * KEEPER_DONE and the cell's own last words come on different descriptors, and the loop may see them in
 * either order. So at KEEPER_DONE the channel and the pipes are read to their end first.
 *
 * The pool (spares and templates) is in cell_pool.c.
 */

#include "server/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/settings.h"
#include "server/cell_pool.h"
#include "server/keeper_link.h"

enum { READ_CHUNK = 65536, OUTPUT_TURN_BYTES = 4 * READ_CHUNK };

static void cell_tell(struct cell *cell, const struct cell_notice *notice)
{
        if (cell->owner)
                cell->owner(cell, notice, cell->context);
        else
                cell_pool_hear(cell, notice);
}

static void cell_stop_reading(struct cell *cell)
{
        event_del(&cell->readable);
        cell->frames.phase = CELL_SPOKEN;
}

static void cell_misbehave(struct cell *cell, const char *fault)
{
        struct cell_notice notice = { .news = CELL_MISBEHAVED, .fault = fault };

        cell_stop_reading(cell);
        cell_kill(cell);
        cell_tell(cell, &notice);
}

static void cell_take_event(struct cell *cell, enum frames_news news, const struct frames_event *event)
{
        struct cell_notice notice = { .news = news == FRAMES_LARGE ? CELL_SENT_LARGE : CELL_SENT_FRAME,
                .frame = event->kind,
                .body = event->body,
                .length = event->length };

        if (news == FRAMES_READY) {
                cell_pool_stop_waiting(cell);
                cell_tell(cell, &(struct cell_notice){ .news = CELL_IS_READY });
        } else if (news == FRAMES_FAULT) {
                cell_misbehave(cell, event->fault);
        } else {
                cell_stop_reading(cell);
                cell_tell(cell, &notice);
                frames_deinit(&cell->frames);
        }
}

static void cell_hear(struct cell *cell, const char *data, size_t length)
{
        struct frames_event event;
        enum frames_news news;
        size_t used;

        while ((news = frames_read(&cell->frames, data, length, &used, &event)) != FRAMES_MORE) {
                data += used;
                length -= used;
                cell_take_event(cell, news, &event);
        }
}

/* Reads until there is nothing now. Bounded: the longest frame ends it. */
void cell_read(struct cell *cell)
{
        char chunk[READ_CHUNK];

        while (cell->frames.phase != CELL_SPOKEN && !cell->eof) {
                /* Descriptors that come along are dropped by the kernel: there is no room for them. */
                ssize_t n = recv(cell->channel, chunk, sizeof chunk, MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) {
                        /* A script may close its channel and run on: KEEPER_DONE tells how it ended. */
                        cell->eof = true;
                        event_del(&cell->readable);
                        return;
                }
                cell_hear(cell, chunk, (size_t)n);
        }
}

static void cell_on_readable(evutil_socket_t fd, short what, void *context)
{
        struct cell *cell = context;

        (void)fd, (void)what;
        cell_read(cell);
        if (!cell->owner)
                cell_pool_look(cell);
}

static void cell_write(struct cell *cell)
{
        while (cell->outbox.length > cell->outbox_sent) {
                ssize_t n = send(cell->channel, cell->outbox.data + cell->outbox_sent,
                        cell->outbox.length - cell->outbox_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        event_add(&cell->writable, NULL);
                        return;
                }
                if (n < 0)
                        break; /* nobody reads it any more: KEEPER_DONE tells why */
                cell->outbox_sent += (size_t)n;
        }
        bytes_deinit(&cell->outbox);
        cell->outbox_sent = 0;
}

static void cell_on_writable(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        cell_write(context);
}

static enum cell_stream pipe_stream(const struct cell_pipe *pipe)
{
        return (enum cell_stream)(pipe - pipe->cell->pipes);
}

static void pipe_close(struct cell_pipe *pipe)
{
        event_del(&pipe->readable);
        fd_closep(&pipe->fd);
}

/* One stream, up to `most` bytes. 0 or CELL_FULL; *ret_taken bytes came. */
static int cell_read_stream(struct cell_pipe *pipe, size_t most, size_t *ret_taken)
{
        struct cell *cell = pipe->cell;
        char chunk[READ_CHUNK];

        for (*ret_taken = 0; pipe->fd >= 0 && *ret_taken < most;) {
                ssize_t n = read(pipe->fd, chunk, sizeof chunk);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n <= 0) {
                        pipe_close(pipe);
                        return 0;
                }
                *ret_taken += (size_t)n;
                if (transcript_append(cell->transcript, pipe_stream(pipe), chunk, (size_t)n) != 0) {
                        /* Not closed: the cell is to wait in its write(2) until it is killed, and not to
                         * learn of it. */
                        event_del(&pipe->readable);
                        cell->full = true;
                        return CELL_FULL;
                }
        }
        return 0;
}

static void cell_on_output(evutil_socket_t fd, short what, void *context)
{
        struct cell_pipe *pipe = context;
        size_t taken;
        int r;

        (void)fd, (void)what;
        r = cell_read_stream(pipe, OUTPUT_TURN_BYTES, &taken);
        if (r == CELL_FULL)
                cell_tell(pipe->cell, &(struct cell_notice){ .news = CELL_OUTPUT_FULL });
        else if (taken > 0)
                cell_tell(pipe->cell, &(struct cell_notice){ .news = CELL_HAS_OUTPUT });
}

int cell_drain(struct cell *cell)
{
        size_t taken;

        for (size_t i = 0; cell->transcript && i < CELL_STREAMS; i++)
                cell_read_stream(&cell->pipes[i], SIZE_MAX, &taken);
        return cell->full ? CELL_FULL : 0;
}

static int cell_watch_pipes(struct cell *cell)
{
        for (size_t i = 0; i < CELL_STREAMS; i++) {
                struct cell_pipe *pipe = &cell->pipes[i];

                if (pipe->fd < 0)
                        continue;
                if (!cell->transcript || cell->paused || cell->full)
                        event_del(&pipe->readable);
                else if (event_add(&pipe->readable, NULL) < 0)
                        return error_trace(-ENOMEM);
        }
        return 0;
}

void cell_pause(struct cell *cell, bool paused)
{
        if (cell->paused == paused)
                return;
        cell->paused = paused;
        /* Without memory to look again the cell waits until its deadline. */
        cell_watch_pipes(cell);
}

/* One pipe: its far end goes to *ret_far. */
static int cell_open_pipe(struct cell *cell, struct cell_pipe *pipe, int *ret_far)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        pipe->fd = ends[0];
        *ret_far = ends[1];
        evutil_make_socket_nonblocking(pipe->fd);
        pipe->cell = cell;
        event_assign(
                &pipe->readable, cell->cells->base, pipe->fd, EV_READ | EV_PERSIST, cell_on_output, pipe);
        return 0;
}

static int cell_open_channel(struct cell *cell, int *ret_far)
{
        struct event_base *base = cell->cells->base;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        cell->channel = ends[0];
        *ret_far = ends[1];
        event_assign(&cell->readable, base, cell->channel, EV_READ | EV_PERSIST, cell_on_readable, cell);
        event_assign(&cell->writable, base, cell->channel, EV_WRITE, cell_on_writable, cell);
        return event_add(&cell->readable, NULL) < 0 ? -ENOMEM : 0;
}

static void cell_close_far(int fds[KEEPER_FDS_PER_CELL])
{
        for (size_t i = 0; i < KEEPER_FDS_PER_CELL; i++)
                fd_closep(&fds[i]);
}

/* Opens channel and pipes and sends their far ends to the keeper. */
static int cell_launch(struct cell *cell)
{
        int far[KEEPER_FDS_PER_CELL] = { -1, -1, -1 };
        int r;

        r = cell_open_channel(cell, &far[0]);
        for (size_t i = 0; r == 0 && i < CELL_STREAMS; i++)
                r = cell_open_pipe(cell, &cell->pipes[i], &far[i + 1]);
        if (r < 0) {
                cell_close_far(far);
                return error_trace(r);
        }
        return keeper_link_start(cell->cells->link, cell->pool->place, cell->id, far);
}

int cell_new(struct cell_pool *pool, struct cell **ret_cell)
{
        struct cells *cells = pool->cells;
        struct cell *cell = calloc(1, sizeof *cell);
        int r;

        if (!cell)
                return error_trace(-ENOMEM);
        cell->cells = cells;
        cell->pool = pool;
        pool->n_cells++;
        cell->id = ++cells->last_id;
        cell->born_us = clock_us();
        cell->channel = cell->pipes[CELL_STDOUT].fd = cell->pipes[CELL_STDERR].fd = -1;
        frames_init(&cell->frames, cells->settings->output_max_bytes, cells->settings->code_max_bytes);
        bytes_init(&cell->outbox, SIZE_MAX / 2);
        list_init(&cell->spare);
        list_append(&cells->all, &cell->link);
        r = cell_launch(cell);
        if (r < 0) {
                cell_free(cell);
                return r;
        }
        *ret_cell = cell;
        return 0;
}

void cell_free(struct cell *cell)
{
        list_remove(&cell->link);
        list_remove(&cell->spare);
        cell->pool->n_cells--;
        cell_pool_stop_waiting(cell);
        if (cell->channel >= 0) {
                event_del(&cell->readable);
                event_del(&cell->writable);
                fd_closep(&cell->channel);
        }
        for (size_t i = 0; i < CELL_STREAMS; i++) {
                if (cell->pipes[i].fd >= 0)
                        event_del(&cell->pipes[i].readable);
                fd_closep(&cell->pipes[i].fd);
        }
        frames_deinit(&cell->frames);
        bytes_deinit(&cell->outbox);
        free(cell);
}

bool cell_is_ready(const struct cell *cell)
{
        return cell->frames.phase == CELL_READY;
}

/* Sends what the socket takes now; the rest goes to the outbox. */
static int cell_send(struct cell *cell, struct iovec *parts, size_t n_parts)
{
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
        ssize_t sent = sendmsg(cell->channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        size_t skip = sent > 0 ? (size_t)sent : 0;

        if (sent < 0 && errno != EAGAIN && errno != EINTR)
                return 0; /* it is gone: KEEPER_DONE tells why */
        for (size_t i = 0; i < n_parts; i++) {
                size_t passed = MIN(skip, parts[i].iov_len);

                skip -= passed;
                if (passed == parts[i].iov_len)
                        continue;
                if (bytes_append(&cell->outbox, (char *)parts[i].iov_base + passed,
                            parts[i].iov_len - passed) != 0)
                        return error_trace(-ENOMEM);
        }
        cell_write(cell);
        return 0;
}

int cell_limit(struct cell *cell, const struct keeper_limit *limit)
{
        struct keeper_limit message = *limit;

        message.cell = cell->id;
        return keeper_link_limit(cell->cells->link, &message);
}

/* One that has been muted meanwhile needs no limits any more. */
void cell_limited(struct cell *cell, int error)
{
        if (!cell->muted)
                cell_tell(cell, &(struct cell_notice){ .news = CELL_IS_LIMITED, .error = error });
}

int cell_call(struct cell *cell, const struct frame_call *call, const struct cell_parts *parts,
        struct transcript *transcript, size_t result_max)
{
        struct frame_header header = {
                .length = (uint32_t)sizeof *call + call->code_length + call->map_length + call->cache_length +
                          call->input_length,
                .kind = FRAME_CALL,
        };
        struct iovec whole[] = {
                { &header, sizeof header },
                { (void *)call, sizeof *call },
                { (void *)parts->code, call->code_length },
                { (void *)parts->map, call->map_length },
                { (void *)parts->cache, call->cache_length },
                { (void *)parts->input, call->input_length },
        };
        int r;

        cell->frames.has_call = true;
        cell->frames.result_max_bytes = result_max;
        cell->transcript = transcript;
        r = cell_watch_pipes(cell);
        return r == 0 ? cell_send(cell, whole, ARRAY_SIZE(whole)) : r;
}

void cell_mute(struct cell *cell)
{
        cell_stop_reading(cell);
        event_del(&cell->writable);
        bytes_deinit(&cell->outbox);
        cell->transcript = NULL;
        cell_watch_pipes(cell);
        cell->muted = true;
}

void cell_kill(struct cell *cell)
{
        if (cell->killed)
                return;
        cell->killed = true;
        if (keeper_link_kill(cell->cells->link, cell->id) < 0)
                log_error("cell.kill", "cell=%llu error=memory", (unsigned long long)cell->id);
}

/* A cell that was killed may leave half a frame; one that ended by itself has broken the protocol. */
static bool cell_left_half_a_frame(const struct cell *cell, const struct keeper_done *done)
{
        return frames_are_torn(&cell->frames) && done->outcome == CELL_EXITED && done->code == 0;
}

/* Its last words, then the news, then nothing. */
void cell_finish(struct cell *cell, const struct keeper_done *done)
{
        if (!cell->muted) {
                cell_read(cell);
                if (cell_left_half_a_frame(cell, done))
                        cell_misbehave(cell, "half a frame");
                if (cell->frames.has_call && !cell->muted && !cell->full && cell_drain(cell) == CELL_FULL)
                        cell_tell(cell, &(struct cell_notice){ .news = CELL_OUTPUT_FULL });
        }
        cell_tell(cell, &(struct cell_notice){ .news = CELL_IS_GONE, .done = done });
        cell_free(cell);
}
