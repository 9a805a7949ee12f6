#pragma once

/* /calls/{id}: what became of a call that was made for later. `rest` is what follows the route's own path. */

struct exchange;
struct record;

/* 202: it will be found at its Location. */
void calls_accept(struct exchange *exchange, const struct record *record);
void calls_get(struct exchange *exchange, const char *rest);
void calls_delete(struct exchange *exchange, const char *rest);
