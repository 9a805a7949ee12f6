/*
 * mayfly: what an operator does beside serving. Each command is one row and one file.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cli/import.h"

enum { EXIT_USAGE = 2 };

static int help_main(int argc, char **argv);

static const struct command {
        const char *name;
        int (*run)(int argc, char **argv); /* argv[0] is the command; the exit status */
        const char *usage, *meaning;
} commands[] = {
        { "import", import_main, "import [--dry-run] [--name=value ...]",
                "copies all functions from the Redis that the settings name into DATA_DIR" },
        { "help", help_main, "help", "this list" },
};

static int help_main(int argc, char **argv)
{
        (void)argc, (void)argv;
        printf("usage: mayfly COMMAND\n\n");
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                printf("  %-40s %s\n", commands[i].usage, commands[i].meaning);
        printf("\nSettings are read as mayflyd reads them: the environment, .env in the working directory, "
               "flags "
               "(mayflyd --help lists\nthem). Serving is mayflyd's.\n");
        return 0;
}

int main(int argc, char **argv)
{
        const char *name = argc > 1 ? argv[1] : "";

        if (strcmp(name, "--version") == 0) {
                printf("mayfly %s\n", MAYFLY_VERSION);
                return 0;
        }
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
                name = "help";
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                if (strcmp(commands[i].name, name) == 0)
                        return commands[i].run(argc - 1, argv + 1);
        }
        fprintf(stderr,
                *name ? "mayfly: %s is no command; mayfly help lists them\n"
                      : "mayfly: a command is missing%s; mayfly help lists them\n",
                name);
        return EXIT_USAGE;
}
