// The block product, once for all vector widths. The file that includes it defines:
//   NAME(x)            x with the instruction set's suffix
//   ints_t, floats_t   vectors; PARTS of them hold sixteen rows
//   TILE               vectors that share a load of the weights, as many as the registers hold
//   GROUPS             groups of rows that share a load of the vectors, for TILE / GROUPS of them
//   load, broadcast, zero, dot8, dot4, start8, start4, low_half, high_half, scale_row, add_scaled, store_floats
//
// A block's integer dot product is exact, and the scaled results are added block after block: the order does not depend on
// the width, on how many vectors there are, or on the tile.

#define INLINE __attribute__((always_inline)) static inline

// `groups` groups of sixteen rows times `count` vectors; both are constants where this is inlined.
INLINE void NAME(tile)(int bits, int groups, int count, const uint8_t *w, const uint16_t *scales, int64_t blocks,
                       const int8_t *x, const float *x_scales, const int32_t *x_sums, float *y, int64_t stride) {
  int parts = groups * PARTS;
  int64_t group_bytes = blocks * 64 * bits;
  floats_t sums[TILE][GROUPS * PARTS];
  for (int v = 0; v < count; v++)
    for (int p = 0; p < parts; p++) sums[v][p] = zero();
  for (int64_t b = 0; b < blocks; b++) {
    ints_t dots[TILE][GROUPS * PARTS];
    for (int v = 0; v < count; v++)
      for (int p = 0; p < parts; p++) dots[v][p] = bits == 8 ? start8(x_sums[v * blocks + b]) : start4(x_sums[v * blocks + b]);
    const int8_t *quads = x + b * 32;
    __builtin_prefetch(scales + b * 16 + PREFETCH / 4);
    for (int quad = 0; quad < bits; quad++) {
      ints_t rows[GROUPS * PARTS];
      for (int p = 0; p < parts; p++) {
        rows[p] = load(w + p / PARTS * group_bytes + quad * 64 + p % PARTS * (64 / PARTS));
        __builtin_prefetch(w + p / PARTS * group_bytes + PREFETCH + quad * 64);
      }
      for (int v = 0; v < count; v++) {
        const int8_t *numbers = quads + v * blocks * 32 + quad * 4;
        for (int p = 0; p < parts; p++) {
          if (bits == 8) {
            dots[v][p] = dot8(dots[v][p], rows[p], broadcast(numbers));
          } else {
            dots[v][p] = dot4(dots[v][p], low_half(rows[p]), broadcast(numbers));
            dots[v][p] = dot4(dots[v][p], high_half(rows[p]), broadcast(numbers + 16));
          }
        }
      }
    }
    w += 64 * bits;
    for (int p = 0; p < parts; p++) {
      floats_t scale = scale_row(scales + (p / PARTS * blocks + b) * 16 + p % PARTS * (16 / PARTS));
      for (int v = 0; v < count; v++) sums[v][p] = add_scaled(sums[v][p], dots[v][p], scale, x_scales[v * blocks + b]);
    }
  }
  for (int v = 0; v < count; v++)
    for (int p = 0; p < parts; p++) store_floats(y + v * stride + p * (16 / PARTS), sums[v][p]);
}

#define VECTORS(GROUP_COUNT, COUNT)                                                                                      \
  for (; v + (COUNT) <= x.count; v += COUNT)                                                                             \
    NAME(tile)(bits, GROUP_COUNT, COUNT, w.blocks + group * blocks * 64 * bits, w.scales + group * blocks * 16, blocks,  \
               x.numbers + v *blocks * 32, x.scales + v * blocks, x.sums + v * blocks, y + v * stride + group * 16, stride);

INLINE void NAME(product)(int bits, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {
  int64_t blocks = w.column_blocks, group = 0;
#if GROUPS > 1
  // Groups that share the loads of many vectors; the unpacking of four bits is better shared by more vectors instead.
  for (; bits == 8 && x.count >= TILE / GROUPS && group + GROUPS <= w.groups; group += GROUPS) {
    int64_t v = 0;
    VECTORS(GROUPS, TILE / GROUPS)
    VECTORS(GROUPS, 2)
    VECTORS(GROUPS, 1)
  }
#endif
  for (; group < w.groups; group++) {
    int64_t v = 0;
    VECTORS(1, TILE)
#if TILE > 4
    VECTORS(1, 4)
#endif
#if TILE > 2
    VECTORS(1, 2)
#endif
    VECTORS(1, 1)
  }
}

void NAME(dms_blocks8)(dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) { NAME(product)(8, w, x, y, stride); }
void NAME(dms_blocks4)(dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) { NAME(product)(4, w, x, y, stride); }

#undef VECTORS
#undef INLINE
