// Matrix products whose factors are rounded to BF16 and whose sums are fp32, in AVX512-BF16: twice the numbers of an fp32
// multiplication for the same instruction. A tile of C is made by one thread from packed copies of its factors.

#include "products.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

// A panel holds LINES lines (rows of A, or columns of B) side by side, two steps of the sum together: [pairs][LINES][2].
#define A_LINES 8
#define B_LINES 48
// The longest piece of a sum whose panels are held: one of B stays in the first cache.
#define DEPTH 288

bool dms_has_avx512bf16(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16");
}

static inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

static inline int64_t depth_of(int64_t k) {
  int64_t pieces = k > DEPTH ? (k + DEPTH - 1) / DEPTH : 1;
  return up((k + pieces - 1) / pieces, 32);
}

int64_t dms_product_bf16_scratch(int64_t m, int64_t k) {
  return (up(m, 16) + B_LINES) * depth_of(k) * (int64_t)sizeof(uint16_t) + 64;
}

// Sixteen rows of sixteen pairs become sixteen columns.
BF16 static inline void transpose(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 4) {
    __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]), b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  for (int i = 0; i < 4; i++) {
    __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_i32x4(a, c, 0x88), r[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88), r[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
}

// Leaves pair after pair of sixteen lines, of which `count` exist: out[pair * stride] and, from the eighth line on,
// out[pair * stride + second], in 32-bit pairs.
BF16 static inline void put(__m512i pairs, uint32_t *out, int64_t second) {
  _mm256_storeu_si256((__m256i *)out, _mm512_castsi512_si256(pairs));
  _mm256_storeu_si256((__m256i *)(out + second), _mm512_extracti64x4_epi64(pairs, 1));
}

// Lines whose numbers follow one another: x[line * stride + step].
BF16 static void pack_along(const float *x, int64_t stride, int64_t count, int64_t steps, uint32_t *out, int64_t out_stride,
                            int64_t second) {
  for (int64_t step = 0; step < steps; step += 32) {
    int64_t left = steps - step;
    __mmask16 low = left >= 16 ? 0xffff : (1u << left) - 1;
    __mmask16 high = left >= 32 ? 0xffff : left > 16 ? (1u << (left - 16)) - 1 : 0;
    __m512i lines[16];
    for (int line = 0; line < 16; line++) {
      const float *from = x + (line < count ? line : 0) * stride + step;
      __mmask16 exists = line < count ? 0xffff : 0;
      lines[line] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high & exists, from + 16),
                                                 _mm512_maskz_loadu_ps(low & exists, from));
    }
    transpose(lines);
    for (int pair = 0; pair < 16; pair++) put(lines[pair], out + (step / 2 + pair) * out_stride, second);
  }
}

// Lines side by side: x[step * stride + line].
BF16 static void pack_across(const float *x, int64_t stride, int64_t count, int64_t steps, uint32_t *out,
                             int64_t out_stride, int64_t second) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                         20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  __mmask16 exist = count >= 16 ? 0xffff : (1u << count) - 1;
  for (int64_t step = 0; step < up(steps, 32); step += 2) {
    __m512 first = _mm512_maskz_loadu_ps(step < steps ? exist : 0, x + step * stride);
    __m512 next = _mm512_maskz_loadu_ps(step + 1 < steps ? exist : 0, x + (step + 1) * stride);
    put(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(next, first)), out + step / 2 * out_stride, second);
  }
}

// Sixteen lines from `line` on, into panels of `width` lines.
BF16 static void pack(dms_factor x, bool along, int64_t line, int64_t lines, int64_t step, int64_t steps, uint32_t *panels,
                      int64_t width) {
  int64_t pairs = up(steps, 32) / 2, count = lines - line < 16 ? lines - line : 16;
  uint32_t *out = panels + line / width * width * pairs + line % width;
  int64_t second = width == A_LINES ? A_LINES * pairs : 8;
  if (along)
    pack_along(x.numbers + line * x.stride + step, x.stride, count, steps, out, width, second);
  else
    pack_across(x.numbers + step * x.stride + line, x.stride, count, steps, out, width, second);
}

// Eight rows by 48 columns of C.
BF16 static inline void multiply(const uint32_t *a, const uint32_t *b, int64_t pairs, float *c, int64_t stride,
                                 int64_t rows, int64_t columns, bool accumulating, float alpha) {
  __m512 sums[A_LINES][3];
#pragma GCC unroll 8
  for (int row = 0; row < A_LINES; row++)
    for (int part = 0; part < 3; part++) sums[row][part] = _mm512_setzero_ps();
  for (int64_t pair = 0; pair < pairs; pair++, a += A_LINES, b += B_LINES) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 16),
             b2 = (__m512bh)_mm512_loadu_si512(b + 32);
#pragma GCC unroll 8
    for (int row = 0; row < A_LINES; row++) {
      __m512bh both = (__m512bh)_mm512_set1_epi32((int)a[row]);
      sums[row][0] = _mm512_dpbf16_ps(sums[row][0], both, b0);
      sums[row][1] = _mm512_dpbf16_ps(sums[row][1], both, b1);
      sums[row][2] = _mm512_dpbf16_ps(sums[row][2], both, b2);
    }
  }
  __m512 factor = _mm512_set1_ps(alpha);
#pragma GCC unroll 8
  for (int row = 0; row < A_LINES; row++) {
    if (row >= rows) break;
    for (int part = 0; part < 3; part++) {
      int64_t left = columns - 16 * part;
      if (left <= 0) break;
      __mmask16 mask = left >= 16 ? 0xffff : (1u << left) - 1;
      float *out = c + row * stride + 16 * part;
      __m512 before = accumulating ? _mm512_maskz_loadu_ps(mask, out) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(out, mask, _mm512_fmadd_ps(sums[row][part], factor, before));
    }
  }
}

BF16 void dms_product_bf16_avx512(int64_t m, int64_t n, int64_t k, dms_factor a, dms_factor b, float *c, int64_t c_stride,
                                  bool accumulating, float alpha, void *scratch) {
  int64_t depth = depth_of(k);
  uint32_t *rows = (uint32_t *)(((uintptr_t)scratch + 63) / 64 * 64);
  uint32_t *columns = rows + up(m, 16) * depth / 2;
  int64_t step = 0;
  // Once at least: a sum of nothing is a number, too.
  do {
    int64_t steps = k - step < depth ? k - step : depth, pairs = up(steps, 32) / 2;
    for (int64_t row = 0; row < m; row += 16) pack(a, !a.transposed, row, m, step, steps, rows, A_LINES);
    for (int64_t column = 0; column < n; column += B_LINES) {
      int64_t count = n - column < B_LINES ? n - column : B_LINES;
      dms_factor panel = {b.numbers + (b.transposed ? column * b.stride : column), b.stride, b.transposed};
      for (int64_t line = 0; line < count; line += 16) pack(panel, b.transposed, line, count, step, steps, columns, B_LINES);
      for (int64_t row = 0; row < m; row += A_LINES)
        multiply(rows + row * pairs, columns, pairs, c + row * c_stride + column, c_stride, m - row, count,
                 accumulating || step > 0, alpha);
    }
  } while ((step += depth) < k);
}

#else

bool dms_has_avx512bf16(void) { return false; }

int64_t dms_product_bf16_scratch(int64_t m, int64_t k) { return 0; }

void dms_product_bf16_avx512(int64_t m, int64_t n, int64_t k, dms_factor a, dms_factor b, float *c, int64_t c_stride,
                             bool accumulating, float alpha, void *scratch) {}

#endif
