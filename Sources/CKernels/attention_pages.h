// Attention over pages, once for all vector widths and stored types. The file that includes it defines:
//   TYPE                    f32, bf16, f16 or q8
//   NAME(x)                 x with the instruction set's suffix
//   floats_t, WIDTH         vectors of WIDTH floats
//   TILE, VECTORS           query heads that share a load, and vectors of each that are summed at once: as many as the
//                           registers hold, and enough that no sum waits for its last addition
//   load_f32, load_bf16, load_f16, load_q8 (at an index), load, store, broadcast, zero, fma, times

#define INLINE __attribute__((always_inline)) static inline
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define OF(x) NAME_(JOIN(x, TYPE))
#define NAME_(x) NAME(x)
#define PARTS (16 / WIDTH)
#define PAGES (VECTORS / PARTS)

#if TILE == 8
#define EACH_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif TILE == 6
#define EACH_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#error "a case for each count of queries up to TILE"
#endif

// Scores of `count` queries against `pages` pages; both are constants where this is inlined.
INLINE void OF(scores_tile)(int count, int pages, const float *q, int64_t group, int64_t channels, const void *const *keys,
                            const void *const *next, float *scores, int64_t stride) {
  floats_t sums[TILE][VECTORS];
  for (int r = 0; r < count; r++)
    for (int p = 0; p < pages * PARTS; p++) sums[r][p] = zero();
  for (int64_t c = 0; c < channels; c++) {
    floats_t row[VECTORS];
    for (int p = 0; p < pages; p++) {
      __builtin_prefetch((const char *)next[p] + c * 16 * (int64_t)sizeof(JOIN(TYPE, t)));
      for (int part = 0; part < PARTS; part++)
        row[p * PARTS + part] = JOIN(key, TYPE)(keys[p], channels, c, part * WIDTH);
    }
    for (int r = 0; r < count; r++) {
      floats_t query = broadcast(q[c * group + r]);
      for (int p = 0; p < pages * PARTS; p++) sums[r][p] = fma(row[p], query, sums[r][p]);
    }
  }
  for (int r = 0; r < count; r++)
    for (int p = 0; p < pages * PARTS; p++) store(scores + r * stride + p * WIDTH, sums[r][p]);
}

void OF(dms_scores)(const float *q, int64_t group, int64_t channels, const void *const *pages, int64_t count,
                    const void *next, float *scores, int64_t stride) {
  for (int64_t i = 0; i < count; i += PAGES) {
    const void *following[PAGES];
    for (int p = 0; p < PAGES; p++) following[p] = i + PAGES + p < count ? pages[i + PAGES + p] : next;
    for (int64_t first = 0; first < group; first += TILE) {
      int64_t queries = group - first < TILE ? group - first : TILE;
#define CASE(COUNT)                                                                                                     \
  case COUNT:                                                                                                           \
    if (i + PAGES <= count)                                                                                             \
      OF(scores_tile)(COUNT, PAGES, q + first, group, channels, pages + i, following, scores + first * stride + i * 16, \
                      stride);                                                                                          \
    else                                                                                                                \
      OF(scores_tile)(COUNT, 1, q + first, group, channels, pages + i, following, scores + first * stride + i * 16,     \
                      stride);                                                                                          \
    break;
      switch (queries) { EACH_COUNT(CASE) }
#undef CASE
    }
  }
}

// Adds `vectors` vectors of weighted values, from channel `c` on, for `count` queries; both are constants where this is
// inlined.
INLINE void OF(weigh_tile)(int count, int vectors, const float *weights, int64_t stride, int64_t channels, int64_t c,
                           const void *values, const void *next, int64_t live, float *out) {
  floats_t sums[TILE][VECTORS];
  for (int r = 0; r < count; r++)
    for (int v = 0; v < vectors; v++) sums[r][v] = load(out + r * channels + c + v * WIDTH);
  for (int64_t j = 0; j < live; j++) {
    __builtin_prefetch((const char *)next + (j * channels + c) * (int64_t)sizeof(JOIN(TYPE, t)));
    floats_t row[VECTORS];
    for (int v = 0; v < vectors; v++) row[v] = JOIN(value, TYPE)(values, channels, j, c + v * WIDTH);
    for (int r = 0; r < count; r++) {
      floats_t weight = broadcast(weights[r * stride + j]);
      for (int v = 0; v < vectors; v++) sums[r][v] = fma(row[v], weight, sums[r][v]);
    }
  }
  for (int r = 0; r < count; r++)
    for (int v = 0; v < vectors; v++) store(out + r * channels + c + v * WIDTH, sums[r][v]);
}

INLINE void OF(weigh_page)(int count, const float *weights, int64_t stride, int64_t channels, const void *values,
                           const void *next, int64_t live, float *out) {
  int64_t c = 0;
  for (; c + VECTORS * WIDTH <= channels; c += VECTORS * WIDTH)
    OF(weigh_tile)(count, VECTORS, weights, stride, channels, c, values, next, live, out);
  for (; c + WIDTH <= channels; c += WIDTH)
    OF(weigh_tile)(count, 1, weights, stride, channels, c, values, next, live, out);
  for (; c < channels; c++)
    for (int r = 0; r < count; r++)
      for (int64_t j = 0; j < live; j++)
        out[r * channels + c] += weights[r * stride + j] * JOIN(one, TYPE)(values, channels, j, c);
}

void OF(dms_weigh)(const float *weights, int64_t stride, int64_t group, int64_t channels, const void *const *pages,
                   int64_t count, const void *next, int64_t live, float *out) {
  for (int64_t i = 0; i < count; i++) {
    const void *following = i + 1 < count ? pages[i + 1] : next;
    int64_t slots = live - i * 16 < 16 ? live - i * 16 : 16;
    for (int64_t first = 0; first < group; first += TILE) {
      int64_t queries = group - first < TILE ? group - first : TILE;
#define CASE(COUNT)                                                                                                      \
  case COUNT:                                                                                                            \
    OF(weigh_page)(COUNT, weights + first * stride + i * 16, stride, channels, pages[i], following, slots,               \
                   out + first * channels);                                                                              \
    break;
      switch (queries) { EACH_COUNT(CASE) }
#undef CASE
    }
  }
}

#undef INLINE
#undef JOIN_
#undef JOIN
#undef OF
#undef NAME_
#undef PARTS
#undef PAGES
#undef EACH_COUNT
