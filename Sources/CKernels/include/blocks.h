// Products with weights in blocks of 8 or 4 bits, for decoding and prefill alike.

#ifndef CKERNELS_BLOCKS_H
#define CKERNELS_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

// Whether the processor and the system offer them.
bool dms_has_avxvnni(void);     // AVX2 and AVX-VNNI
bool dms_has_avx512(void);      // AVX-512 F, BW, VL and DQ
bool dms_has_avx512vnni(void);  // those, and VNNI

// Sixteen rows go together. A block is 32 columns of them:
//   8 bits: 512 bytes [8 quads][16 rows][4 columns], each the number + 128; numbers from -127 to 127
//   4 bits: 256 bytes [4][16 rows][4], the low half a number + 8 of quad j, the high half one of quad j + 4
//   scales: 16 BF16 numbers, one per row
typedef struct {
  const uint8_t *blocks;   // [groups][column_blocks]
  const uint16_t *scales;  // [groups][column_blocks][16]
  int64_t groups;
  int64_t column_blocks;
} dms_block_rows;

// Vectors in 8 bits, 32 columns a block, zeros beyond the last column.
typedef struct {
  const int8_t *numbers;  // [vectors][column_blocks][32]
  const float *scales;    // [vectors][column_blocks]
  const int32_t *sums;    // [vectors][column_blocks]: -8 times the sum of the block's numbers
  int64_t count;
} dms_block_vectors;

// y[v * stride + r] = sum over blocks, in order, of float(integer dot product) * (weight scale * vector scale): each step
// rounded by itself, so that all variants give the same bits. Writes 16 numbers per group.
typedef void dms_block_product(dms_block_rows w, dms_block_vectors x, float *y, int64_t stride);

dms_block_product dms_blocks8_avx2, dms_blocks8_avxvnni, dms_blocks8_avx512, dms_blocks8_avx512vnni;
dms_block_product dms_blocks4_avx2, dms_blocks4_avxvnni, dms_blocks4_avx512, dms_blocks4_avx512vnni;

// Rounds `columns` numbers to 8 bits in blocks, as dms_block_vectors has them: scale = largest magnitude / 127.
void dms_quantize_vector_avx2(const float *x, int64_t columns, int8_t *numbers, float *scales, int32_t *sums);

#endif
