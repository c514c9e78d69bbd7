// The block product, once for all vector widths. The file that includes it defines:
//   NAME(x)            x with the instruction set's suffix
//   ints_t, floats_t   vectors; PARTS of them hold sixteen rows
//   TILE               vectors that share a load of the weights, as many as the registers hold
//   load, broadcast, zero, dot8, dot4, start8, start4, low_half, high_half, scale_row, add_scaled, store_floats
//
// A block's integer dot product is exact, and the scaled results are added block after block: the order does not depend on
// the width, on how many vectors there are, or on the tile.

#define INLINE __attribute__((always_inline)) static inline

INLINE void NAME(tile)(int bits, int count, const uint8_t *w, const uint16_t *scales, int64_t blocks, const int8_t *x,
                       const float *x_scales, const int32_t *x_sums, float *y, int64_t stride) {
  floats_t sums[TILE][PARTS];
  for (int v = 0; v < count; v++)
    for (int p = 0; p < PARTS; p++) sums[v][p] = zero();
  for (int64_t b = 0; b < blocks; b++) {
    ints_t dots[TILE][PARTS];
    for (int v = 0; v < count; v++)
      for (int p = 0; p < PARTS; p++) dots[v][p] = bits == 8 ? start8(x_sums[v * blocks + b]) : start4(x_sums[v * blocks + b]);
    const int8_t *quads = x + b * 32;
    __builtin_prefetch(scales + b * 16 + PREFETCH / 4);
    if (bits == 8) {
      for (int quad = 0; quad < 8; quad++)
        for (int p = 0; p < PARTS; p++) {
          ints_t row = load(w + quad * 64 + p * (64 / PARTS));
          __builtin_prefetch(w + PREFETCH + quad * 64);
          for (int v = 0; v < count; v++) dots[v][p] = dot8(dots[v][p], row, broadcast(quads + v * blocks * 32 + quad * 4));
        }
      w += 512;
    } else {
      for (int quad = 0; quad < 4; quad++)
        for (int p = 0; p < PARTS; p++) {
          ints_t pair = load(w + quad * 64 + p * (64 / PARTS));
          __builtin_prefetch(w + PREFETCH + quad * 64);
          ints_t low = low_half(pair), high = high_half(pair);
          for (int v = 0; v < count; v++) {
            const int8_t *numbers = quads + v * blocks * 32 + quad * 4;
            dots[v][p] = dot4(dots[v][p], low, broadcast(numbers));
            dots[v][p] = dot4(dots[v][p], high, broadcast(numbers + 16));
          }
        }
      w += 256;
    }
    for (int p = 0; p < PARTS; p++) {
      floats_t scale = scale_row(scales + b * 16 + p * (16 / PARTS));
      for (int v = 0; v < count; v++) sums[v][p] = add_scaled(sums[v][p], dots[v][p], scale, x_scales[v * blocks + b]);
    }
  }
  for (int v = 0; v < count; v++)
    for (int p = 0; p < PARTS; p++) store_floats(y + v * stride + p * (16 / PARTS), sums[v][p]);
}

#define VECTORS(COUNT)                                                                                        \
  for (; v + COUNT <= x.count; v += COUNT)                                                                    \
    NAME(tile)(bits, COUNT, rows, scales, blocks, x.numbers + v *blocks * 32, x.scales + v * blocks,          \
               x.sums + v * blocks, y + v * stride + group * 16, stride);

INLINE void NAME(product)(int bits, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {
  int64_t blocks = w.column_blocks;
  for (int64_t group = 0; group < w.groups; group++) {
    const uint8_t *rows = w.blocks + group * blocks * 64 * bits;
    const uint16_t *scales = w.scales + group * blocks * 16;
    int64_t v = 0;
    VECTORS(TILE)
#if TILE > 4
    VECTORS(4)
#endif
#if TILE > 2
    VECTORS(2)
#endif
    VECTORS(1)
  }
}

void NAME(dms_blocks8)(dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) { NAME(product)(8, w, x, y, stride); }
void NAME(dms_blocks4)(dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) { NAME(product)(4, w, x, y, stride); }

#undef VECTORS
#undef INLINE
