// The benchmark's client: as many WebSockets as are wanted, from one thread, cheap enough not to matter.
//
//   client watch key=value…   viewers connect in stages, and at each stage messages are sent to all of them
//   client talk  key=value…   each connection keeps `window` messages unanswered, until `count` were answered
//   client offer key=value…   messages leave on a schedule that does not wait for answers
//
// Keys of all:  ports=P[,P…] (connections take turns)  pids=N[,N…] (the servers)  path=/…  protocol=… (may be empty)
//               script=…  message=…  marker=…  tokens=FILE (one a line, may be empty)  settle_ms=N (after connecting)
//               patience_s=N (until silence is an error)  heartbeat=XY (a message X is answered with a message Y)
// watch:        stages=VIEWERS:MESSAGES,…  pace_ms=N  speaker=… (the publisher's script)  burst=N
// talk, offer:  connections=N; talk: window=N count=N; offer: rate=N seconds=N others=PIDS refusal=…
//
// A script is what is said before a connection is ready, one line a step: `>TEXT` is sent, `<TEXT` is waited for as the
// beginning of a message. `message` is sent; what begins with `marker` is counted. In texts {n} is a running number of
// eight digits, {v} one of 10…49 that is another one when the connection comes back to an item, {i} the number of an
// item, below `items`, and {token} the connection's token. Times are CPU time of `pids`, in microseconds. Prints one line
// of JSON.
#include "connections.h"

enum { AT_ONCE = 100 };  // handshakes under way
static int patience_s;   // until silence is taken for the end

static void open_all(Conn *conns, int from, int to, const char *const *script) {
    double since = now_s();
    for (int started = from, done = from; done < to; serve(200)) {
        for (; started < to && started - done < AT_ONCE; started++) open_conn(&conns[started], started, script);
        for (; done < started && ready(&conns[done]); done++) since = now_s();
        if (now_s() - since > patience_s) die("no answer for %d s: %d of %d are connected", patience_s, done, to);
    }
}

static int by_value(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}
static double quantile_ms(double *v, long n, double q) {
    if (!n) return 0;
    qsort(v, n, sizeof *v, by_value);
    return v[(long)((n - 1) * q)] * 1000;
}

// Wait until so many messages were counted in all.
static void await_answers(long want) {
    long last = answers;
    for (double since = now_s(); answers < want; serve(200)) {
        if (answers != last) { last = answers; since = now_s(); }
        else if (now_s() - since > patience_s)
            die("no message for %d s, and %ld are missing", patience_s, want - answers);
    }
}

// One message, or a burst of them, is sent once all viewers have had the one before. Each is to arrive once at each.
static void watch(void) {
    const char *pids = text_of("pids", NULL), *stages = text_of("stages", NULL);
    int most = 0, open = 0, burst = number_of("burst", "1");
    for (const char *p = stages; *p; p += strcspn(p, ","), p += *p == ',') most = atoi(p) > most ? atoi(p) : most;
    Conn *viewers = calloc(most + 1, sizeof *viewers), *speaker = &viewers[most];
    const char *const *script = parse_script(strdup(text_of("script", NULL)));
    open_all(viewers, most, most + 1, parse_script(strdup(text_of("speaker", NULL))));
    rest(number_of("settle_ms", NULL) / 1000.0);
    printf("[");
    for (const char *p = stages; *p; p += strcspn(p, ","), p += *p == ',') {
        int number = atoi(p), rounds = atoi(strchr(p, ':') + 1), before = open;
        double memory = rss_kib(pids), cpu = cpu_s(pids), began = now_s();
        open_all(viewers, open, number, script);
        open = number;
        double connect_s = cpu_s(pids) - cpu, connect_wall_s = now_s() - began, fanout_s = 0;
        rest(number_of("settle_ms", NULL) / 1000.0);
        memory = rss_kib(pids) - memory;
        double took[rounds + 1];
        long heard = answers;
        cpu = cpu_s(pids);
        for (int round = 0; round < rounds; round++) {
            double sent = now_s();
            long want = answers + (long)number * burst;
            for (int i = 0; i < burst; i++) say(speaker, message, i);
            await_answers(want);
            took[round] = now_s() - sent;
            double left = number_of("pace_ms", NULL) / 1000.0 - took[round];
            rest(left > 0.01 ? left : 0.01);
        }
        fanout_s = cpu_s(pids) - cpu;
        rest(rounds ? 0.1 : 0);
        long want = (long)rounds * burst * number;
        if (answers - heard != want) die("%ld messages arrived where %ld were sent", answers - heard, want);
        printf("%s{\"viewers\":%d,\"opened\":%d,\"rounds\":%d,\"connect_us\":%.2f,\"connects_per_s\":%.0f,\"kib\":%.3f,"
               "\"frame_us\":%.4f,\"round_ms\":%.4f,\"p50_ms\":%.3f}",
               p == stages ? "" : ",", number, number - before, rounds, connect_s / (number - before) * 1e6,
               (number - before) / connect_wall_s, memory / (number - before), want ? fanout_s / want * 1e6 : 0,
               rounds ? fanout_s / rounds * 1e3 : 0, quantile_ms(took, rounds, 0.5));
    }
    printf("]\n");
}

static Conn *open_talkers(int n) {
    Conn *conns = calloc(n, sizeof *conns);
    open_all(conns, 0, n, parse_script(strdup(text_of("script", NULL))));
    rest(number_of("settle_ms", NULL) / 1000.0);
    return conns;
}

static void talk(void) {
    const char *pids = text_of("pids", NULL);
    int n = number_of("connections", NULL), window = number_of("window", NULL);
    long count = number_of("count", NULL), warm = count / 10;
    if (count < 2L * n * window) die("too few messages: %ld are under way at once", (long)n * window);
    Conn *conns = open_talkers(n);
    owed = count + warm - (long)n * window;
    for (int i = 0; i < n; i++)
        for (int w = 0; w < window; w++) say(&conns[i], message, (i + w) % items);
    await_answers(warm);
    long from = answers;
    double cpu = cpu_s(pids), began = now_s();
    await_answers(count + warm);
    if (refusals) die("%ld messages were refused", refusals);
    printf("{\"answered\":%ld,\"message_us\":%.4f,\"per_s\":%.0f}\n", answers - from,
           (cpu_s(pids) - cpu) / (answers - from) * 1e6, (answers - from) / (now_s() - began));
}

static void offer(void) {
    const char *pids = text_of("pids", NULL), *others = text_of("others", "");
    int n = number_of("connections", NULL);
    double rate = number_of("rate", NULL), seconds = atof(text_of("seconds", NULL)), latest = 0;
    Conn *conns = open_talkers(n);
    long offered = 0, untaken = 0, total = rate * seconds, at = 0;
    due = calloc(latency_room = total + refs + 1, sizeof *due);
    latencies = calloc(latency_room, sizeof *latencies);
    double cpu = cpu_s(pids), theirs = cpu_s(others), began = now_s(), t;
    while ((t = now_s() - began) < seconds) {
        for (; offered < total && offered < t * rate; offered++, at++) {
            char text[TEXT];
            unsigned char bytes[TEXT + 16];
            Conn *c = &conns[at % n];
            double when = began + offered / rate;
            due[refs] = when;
            if (now_s() - when > latest) latest = now_s() - when;
            int size = frame(bytes, 1, text, fill(text, message, c, (c->number + c->turn) % items));
            c->turn++;
            if (!post(c, bytes, size)) untaken++;
            if (offered % 64 == 63) serve(0);
        }
        serve(1);
    }
    double took = now_s() - began;
    cpu = cpu_s(pids) - cpu;
    theirs = cpu_s(others) - theirs;
    long answered = answers, refused = refusals;
    printf("{\"offered_per_s\":%.1f,\"answered_per_s\":%.1f,\"refused_per_s\":%.1f,\"untaken_per_s\":%.1f,"
           "\"busy\":%.4f,\"others_busy\":%.4f,\"late_ms\":%.2f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
           offered / took, answered / took, refused / took, untaken / took, cpu / took, theirs / took, latest * 1e3,
           quantile_ms(latencies, latency_count, 0.5), quantile_ms(latencies, latency_count, 0.99));
}

int main(int argc, char **argv) {
    arguments = argv + 1;
    if (argc < 2) { fprintf(stderr, "usage: see the top of client.c\n"); return 2; }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ep = epoll_create1(0);
    for (const char *p = text_of("ports", NULL); *p && port_count < PORTS; p += strcspn(p, ","), p += *p == ',')
        ports[port_count++] = atoi(p);
    message = text_of("message", NULL);
    marker = text_of("marker", NULL);
    refusal = text_of("refusal", "");
    heartbeat = text_of("heartbeat", "");
    items = number_of("items", "1");
    patience_s = number_of("patience_s", "20");
    FILE *f = *text_of("tokens", "") ? fopen(text_of("tokens", ""), "r") : NULL;
    tokens = calloc(1024, TEXT);
    while (f && token_count < 1024 && fgets(tokens[token_count], TEXT, f)) {
        tokens[token_count][strcspn(tokens[token_count], "\n")] = 0;
        token_count++;
    }
    if (!strcmp(argv[1], "watch")) watch();
    else if (!strcmp(argv[1], "talk")) talk();
    else if (!strcmp(argv[1], "offer")) offer();
    else die("no such work: %s", argv[1]);
    return 0;
}
