// Attention over a page, once for all vector widths. The file that includes it defines:
//   NAME(x)                 x with the instruction set's suffix
//   floats_t, WIDTH         vectors of WIDTH floats
//   TILE                    query heads that share a load, as many as the registers hold
//   load_f32, load_bf16, load_f16, load_q8 (at an index), load, store, broadcast, zero, fma, times, and those that the exponential needs

#define INLINE __attribute__((always_inline)) static inline
#define PARTS (16 / WIDTH)

#define EACH_TYPE(X) X(f32) X(bf16) X(f16) X(q8)
#define EACH_COUNT(X, TYPE, ...) \
  switch (group - first) {       \
    X(TYPE, 1, __VA_ARGS__)      \
    X(TYPE, 2, __VA_ARGS__)      \
    X(TYPE, 3, __VA_ARGS__)      \
    X(TYPE, 4, __VA_ARGS__)      \
    X(TYPE, 5, __VA_ARGS__)      \
    default: break;              \
  }

// A vector of a key page, at a channel and from a slot; of a value page, at a slot and from a channel.
#define key_f32(p, channels, c, j) load_f32(p, (c) * 16 + (j))
#define key_bf16(p, channels, c, j) load_bf16(p, (c) * 16 + (j))
#define key_f16(p, channels, c, j) load_f16(p, (c) * 16 + (j))
#define key_q8(p, channels, c, j) \
  times(load_q8(p, (c) * 16 + (j)), load_bf16((const char *)(p) + 16 * (channels), (c) / 32 * 16 + (j)))
#define value_f32(p, channels, j, c) load_f32(p, (j) * (channels) + (c))
#define value_bf16(p, channels, j, c) load_bf16(p, (j) * (channels) + (c))
#define value_f16(p, channels, j, c) load_f16(p, (j) * (channels) + (c))
#define value_q8(p, channels, j, c) \
  times(load_q8(p, (j) * (channels) + (c)), broadcast(value_scale(p, channels, j, c)))

#define SCORES(TYPE)                                                                                                      \
  INLINE void NAME(scores_tile_##TYPE)(int count, const float *q, int64_t group, int64_t channels, const void *keys,     \
                                       const void *next, float *scores, int64_t stride) {                                                  \
    floats_t sums[TILE][PARTS];                                                                                           \
    for (int r = 0; r < count; r++)                                                                                       \
      for (int p = 0; p < PARTS; p++) sums[r][p] = zero();                                                                \
    for (int64_t c = 0; c < channels; c++) {                                                                              \
      __builtin_prefetch((const char *)next + c * 16 * (int64_t)sizeof(TYPE##_t));                                        \
      floats_t row[PARTS];                                                                                                \
      for (int p = 0; p < PARTS; p++) row[p] = key_##TYPE(keys, channels, c, p * WIDTH);                                  \
      for (int r = 0; r < count; r++) {                                                                                   \
        floats_t query = broadcast(q[c * group + r]);                                                                     \
        for (int p = 0; p < PARTS; p++) sums[r][p] = fma(row[p], query, sums[r][p]);                                      \
      }                                                                                                                   \
    }                                                                                                                     \
    for (int r = 0; r < count; r++)                                                                                       \
      for (int p = 0; p < PARTS; p++) store(scores + r * stride + p * WIDTH, sums[r][p]);                                 \
  }                                                                                                                       \
  void NAME(dms_scores_##TYPE)(const float *q, int64_t group, int64_t channels, const void *keys, const void *next,       \
                               float *scores, int64_t stride) {                                                                          \
    int64_t first = 0;                                                                                                    \
    for (; first + TILE <= group; first += TILE)                                                                          \
      NAME(scores_tile_##TYPE)(TILE, q + first, group, channels, keys, next, scores + first * stride, stride);                  \
    EACH_COUNT(SCORES_CASE, TYPE, 0)                                                                                      \
  }
#define SCORES_CASE(TYPE, COUNT, ...)                                                                              \
  case COUNT:                                                                                                      \
    NAME(scores_tile_##TYPE)(COUNT, q + first, group, channels, keys, next, scores + first * stride, stride);            \
    break;

#define WEIGH(TYPE)                                                                                                       \
  INLINE void NAME(weigh_tile_##TYPE)(int count, const float *weights, int64_t stride, int64_t channels,                 \
                                      const void *values, const void *next, int64_t live, float *out) {                  \
    int64_t c = 0;                                                                                                        \
    for (; c + 16 <= channels; c += 16) {                                                                                 \
      floats_t sums[TILE][PARTS];                                                                                         \
      for (int r = 0; r < count; r++)                                                                                     \
        for (int p = 0; p < PARTS; p++) sums[r][p] = load(out + r * channels + c + p * WIDTH);                            \
      for (int64_t j = 0; j < live; j++) {                                                                                \
        __builtin_prefetch((const char *)next + (j * channels + c) * (int64_t)sizeof(TYPE##_t));                          \
        floats_t row[PARTS];                                                                                              \
        for (int p = 0; p < PARTS; p++) row[p] = value_##TYPE(values, channels, j, c + p * WIDTH);                        \
        for (int r = 0; r < count; r++) {                                                                                 \
          floats_t weight = broadcast(weights[r * stride + j]);                                                           \
          for (int p = 0; p < PARTS; p++) sums[r][p] = fma(row[p], weight, sums[r][p]);                                   \
        }                                                                                                                 \
      }                                                                                                                   \
      for (int r = 0; r < count; r++)                                                                                     \
        for (int p = 0; p < PARTS; p++) store(out + r * channels + c + p * WIDTH, sums[r][p]);                            \
    }                                                                                                                     \
    for (; c < channels; c++)                                                                                             \
      for (int r = 0; r < count; r++)                                                                                     \
        for (int64_t j = 0; j < live; j++)                                                                                \
          out[r * channels + c] += weights[r * stride + j] * one_##TYPE(values, channels, j, c);                          \
  }                                                                                                                       \
  void NAME(dms_weigh_##TYPE)(const float *weights, int64_t stride, int64_t group, int64_t channels, const void *values, \
                              const void *next, int64_t live, float *out) {                                                                 \
    int64_t first = 0;                                                                                                    \
    for (; first + TILE <= group; first += TILE)                                                                          \
      NAME(weigh_tile_##TYPE)(TILE, weights + first * stride, stride, channels, values, next, live, out + first * channels);    \
    EACH_COUNT(WEIGH_CASE, TYPE, 0)                                                                                       \
  }
#define WEIGH_CASE(TYPE, COUNT, ...)                                                                                     \
  case COUNT:                                                                                                            \
    NAME(weigh_tile_##TYPE)(COUNT, weights + first * stride, stride, channels, values, next, live, out + first * channels);    \
    break;

EACH_TYPE(SCORES)
EACH_TYPE(WEIGH)

// e^x for x <= 0, as the portable exponential has it: 2^n times a polynomial of what is left; below -87 it is 0.
INLINE floats_t NAME(exponential)(floats_t x) {
  floats_t n = round_even(fma(x, broadcast(1.44269504088896341f), zero()));
  floats_t r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  floats_t p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  floats_t square = fma(r, r, zero());
  p = fma(p, square, fma(r, broadcast(1), broadcast(1)));
  return zero_below(x, -87.0f, times_power_of_two(p, n));
}

void NAME(dms_fold_softmax)(float *scores, int64_t count, float *maximum, float *sum, float *out, int64_t channels) {
  floats_t lanes = broadcast(*maximum);
  for (int64_t i = 0; i < count; i += WIDTH) lanes = larger(load(scores + i), lanes);
  float many[WIDTH], largest = *maximum;
  store(many, lanes);
  for (int lane = 0; lane < WIDTH; lane++)
    if (many[lane] > largest) largest = many[lane];
  float base = largest == -__builtin_inff() ? 0 : largest;
  if (largest != *maximum) {
    float correction[WIDTH];
    store(correction, NAME(exponential)(broadcast(*maximum - base)));
    *sum *= correction[0];
    for (int64_t c = 0; c < channels; c++) out[c] *= correction[0];
    *maximum = largest;
  }
  floats_t sums = zero();
  for (int64_t i = 0; i < count; i += WIDTH) {
    floats_t weights = NAME(exponential)(minus(load(scores + i), broadcast(base)));
    store(scores + i, weights);
    sums = minus(sums, minus(zero(), weights));
  }
  store(many, sums);
  float total = 0;
  for (int lane = 0; lane < WIDTH; lane++) total += many[lane];
  *sum += total;
}

#undef INLINE
#undef PARTS
#undef EACH_TYPE
#undef EACH_COUNT
#undef SCORES
#undef SCORES_CASE
#undef WEIGH
#undef WEIGH_CASE
