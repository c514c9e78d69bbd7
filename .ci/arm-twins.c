// Compares the ARM leaf with plain C on awkward shapes; code 1 and a line for each difference. Knows the kernels' contracts,
// nothing of how they keep them. Seeded.

#include "CKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void MatVec(const void *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns, float *y);

typedef enum { F32, BF16, F16 } Format;

typedef struct {
  const char *name;
  Format format;
  int64_t size;
  MatVec *product;
} Kernel;

static const Kernel kernels[] = {
    {"matvec f32", F32, 4, dms_matvec_f32_neon},
    {"matvec bf16", BF16, 2, dms_matvec_bf16_neon},
    {"matvec f16", F16, 2, dms_matvec_f16_neon},
};

enum { PADDING = 8, GUARD = 4 };

static int failures = 0;

static void fail(const Kernel *kernel, const char *law, int64_t rows, int64_t columns, int64_t place) {
  failures++;
  if (failures <= 20)
    fprintf(stderr, "%s, %lld x %lld, place %lld: %s\n", kernel->name, (long long)rows, (long long)columns,
            (long long)place, law);
}

// SplitMix64.
static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

// Uniform in [-1, 1).
static float number(uint64_t *state) { return (float)(next(state) >> 40) * 0x1p-23f - 1; }

// What a stored number is, from the formats' definitions.
static double value(const char *w, Format format) {
  if (format == F32) {
    float number;
    memcpy(&number, w, sizeof number);
    return number;
  }
  uint16_t bits;
  memcpy(&bits, w, sizeof bits);
  int fraction_bits = format == BF16 ? 7 : 10, bias = format == BF16 ? 127 : 15;
  int exponent = (bits & 0x7FFF) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == 2 * bias + 1) return fraction ? NAN : sign * INFINITY;
  double magnitude = exponent ? ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)
                              : ldexp(fraction, 1 - bias - fraction_bits);
  return sign * magnitude;
}

// A pattern of a number in (-2, 2), any of 65,536 for the short formats but the largest exponents.
static void put(char *w, Format format, uint64_t *state) {
  if (format == F32) {
    float random = number(state);
    memcpy(w, &random, sizeof random);
    return;
  }
  uint16_t bits = (uint16_t)next(state);
  int64_t bound = format == BF16 ? 0x3F80 : 0x3C00;
  bits = (uint16_t)((bits & 0x8000) | (bits & 0x7FFF) % bound);
  memcpy(w, &bits, sizeof bits);
}

// Even and odd numbers of each block of 32 apart, as the BF16 kernel wants x.
static void split(const float *x, int64_t columns, float *out) {
  for (int64_t column = 0; column < columns; column++) {
    int64_t block = column & ~(int64_t)31, place = column & 31;
    int64_t to = block + 32 <= columns ? block + (place & 1 ? 16 : 0) + place / 2 : column;
    out[to] = x[column];
  }
}

static void run(const Kernel *kernel, const char *w, int64_t row_bytes, int64_t rows, const float *x, int64_t columns,
                float *y) {
  float *ordered = malloc((size_t)(columns + 1) * sizeof *ordered);
  if (!ordered) exit(2);
  if (kernel->format == BF16) split(x, columns, ordered);
  else memcpy(ordered, x, (size_t)columns * sizeof *ordered);
  kernel->product(w, row_bytes, rows, ordered, columns, y);
  free(ordered);
}

// Every product is the twin's, a row's bits do not depend on its neighbours, and nothing beyond the rows is written or
// counted: NaN lies in the bytes between the rows.
static void compare(const Kernel *kernel, int64_t rows, int64_t columns, uint64_t *state) {
  int64_t row_bytes = columns * kernel->size + PADDING;
  char *w = malloc((size_t)(rows * row_bytes) + PADDING);
  float *x = malloc((size_t)(columns + 1) * sizeof *x), *y = malloc((size_t)(rows + GUARD) * sizeof *y);
  if (!w || !x || !y) exit(2);
  memset(w, 0xFF, (size_t)(rows * row_bytes));
  for (int64_t column = 0; column < columns; column++) x[column] = number(state);
  for (int64_t row = 0; row < rows; row++)
    for (int64_t column = 0; column < columns; column++)
      put(w + row * row_bytes + column * kernel->size, kernel->format, state);
  for (int64_t place = 0; place < rows + GUARD; place++) y[place] = 12345;

  run(kernel, w, row_bytes, rows, x, columns, y);
  for (int64_t row = 0; row < rows; row++) {
    double exact = 0;
    for (int64_t column = 0; column < columns; column++)
      exact += value(w + row * row_bytes + column * kernel->size, kernel->format) * (double)x[column];
    // n roundings of partial sums that stay below n, most of them far below: n * 2^-22 is generous for these lengths, and
    // far from what a wrong column does. As in the tests of the portable kernels.
    if (!(fabs(y[row] - exact) <= (double)columns * 0x1p-22)) fail(kernel, "not the twin's product", rows, columns, row);
    float alone = 0;
    run(kernel, w + row * row_bytes, row_bytes, 1, x, columns, &alone);
    if (memcmp(&alone, &y[row], sizeof alone)) fail(kernel, "a row feels its neighbours", rows, columns, row);
  }
  for (int64_t place = rows; place < rows + GUARD; place++)
    if (y[place] != 12345) fail(kernel, "writes beyond the rows", rows, columns, place);
  free(w);
  free(x);
  free(y);
}

// Each finite pattern of a short format comes through exactly, at every place of a row: a block and what is left over.
static void widens(const Kernel *kernel) {
  enum { COLUMNS = 35 };
  uint16_t w[COLUMNS];
  float x[COLUMNS], y;
  for (int64_t pattern = 0; pattern < 65536; pattern++) {
    int64_t place = pattern % COLUMNS;
    memset(w, 0, sizeof w);
    memset(x, 0, sizeof x);
    w[place] = (uint16_t)pattern;
    x[place] = 1;
    double exact = value((const char *)&w[place], kernel->format);
    run(kernel, (const char *)w, sizeof w, 1, x, COLUMNS, &y);
    if (!(isfinite(exact) ? y == exact : !isfinite(y))) fail(kernel, "a pattern is another number", 1, COLUMNS, pattern);
  }
}

int main(void) {
  static const int64_t rows[] = {0, 1, 3, 4, 5, 8, 63, 65};
  static const int64_t columns[] = {0, 1, 31, 32, 33, 64, 95, 130, 1536};
  if (!dms_has_neon()) {
    fprintf(stderr, "the leaf says that this processor has no NEON\n");
    return 1;
  }
  uint64_t state = 1;
  for (size_t kernel = 0; kernel < sizeof kernels / sizeof *kernels; kernel++) {
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
      for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        compare(&kernels[kernel], rows[r], columns[c], &state);
    if (kernels[kernel].format != F32) widens(&kernels[kernel]);
  }
  if (failures) {
    fprintf(stderr, "%d differences\n", failures);
    return 1;
  }
  printf("%zu kernels are their twins\n", sizeof kernels / sizeof *kernels);
  return 0;
}
