#pragma once

/*
 * What V8 is told about the memory that there is. All do nothing where this node exports no such symbols: V8
 * then goes by the flags of its template, and the kernel holds the limit as ever.
 */

#include <stdint.h>

/* In the template, before the first fork: a heap that is full is reported, instead of aborting. */
void node_heap_prepare(void);

/* In the template, while its helper threads run: gives back what nothing refers to. Code that was not used
 * lately is compiled anew when it is. */
void node_heap_shrink(void);

/* In the child, before the script: it may use this much, which is less than the template's flags say. */
void node_heap_fit(uint64_t memory_bytes);
