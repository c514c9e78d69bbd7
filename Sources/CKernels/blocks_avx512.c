// Block products in AVX-512, with VNNI (a dot product of four bytes per lane) and without.

#include "blocks.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma STDC FP_CONTRACT OFF

bool dms_has_avx512(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool dms_has_avx512vnni(void) { return dms_has_avx512() && __builtin_cpu_supports("avx512vnni"); }

typedef __m512i ints_t;
typedef __m512 floats_t;
#define PARTS 1
#define TILE 12
#define GROUPS 2
#define PREFETCH 2048
#define load(p) _mm512_loadu_si512(p)
#define store(p, v) _mm512_storeu_si512(p, v)
#define load_floats(p) _mm512_loadu_ps(p)
#define broadcast(p) _mm512_set1_epi32(*(const int32_t *)(p))
#define zero() _mm512_setzero_ps()
#define low_half(pair) _mm512_and_si512(pair, _mm512_set1_epi8(15))
#define high_half(pair) _mm512_and_si512(_mm512_srli_epi16(pair, 4), _mm512_set1_epi8(15))
// Two bits of each byte, from bit `from` on, moved to bits 4 and 5.
#define two_bits(v, from)                                                                                   \
  _mm512_and_si512((from) < 4 ? _mm512_slli_epi16(v, 4 - (from)) : _mm512_srli_epi16(v, (from) - 4), \
                   _mm512_set1_epi8(0x30))
#define join(a, b) _mm512_or_si512(a, b)
#define add(a, b) _mm512_add_ps(a, b)
#define subtract(a, b) _mm512_sub_ps(a, b)
#define multiply(a, b) _mm512_mul_ps(a, b)
#define to_floats(v) _mm512_cvtepi32_ps(v)
#define same(x) _mm512_set1_ps(x)
#define bf16_row(p) \
  _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16))
#define half_row(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define byte_row(p) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define signed_row(p) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define store_floats(p, v) _mm512_storeu_ps(p, v)
#define start4(sum) _mm512_set1_epi32(sum)

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#define NAME(x) x##_avx512
// Pairs of products stay within 16 bits only as (magnitude, signed): 2 * 127 * 127.
__attribute__((always_inline)) static inline __m512i signed_dot(__m512i sums, __m512i row, __m512i x) {
  __m512i numbers = _mm512_xor_si512(row, _mm512_set1_epi8((char)128));
  __mmask64 negative = _mm512_movepi8_mask(numbers);
  __m512i turned = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
  __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(numbers), turned);
  return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
#define start8(sum) ((void)(sum), _mm512_setzero_si512())
#define dot8(sums, row, x) signed_dot(sums, row, x)
#define dot4(sums, row, x) _mm512_add_epi32(sums, _mm512_madd_epi16(_mm512_maddubs_epi16(row, x), _mm512_set1_epi16(1)))
#include "blocks_template.h"
#undef NAME
#undef start8
#undef dot8
#undef dot4
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#define NAME(x) x##_avx512vnni
// -128 times the sum of x, from -8 times it.
#define start8(sum) _mm512_slli_epi32(_mm512_set1_epi32(sum), 4)
#define dot8(sums, row, x) _mm512_dpbusd_epi32(sums, row, x)
#define dot4(sums, row, x) _mm512_dpbusd_epi32(sums, row, x)
#include "blocks_template.h"
#pragma clang attribute pop

#else

bool dms_has_avx512(void) { return false; }
bool dms_has_avx512vnni(void) { return false; }
void dms_blocks_avx512(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {}
void dms_blocks_avx512vnni(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {}

#endif
