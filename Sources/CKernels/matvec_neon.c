// Matrix-vector products for decoding, in NEON, which every 64-bit ARM processor has: nothing is to be detected. Built like
// those for AVX2: four rows go together to have four streams and to share the loads of x, and the next four are fetched.
//
// One order of summation, whatever the rows: partial sums by column modulo 16, then the columns beyond the last multiple of
// 32 in order. For BF16, x has the even and odd numbers of each block of 32 apart (16 and 16).

#include "CKernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

bool dms_has_neon(void) { return true; }

// Sixteen chains for four rows: enough for four pipes of four cycles.
typedef struct {
  float32x4_t part[4];
} Sums;

typedef float f32_t;
typedef uint16_t bf16_t;
typedef uint16_t f16_t;

static inline float fold(const Sums *sums) {
  float32x4_t four =
      vaddq_f32(vaddq_f32(sums->part[0], sums->part[2]), vaddq_f32(sums->part[1], sums->part[3]));
  float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

// Each format: a block of 32 columns of one row, and a single number.

__attribute__((always_inline)) static inline void block_f32(const char *w, int64_t column, const float *x, Sums *sums) {
  const float *row = (const float *)w + column;
  x += column;
  for (int part = 0; part < 8; part++)
    sums->part[part & 3] = vfmaq_f32(sums->part[part & 3], vld1q_f32(row + 4 * part), vld1q_f32(x + 4 * part));
}

static inline float one_f32(const char *w, int64_t column) { return ((const float *)w)[column]; }

__attribute__((always_inline)) static inline void block_bf16(const char *w, int64_t column, const float *x, Sums *sums) {
  const uint32x4_t odd = vdupq_n_u32(0xFFFF0000);
  const uint16_t *row = (const uint16_t *)w + column;
  x += column;
  for (int part = 0; part < 4; part++) {
    uint32x4_t pairs = vreinterpretq_u32_u16(vld1q_u16(row + 8 * part));
    int even_sum = 2 * part & 3, odd_sum = even_sum + 1;
    sums->part[even_sum] =
        vfmaq_f32(sums->part[even_sum], vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)), vld1q_f32(x + 4 * part));
    sums->part[odd_sum] =
        vfmaq_f32(sums->part[odd_sum], vreinterpretq_f32_u32(vandq_u32(pairs, odd)), vld1q_f32(x + 16 + 4 * part));
  }
}

static inline float one_bf16(const char *w, int64_t column) {
  uint32_t bits = (uint32_t)((const uint16_t *)w)[column] << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

__attribute__((always_inline)) static inline void block_f16(const char *w, int64_t column, const float *x, Sums *sums) {
  const uint16_t *row = (const uint16_t *)w + column;
  x += column;
  for (int part = 0; part < 8; part++) {
    float32x4_t wide = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(row + 4 * part)));
    sums->part[part & 3] = vfmaq_f32(sums->part[part & 3], wide, vld1q_f32(x + 4 * part));
  }
}

static inline float one_f16(const char *w, int64_t column) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(((const uint16_t *)w)[column]))), 0);
}

#define ROW_PRODUCTS(NAME, FORMAT)                                                                                    \
  __attribute__((always_inline)) static inline void NAME##_rows(const char *w, int64_t row_bytes, int count,          \
                                                                const float *x, int64_t columns, float *y) {          \
    Sums sums[4];                                                                                                     \
    for (int row = 0; row < count; row++)                                                                             \
      for (int part = 0; part < 4; part++) sums[row].part[part] = vdupq_n_f32(0);                                     \
    int64_t whole = columns & ~(int64_t)31;                                                                           \
    for (int64_t column = 0; column < whole; column += 32)                                                            \
      for (int row = 0; row < count; row++) {                                                                         \
        __builtin_prefetch(w + (row + count) * row_bytes + column * (int64_t)sizeof(FORMAT##_t));                     \
        block_##FORMAT(w + row * row_bytes, column, x, &sums[row]);                                                   \
      }                                                                                                               \
    for (int row = 0; row < count; row++) {                                                                           \
      float sum = fold(&sums[row]);                                                                                   \
      for (int64_t column = whole; column < columns; column++)                                                        \
        sum += one_##FORMAT(w + row * row_bytes, column) * x[column];                                                 \
      y[row] = sum;                                                                                                   \
    }                                                                                                                 \
  }                                                                                                                   \
  void NAME(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {              \
    const char *next = w;                                                                                             \
    int64_t row = 0;                                                                                                  \
    for (; row + 4 <= rows; row += 4, next += 4 * row_bytes) NAME##_rows(next, row_bytes, 4, x, columns, y + row);    \
    for (; row < rows; row++, next += row_bytes) NAME##_rows(next, row_bytes, 1, x, columns, y + row);                \
  }

ROW_PRODUCTS(dms_matvec_f32_neon, f32)
ROW_PRODUCTS(dms_matvec_bf16_neon, bf16)
ROW_PRODUCTS(dms_matvec_f16_neon, f16)

#else

bool dms_has_neon(void) { return false; }

void dms_matvec_f32_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}
void dms_matvec_bf16_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}
void dms_matvec_f16_neon(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}

#endif
