// Matrix-vector products for decoding, in AVX2: memory is the limit, so the weights are unpacked in registers, and four
// rows go together to have four streams and to share the loads of x. While they are summed, the next four are fetched: rows
// are too short for the processor to find out by itself.

#include "CKernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

bool dms_has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

typedef struct {
  __m256 low, high;
} Sums;

typedef float f32_t;
typedef uint16_t bf16_t;
typedef uint16_t f16_t;

static inline float fold(Sums sums) {
  __m256 eight = _mm256_add_ps(sums.low, sums.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Each format: a block of 32 columns of one row, and a single number.

__attribute__((always_inline)) static inline void block_f32(const char *w, int64_t column, const float *x, Sums *sums) {
  const float *row = (const float *)w + column;
  x += column;
  sums->low = _mm256_fmadd_ps(_mm256_loadu_ps(row), _mm256_loadu_ps(x), sums->low);
  sums->high = _mm256_fmadd_ps(_mm256_loadu_ps(row + 8), _mm256_loadu_ps(x + 8), sums->high);
  sums->low = _mm256_fmadd_ps(_mm256_loadu_ps(row + 16), _mm256_loadu_ps(x + 16), sums->low);
  sums->high = _mm256_fmadd_ps(_mm256_loadu_ps(row + 24), _mm256_loadu_ps(x + 24), sums->high);
}

static inline float one_f32(const char *w, int64_t column) { return ((const float *)w)[column]; }

__attribute__((always_inline)) static inline void block_bf16(const char *w, int64_t column, const float *x, Sums *sums) {
  const __m256i odd = _mm256_set1_epi32((int)0xFFFF0000);
  x += column;
  for (int half = 0; half < 2; half++) {
    __m256i pairs = _mm256_loadu_si256((const __m256i *)((const uint16_t *)w + column + 16 * half));
    __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    sums->low = _mm256_fmadd_ps(even, _mm256_loadu_ps(x + 8 * half), sums->low);
    sums->high =
        _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(pairs, odd)), _mm256_loadu_ps(x + 16 + 8 * half), sums->high);
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
  for (int part = 0; part < 2; part++) {
    __m256 first = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 16 * part)));
    __m256 second = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 16 * part + 8)));
    sums->low = _mm256_fmadd_ps(first, _mm256_loadu_ps(x + 16 * part), sums->low);
    sums->high = _mm256_fmadd_ps(second, _mm256_loadu_ps(x + 16 * part + 8), sums->high);
  }
}

static inline float one_f16(const char *w, int64_t column) { return _cvtsh_ss(((const uint16_t *)w)[column]); }

#define ROW_PRODUCTS(NAME, FORMAT)                                                                                    \
  __attribute__((always_inline)) static inline void NAME##_rows(const char *w, int64_t row_bytes, int count, const float *x, int64_t columns,        \
                                 float *y) {                                                                          \
    Sums sums[4];                                                                                                     \
    for (int row = 0; row < count; row++) sums[row] = (Sums){_mm256_setzero_ps(), _mm256_setzero_ps()};               \
    int64_t whole = columns & ~(int64_t)31;                                                                           \
    for (int64_t column = 0; column < whole; column += 32)                                                            \
      for (int row = 0; row < count; row++) {                                                                         \
        __builtin_prefetch(w + (row + count) * row_bytes + column * sizeof(FORMAT##_t));                              \
        block_##FORMAT(w + row * row_bytes, column, x, &sums[row]);                                                   \
      }                                                                                                               \
    for (int row = 0; row < count; row++) {                                                                           \
      float sum = fold(sums[row]);                                                                                    \
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

ROW_PRODUCTS(dms_matvec_f32_avx2, f32)
ROW_PRODUCTS(dms_matvec_bf16_avx2, bf16)
ROW_PRODUCTS(dms_matvec_f16_avx2, f16)

#pragma clang attribute pop

#else

bool dms_has_avx2(void) { return false; }

void dms_matvec_f32_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}
void dms_matvec_bf16_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}
void dms_matvec_f16_avx2(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y) {}

#endif
