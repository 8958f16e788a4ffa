/* SPDX-License-Identifier: Apache-2.0 */
/* A path of chosen delay, rate, queue and loss between two network namespaces of its own, where the
 * kernel has no netem: what one TUN device takes in comes out of the other, later, or not at all.
 * Usage (as root): shaper SECONDS
 *
 * The first line it prints names the client's and the server's namespace, each a file for
 * `nsenter --net=FILE`; in each there is a device "path", without an address.  Then it obeys lines:
 *   path DELAY_US DOWN_KBPS UP_KBPS QUEUE_OCTETS LOSS_PPM SEED
 *       one way's delay, the rates, each way's droptail queue and loss, for packets from now on.
 *       Answered by "ok"; before the first one nothing passes
 *   count
 *       answered by a line of JSON, what went each way since the last one
 * It ends with its input, or after SECONDS; its namespaces go when nobody is left in them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_OCTETS 1500
#define LANE_PACKETS                                                             \
    8192 /* on their way at once; 100 ms of nothing but ACKs at 10 Mbit/s: 2,400 \
          */

struct packet {
    int64_t sent_ns;    /* its last octet has left the queue */
    int64_t arrives_ns; /* sent_ns and the delay */
    uint16_t len;
    bool is_lost;
    uint8_t octets[PACKET_OCTETS];
};

/* One direction.  Packets arrive in the order in which they came, so a ring holds them: those from
 * head to queue have left the queue, those from queue to tail wait in it. */
struct lane {
    int from, to;
    int64_t delay_ns;
    int64_t bits_per_s;
    int64_t queue_octets_max;
    uint64_t loss_ppm;
    uint64_t random;
    int64_t free_ns; /* the link has sent all that came before */
    int64_t queue_octets;
    unsigned head, queue, tail;
    struct packet ring[LANE_PACKETS];
    struct {
        unsigned long packets, octets, lost, overflowed;
        long late_ns; /* the latest delivery: what the machine adds to the delay */
    } count;
};

static struct lane lanes[2];
static const char *const lane_names[2] = {"up", "down"};

static void die(const char *what)
{
    fprintf(stderr, "shaper: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* xorshift64*: the same seed loses the same places in a lane's sequence of packets. */
static uint64_t lane_random(struct lane *l)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return (l->random * 0x2545F4914F6CDD1DULL) >> 32;
}

static void lane_leave_queue(struct lane *l, int64_t now_ns)
{
    for (; l->queue != l->tail; l->queue++) {
        const struct packet *p = &l->ring[l->queue % LANE_PACKETS];
        if (p->sent_ns > now_ns)
            return;
        l->queue_octets -= p->len;
    }
}

static void lane_take(struct lane *l, int64_t now_ns)
{
    for (;;) {
        struct packet *p = &l->ring[l->tail % LANE_PACKETS];
        uint8_t spill[PACKET_OCTETS];
        bool is_full = l->tail - l->head == LANE_PACKETS;
        ssize_t len = read(l->from, is_full ? spill : p->octets, PACKET_OCTETS);
        if (len <= 0)
            return;
        lane_leave_queue(l, now_ns);
        if (is_full || l->queue_octets + len > l->queue_octets_max) {
            l->count.overflowed++;
            continue;
        }
        if (l->free_ns < now_ns)
            l->free_ns = now_ns;
        l->free_ns += len * 8 * 1000000000 / l->bits_per_s;
        p->len = (uint16_t)len;
        p->sent_ns = l->free_ns;
        p->arrives_ns = l->free_ns + l->delay_ns;
        p->is_lost = lane_random(l) % 1000000 < l->loss_ppm;
        l->queue_octets += len;
        l->tail++;
    }
}

static void lane_give(struct lane *l, int64_t now_ns)
{
    lane_leave_queue(l, now_ns);
    for (; l->head != l->queue; l->head++) {
        const struct packet *p = &l->ring[l->head % LANE_PACKETS];
        if (p->arrives_ns > now_ns)
            return;
        if (now_ns - p->arrives_ns > l->count.late_ns)
            l->count.late_ns = now_ns - p->arrives_ns;
        l->count.packets++;
        l->count.octets += p->len;
        if (p->is_lost)
            l->count.lost++;
        else if (write(l->to, p->octets, p->len) < 0 && errno != EAGAIN && errno != EIO)
            die("write"); /* EIO: the device is down, as a cable that is not plugged in */
    }
}

/* When the lane has something to do by itself. */
static int64_t lane_due_ns(const struct lane *l)
{
    return l->head == l->tail ? INT64_MAX : l->ring[l->head % LANE_PACKETS].arrives_ns;
}

static void obey(const char *line)
{
    long delay_us, kbps[2], queue_octets;
    unsigned long loss_ppm, seed;
    if (sscanf(line, "path %ld %ld %ld %ld %lu %lu", &delay_us, &kbps[1], &kbps[0], &queue_octets,
               &loss_ppm, &seed) == 6 &&
        kbps[0] > 0 && kbps[1] > 0) {
        for (int i = 0; i < 2; i++) {
            struct lane *l = &lanes[i];
            l->delay_ns = delay_us * 1000;
            l->queue_octets_max = queue_octets;
            l->loss_ppm = loss_ppm;
            l->bits_per_s = kbps[i] * 1000;
            l->random = (2 * seed + (unsigned long)i + 1) * 0x9E3779B97F4A7C15ULL;
        }
        puts("ok");
    } else if (strcmp(line, "count") == 0) {
        for (int i = 0; i < 2; i++) {
            struct lane *l = &lanes[i];
            printf("%s\"%s\":{\"packets\":%lu,\"octets\":%lu,\"lost\":%lu,\"overflowed\":%lu,"
                   "\"late_us\":%ld}%s",
                   i ? "," : "{", lane_names[i], l->count.packets, l->count.octets, l->count.lost,
                   l->count.overflowed, l->count.late_ns / 1000, i ? "}\n" : "");
            memset(&l->count, 0, sizeof(l->count));
        }
    } else {
        puts("what?");
    }
}

/* return  false when the input has ended */
static bool read_commands(void)
{
    static char line[256];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, line + len, sizeof(line) - 1 - len);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    len += (size_t)n;
    line[len] = 0;
    for (char *end; (end = strchr(line, '\n')); memmove(line, end + 1, len + 1)) {
        *end = 0;
        len -= (size_t)(end + 1 - line);
        obey(line);
    }
    if (len == sizeof(line) - 1)
        len = 0;
    return true;
}

/* Enters a new namespace.
 * net_out  the namespace
 * return   its TUN device */
static int enter_namespace(int *net_out)
{
    if (unshare(CLONE_NEWNET) != 0)
        die("a network namespace");
    *net_out = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq want = {.ifr_name = "path", .ifr_flags = IFF_TUN | IFF_NO_PI};
    if (*net_out < 0 || tun < 0 || ioctl(tun, TUNSETIFF, &want) != 0)
        die("/dev/net/tun");
    return tun;
}

int main(int argc, char **argv)
{
    unsigned seconds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (seconds == 0) {
        fputs("usage: shaper SECONDS\n", stderr);
        return 2;
    }
    alarm(seconds);
    setlinebuf(stdout);
    prctl(PR_SET_TIMERSLACK, 1);
    /* So that a busy machine delays no packet; where that is not allowed, late_us will tell. */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});

    int client_net, server_net;
    int client = enter_namespace(&client_net), server = enter_namespace(&server_net);
    lanes[0].from = lanes[1].to = client;
    lanes[0].to = lanes[1].from = server;
    printf("/proc/%d/fd/%d /proc/%d/fd/%d\n", getpid(), client_net, getpid(), server_net);

    struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                           {.fd = server, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};
    for (;;) {
        int64_t due_ns = lane_due_ns(&lanes[0]), due1_ns = lane_due_ns(&lanes[1]);
        if (due1_ns < due_ns)
            due_ns = due1_ns;
        int64_t wait_ns = due_ns - clock_ns();
        if (wait_ns < 0)
            wait_ns = 0;
        struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
        if (ppoll(fds, 3, due_ns == INT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int i = 0; i < 2; i++) {
            lane_take(&lanes[i], clock_ns());
            lane_give(&lanes[i], clock_ns());
        }
        if (fds[2].revents && !read_commands())
            return 0;
    }
}
