// Counts the program's heap allocations, by standing in for the allocator's entry points.

#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdint.h>

uint64_t dms_allocations(void);

#endif
