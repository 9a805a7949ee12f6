#pragma once

/* GET /healthz: the process turns. GET /readyz: calls can be served, and what they are served with.
 * GET /templates: what cells are forked from. */

struct exchange;

void status_health(struct exchange *exchange, const char *rest);
void status_ready(struct exchange *exchange, const char *rest);
void status_templates(struct exchange *exchange, const char *rest);
