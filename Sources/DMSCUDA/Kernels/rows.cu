// What happens to whole rows: tokens become rows of the embedding, rows are added and normalised, gates close, the largest
// logit is found. Used by DeviceRows; the slow twins are DMSKernels.Reference and the CPU's kernels.

#include "numbers.cuh"

// Rows of the embedding as fp32; grid (rows). `ids` [rows].
template <class Number> DEVICE void embedPlain(const Number *table, const int *ids, int columns, float *output) {
  const Number *from = table + size_t(ids[blockIdx.x]) * columns;
  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    output[size_t(blockIdx.x) * columns + column] = from[column].number();
  }
}

// The same of blocks of `bits` bits: DMSTensor/BlockMatrix.swift says where a number lies.
template <int bits> DEVICE void embedBlocks(const u8 *blocks, const BF16 *scales, const int *ids, int columns,
                                            float *output) {
  int row = ids[blockIdx.x], columnBlocks = pieces(columns, 32);
  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    size_t place = size_t(row / 16) * columnBlocks + column / 32;
    int quad = column % 32 / 4, lane = row % 16 * 4 + column % 4, number;
    if (bits == 8) {
      number = int(blocks[place * 512 + quad * 64 + lane]) - 128;
    } else {
      number = int(blocks[place * 256 + quad % 4 * 64 + lane] >> quad / 4 * 4 & 15) - 8;
    }
    output[size_t(blockIdx.x) * columns + column] = scales[place * 16 + row % 16].number() * float(number);
  }
}

#define EMBED(name, body)                                                                                              \
  KERNEL name(const u8 *table, const u8 *scales, const int *ids, int columns, float *output) { body; }

EMBED(embed_f32, embedPlain(reinterpret_cast<const F32 *>(table), ids, columns, output))
EMBED(embed_bf16, embedPlain(reinterpret_cast<const BF16 *>(table), ids, columns, output))
EMBED(embed_f16, embedPlain(reinterpret_cast<const F16 *>(table), ids, columns, output))
EMBED(embed_q8, embedBlocks<8>(table, reinterpret_cast<const BF16 *>(scales), ids, columns, output))
EMBED(embed_q4, embedBlocks<4>(table, reinterpret_cast<const BF16 *>(scales), ids, columns, output))

// x += delta, output = x / √(mean(x²) + ε) · gain; grid (rows), 256 threads. `delta` may be null. x, delta and output are
// [rows, size]. Shared: a float per warp.
KERNEL __launch_bounds__(256)
    add_normalize(float *x, const float *delta, int size, const float *gain, float epsilon, float *output, int *faults,
                  int stage) {
  SHARED(float, scratch);
  float *row = x + size_t(blockIdx.x) * size, *out = output + size_t(blockIdx.x) * size;
  const float *add = delta ? delta + size_t(blockIdx.x) * size : nullptr;
  float sum = 0, zeros = 0;
  for (int index = threadIdx.x; index < size; index += blockDim.x) {
    float number = add ? row[index] + add[index] : row[index];
    if (add) row[index] = number;
    sum = fused(number, number, sum);
    zeros = fused(number, 0.0f, zeros);
  }
  sum = blockSum(sum, scratch);
  zeros = blockSum(zeros, scratch);
  float scale = 1 / sqrtf(sum / float(size) + epsilon);
  // Each thread reads what it has written itself.
  for (int index = threadIdx.x; index < size; index += blockDim.x) out[index] = row[index] * scale * gain[index];
  if (threadIdx.x == 0) noteFault(faults, blockIdx.x, stage, zeros);
}

// output[t, f] = silu(gateUp[t, f]) · gateUp[t, F + f]; grid (⌈F / 256⌉, rows).
KERNEL __launch_bounds__(256) gated_unit(const float *gateUp, int size, float *output) {
  int index = blockIdx.x * 256 + threadIdx.x;
  if (index >= size) return;
  const float *row = gateUp + size_t(blockIdx.y) * 2 * size;
  float gate = row[index];
  output[size_t(blockIdx.y) * size + index] = gate / (1 + expf(-gate)) * row[size + index];
}

// The first of the largest logits of each row, and a note where one is not finite; grid (rows), 256 threads. Shared: a
// float and an int per warp. `largest` [rows].
KERNEL __launch_bounds__(256)
    find_largest(const float *logits, int count, int *largest, int *faults, int stage) {
  SHARED(float, maxima);
  int *places = reinterpret_cast<int *>(maxima + 8);
  const float *row = logits + size_t(blockIdx.x) * count;
  float best = NOTHING, zeros = 0;
  int place = 0;
  for (int index = threadIdx.x; index < count; index += 256) {
    zeros = fused(row[index], 0.0f, zeros);
    if (row[index] > best) best = row[index], place = index;
  }
  zeros = blockSum(zeros, maxima);
  for (int step = 16; step > 0; step /= 2) {
    float other = __shfl_xor_sync(EVERY_LANE, best, step);
    int otherPlace = __shfl_xor_sync(EVERY_LANE, place, step);
    if (other > best || (other == best && otherPlace < place)) best = other, place = otherPlace;
  }
  if (threadIdx.x % 32 == 0) maxima[threadIdx.x / 32] = best, places[threadIdx.x / 32] = place;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < 8; warp++) {
    if (maxima[warp] > best || (maxima[warp] == best && places[warp] < place)) best = maxima[warp], place = places[warp];
  }
  largest[blockIdx.x] = place;
  noteFault(faults, blockIdx.x, stage, zeros);
}
