/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/operate.h"
#include "cli/options.h"
#include "cli/push.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verb {
    const char *name;
    const char *help; /* one line; NULL: not for people */
    const char *usage, *details;
    int (*run)(int argc, char **argv, const struct cli_actions *actions); /* argv[0]: the verb */
};

static int run_up(int argc, char **argv, const struct cli_actions *actions);
static int run_upgrade(int argc, char **argv, const struct cli_actions *actions);
static int run_static(int argc, char **argv, const struct cli_actions *actions);
static int run_status(int argc, char **argv, const struct cli_actions *actions);
static int run_reload(int argc, char **argv, const struct cli_actions *actions);
static int run_restart(int argc, char **argv, const struct cli_actions *actions);
static int run_scale(int argc, char **argv, const struct cli_actions *actions);
static int run_logs(int argc, char **argv, const struct cli_actions *actions);
static int run_push(int argc, char **argv, const struct cli_actions *actions);
static int run_help(int argc, char **argv, const struct cli_actions *actions);
static int run_version(int argc, char **argv, const struct cli_actions *actions);
static int run_role(int argc, char **argv, const struct cli_actions *actions);

static const struct verb verbs[] = {
    {
        .name = "up",
        .help = "start the apps of a manifest and serve them, in the foreground",
        .usage = "portico up --manifest FILE [--data DIR] [--check]",
        .details = "  --manifest FILE  the YAML file that names addresses, apps and their workers\n"
                   "  --data DIR       where certificates, logs and apps' homes are kept; as root\n"
                   "                   /var/lib/portico, else $XDG_STATE_HOME/portico or\n"
                   "                   ~/.local/state/portico\n"
                   "  --check          only validate the manifest\n"
                   "\n"
                   "Ctrl-C drains and ends everything that was started; a second one at once.\n"
                   "SIGHUP is `portico reload`. SIGUSR1 reopens log files. SIGUSR2 is what "
                   "`portico upgrade` sends.\n",
        .run = run_up,
    },
    {
        .name = "status",
        .help = "show the apps and their instances",
        .usage = "portico status [APP] [-o json] [--data DIR]",
        .details = "  --data DIR       the data directory of the portico that runs\n"
                   "  -o json          all that is known, for programs\n",
        .run = run_status,
    },
    {
        .name = "reload",
        .help = "read the manifest again, and change what it says",
        .usage = "portico reload [--data DIR]",
        .details =
            "  --data DIR       the data directory of the portico that runs\n"
            "\n"
            "Apps that are as before are not disturbed. Where command, directory, env or\n"
            "http20ProxyFlag changed, new instances start beside the old ones, which end when all\n"
            "of the new ones are ready and have the routes. A manifest with a fault changes\n"
            "nothing: the faults are told and the exit status is 2. listen, loops and accessLog\n"
            "cannot change while Portico runs. SIGHUP does the same.\n",
        .run = run_reload,
    },
    {
        .name = "restart",
        .help = "replace the instances of an app by new ones, without a pause",
        .usage = "portico restart APP [--data DIR]",
        .details =
            "  --data DIR       the data directory of the portico that runs\n"
            "\n"
            "New instances start beside the old ones, as root with a new copy of the app's\n"
            "directory; the old ones end when the new ones have the routes. This waits until\n"
            "then. When the new ones do not start, the old ones go on and the exit status is\n"
            "1.\n",
        .run = run_restart,
    },
    {
        .name = "scale",
        .help = "run another number of instances of an app, until the manifest is read again",
        .usage = "portico scale APP N [--data DIR]",
        .details = "  --data DIR       the data directory of the portico that runs\n"
                   "\n"
                   "The manifest is read again by a reload, an upgrade, and a control that takes over\n"
                   "from one that died.\n",
        .run = run_scale,
    },
    {
        .name = "logs",
        .help = "show what an app's instances wrote",
        .usage = "portico logs [APP] [-f] [--data DIR]",
        .details = "  --data DIR       the data directory of the portico that runs\n"
                   "  -f               go on with what they write\n",
        .run = run_logs,
    },
    {
        .name = "push",
        .help = "say what is pushed with a page and why, or what came of an app's pushes",
        .usage = "portico push explain URL [--as node|browser|http1] [-o json] [--cacert FILE] "
                 "[--data DIR]\n"
                 "portico push stats [APP] [-o json] [--data DIR]",
        .details =
            "  --as CLIENT      what asks: node takes pushes over HTTP/2, browser takes none and\n"
            "                   asks for what it is hinted, http1 speaks HTTP/1.1; else node\n"
            "  -o json          all that is known, for programs\n"
            "  --cacert FILE    a certificate authority to trust beside the machine's; else the\n"
            "                   local one of the data directory\n"
            "  --data DIR       the data directory of the portico that runs\n"
            "\n"
            "explain asks for the URL and prints each resource that the page promised: where the\n"
            "promise came from, how it went on, the reason, octets, times, and what could be\n"
            "better. The reasons are edge's own and for the operator: they need the rights to use\n"
            "admin.sock in the data directory. Without them it prints what it saw.\n"
            "\n"
            "stats adds up reasons, what became of each promise, octets that were wasted, and\n"
            "the resources behind them. What is pushed is decided by the app's key `push` in\n"
            "the manifest: off, deny, hints, observe, auto (when absent) or always, and more.\n",
        .run = run_push,
    },
    {
        .name = "upgrade",
        .help = "let the new binary take over from the one that runs, without a pause",
        .usage = "portico upgrade [--data DIR]",
        .details = "  --data DIR       the data directory of the portico that runs\n"
                   "\n"
                   "The new binary lies at the path by which the running one was started. Workers\n"
                   "go on; connections are drained by the old edge for up to 5 minutes. When the\n"
                   "new binary cannot take over, what runs goes on, and this says why.\n",
        .run = run_upgrade,
    },
    {
        .name = "static",
        .help = "serve the files of a directory, as an app's worker or by itself",
        .usage =
            "portico static DIR [--socket PATH] [--listen ADDRESS] [--max-age SECONDS] [--list]",
        .details =
            "  --socket PATH      listen at a unix socket\n"
            "  --listen ADDRESS   listen at 127.0.0.1:8000, [::1]:8000, or 8000 on 127.0.0.1\n"
            "                     without both: at $PORTICO_SOCKET and $PORT, as workers do\n"
            "  --max-age SECONDS  how long answers may be used again without asking; else each\n"
            "                     use asks, and is mostly answered by 304\n"
            "  --list             a directory without index.html shows what it holds\n"
            "\n"
            "HTTP/1.1, and HTTP/2 by prior knowledge. GET and HEAD, ranges, conditional requests.\n"
            "DIR/404.html, when there is one, is shown for what is not there. page.html.br, .zst\n"
            "and .gz beside page.html, not older than it, go to clients that take them. Names\n"
            "that begin with a dot are not there, save /.well-known/, nor is anything outside "
            "DIR,\n"
            "whatever symbolic links say. A file that changes while it is sent ends in an error,\n"
            "never in a mixture. SIGTERM ends it when what is under way has been sent.\n"
            "\n"
            "In a manifest:\n"
            "  docs: {directory: docs, command: portico static public, hosts: [docs.localhost]}\n",
        .run = run_static,
    },
    {
        .name = "help",
        .help = "say what there is, or more about one verb",
        .usage = "portico help [VERB]",
        .details = "",
        .run = run_help,
    },
    {
        .name = "version",
        .help = "print the version",
        .usage = "portico version",
        .details = "",
        .run = run_version,
    },
    {.name = "role", .run = run_role},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static const struct verb *find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run_up(int argc, char **argv, const struct cli_actions *actions)
{
    struct cli_up up = {.resume_fd = -1};
    const char *resume = NULL; /* only a monitor that is upgraded says this */
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        int taken = options_value(argc, argv, &i, "--manifest", &up.manifest);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--data", &up.data);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--resume-fd", &resume);
        if (taken < 0)
            return options_refuse("up", "a value is missing after", option);
        if (taken)
            continue;
        if (strcmp(option, "--help") == 0)
            return run_help(2, (char *[]){(char *)"help", argv[0], NULL}, actions);
        if (strcmp(option, "--check") != 0)
            return options_refuse("up", option[0] == '-' ? "unknown option" : "unexpected argument",
                                  option);
        up.check = true;
    }
    if (!up.manifest)
        return options_refuse("up", "an option is missing:", "--manifest FILE");
    if (resume)
        up.resume_fd = atoi(resume);
    return actions->up(&up);
}

static int run_upgrade(int argc, char **argv, const struct cli_actions *actions)
{
    const char *data = NULL;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        int taken = options_value(argc, argv, &i, "--data", &data);
        if (taken < 0)
            return options_refuse("upgrade", "a value is missing after", option);
        if (taken)
            continue;
        if (strcmp(option, "--help") == 0)
            return run_help(2, (char *[]){(char *)"help", argv[0], NULL}, actions);
        return options_refuse("upgrade",
                              option[0] == '-' ? "unknown option" : "unexpected argument", option);
    }
    return actions->upgrade(data);
}

static int run_static(int argc, char **argv, const struct cli_actions *actions)
{
    struct cli_static s = {0};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        int taken = options_value(argc, argv, &i, "--socket", &s.socket);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--listen", &s.listen);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--max-age", &s.max_age);
        if (taken < 0)
            return options_refuse("static", "a value is missing after", option);
        if (taken)
            continue;
        if (strcmp(option, "--help") == 0)
            return run_help(2, (char *[]){(char *)"help", argv[0], NULL}, actions);
        if (strcmp(option, "--list") == 0)
            s.list = true;
        else if (option[0] == '-' || s.directory)
            return options_refuse(
                "static", option[0] == '-' ? "unknown option" : "unexpected argument", option);
        else
            s.directory = option;
    }
    if (!s.directory)
        return options_refuse("static", "an argument is missing:", "DIR");
    return actions->serve_static(&s);
}

/* What the verbs that talk to a running Portico take. */
struct operands {
    const char *data, *output;
    bool follow, help;
    const char *at[2];
    int count;
};

/* most: how many operands there may be.  return  0, or the exit code: told */
static int take_operands(int argc, char **argv, int least, int most, struct operands *o)
{
    *o = (struct operands){0};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        int taken = options_value(argc, argv, &i, "--data", &o->data);
        if (taken == 0 && strcmp(argv[0], "status") == 0)
            taken = options_value(argc, argv, &i, "-o", &o->output);
        if (taken < 0)
            return options_refuse(argv[0], "a value is missing after", option);
        if (taken)
            continue;
        if (strcmp(option, "--help") == 0)
            o->help = true;
        else if (strcmp(option, "-f") == 0 && strcmp(argv[0], "logs") == 0)
            o->follow = true;
        else if (option[0] == '-' || o->count == most)
            return options_refuse(
                argv[0], option[0] == '-' ? "unknown option" : "unexpected argument", option);
        else
            o->at[o->count++] = option;
    }
    if (o->help)
        return 0;
    if (o->output && strcmp(o->output, "json") != 0)
        return options_refuse(argv[0], "the only other form is json, not", o->output);
    return o->count < least
               ? options_refuse(argv[0], "an argument is missing:", o->count ? "N" : "APP")
               : 0;
}

static int help_of(char **argv, const struct cli_actions *actions)
{
    return run_help(2, (char *[]){(char *)"help", argv[0], NULL}, actions);
}

static int run_status(int argc, char **argv, const struct cli_actions *actions)
{
    struct operands o;
    int code = take_operands(argc, argv, 0, 1, &o);
    return code     ? code
           : o.help ? help_of(argv, actions)
                    : operate_status(o.data, o.at[0], o.output);
}

static int run_reload(int argc, char **argv, const struct cli_actions *actions)
{
    struct operands o;
    int code = take_operands(argc, argv, 0, 0, &o);
    return code ? code : o.help ? help_of(argv, actions) : operate_reload(o.data);
}

static int run_restart(int argc, char **argv, const struct cli_actions *actions)
{
    struct operands o;
    int code = take_operands(argc, argv, 1, 1, &o);
    return code ? code : o.help ? help_of(argv, actions) : operate_restart(o.data, o.at[0]);
}

static int run_scale(int argc, char **argv, const struct cli_actions *actions)
{
    struct operands o;
    int code = take_operands(argc, argv, 2, 2, &o);
    return code ? code : o.help ? help_of(argv, actions) : operate_scale(o.data, o.at[0], o.at[1]);
}

static int run_logs(int argc, char **argv, const struct cli_actions *actions)
{
    struct operands o;
    int code = take_operands(argc, argv, 0, 1, &o);
    return code ? code : o.help ? help_of(argv, actions) : operate_logs(o.data, o.at[0], o.follow);
}

static int run_push(int argc, char **argv, const struct cli_actions *actions)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return help_of(argv, actions);
    return push_run(argc, argv);
}

static int run_help(int argc, char **argv, const struct cli_actions *actions)
{
    (void)actions;
    if (argc > 2)
        return options_refuse("help", "unexpected argument", argv[2]);
    if (argc == 2 && strcmp(argv[1], "limits") == 0) {
        limits_print();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "push-reasons") == 0) {
        push_reasons_print();
        return 0;
    }
    if (argc == 2) {
        const struct verb *v = find(argv[1]);
        if (!v || !v->help)
            return options_refuse("", "unknown verb", argv[1]);
        printf("%s\n    %s\n%s%s", v->usage, v->help, *v->details ? "\n" : "", v->details);
        return 0;
    }
    printf("Portico: one HTTP/2 front end, many apps, and the workers that run them.\n\n"
           "usage: portico VERB [OPTIONS]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].help)
            printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
    printf("\n`portico help VERB` says more; `portico help limits` lists limits and refusals,\n"
           "`portico help push-reasons` why something is pushed or not.\n");
    return 0;
}

static int run_version(int argc, char **argv, const struct cli_actions *actions)
{
    (void)actions;
    if (argc > 1)
        return options_refuse("", "unexpected argument", argv[1]);
    printf("portico %s\n", PORTICO_VERSION);
    return 0;
}

static int run_role(int argc, char **argv, const struct cli_actions *actions)
{
    if (argc < 2)
        return options_refuse("", "unknown verb", argv[0]);
    return actions->role(argc - 1, argv + 1);
}

static int run_verb(int argc, char **argv, const struct cli_actions *actions)
{
    if (argc < 2) {
        run_help(1, argv, actions);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return run_version(argc - 1, argv + 1, actions);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return run_help(argc - 1, argv + 1, actions);
    const struct verb *v = find(argv[1]);
    if (!v)
        return options_refuse("", argv[1][0] == '-' ? "unknown option" : "unknown verb", argv[1]);
    return v->run(argc - 1, argv + 1, actions);
}

int cli_main(int argc, char **argv, const struct cli_actions *actions)
{
    int code = run_verb(argc, argv, actions);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "portico: cannot write to standard output: %s\n", strerror(errno));
    return code ? code : 1;
}
