#pragma once

/* POST /upload: the script is checked in a cell, and only then stored. */

struct exchange;

void upload_start(struct exchange *exchange, const char *rest);
