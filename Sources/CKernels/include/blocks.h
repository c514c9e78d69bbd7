// Products with weights in blocks of 8, 6 or 4 bits, for decoding and prefill alike.

#ifndef CKERNELS_BLOCKS_H
#define CKERNELS_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

// Whether the processor and the system offer them.
bool dms_has_avxvnni(void);     // AVX2 and AVX-VNNI
bool dms_has_avx512(void);      // AVX-512 F, BW, VL and DQ
bool dms_has_avx512vnni(void);  // those, and VNNI

// The forms of blocks; how they lie in memory: BlockMatrix.swift.
enum { DMS_Q8, DMS_Q4, DMS_Q8_0, DMS_Q4_0, DMS_Q4_1, DMS_Q4_K, DMS_Q5_K, DMS_Q6_K };

// Sixteen rows go together. A block is 32 columns of them.
typedef struct {
  const uint8_t *blocks;  // [groups][column_blocks]
  const uint8_t *scales;  // [groups][scale_bytes]
  int64_t groups;
  int64_t column_blocks;
  int64_t scale_bytes;  // of a group
} dms_block_rows;

// Vectors in 8 bits, 32 columns a block, zeros beyond the last column.
typedef struct {
  const int8_t *numbers;      // [vectors][column_blocks][32]
  const float *scales;        // [vectors][column_blocks]
  const int32_t *sums;        // [vectors][column_blocks]: -8 times the sum of the block's numbers
  const int32_t *first_sums;  // [vectors][column_blocks]: -8 times the sum of the first sixteen
  int64_t count;
} dms_block_vectors;

// y[v * stride + r] = sum over blocks, in order, of what the form makes of integer dot products, weight scales and the vector's
// scale: each step rounded by itself, so that all variants give the same bits. Writes 16 numbers per group.
typedef void dms_block_product(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride);

dms_block_product dms_blocks_avx2, dms_blocks_avxvnni, dms_blocks_avx512, dms_blocks_avx512vnni;

// Rounds `columns` numbers to 8 bits in blocks, as dms_block_vectors has them: scale = largest magnitude / 127.
void dms_quantize_vector_avx2(const float *x, int64_t columns, int8_t *numbers, float *scales, int32_t *sums,
                              int32_t *first_sums);

#endif
