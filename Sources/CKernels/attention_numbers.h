// The numbers of a page in each stored type: a vector of keys, at a channel and from a slot; a vector of values, at a slot
// and from a channel; and a single value, for the channels beyond the last whole vector.

typedef float f32_t;
typedef uint16_t bf16_t;
typedef uint16_t f16_t;
typedef int8_t q8_t;

#define ONE(TYPE) __attribute__((always_inline)) static inline float one_##TYPE(const void *p, int64_t channels, int64_t j, int64_t c)

ONE(f32) { return ((const float *)p)[j * channels + c]; }

__attribute__((always_inline)) static inline float widen_bf16(uint16_t number) {
  uint32_t bits = (uint32_t)number << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

ONE(bf16) { return widen_bf16(((const uint16_t *)p)[j * channels + c]); }

ONE(f16) { return _cvtsh_ss(((const uint16_t *)p)[j * channels + c]); }

// The scales lie behind the sixteen slots' numbers, one for each 32 channels.
__attribute__((always_inline)) static inline float value_scale(const void *p, int64_t channels, int64_t j, int64_t c) {
  const uint16_t *scales = (const uint16_t *)((const char *)p + 16 * channels);
  return widen_bf16(scales[j * ((channels + 31) / 32) + c / 32]);
}

ONE(q8) { return (float)((const int8_t *)p)[j * channels + c] * value_scale(p, channels, j, c); }

#undef ONE

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
