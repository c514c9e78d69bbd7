// The block product, once for all vector widths. The file that includes it defines:
//   NAME(x)            x with the instruction set's suffix
//   ints_t, floats_t   vectors; PARTS of them hold sixteen rows
//   TILE               vectors that share a load of the weights, as many as the registers hold
//   GROUPS             groups of rows that share a load of the vectors, for TILE / GROUPS of them
//   load, store, load_floats, broadcast, zero, dot8, dot4, start8, start4, low_half, high_half, two_bits, join, add, subtract, multiply,
//   to_floats, same, bf16_row, half_row, byte_row, signed_row, store_floats
//
// A block's integer dot product is exact, and the scaled results are added block after block: the order does not depend on
// the width, on how many vectors there are, or on the tile.

#define INLINE __attribute__((always_inline)) static inline

INLINE int NAME(bits)(int form) {
  return form == DMS_Q8 || form == DMS_Q8_0 ? 8 : form == DMS_Q5_K || form == DMS_Q6_K ? 6 : 4;
}

// Scales of a block for `16 / PARTS` rows: one or two factors, or a factor and what a number 0 stands for.
INLINE void NAME(factors)(int form, const uint8_t *scales, int64_t b, int part, floats_t *first, floats_t *second) {
  int row = part * (16 / PARTS);
  // Eight blocks share two numbers a row, and have two bytes a row each.
  const uint8_t *shared = scales + b / 8 * 320 + 2 * row, *bytes = scales + b / 8 * 320 + 64 + b % 8 * 32 + row;
  switch (form) {
    case DMS_Q8:
    case DMS_Q4: *first = bf16_row(scales + b * 32 + 2 * row); break;
    case DMS_Q8_0:
    case DMS_Q4_0: *first = half_row(scales + b * 32 + 2 * row); break;
    case DMS_Q4_1:
      *first = half_row(scales + b * 64 + 2 * row);
      *second = half_row(scales + b * 64 + 32 + 2 * row);
      break;
    case DMS_Q6_K:
      *first = multiply(half_row(shared), signed_row(bytes));
      *second = multiply(half_row(shared), signed_row(bytes + 16));
      break;
    default:
      *first = multiply(half_row(shared), byte_row(bytes));
      *second = multiply(half_row(shared + 32), byte_row(bytes + 16));
  }
}

// `groups` groups of sixteen rows times `count` vectors; both are constants where this is inlined, and so are the form and the
// bits, which are 8 for unpacked blocks. From block `start` to `end`, going on with the sums in y; `w` is the block at `start`.
INLINE void NAME(tile)(int form, int bits, int groups, int count, const uint8_t *w, int64_t group_bytes, const uint8_t *scales,
                       int64_t scale_bytes, int64_t start, int64_t end, int64_t blocks, dms_block_vectors x, float *y,
                       int64_t stride) {
  int parts = groups * PARTS;
  floats_t sums[TILE][GROUPS * PARTS];
  for (int v = 0; v < count; v++)
    for (int p = 0; p < parts; p++) sums[v][p] = start > 0 ? load_floats(y + v * stride + p * (16 / PARTS)) : zero();
  for (int64_t b = start; b < end; b++) {
    // Of two factors, the second belongs to the last sixteen columns.
    ints_t dots[TILE][GROUPS * PARTS], last[TILE][GROUPS * PARTS];
    for (int v = 0; v < count; v++) {
      int32_t sum = x.sums[v * blocks + b], first = x.first_sums[v * blocks + b];
      for (int p = 0; p < parts; p++) {
        switch (form) {
          case DMS_Q8:
          case DMS_Q8_0: dots[v][p] = start8(sum); break;
          case DMS_Q4:
          case DMS_Q4_0: dots[v][p] = start4(sum); break;
          case DMS_Q6_K:
            dots[v][p] = start4(4 * first);
            last[v][p] = start4(4 * (sum - first));
            break;
          default: dots[v][p] = start4(0);
        }
      }
    }
    const int8_t *quads = x.numbers + b * 32;
    __builtin_prefetch(scales + b * 32 + PREFETCH / 2);
    for (int quad = 0; quad < (bits == 8 ? 8 : 4); quad++) {
      ints_t low[GROUPS * PARTS], high[GROUPS * PARTS];
      for (int p = 0; p < parts; p++) {
        const uint8_t *rows = w + p / PARTS * group_bytes + p % PARTS * (64 / PARTS);
        low[p] = load(rows + quad * 64);
        __builtin_prefetch(w + p / PARTS * group_bytes + PREFETCH + quad * (bits == 6 ? 96 : 64));
        if (bits == 8) continue;
        high[p] = high_half(low[p]);
        low[p] = low_half(low[p]);
        if (bits == 6) {
          ints_t pairs = load(rows + 256 + quad / 2 * 64);
          low[p] = join(low[p], two_bits(pairs, quad % 2 * 4));
          high[p] = join(high[p], two_bits(pairs, quad % 2 * 4 + 2));
        }
      }
      for (int v = 0; v < count; v++) {
        const int8_t *numbers = quads + v * blocks * 32 + quad * 4;
        for (int p = 0; p < parts; p++) {
          if (form == DMS_Q8 || form == DMS_Q8_0) {
            dots[v][p] = dot8(dots[v][p], low[p], broadcast(numbers));
          } else if (bits == 8) {
            if (form == DMS_Q6_K && quad >= 4) last[v][p] = dot4(last[v][p], low[p], broadcast(numbers));
            else dots[v][p] = dot4(dots[v][p], low[p], broadcast(numbers));
          } else if (form == DMS_Q6_K) {
            dots[v][p] = dot4(dots[v][p], low[p], broadcast(numbers));
            last[v][p] = dot4(last[v][p], high[p], broadcast(numbers + 16));
          } else {
            dots[v][p] = dot4(dots[v][p], low[p], broadcast(numbers));
            dots[v][p] = dot4(dots[v][p], high[p], broadcast(numbers + 16));
          }
        }
      }
    }
    w += 64 * bits;
    // What a minimum is multiplied with: the sum of the block's numbers.
    floats_t totals[TILE];
    for (int v = 0; v < count; v++) totals[v] = same(-0.125f * (float)x.sums[v * blocks + b]);
    for (int p = 0; p < parts; p++) {
      floats_t first = zero(), second = zero();
      NAME(factors)(form, scales + p / PARTS * scale_bytes, b, p % PARTS, &first, &second);
      for (int v = 0; v < count; v++) {
        floats_t x_scale = same(x.scales[v * blocks + b]), dot = to_floats(dots[v][p]), one;
        switch (form) {
          case DMS_Q8:
          case DMS_Q4:
          case DMS_Q8_0:
          case DMS_Q4_0: one = multiply(dot, multiply(first, x_scale)); break;
          case DMS_Q6_K: one = multiply(add(multiply(dot, first), multiply(to_floats(last[v][p]), second)), x_scale); break;
          default: {
            floats_t rest = multiply(totals[v], second);
            dot = multiply(dot, first);
            one = multiply(form == DMS_Q4_1 ? add(dot, rest) : subtract(dot, rest), x_scale);
          }
        }
        sums[v][p] = add(sums[v][p], one);
      }
    }
  }
  for (int v = 0; v < count; v++)
    for (int p = 0; p < parts; p++) store_floats(y + v * stride + p * (16 / PARTS), sums[v][p]);
}

// Blocks of fewer bits with a byte for each number, as those of 8 bits lie: worth it where many vectors share the work.
INLINE void NAME(unpack)(int bits, int64_t blocks, const uint8_t *w, uint8_t *out) {
  for (int64_t b = 0; b < blocks; b++, w += 64 * bits, out += 512) {
    for (int quad = 0; quad < 4; quad++) {
      for (int p = 0; p < PARTS; p++) {
        int place = quad * 64 + p * (64 / PARTS);
        ints_t pair = load(w + place), low = low_half(pair), high = high_half(pair);
        if (bits == 6) {
          ints_t pairs = load(w + 256 + quad / 2 * 64 + p * (64 / PARTS));
          low = join(low, two_bits(pairs, quad % 2 * 4));
          high = join(high, two_bits(pairs, quad % 2 * 4 + 2));
        }
        store(out + place, low);
        store(out + 256 + place, high);
      }
    }
  }
}

#define VECTORS(BITS, GROUP_COUNT, COUNT, BLOCKS, GROUP_BYTES, START, END)                                                  \
  for (; v + (COUNT) <= x.count; v += COUNT) {                                                                              \
    dms_block_vectors some = {x.numbers + v * blocks * 32, x.scales + v * blocks, x.sums + v * blocks,                      \
                              x.first_sums + v * blocks, COUNT};                                                            \
    NAME(tile)(form, BITS, GROUP_COUNT, COUNT, BLOCKS, GROUP_BYTES, w.scales + group * w.scale_bytes, w.scale_bytes, START, \
               END, blocks, some, y + v * stride + group * 16, stride);                                                     \
  }
#define ALL(GROUP_COUNT, COUNT) \
  VECTORS(bits, GROUP_COUNT, COUNT, w.blocks + group * blocks * 64 * bits, blocks * 64 * bits, 0, blocks)
#define SOME(GROUP_COUNT, COUNT) VECTORS(8, GROUP_COUNT, COUNT, unpacked, STRIP * 512, start, end)

// Blocks that are unpacked at a time: few enough for the first cache.
#define STRIP 16

INLINE void NAME(unpacked)(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {
  int bits = NAME(bits)(form);
  int64_t blocks = w.column_blocks, group = 0;
  uint8_t unpacked[GROUPS * STRIP * 512] __attribute__((aligned(64)));
#define STRIPS(GROUP_COUNT, WIDEST)                                                                                     \
  for (; group + GROUP_COUNT <= w.groups; group += GROUP_COUNT)                                                         \
    for (int64_t start = 0; start < blocks; start += STRIP) {                                                           \
      int64_t end = start + STRIP < blocks ? start + STRIP : blocks, v = 0;                                             \
      for (int g = 0; g < GROUP_COUNT; g++)                                                                             \
        NAME(unpack)(bits, end - start, w.blocks + ((group + g) * blocks + start) * 64 * bits, unpacked + g * STRIP * 512); \
      SOME(GROUP_COUNT, WIDEST)                                                                                         \
      SOME(GROUP_COUNT, 1)                                                                                              \
    }
  // Two dot products a block leave room for half as many vectors.
#if GROUPS > 1
  if (form == DMS_Q6_K) { STRIPS(GROUPS, TILE / GROUPS / 2) } else { STRIPS(GROUPS, TILE / GROUPS) }
  if (form == DMS_Q6_K) { STRIPS(1, TILE / 2) } else { STRIPS(1, TILE) }
#else
  STRIPS(1, TILE)
#endif
#undef STRIPS
}

INLINE void NAME(product)(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {
  int bits = NAME(bits)(form);
  if (bits < 8 && x.count >= 24) return NAME(unpacked)(form, w, x, y, stride);
  int64_t blocks = w.column_blocks, group = 0;
#if GROUPS > 1
  // Groups that share the loads of many vectors; the unpacking of fewer bits is better shared by more vectors instead.
  for (; bits == 8 && x.count >= TILE / GROUPS && group + GROUPS <= w.groups; group += GROUPS) {
    int64_t v = 0;
    ALL(GROUPS, TILE / GROUPS)
    ALL(GROUPS, 2)
    ALL(GROUPS, 1)
  }
#endif
  for (; group < w.groups; group++) {
    int64_t v = 0;
    // Two dot products a block leave room for half as many vectors.
    if (form != DMS_Q6_K || TILE < 4) ALL(1, TILE)
#if TILE > 4
    if (form == DMS_Q6_K) ALL(1, TILE / 2)
    ALL(1, 4)
#endif
#if TILE > 2
    ALL(1, 2)
#endif
    ALL(1, 1)
  }
}

void NAME(dms_blocks)(int form, dms_block_rows w, dms_block_vectors x, float *y, int64_t stride) {
  switch (form) {
    case DMS_Q8: NAME(product)(DMS_Q8, w, x, y, stride); break;
    case DMS_Q4: NAME(product)(DMS_Q4, w, x, y, stride); break;
    case DMS_Q8_0: NAME(product)(DMS_Q8_0, w, x, y, stride); break;
    case DMS_Q4_0: NAME(product)(DMS_Q4_0, w, x, y, stride); break;
    case DMS_Q4_1: NAME(product)(DMS_Q4_1, w, x, y, stride); break;
    case DMS_Q4_K: NAME(product)(DMS_Q4_K, w, x, y, stride); break;
    case DMS_Q5_K: NAME(product)(DMS_Q5_K, w, x, y, stride); break;
    case DMS_Q6_K: NAME(product)(DMS_Q6_K, w, x, y, stride); break;
  }
}

#undef VECTORS
#undef ALL
#undef SOME
#undef STRIP
#undef INLINE
