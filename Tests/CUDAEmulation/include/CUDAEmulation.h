// Runs the kernels of Sources/DMSCUDA/Kernels on the host: blocks one after another, the threads of a block as fibers that
// take turns at barriers and exchanges among lanes. Slow, deterministic, and strict: what would hang or be undefined on a
// device is an error here. Used by DMSCUDATests alone.

#ifndef CUDA_EMULATION_H
#define CUDA_EMULATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// In which order the threads of a block take turns. A kernel that lacks a barrier gives different results.
enum emulated_order { emulated_forward = 0, emulated_backward = 1 };

// Launches a kernel as cuLaunchKernel does, and waits for it. `arguments`: a pointer to each. Returns null, or what is wrong,
// valid until the thread's next launch.
const char *emulate_launch(const char *kernel, const uint32_t grid[3], uint32_t block, uint32_t shared_bytes,
                           void *const *arguments, int32_t order);

#ifdef __cplusplus
}
#endif

#endif
