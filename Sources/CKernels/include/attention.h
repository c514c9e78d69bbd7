// Attention over pages of sixteen slots, for all query heads that share them. The layout of a page is the caller's
// knowledge: here are matrices of keys, channels by slots, and of values, slots by channels, in a stored type.

#ifndef CKERNELS_ATTENTION_H
#define CKERNELS_ATTENTION_H

#include <stdint.h>

// scores[r * stride + j] = sum over c of q[c * group + r] * keys[c * 16 + j % 16] of page j / 16, for r below group and j
// below 16 * count, channel after channel. q is [channels][group]. While pages are read, those after them are fetched, and
// in the end `next`, what will be read thereafter: pages are scattered and too short for the processor to see a stream.
typedef void dms_scores(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                        const void *next, float *scores, int64_t stride);

// out[r * channels + c] += sum over j below live of weights[r * stride + j] * values[j % 16 * channels + c] of page j / 16,
// slot after slot.
typedef void dms_weigh(const float *weights, int64_t stride, int64_t group, int64_t channels, const void *const *pages,
                       int64_t count, const void *next, int64_t live, float *out);

// In q8 the numbers are of 8 bits, and behind each matrix lie its scales in BF16, one for 32 channels: [blocks][16] for
// keys, [16][blocks] for values.
dms_scores dms_scores_f32_avx2, dms_scores_bf16_avx2, dms_scores_f16_avx2, dms_scores_q8_avx2;
dms_weigh dms_weigh_f32_avx2, dms_weigh_bf16_avx2, dms_weigh_f16_avx2, dms_weigh_q8_avx2;
dms_scores dms_scores_f32_avx512, dms_scores_bf16_avx512, dms_scores_f16_avx512, dms_scores_q8_avx512;
dms_weigh dms_weigh_f32_avx512, dms_weigh_bf16_avx512, dms_weigh_f16_avx512, dms_weigh_q8_avx512;

// Makes weights of `count` scores, a multiple of 16, relative to the largest so far: maximum and sum go on, and the output
// of what came before, `channels` numbers, is brought to the new base. Scores may be -inf; if all are, nothing changes.
typedef void dms_fold_softmax(float *scores, int64_t count, float *maximum, float *sum, float *out, int64_t channels);

dms_fold_softmax dms_fold_softmax_avx2, dms_fold_softmax_avx512;

#endif
