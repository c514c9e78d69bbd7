// Kernels with the mistakes that the emulation is to find.

#include "../../Sources/DMSCUDA/Kernels/numbers.cuh"

// Half of the threads do not come to the barrier.
KERNEL faulty_barrier(float *output) {
  if (threadIdx.x < 32) __syncthreads();
  output[threadIdx.x] = 1;
}

// A lane that has ended is asked for its number.
KERNEL faulty_exchange(float *output) {
  if (threadIdx.x == 3) return;
  output[threadIdx.x] = warpSum(1);
}

// Reads what another thread may not have written yet.
KERNEL faulty_race(float *output) {
  SHARED(float, shared);
  shared[threadIdx.x] = float(threadIdx.x);
  output[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

// Reads four numbers from where two begin.
KERNEL faulty_load(float *output) { output[threadIdx.x] = load<float4>(output + 2).x; }

// Writes one number too many.
KERNEL faulty_end(float *output) { output[threadIdx.x + 1] = 1; }
