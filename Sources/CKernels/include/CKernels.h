// The C leaf: what Swift cannot express. No state, no allocation, no knowledge of models or caches.

#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "attention.h"
#include "blocks.h"
#include "products.h"

// Sleeps while *word == expected (Linux futex, private to the process). May wake for no reason: callers loop.
void dms_futex_wait(const void *word, uint32_t expected);

// Wakes up to `count` sleepers on `word`.
void dms_futex_wake(const void *word, int32_t count);

// The processors that the calling thread may run on, as bits of `words` 64-bit words. 0 on success.
int32_t dms_get_affinity(uint64_t *mask, int32_t words);
int32_t dms_set_affinity(const uint64_t *mask, int32_t words);

// Tells the core that this is a spin loop.
static inline void dms_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Has the calling thread take numbers too small for a normal float for zero, and returns what to restore. Such numbers cost
// a hundred cycles each.
static inline uint64_t dms_flush_subnormals(void) {
#if defined(__x86_64__)
  uint32_t mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(mode | 0x8040);
  return mode;
#elif defined(__aarch64__)
  uint64_t mode;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
  __asm__ __volatile__("msr fpcr, %0" : : "r"(mode | (UINT64_C(1) << 24)));
  return mode;
#else
  return 0;
#endif
}

static inline void dms_restore_subnormals(uint64_t mode) {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr((uint32_t)mode);
#elif defined(__aarch64__)
  __asm__ __volatile__("msr fpcr, %0" : : "r"(mode));
#else
  (void)mode;
#endif
}

// Whether the processor and the system offer AVX2, FMA and F16C.
bool dms_has_avx2(void);

// y[r] = sum over k of w[r, k] * x[k], for `rows` rows of `columns` numbers that lie `row_bytes` apart. One order of
// summation, whatever the rows. Only to be called where dms_has_avx2(). For BF16, x has the even and odd numbers of each
// block of 32 apart (16 and 16); the numbers beyond the last whole block stay in order.
void dms_matvec_f32_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);
void dms_matvec_bf16_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);
void dms_matvec_f16_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);

// The same in NEON, which every 64-bit ARM processor has.
bool dms_has_neon(void);
void dms_matvec_f32_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);
void dms_matvec_bf16_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);
void dms_matvec_f16_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);

#endif
