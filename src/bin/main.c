/* SPDX-License-Identifier: Apache-2.0 */
/* One binary, several mains: the command line, and the roles that monitor starts from it. */
#include "authority/authority.h"
#include "base/log.h"
#include "cli/cli.h"
#include "control/control.h"
#include "edge/edge.h"
#include "ipc/ipc.h"
#include "monitor/monitor.h"
#include "static/static.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static enum log_level wanted_level(void)
{
    static const char *const names[] = {
        [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
    const char *name = getenv("PORTICO_LOG");
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

/* Once, by who starts Portico and in a process of its own: monitor parses nothing, and control may
 * look at less, at no certificate or key in particular.
 * return  the exit code */
static int check_apart(const char *manifest)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(control_check(manifest, false));
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            pid = -1;
    if (pid < 0) {
        fprintf(stderr, "portico: cannot check the manifest: %s\n", strerror(errno));
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int up(const struct cli_up *up_)
{
    if (up_->check)
        return control_check(up_->manifest, true);
    int code = up_->resume_fd < 0 ? check_apart(up_->manifest) : 0;
    if (code != 0)
        return code;
    struct monitor_options options = {
        .manifest = up_->manifest, .data = up_->data, .resume_fd = up_->resume_fd};
    log_setup("monitor", wanted_level());
    return monitor_main(&options);
}

static int role(int argc, char **argv)
{
    struct stat st;
    bool is_started = fstat(IPC_CHILD_FD, &st) == 0 && S_ISSOCK(st.st_mode);
    signal(SIGPIPE, SIG_IGN); /* a log whose reader is gone ends nobody */
    if (strcmp(argv[0], "authority") == 0 && argc == 2) {
        log_setup("authority", wanted_level());
        return authority_main(argv[1], STDIN_FILENO);
    }
    if (strcmp(argv[0], "copy") == 0 && argc == 4)
        return monitor_copy(argv[1], argv[2], argv[3], &copy_limits_default);
    if (strcmp(argv[0], "named") == 0 && argc == 2)
        return control_named(argv[1], STDIN_FILENO);
    if (strcmp(argv[0], "check-resume") == 0 && argc == 1)
        return monitor_check_resume(STDIN_FILENO);
    if (is_started && strcmp(argv[0], "control") == 0 && argc == 2) {
        log_setup("control", wanted_level());
        return control_main(IPC_CHILD_FD, argv[1]);
    }
    if (is_started && strcmp(argv[0], "edge") == 0 && argc == 1) {
        log_setup("edge", wanted_level());
        return edge_main(IPC_CHILD_FD);
    }
    fprintf(stderr, "portico: roles are started by `portico up`\n");
    return CLI_EXIT_USAGE;
}

static int serve_static(const struct cli_static *static_)
{
    struct static_options options = {.directory = static_->directory,
                                     .socket = static_->socket,
                                     .listen = static_->listen,
                                     .max_age = static_->max_age,
                                     .is_listed = static_->list};
    log_setup("static", wanted_level());
    return static_main(&options);
}

int main(int argc, char **argv)
{
    static const struct cli_actions actions = {
        .up = up, .upgrade = monitor_ask_upgrade, .role = role, .serve_static = serve_static};
    return cli_main(argc, argv, &actions);
}
