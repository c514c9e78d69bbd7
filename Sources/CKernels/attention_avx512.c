// Attention over a page in AVX-512.

#include "attention.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)

typedef __m512 floats_t;
#define NAME(x) x##_avx512
#define WIDTH 16
#define TILE 8
#define VECTORS 2
#define load_f32(p, i) _mm512_loadu_ps((const float *)(p) + (i))
#define load_bf16(p, i) \
  _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)((const uint16_t *)(p) + (i)))), 16))
#define load_f16(p, i) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)(p) + (i))))
#define load_q8(p, i) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)((const int8_t *)(p) + (i)))))
#define load(p) _mm512_loadu_ps(p)
#define store(p, v) _mm512_storeu_ps(p, v)
#define broadcast(x) _mm512_set1_ps(x)
#define zero() _mm512_setzero_ps()
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define times(a, b) _mm512_mul_ps(a, b)
#define minus(a, b) _mm512_sub_ps(a, b)
#define larger(a, b) _mm512_max_ps(a, b)
#define round_even(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define times_power_of_two(p, n) _mm512_scalef_ps(p, n)
#define zero_below(x, limit, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLT_UQ), v)
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

void dms_scores_f32_avx512(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_bf16_avx512(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_f16_avx512(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_scores_q8_avx512(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                             const void *next, float *scores, int64_t stride) {}
void dms_weigh_f32_avx512(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_bf16_avx512(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_f16_avx512(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_weigh_q8_avx512(const float *w, int64_t s, int64_t g, int64_t c, const void *const *pages, int64_t count,
                            const void *next, int64_t live, float *out) {}
void dms_fold_softmax_avx512(float *scores, int64_t count, float *maximum, float *sum, float *out, int64_t channels) {}

#endif
