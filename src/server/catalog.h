#pragma once

/* What is stored, told and changed: GET /functions, and GET, PUT and DELETE below it. */

#include <stdbool.h>

struct exchange;

/* Reads ?version= (a number or an alias) into exchange->version and ->alias; neither: the latest. False: it
 * was no good, and the exchange is answered. */
bool catalog_read_which(struct exchange *exchange);

void catalog_list(struct exchange *exchange, const char *rest);
void catalog_get(struct exchange *exchange, const char *rest);
void catalog_put(struct exchange *exchange, const char *rest);
void catalog_delete(struct exchange *exchange, const char *rest);
