/*
 * Stands in for mayfly-server: one that has been taken over, and says to the keeper what it must not. Which
 * of the rows below it says is the setting QUEUE_MAX.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "wire/keeper_api.h"
#include "wire/packet.h"

static int names_file(bool sealed)
{
        int fd = memfd_create("names", MFD_ALLOW_SEALING);

        if (write(fd, "a b", 3) != 3 || (sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0))
                exit(3);
        return fd;
}

static void say(const void *message, size_t length, int fd)
{
        if (packet_send(KEEPER_SERVER_FD, message, length, &fd, fd >= 0 ? 1 : 0) != 0)
                exit(4);
}

static void warm(uint32_t place, uint32_t runtime, int fd)
{
        const struct keeper_warm message = { .type = KEEPER_WARM, .place = place, .runtime = runtime };

        say(&message, sizeof message, fd);
}

static void cool(uint32_t place)
{
        const struct keeper_cool message = { .type = KEEPER_COOL, .place = place };

        say(&message, sizeof message, -1);
}

static void start(uint32_t place)
{
        const struct keeper_start message = { .type = KEEPER_START, .place = place, .cell = 1 };
        int fds[KEEPER_FDS_PER_CELL], pair[2];

        if (packet_pair(pair) < 0 || pipe(fds + 1) < 0)
                exit(3);
        fds[0] = pair[0];
        if (packet_send(KEEPER_SERVER_FD, &message, sizeof message, fds, KEEPER_FDS_PER_CELL) != 0)
                exit(4);
}

/* Waits for news of this place; what else the keeper says is passed over. */
static void await(uint32_t place, uint32_t up)
{
        union {
                uint32_t type;
                struct keeper_template template;
                struct keeper_done done;
        } message = { 0 };
        size_t length;

        do {
                if (packet_receive(KEEPER_SERVER_FD, 0, &message, sizeof message, &length, NULL, 0, NULL) !=
                        0)
                        exit(5);
        } while (message.type != KEEPER_TEMPLATE || message.template.place != place ||
                 message.template.up != up);
        dprintf(STDERR_FILENO, "place %u is %s\n", place, up ? "up" : "down");
}

/* What it may say: a place that is empty has no cells and nothing to cool, and can be taken again and again.
 */
static void behave(void)
{
        const uint32_t last = TEMPLATE_PLACES - 1;

        await(RUNTIME_FAKE, 1);
        start(last);
        cool(last);
        for (int i = 0; i < 3; i++) {
                warm(last, RUNTIME_FAKE, names_file(true));
                await(last, 1);
                cool(last);
                await(last, 0);
        }
        for (uint32_t place = RUNTIME_COUNT; place < TEMPLATE_PLACES; place++)
                warm(place, RUNTIME_FAKE, names_file(true));
        for (uint32_t place = RUNTIME_COUNT; place < TEMPLATE_PLACES; place++)
                cool(place); /* on their way up */
        await(last, 0);
        warm(last, RUNTIME_FAKE, names_file(true));
        await(last, 1);
        dprintf(STDERR_FILENO, "behaved\n");
}

static void break_protocol(unsigned row)
{
        static const struct {
                uint32_t place, runtime;
        } places[] = {
                { RUNTIME_FAKE, RUNTIME_FAKE },
                { TEMPLATE_PLACES, RUNTIME_FAKE },
                { UINT32_MAX, RUNTIME_FAKE },
                { RUNTIME_COUNT, RUNTIME_COUNT },
                { RUNTIME_COUNT, UINT32_MAX },
                { RUNTIME_COUNT, RUNTIME_PYTHON /* not configured */ },
        };
        int pipes[2];

        if (row < ARRAY_SIZE(places)) {
                warm(places[row].place, places[row].runtime, names_file(true));
                return;
        }
        switch (row - ARRAY_SIZE(places)) {
        case 0:
                if (pipe(pipes) == 0)
                        warm(RUNTIME_COUNT, RUNTIME_FAKE, pipes[0]);
                break;
        case 1:
                warm(RUNTIME_COUNT, RUNTIME_FAKE, names_file(false));
                break;
        case 2:
                warm(RUNTIME_COUNT, RUNTIME_FAKE, -1);
                break;
        case 3:
                warm(RUNTIME_COUNT, RUNTIME_FAKE, names_file(true));
                warm(RUNTIME_COUNT, RUNTIME_FAKE, names_file(true));
                break;
        case 4:
                cool(RUNTIME_FAKE);
                break;
        case 5:
                cool(UINT32_MAX);
                break;
        case 6:
                start(TEMPLATE_PLACES);
                break;
        default:
                dprintf(STDERR_FILENO, "no such row\n");
        }
}

int main(void)
{
        char text[16384] = "", *at;

        if (pread(KEEPER_SETTINGS_FD, text, sizeof text - 1, 0) <= 0)
                return 3;
        at = memmem(text, sizeof text, "QUEUE_MAX=", strlen("QUEUE_MAX="));
        if (!at)
                return 3;
        at += strlen("QUEUE_MAX=");
        if (strtoul(at, NULL, 10) == 0)
                behave();
        else
                break_protocol((unsigned)strtoul(at, NULL, 10) - 1);
        for (;;)
                pause();
}
