/* Runs a fuzz target over every file of a directory: the corpus as an ordinary test, without libFuzzer. */

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int replay(const char *path)
{
        FILE *file = fopen(path, "re");
        uint8_t *data;
        long size;

        if (!file || fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0) {
                perror(path);
                return -1;
        }
        rewind(file);
        data = malloc((size_t)size + (size == 0));
        if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) {
                perror(path);
                return -1;
        }
        fclose(file);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
        return 0;
}

int main(int argc, char **argv)
{
        DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
        const struct dirent *entry;
        char path[4096];
        int n = 0;

        if (!directory) {
                fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
                return 2;
        }
        while ((entry = readdir(directory))) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
                if (replay(path) < 0)
                        return 1;
                n++;
        }
        closedir(directory);
        printf("%d inputs\n", n);
        return n > 0 ? 0 : 1;
}
