// Counts the program's heap allocations, by standing in for the allocator's entry points.

#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdint.h>

uint64_t dms_allocations(void);

// Reads memory once, eight numbers at a time, and returns their sum: what a machine's memory can deliver.
uint64_t dms_sum(const uint64_t *words, uint64_t count);

#endif
