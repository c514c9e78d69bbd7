#include <cblas.h>

// Exported by every OpenBLAS, declared by none of its headers.
char *openblas_get_corename(void);
extern void *blas_memory_alloc(int position) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

// What OpenBLAS takes of the address space for each thread that multiplies: 128 MiB, and a little.
enum { dms_blas_buffer_bytes = (128 << 20) + (64 << 10) };

// Takes the buffers of `count` threads in advance, at most 64. OpenBLAS keeps what it has once taken; where there is no room
// for one, it tries for ever.
static inline void dms_reserve_blas_buffers(int count) {
  void *buffers[64];
  if (!blas_memory_alloc || !blas_memory_free) return;
  if (count > 64) count = 64;
  for (int i = 0; i < count; i++) buffers[i] = blas_memory_alloc(0);
  for (int i = 0; i < count; i++) blas_memory_free(buffers[i]);
}
