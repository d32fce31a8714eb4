// The client's connections: opening them, scripts, frames out and in, and the clocks of other processes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 8, TEXT = 4096, READ = 1 << 18, PORTS = 8, EVENTS = 1024, PER_ADDRESS = 20000, FIRST_REF = 10000000 };

typedef struct {
    int fd, step, upgraded, number, turn;
    int kept, unsent;              // bytes of a message that is not whole yet, and of one that the socket did not take
    unsigned char *rest, *out;
    const char *const *script;
} Conn;

static char **arguments;
static int ep, port_count, ports[PORTS], items;
static long refs, answers, refusals;
static long owed;                  // messages still to be sent by `talk`: each answer brings one about
static const char *marker, *refusal, *message, *heartbeat;
static char (*tokens)[TEXT], last_words[256];
static int token_count;
static double *due;                // when each numbered message should have left, for `offer`
static double *latencies;
static long latency_count, latency_room;

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, *last_words ? "; the last refusal: %s\n" : "\n", last_words);
    exit(1);
}

static const char *text_of(const char *key, const char *otherwise) {
    size_t n = strlen(key);
    for (char **a = arguments; *a; a++)
        if (!strncmp(*a, key, n) && (*a)[n] == '=') return *a + n + 1;
    if (!otherwise) die("no %s=", key);
    return otherwise;
}
static int number_of(const char *key, const char *otherwise) { return atoi(text_of(key, otherwise)); }

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// CPU time of processes, to the nanosecond, with that of their threads.
static double cpu_s(const char *pids) {
    double total = 0;
    for (const char *p = pids; *p; p += strcspn(p, ","), p += *p == ',') {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(atoi(p), &clock) || clock_gettime(clock, &t)) die("server %d is gone", atoi(p));
        total += t.tv_sec + t.tv_nsec * 1e-9;
    }
    return total;
}

static double rss_kib(const char *pids) {
    double total = 0;
    for (const char *p = pids; *p; p += strcspn(p, ","), p += *p == ',') {
        char path[64];
        long size, resident;
        snprintf(path, sizeof path, "/proc/%d/statm", atoi(p));
        FILE *f = fopen(path, "r");
        if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2) die("server %d is gone", atoi(p));
        fclose(f);
        total += resident * (sysconf(_SC_PAGESIZE) / 1024.0);
    }
    return total;
}

static const char *const *parse_script(char *text) {
    const char **steps = calloc(STEPS + 1, sizeof *steps);
    int n = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (n == STEPS) die("more than %d steps in a script", STEPS);
        steps[n++] = line;
    }
    return steps;
}

// Fill a template in; returns its length.
static int fill(char *out, const char *template, Conn *c, int item) {
    char *o = out;
    for (const char *t = template; *t;) {
        if (!strncmp(t, "{n}", 3)) { o += sprintf(o, "%ld", FIRST_REF + refs++); t += 3; }
        else if (!strncmp(t, "{v}", 3)) { o += sprintf(o, "%d", 10 + (c->turn + c->turn / items) % 40); t += 3; }
        else if (!strncmp(t, "{i}", 3)) { o += sprintf(o, "%d", item); t += 3; }
        else if (!strncmp(t, "{token}", 7)) {
            if (!token_count) die("the script needs tokens=");
            o += sprintf(o, "%s", tokens[c->number % token_count]);
            t += 7;
        } else *o++ = *t++;
        if (o - out > TEXT - 64) die("a message is too long");
    }
    return o - out;
}

// One masked frame; returns its length.
static int frame(unsigned char *out, int opcode, const char *text, int n) {
    static const unsigned char mask[4] = {0x1b, 0x2c, 0x3d, 0x4e};
    int h = 2;
    out[0] = 0x80 | opcode;
    if (n < 126) out[1] = 0x80 | n;
    else { out[1] = 0x80 | 126; out[2] = n >> 8; out[3] = n; h = 4; }
    memcpy(out + h, mask, 4);
    for (int i = 0; i < n; i++) out[h + 4 + i] = text[i] ^ mask[i & 3];
    return h + 4 + n;
}

// Send what the socket takes and keep what it does not; 0 when it takes nothing new, as older bytes still wait.
static int post(Conn *c, const unsigned char *bytes, int n) {
    if (c->unsent) {
        int r = send(c->fd, c->out, c->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r > 0) memmove(c->out, c->out + r, c->unsent -= r);
        if (c->unsent) return 0;
    }
    int r = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r < 0 && errno != EAGAIN) die("connection %d: %s", c->number, strerror(errno));
    if (r < 0) return 0;
    if (r < n) {
        c->out = realloc(c->out, c->unsent = n - r);
        memcpy(c->out, bytes + r, n - r);
    }
    return 1;
}

static void say(Conn *c, const char *template, int item) {
    char text[TEXT];
    unsigned char bytes[TEXT + 16];
    int n = frame(bytes, 1, text, fill(text, template, c, item));
    c->turn++;
    if (!post(c, bytes, n)) die("connection %d does not take a message", c->number);
}

static void open_conn(Conn *c, int number, const char *const *script) {
    *c = (Conn){.number = number, .script = script, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    if (c->fd < 0) die("connection %d: %s; raise the limit of open files (ulimit -n)", number, strerror(errno));
    int one = 1;
    char source[32];
    snprintf(source, sizeof source, "127.0.%d.2", 1 + number / PER_ADDRESS);  // an address has only so many ports
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ports[number % port_count])};
    inet_pton(AF_INET, source, &from.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(c->fd, (void *)&from, sizeof from)) die("bind %s: %s", source, strerror(errno));
    if (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){EPOLLOUT, {.ptr = c}});
}

// What a browser sends, with as many bytes.
static void upgrade(Conn *c) {
    const char *protocol = text_of("protocol", "");
    char request[1024];
    int port = ports[c->number % port_count];
    int n = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
        "Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://127.0.0.1:%d\r\nSec-WebSocket-Version: 13\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n%s%s%s\r\n",
        text_of("path", NULL), port, port,
        *protocol ? "Sec-WebSocket-Protocol: " : "", protocol, *protocol ? "\r\n" : "");
    if (send(c->fd, request, n, MSG_NOSIGNAL) != n) die("connection %d: the upgrade was not taken", c->number);
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
}

static int ready(const Conn *c) { return c->upgraded && !c->script[c->step]; }

static void speak(Conn *c) {
    while (c->script[c->step] && c->script[c->step][0] == '>') say(c, c->script[c->step++] + 1, 0);
    if (ready(c)) c->turn = 0;
}

static int begins(const unsigned char *p, int n, const char *with) {
    int m = strlen(with);
    return m && n >= m && !memcmp(p, with, m);
}

static void note_latency(const unsigned char *p, int n) {
    const unsigned char *at = memmem(p, n, "\"ref\":", 6);
    if (!at || latency_count == latency_room) return;
    latencies[latency_count++] = now_s() - due[strtol((const char *)at + 6, NULL, 10) - FIRST_REF];
}

static void hear(Conn *c, int opcode, const unsigned char *p, int n) {
    if (opcode == 8)
        die("connection %d was closed: %.*s", c->number, n > 2 ? n - 2 : 0, n > 2 ? (const char *)p + 2 : "");
    if (opcode == 9) {
        unsigned char pong[256];
        post(c, pong, frame(pong, 10, (const char *)p, n));
        return;
    }
    if (opcode != 1) return;
    if (n == 1 && *p == *heartbeat) {
        say(c, heartbeat + 1, 0);
        return;
    }
    if (begins(p, n, refusal)) {
        refusals++;
        snprintf(last_words, sizeof last_words, "%.*s", n < 200 ? n : 200, p);
    }
    if (!ready(c)) {
        if (begins(p, n, c->script[c->step] + 1)) { c->step++; speak(c); }
        return;
    }
    if (begins(p, n, marker)) {
        answers++;
        if (due) note_latency(p, n);
        if (owed > 0) { owed--; say(c, message, (c->number + c->turn) % items); }
    }
}

// Read what has come.
static void take(Conn *c) {
    static unsigned char buffer[READ];
    memcpy(buffer, c->rest, c->kept);
    int r = recv(c->fd, buffer + c->kept, READ - c->kept, MSG_DONTWAIT);
    if (r < 0 && errno == EAGAIN) return;
    if (r <= 0) die("connection %d was lost: %s", c->number, r ? strerror(errno) : "the server hung up");
    int have = c->kept + r, at = 0;
    if (!c->upgraded) {
        unsigned char *end = memmem(buffer, have, "\r\n\r\n", 4);
        if (end) {
            if (memcmp(buffer, "HTTP/1.1 101", 12)) die("the handshake was refused: %.*s", 200, buffer);
            c->upgraded = 1;
            at = end + 4 - buffer;
            speak(c);
        }
    }
    while (c->upgraded && have - at >= 2) {
        int n = buffer[at + 1] & 127, h = n == 126 ? 4 : 2;
        if (n == 127) die("a message of more than 64 KiB");
        if (have - at < h) break;
        if (n == 126) n = buffer[at + 2] << 8 | buffer[at + 3];
        if (have - at < h + n) break;
        hear(c, buffer[at] & 15, buffer + at + h, n);
        at += h + n;
    }
    if (have - at > c->kept) c->rest = realloc(c->rest, have - at);
    c->kept = have - at;
    memcpy(c->rest, buffer + at, c->kept);
}

// Let come what comes, for at most `ms`; returns how many connections were served.
static int serve(int ms) {
    static struct epoll_event events[EVENTS];
    int m = epoll_wait(ep, events, EVENTS, ms);
    for (int i = 0; i < m; i++) {
        if (events[i].events & EPOLLOUT) upgrade(events[i].data.ptr);
        else take(events[i].data.ptr);
    }
    return m;
}
static void rest(double seconds) {
    for (double end = now_s() + seconds, left; (left = end - now_s()) > 0;) serve(left * 1000 + 1);
}
