// The names of CUDA that the kernels use, for the host: see include/CUDAEmulation.h.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// A multiplication and an addition are two, on every processor: kernels promise equal bits for any number of vectors.
#pragma clang fp contract(off)

#define DMS_EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

namespace emulation {

// What a thread sees of the launch; set whenever another thread's turn begins.
extern thread_local uint3 thread, block, threads, blocks;

void *sharedMemory();
// Waits for the block, or for the 32 lanes of the warp.
void synchronizeBlock();
void synchronizeWarp();
// Where the lanes of this warp put what they exchange next, [32].
unsigned *exchange();
// Ends the launch with an error.
[[noreturn]] void fail(const char *problem);

template <class Wide> Wide load(const void *from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(Wide) != 0) fail("a load that is not aligned");
  Wide value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class To, class From> To bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// The word that another lane puts in.
inline unsigned swap(unsigned mine, int step) {
  unsigned *words = exchange(), lane = thread.x % 32;
  words[lane] = mine;
  synchronizeWarp();
  return words[lane ^ unsigned(step)];
}

}  // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block
#define blockDim emulation::threads
#define gridDim emulation::blocks

static inline float __uint_as_float(unsigned x) { return emulation::bits<float>(x); }
static inline float __int_as_float(int x) { return emulation::bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return emulation::bits<unsigned>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }

static inline void __syncthreads() { emulation::synchronizeBlock(); }
static inline void __syncwarp() { emulation::synchronizeWarp(); }
static inline float __shfl_xor_sync(unsigned, float x, int step) {
  return __uint_as_float(emulation::swap(__float_as_uint(x), step));
}
static inline int __shfl_xor_sync(unsigned, int x, int step) { return int(emulation::swap(unsigned(x), step)); }
static inline unsigned __ballot_sync(unsigned, bool vote) {
  unsigned *words = emulation::exchange(), all = 0;
  words[emulation::thread.x % 32] = vote;
  emulation::synchronizeWarp();
  for (int lane = 0; lane < 32; lane++) all |= words[lane] << lane;
  return all;
}

// Threads take turns at barriers only, so these are whole.
static inline int atomicAdd(int *at, int x) { int old = *at; *at += x; return old; }
static inline int atomicSub(int *at, int x) { int old = *at; *at -= x; return old; }
static inline int atomicMin(int *at, int x) { int old = *at; if (x < old) *at = x; return old; }
