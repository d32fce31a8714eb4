// The floor: the least that a server can do for the benchmark's work. One thread, epoll, no JSON, no state but who
// subscribed, no limits, no time-outs; the handshake's answer is a constant. Answers of one read leave in one write.
//
//   floor PORT
//
// What begins with {"op":"s is a subscription, answered with a constant; {"op":"r a reaction, the same; {"ev": is
// sent on to all who subscribed; anything else comes back as it is.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES = 1 << 17, READ = 1 << 16, EVENTS = 512 };

static const char SWITCH[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";  // to the client's constant key
static const char SNAPSHOT[] =
    "{\"ev\":\"snapshot\",\"ref\":1,\"items\":[{\"item\":\"bench:hot\",\"v\":0,\"counts\":{}}]}";
static const char ACK[] =
    "{\"ev\":\"ack\",\"ref\":10000000,\"item\":\"bench:0\",\"v\":1763750000000000,"
    "\"counts\":{\"clap\":10},\"mine\":{\"clap\":10}}";

static int viewers[FILES], viewer_count, place[FILES];  // place: 1 + where in `viewers`
static char upgraded[FILES];

static int frame(unsigned char *out, const void *text, int n) {
    int h = 2;
    out[0] = 0x81;
    if (n < 126) out[1] = n;
    else { out[1] = 126; out[2] = n >> 8; out[3] = n; h = 4; }
    memcpy(out + h, text, n);
    return h + n;
}

static void forget(int fd) {
    if (place[fd]) {
        int last = viewers[--viewer_count];
        viewers[place[fd] - 1] = last;
        place[last] = place[fd];
        place[fd] = 0;
    }
    upgraded[fd] = 0;
    close(fd);
}

static void serve(int fd) {
    static unsigned char in[READ], out[4 * READ], copy[READ + 4];
    int have = recv(fd, in, sizeof in, 0), answer = 0;
    if (have <= 0) { forget(fd); return; }
    if (!upgraded[fd]) {
        upgraded[fd] = 1;
        send(fd, SWITCH, sizeof SWITCH - 1, MSG_NOSIGNAL);
        return;
    }
    for (int at = 0; at + 6 <= have;) {
        int n = in[at + 1] & 127, h = 2;
        if (n == 126) { n = in[at + 2] << 8 | in[at + 3]; h = 4; }
        unsigned char *mask = in + at + h, *text = mask + 4;
        at += h + 4 + n;
        if (at > have) return;  // half a message: the benchmark's are too small for that to come
        for (int i = 0; i < n; i++) text[i] ^= mask[i & 3];
        if (n > 7 && !memcmp(text, "{\"op\":\"s", 8)) {
            if (!place[fd]) { viewers[viewer_count++] = fd; place[fd] = viewer_count; }
            answer += frame(out + answer, SNAPSHOT, sizeof SNAPSHOT - 1);
        } else if (n > 7 && !memcmp(text, "{\"op\":\"r", 8)) {
            answer += frame(out + answer, ACK, sizeof ACK - 1);
        } else if (n > 5 && !memcmp(text, "{\"ev\":", 6)) {
            int size = frame(copy, text, n);
            for (int i = 0; i < viewer_count; i++) send(viewers[i], copy, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        } else {
            answer += frame(out + answer, text, n);
        }
    }
    if (answer) send(fd, out, answer, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, ep = epoll_create1(0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    here.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 8192)) { perror("floor"); return 1; }
    struct epoll_event events[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.fd = listener}});
    for (;;) {
        int m = epoll_wait(ep, events, EVENTS, -1);
        for (int i = 0; i < m; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) { serve(fd); continue; }
            int new = accept(listener, NULL, NULL);
            if (new < 0) continue;
            if (new >= FILES) { close(new); continue; }
            setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            epoll_ctl(ep, EPOLL_CTL_ADD, new, &(struct epoll_event){EPOLLIN, {.fd = new}});
        }
    }
}
