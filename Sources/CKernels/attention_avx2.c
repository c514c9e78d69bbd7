// Attention over a page in AVX2.

#include "attention.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

typedef __m256 floats_t;
#define NAME(x) x##_avx2
#define WIDTH 8
#define TILE 6
#define VECTORS 2
#define load_f32(p, i) _mm256_loadu_ps((const float *)(p) + (i))
#define load_bf16(p, i) \
  _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)((const uint16_t *)(p) + (i)))), 16))
#define load_f16(p, i) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)(p) + (i))))
#define load_q8(p, i) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)((const int8_t *)(p) + (i)))))
#define load(p) _mm256_loadu_ps(p)
#define store(p, v) _mm256_storeu_ps(p, v)
#define broadcast(x) _mm256_set1_ps(x)
#define zero() _mm256_setzero_ps()
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define times(a, b) _mm256_mul_ps(a, b)
#define minus(a, b) _mm256_sub_ps(a, b)
#define larger(a, b) _mm256_max_ps(a, b)
#define round_even(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
// n is an integer from -126 to 0: its power of two has n + 127 in the exponent.
#define times_power_of_two(p, n) \
  _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)))
#define zero_below(x, limit, v) _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_NLT_UQ), v)
#include "attention_numbers.h"
#include "attention_softmax.h"
#define TYPE f32
#include "attention_pages.h"
#undef TYPE
#define TYPE bf16
#include "attention_pages.h"
#undef TYPE
#define TYPE f16
#include "attention_pages.h"
#undef TYPE
#define TYPE q8
#include "attention_pages.h"
#undef TYPE

#pragma clang attribute pop

#else

void dms_scores_f32_avx2(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_bf16_avx2(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_f16_avx2(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_q8_avx2(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_weigh_f32_avx2(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_bf16_avx2(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_f16_avx2(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_q8_avx2(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_fold_softmax_avx2(float *scores, int64_t count, float *maximum, float *sum, float *out, int64_t channels) {}

#endif
