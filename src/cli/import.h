#pragma once

/* mayfly import: see docs/store.md. Returns the exit status. */
int import_main(int argc, char **argv);
