#pragma once

/* An event stream (text/event-stream, as the HTML standard has it) as the answer of an exchange: a message
 * for each line that its call has written, and one for its end. */

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct events;
struct exchange;
struct record;

/*
 * Answers the exchange with the messages of its record, those after the first `skip`. The status line goes
 * out when the call starts, or at the first ping; at once if `now`. If the call ends in a problem before
 * that, the answer is that problem. Ends the exchange, later or from within.
 */
void events_open(struct exchange *exchange, struct record *record, uint64_t skip, bool now);
/* Ends the exchange. */
void events_end(struct exchange *exchange);
/* Takes NULL. Without a word to the client. */
void events_free(struct events *events);
