#pragma once

/* POST /run/{path} and POST /run-now. `rest` is what follows the route's own path. */

struct exchange;

void run_stored(struct exchange *exchange, const char *rest);
void run_now(struct exchange *exchange, const char *rest);
