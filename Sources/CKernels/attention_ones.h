// Single numbers in the stored types, for the channels beyond the last whole vector.

typedef float f32_t;
typedef uint16_t bf16_t;
typedef uint16_t f16_t;

__attribute__((always_inline)) static inline float one_f32(const void *p, int64_t i) { return ((const float *)p)[i]; }

__attribute__((always_inline)) static inline float one_bf16(const void *p, int64_t i) {
  uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

__attribute__((always_inline)) static inline float one_f16(const void *p, int64_t i) {
  return _cvtsh_ss(((const uint16_t *)p)[i]);
}
