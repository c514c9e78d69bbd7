// Block products in AVX2, with AVX-VNNI and without, and the rounding of vectors to blocks.

#include "blocks.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#pragma STDC FP_CONTRACT OFF

bool dms_has_avxvnni(void) {
  __builtin_cpu_init();
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a & (1 << 4));
}

typedef __m256i ints_t;
typedef __m256 floats_t;
#define PARTS 2
#define TILE 2
#define GROUPS 1
#define PREFETCH 2048
#define load(p) _mm256_loadu_si256((const __m256i *)(p))
#define store(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define load_floats(p) _mm256_loadu_ps(p)
#define broadcast(p) _mm256_set1_epi32(*(const int32_t *)(p))
#define zero() _mm256_setzero_ps()
#define low_half(pair) _mm256_and_si256(pair, _mm256_set1_epi8(15))
#define high_half(pair) _mm256_and_si256(_mm256_srli_epi16(pair, 4), _mm256_set1_epi8(15))
// Two bits of each byte, from bit `from` on, moved to bits 4 and 5.
#define two_bits(v, from)                                                                                   \
  _mm256_and_si256((from) < 4 ? _mm256_slli_epi16(v, 4 - (from)) : _mm256_srli_epi16(v, (from) - 4), \
                   _mm256_set1_epi8(0x30))
#define join(a, b) _mm256_or_si256(a, b)
#define add(a, b) _mm256_add_ps(a, b)
#define subtract(a, b) _mm256_sub_ps(a, b)
#define multiply(a, b) _mm256_mul_ps(a, b)
#define to_floats(v) _mm256_cvtepi32_ps(v)
#define same(x) _mm256_set1_ps(x)
#define bf16_row(p) \
  _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16))
#define half_row(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define byte_row(p) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define signed_row(p) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define store_floats(p, v) _mm256_storeu_ps(p, v)
#define start4(sum) _mm256_set1_epi32(sum)

#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#define NAME(x) x##_avx2
// Pairs of products stay within 16 bits only as (magnitude, signed): 2 * 127 * 127.
__attribute__((always_inline)) static inline __m256i signed_dot(__m256i sums, __m256i row, __m256i x) {
  __m256i numbers = _mm256_xor_si256(row, _mm256_set1_epi8((char)128));
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(numbers), _mm256_sign_epi8(x, numbers));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#define start8(sum) ((void)(sum), _mm256_setzero_si256())
#define dot8(sums, row, x) signed_dot(sums, row, x)
#define dot4(sums, row, x) _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(row, x), _mm256_set1_epi16(1)))
#include "blocks_template.h"
#undef NAME
#undef start8
#undef dot8
#undef dot4

void dms_quantize_vector_avx2(const float *x, int64_t columns, int8_t *numbers, float *scales, int32_t *sums,
                              int32_t *first_sums) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t first = 0; first < columns; first += 32) {
    float rest[32] = {0};
    const float *block = x + first;
    if (columns - first < 32) {
      for (int64_t i = 0; i < columns - first; i++) rest[i] = block[i];
      block = rest;
    }
    __m256 part[4], largest = _mm256_setzero_ps();
    for (int p = 0; p < 4; p++) {
      part[p] = _mm256_loadu_ps(block + 8 * p);
      largest = _mm256_max_ps(largest, _mm256_and_ps(part[p], magnitude));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float most = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    float scale = most / 127;
    __m256 inverse = _mm256_set1_ps(scale > 0 ? 1 / scale : 0);
    __m256i rounded[4];
    for (int p = 0; p < 4; p++) rounded[p] = _mm256_cvtps_epi32(_mm256_mul_ps(part[p], inverse));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(rounded[0], rounded[1]), _mm256_packs_epi32(rounded[2], rounded[3]));
    _mm256_storeu_si256((__m256i *)(numbers + first), _mm256_permutevar8x32_epi32(bytes, order));
    scales[first / 32] = scale;
    int32_t halves[2];
    for (int half = 0; half < 2; half++) {
      __m256i sum = _mm256_add_epi32(rounded[2 * half], rounded[2 * half + 1]);
      __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
      total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
      total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
      halves[half] = _mm_cvtsi128_si32(total);
    }
    first_sums[first / 32] = -8 * halves[0];
    sums[first / 32] = -8 * (halves[0] + halves[1]);
  }
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx2,f16c,avxvnni"))), apply_to = function)
#define NAME(x) x##_avxvnni
// -128 times the sum of x, from -8 times it.
#define start8(sum) _mm256_slli_epi32(_mm256_set1_epi32(sum), 4)
#define dot8(sums, row, x) _mm256_dpbusd_avx_epi32(sums, row, x)
#define dot4(sums, row, x) _mm256_dpbusd_avx_epi32(sums, row, x)
#include "blocks_template.h"
#pragma clang attribute pop

#else

bool dms_has_avxvnni(void) { return false; }
void dms_blocks_avx2(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {}
void dms_blocks_avxvnni(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {}
void dms_quantize_vector_avx2(const float *x, int64_t columns, int8_t *numbers, float *scales, int32_t *sums,
                              int32_t *first_sums) {}

#endif
