// Matrix products in fp32 whose factors are rounded to BF16.

#ifndef CKERNELS_PRODUCTS_H
#define CKERNELS_PRODUCTS_H

#include <stdbool.h>
#include <stdint.h>

// Whether the processor and the system offer AVX-512 with BF16.
bool dms_has_avx512bf16(void);

// A factor of a product: numbers[i * stride + j], or the transpose of that.
typedef struct {
  const float *numbers;
  int64_t stride;
  bool transposed;
} dms_factor;

// C = alpha A B, or the same added to C, [m, k] x [k, n]: factors rounded to BF16 (to nearest, ties to even, subnormals to
// zero), sums in fp32. The order of an element's sum depends on k alone. `scratch`: as many bytes as the function below says.
void dms_product_bf16_avx512(int64_t m, int64_t n, int64_t k, dms_factor a, dms_factor b, float *c, int64_t c_stride,
                             bool accumulating, float alpha, void *scratch);
int64_t dms_product_bf16_scratch(int64_t m, int64_t k);

#endif
