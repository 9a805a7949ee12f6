/*
 * The load of `make bench`: calls over HTTP, or commands run, paced or as fast as they are answered, by as
 * many clients as asked for, in one thread. What is printed is one JSON object.
 *
 * It adds little itself: connections are kept, Nagle is off, a request is one send, and an answer that came
 * whole is one recv. Time is taken just before the send and just after the last byte (a command: before its
 * spawn and after its end), so what else it does falls between calls. Its share of the processor is printed
 * with the rest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#define ANSWER_MAX   65536
#define CLIENTS_MAX  4096
#define FAILURES_MAX 10000

struct client {
        int fd;    /* connection, or the command's pidfd */
        int pipe;  /* the command's stdout */
        pid_t pid; /* the command */
        bool busy;
        uint64_t due_ns, begin_ns;
        size_t have;
        char answer[ANSWER_MAX + 1];
};

/* What the command line says. */
static struct {
        const char *path, *body;
        struct sockaddr_in address;
        char **command;
        long clients, calls, warm_up, numbers;
        double seconds, pace_ms;
        bool in_order;
} load = { .body = "", .clients = 1 };

static struct {
        long begun, busy, warm, next_number;
        uint64_t counted_from_ns, ends_ns, last_ns;
} seen;

static struct report report;

static struct client *clients;
static int epoll_fd;
extern char **environ;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
        exit(1);
}

static uint64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void watch(struct client *client)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
                die("epoll: %m");
}

/* One call, by HTTP. */

static void http_connect(struct client *client)
{
        int one = 1;

        client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0 || connect(client->fd, (void *)&load.address, sizeof load.address) < 0)
                die("connect: %m");
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(client);
}

/* Writes `text`, with each %d in it as the number if there are numbers. */
static void number_into(char *out, size_t size, const char *text, long number)
{
        size_t length = 0;
        const char *mark;

        while (length < size && number >= 0 && (mark = strstr(text, "%d"))) {
                length += (size_t)snprintf(
                        out + length, size - length, "%.*s%ld", (int)(mark - text), text, number);
                text = mark + 2;
        }
        if (length < size)
                length += (size_t)snprintf(out + length, size - length, "%s", text);
        if (length >= size)
                die("a request of more than %zu bytes", size);
}

static long next_number(void)
{
        if (load.in_order)
                return seen.next_number++;
        return load.numbers > 0 ? random() % load.numbers : -1;
}

static void http_begin(struct client *client)
{
        long number = next_number();
        char path[1024], body[32768], request[34816];
        int length;

        number_into(path, sizeof path, load.path, number);
        number_into(body, sizeof body, load.body, number);
        length = snprintf(request, sizeof request,
                "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
                "%zu\r\n\r\n%s",
                path, strlen(body), body);
        if (client->fd < 0)
                http_connect(client);
        client->have = 0;
        client->begin_ns = now_ns();
        if (send(client->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
                die("send: %m");
}

/* Value of a header, or NULL. The answer ends with a zero byte. */
static const char *header(const char *answer, const char *name)
{
        const char *found = strcasestr(answer, name);
        const char *body = strstr(answer, "\r\n\r\n");

        return found && found < body ? found + strlen(name) : NULL;
}

static void read_timing(const char *answer, struct sample *sample)
{
        const char *timing = header(answer, "\r\nserver-timing:");

        for (int i = QUEUE; i <= TOTAL; i++) {
                char name[32];
                const char *value;

                snprintf(name, sizeof name, "%s;dur=", part_names[i]);
                value = timing ? strstr(timing, name) : NULL;
                sample->ms[i] = value ? strtod(value + strlen(name), NULL) : 0;
        }
}

/* True once the answer is there; *ret_ok says whether it is one of 2xx. */
static bool http_more(struct client *client, struct sample *sample, bool *ret_ok)
{
        ssize_t n = recv(client->fd, client->answer + client->have, ANSWER_MAX - client->have, MSG_DONTWAIT);
        const char *body, *length, *connection;

        if (n < 0 && errno == EAGAIN)
                return false;
        if (n <= 0) { /* the peer has closed: this call failed, the next one connects */
                close(client->fd);
                client->fd = -1;
                snprintf(client->answer, sizeof client->answer, "connection closed");
                *ret_ok = false;
                return client->busy;
        }
        sample->ms[SEEN] = (double)(now_ns() - client->begin_ns) / 1e6;
        client->have += (size_t)n;
        client->answer[client->have] = 0;
        body = strstr(client->answer, "\r\n\r\n");
        if (!body)
                return false;
        length = header(client->answer, "\r\ncontent-length:");
        if (!length)
                die("an answer without Content-Length: %.200s", client->answer);
        if (client->answer + client->have < body + 4 + strtoul(length, NULL, 10))
                return false;
        read_timing(client->answer, sample);
        *ret_ok = strncmp(client->answer, "HTTP/1.1 2", 10) == 0;
        connection = header(client->answer, "\r\nconnection:");
        if (connection && strncasecmp(connection, " close", 6) == 0) {
                close(client->fd);
                client->fd = -1;
        }
        return true;
}

/* One call, as a command. */

static void command_begin(struct client *client)
{
        posix_spawn_file_actions_t actions;
        int ends[2], r;

        if (pipe2(ends, O_CLOEXEC) < 0)
                die("pipe: %m");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        client->begin_ns = now_ns();
        r = posix_spawnp(&client->pid, load.command[0], &actions, NULL, load.command, environ);
        if (r != 0)
                die("%s: %s", load.command[0], strerror(r));
        posix_spawn_file_actions_destroy(&actions);
        close(ends[1]);
        client->pipe = ends[0];
        client->fd = (int)syscall(SYS_pidfd_open, client->pid, 0);
        if (client->fd < 0)
                die("pidfd_open: %m");
        watch(client);
}

/* Its answer, up to what a pipe holds, waits in the pipe until its end. */
static bool command_more(struct client *client, struct sample *sample, bool *ret_ok)
{
        int status;
        ssize_t n = read(client->pipe, client->answer, ANSWER_MAX);

        if (waitpid(client->pid, &status, 0) < 0)
                die("waitpid: %m");
        sample->ms[SEEN] = (double)(now_ns() - client->begin_ns) / 1e6;
        client->answer[n < 0 ? 0 : n] = 0;
        close(client->pipe);
        /* Closing it is not enough: a child that executes just now may still hold a copy. */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
        close(client->fd);
        *ret_ok = n > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        return true;
}

/* The loop. */

static void begin(struct client *client)
{
        client->busy = true;
        seen.busy++;
        seen.begun++;
        if (load.command)
                command_begin(client);
        else
                http_begin(client);
}

static bool may_begin(uint64_t now)
{
        return (load.calls == 0 || seen.begun < load.calls + load.warm_up) &&
               (seen.ends_ns == 0 || now < seen.ends_ns);
}

/* The warm-up is over. */
static void count_from(uint64_t now)
{
        seen.counted_from_ns = now;
        if (load.seconds > 0)
                seen.ends_ns = now + (uint64_t)(load.seconds * 1e9);
}

static void end(struct client *client, const struct sample *sample, bool ok)
{
        client->busy = false;
        seen.busy--;
        seen.last_ns = now_ns();
        if (!ok)
                report_failure(&report, client->answer);
        if (report.failed > FAILURES_MAX)
                die("too many failures: %s", report.first_failure);
        if (seen.warm < load.warm_up) {
                if (++seen.warm == load.warm_up)
                        count_from(seen.last_ns);
        } else if (ok && report_keep(&report, sample) < 0) {
                die("no memory");
        }
}

/* After an answer: at once, or at the next beat of this client's own. */
static void go_on(struct client *client)
{
        if (load.pace_ms == 0 && may_begin(seen.last_ns))
                begin(client);
        while (load.pace_ms > 0 && client->due_ns <= seen.last_ns)
                client->due_ns += (uint64_t)(load.pace_ms * 1e6);
}

/* Paced clients: begins what is due. Nanoseconds until the next is, or -1 if none will be. */
static int64_t begin_due(void)
{
        int64_t next = -1;
        uint64_t now = now_ns();

        for (long i = 0; i < load.clients && may_begin(now); i++) {
                struct client *client = &clients[i];

                if (client->busy)
                        continue;
                if (client->due_ns <= now)
                        begin(client);
                else if (next < 0 || next > (int64_t)(client->due_ns - now))
                        next = (int64_t)(client->due_ns - now);
        }
        return next;
}

static void wait_for_answers(int64_t at_most_ns)
{
        struct timespec wait = { at_most_ns / 1000000000, at_most_ns % 1000000000 };
        struct epoll_event events[64];
        int n = epoll_pwait2(epoll_fd, events, 64, at_most_ns < 0 ? NULL : &wait, NULL);

        if (n < 0 && errno != EINTR)
                die("epoll: %m");
        for (int i = 0; i < n; i++) {
                struct client *client = events[i].data.ptr;
                struct sample sample = { 0 };
                bool ok = false;

                if (!(load.command ? command_more : http_more)(client, &sample, &ok))
                        continue;
                end(client, &sample, ok);
                go_on(client);
        }
}

static void run(void)
{
        int64_t next = begin_due();

        while (seen.busy > 0 || next >= 0) {
                wait_for_answers(next);
                next = load.pace_ms > 0 ? begin_due() : -1;
        }
}

static double own_cpu_ms(void)
{
        struct rusage used;

        getrusage(RUSAGE_SELF, &used);
        return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

/* What was asked for. */

static const char usage[] =
        "usage: client [OPTION]... http://IPV4:PORT/PATH\n"
        "       client [OPTION]... -- COMMAND [ARGUMENT]...\n"
        "Prints what the calls took, as one JSON object; milliseconds. ms: of all calls. middle: of those "
        "around the\n"
        "median, what they spent where: queue, start, run, total as Server-Timing says, seen as the client "
        "does.\n"
        "  -c N     clients, each on a connection of its own (1)\n"
        "  -n N     calls, all clients together (without -n and -s: 100)\n"
        "  -s S     seconds\n"
        "  -p MS    each client begins a call every MS milliseconds, not at once after its answer\n"
        "  -w N     so many calls first that are not counted (0)\n"
        "  -d BODY  (empty)\n"
        "  -r N     %d in PATH and BODY is a random number below N\n"
        "  -o       %d in PATH and BODY counts from 0\n"
        "  -v       print every sample\n";

static double number(const char *text)
{
        char *end;
        double value = strtod(text, &end);

        if (end == text || *end || value < 0 || value > 1e9)
                die("%s: no number", text);
        return value;
}

static void read_url(const char *url)
{
        char host[64] = "";
        int port = 0, path_at = 0;

        if (sscanf(url, "http://%63[0-9.]:%d%n", host, &port, &path_at) < 2)
                die("%s", usage);
        load.path = url[path_at] ? url + path_at : "/";
        load.address.sin_family = AF_INET;
        load.address.sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &load.address.sin_addr) != 1)
                die("%s: no address", host);
}

static void read_arguments(int argc, char **argv)
{
        int option;

        while ((option = getopt(argc, argv, "+c:n:s:p:w:d:r:ov")) != -1) {
                switch (option) {
                case 'c':
                        load.clients = (long)number(optarg);
                        break;
                case 'n':
                        load.calls = (long)number(optarg);
                        break;
                case 's':
                        load.seconds = number(optarg);
                        break;
                case 'p':
                        load.pace_ms = number(optarg);
                        break;
                case 'w':
                        load.warm_up = (long)number(optarg);
                        break;
                case 'd':
                        load.body = optarg;
                        break;
                case 'r':
                        load.numbers = (long)number(optarg);
                        break;
                case 'o':
                        load.in_order = true;
                        break;
                case 'v':
                        report.shows_samples = true;
                        break;
                default:
                        die("%s", usage);
                }
        }
        if (optind == argc || load.clients < 1 || load.clients > CLIENTS_MAX)
                die("%s", usage);
        if (strcmp(argv[optind - 1], "--") == 0)
                load.command = argv + optind;
        else
                read_url(argv[optind]);
        if (load.calls == 0 && load.seconds == 0)
                load.calls = 100;
}

int main(int argc, char **argv)
{
        uint64_t begun_ns = now_ns();

        read_arguments(argc, argv);
        clients = calloc((size_t)load.clients, sizeof *clients);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!clients || epoll_fd < 0)
                die("no memory");
        for (long i = 0; i < load.clients; i++) {
                clients[i].fd = -1;
                clients[i].due_ns =
                        begun_ns + (uint64_t)(load.pace_ms * 1e6 * (double)i / (double)load.clients);
        }
        if (load.warm_up == 0)
                count_from(begun_ns);
        run();
        report.clients = load.clients;
        report.seconds = (double)(seen.last_ns - seen.counted_from_ns) / 1e9;
        report.client_share = own_cpu_ms() * 1e6 / (double)(now_ns() - begun_ns);
        report_print(&report);
        return report.count > 0 ? 0 : 1;
}
