// What all kernels share: types, loads that say how wide they are, number formats, sums over a warp and a block. It compiles
// as CUDA C++ without any header (NVRTC has none), and as host C++ under the emulation of Tests/CUDAEmulation, which
// defines DMS_EMULATED and the few names of CUDA that are used here.
//
// Multiplications and additions are written as `fused`, and the compiler may not fuse others: how many vectors a kernel
// takes at once then changes no bit of a result. Sums run in an order that depends on the shape of a row alone.

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__

#define EVERY_LANE 0xffffffffu

#ifdef DMS_EMULATED
#define SHARED(type, name) type *name = reinterpret_cast<type *>(emulation::sharedMemory())
template <class Wide> DEVICE Wide load(const void *from) { return emulation::load<Wide>(from); }
DEVICE float fused(float a, float b, float c) { return a * b + c; }
#else
#define SHARED(type, name) extern __shared__ __align__(16) u8 sharedBytes[]; type *name = reinterpret_cast<type *>(sharedBytes)
template <class Wide> DEVICE Wide load(const void *from) { return *static_cast<const Wide *>(from); }
DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
#endif

#define NOTHING (-__int_as_float(0x7f800000))
#define LASTING 0x7fffffff

DEVICE int smaller(int a, int b) { return a < b ? a : b; }
DEVICE int pieces(int count, int size) { return (count + size - 1) / size; }

// Number formats: a stored number, and what it stands for.

struct F32 {
  float bits;
  DEVICE_MEMBER float number() const { return bits; }
  DEVICE_MEMBER static F32 nearest(float x) { return F32{x}; }
};

struct BF16 {
  u16 bits;
  DEVICE_MEMBER float number() const { return __uint_as_float(u32(bits) << 16); }
  // To nearest, ties to even; what is not a number stays none.
  DEVICE_MEMBER static BF16 nearest(float x) {
    u32 wide = __float_as_uint(x);
    if ((wide & 0x7fffffffu) > 0x7f800000u) return BF16{u16((wide >> 16) | 0x40)};
    return BF16{u16((wide + 0x7fff + ((wide >> 16) & 1)) >> 16)};
  }
};

struct F16 {
  u16 bits;
  DEVICE_MEMBER float number() const {
    u32 sign = u32(bits & 0x8000) << 16, rest = bits & 0x7fff;
    if (rest >= 0x7c00) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    // The exponents' bases differ by 112; a multiplication makes the small ones right, too.
    float magnitude = __uint_as_float(rest << 13) * __uint_as_float((254u - 15) << 23);
    return __uint_as_float(sign | __float_as_uint(magnitude));
  }
  DEVICE_MEMBER static F16 nearest(float x) {
    u32 wide = __float_as_uint(x), sign = (wide >> 16) & 0x8000, rest = wide & 0x7fffffffu;
    if (rest > 0x7f800000u) return F16{u16(sign | 0x7e00)};
    if (rest >= 0x477ff000u) return F16{u16(sign | 0x7c00)};
    if (rest < 0x38800000u) {
      // Below the normal numbers: an addition rounds at the last place that there is.
      float sum = __uint_as_float(rest) + 0.5f;
      return F16{u16(sign | (__float_as_uint(sum) - 0x3f000000u))};
    }
    return F16{u16(sign | ((rest - 0x38000000u + 0xfff + ((rest >> 13) & 1)) >> 13))};
  }
};

template <class Number> DEVICE float rounded(float x) { return Number::nearest(x).number(); }

// Eight numbers that begin at a multiple of eight.
DEVICE void load8(const F32 *from, float out[8]) {
  float4 low = load<float4>(from), high = load<float4>(from + 4);
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
}

template <class Half> DEVICE void load8(const Half *from, float out[8]) {
  uint4 words = load<uint4>(from);
  u32 all[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    out[2 * i] = Half{u16(all[i])}.number();
    out[2 * i + 1] = Half{u16(all[i] >> 16)}.number();
  }
}

// Two numbers that begin at a multiple of two.
DEVICE float2 load2(const F32 *from) { return load<float2>(from); }

template <class Half> DEVICE float2 load2(const Half *from) {
  u32 both = load<u32>(from);
  return float2{Half{u16(both)}.number(), Half{u16(both >> 16)}.number()};
}

// Four columns of a row of fp32; those from `columns` on are zeros.
DEVICE float4 loadColumns(const float *row, int column, int columns) {
  if (column + 4 <= columns && columns % 4 == 0) return load<float4>(row + column);
  float4 some = {0, 0, 0, 0};
  if (column < columns) some.x = row[column];
  if (column + 1 < columns) some.y = row[column + 1];
  if (column + 2 < columns) some.z = row[column + 2];
  if (column + 3 < columns) some.w = row[column + 3];
  return some;
}

DEVICE float warpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(EVERY_LANE, x, step);
  return x;
}

DEVICE float warpMaximum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(EVERY_LANE, x, step));
  return x;
}

// The sum over a block, in every thread. `scratch`: a float per warp; free again when the function returns.
DEVICE float blockSum(float x, float *scratch) {
  x = warpSum(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < int(blockDim.x) / 32; warp++) sum += scratch[warp];
  __syncthreads();
  return sum;
}

// Notes the first stage after which a row is not finite: `zeros` is the sum of 0 · x over its numbers.
DEVICE void noteFault(int *faults, int row, int stage, float zeros) {
  if (zeros != 0) atomicMin(faults + row, stage);
}
