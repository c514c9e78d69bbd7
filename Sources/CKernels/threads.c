#define _GNU_SOURCE
#include "CKernels.h"

#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void dms_futex_wait(const void *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void dms_futex_wake(const void *word, int32_t count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

int32_t dms_get_affinity(uint64_t *mask, int32_t words) {
  return sched_getaffinity(0, (size_t)words * sizeof *mask, (cpu_set_t *)mask);
}

int32_t dms_set_affinity(const uint64_t *mask, int32_t words) {
  return sched_setaffinity(0, (size_t)words * sizeof *mask, (const cpu_set_t *)mask);
}
