// Linear maps y = W x + b of a few vectors, which the reading of W bounds: each weight is read once for `V` vectors.
// Weights are F32, BF16, F16, or in the blocks of 8 and 4 bits that DMSTensor/BlockMatrix.swift describes. Sums are fp32.
// Used by DeviceLinear; the slow twins are DMSKernels.Reference and the CPU's products.

#include "numbers.cuh"

// One warp per row, eight rows a block; grid (⌈rows / 8⌉, ⌈count / V⌉).
template <class Number, int V>
DEVICE void plainRows(const Number *weights, int rows, int columns, const float *input, int count, const float *bias,
                      float *output, int stride) {
  int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.y * V;
  if (row >= rows) return;
  const Number *numbers = weights + size_t(row) * columns;
  float sums[V] = {};
  if (columns % 8 == 0) {
    for (int column = lane * 8; column < columns; column += 256) {
      float w[8];
      load8(numbers + column, w);
#pragma unroll
      for (int v = 0; v < V; v++) {
        if (first + v >= count) break;
        const float *x = input + size_t(first + v) * columns + column;
        float4 low = load<float4>(x), high = load<float4>(x + 4);
        sums[v] = fused(w[0], low.x, fused(w[1], low.y, fused(w[2], low.z, fused(w[3], low.w, sums[v]))));
        sums[v] = fused(w[4], high.x, fused(w[5], high.y, fused(w[6], high.z, fused(w[7], high.w, sums[v]))));
      }
    }
  } else {
    for (int column = lane; column < columns; column += 32) {
      float w = numbers[column].number();
#pragma unroll
      for (int v = 0; v < V; v++) {
        if (first + v < count) sums[v] = fused(w, input[size_t(first + v) * columns + column], sums[v]);
      }
    }
  }
#pragma unroll
  for (int v = 0; v < V; v++) {
    float sum = warpSum(sums[v]);
    if (lane == 0 && first + v < count) output[size_t(first + v) * stride + row] = sum + (bias ? bias[row] : 0);
  }
}

// Blocks of sixteen rows by 32 columns: how a warp's lanes share the bytes of one. A lane has `rows` rows, that many fewer
// columns, and reads its bytes in one load.

struct Q8 {
  static const int bytes = 512, rows = 4, quads = 1;
  u32 words[4];
  DEVICE_MEMBER static Q8 at(const u8 *block, int lane) {
    uint4 all = load<uint4>(block + lane * 16);
    return Q8{{all.x, all.y, all.z, all.w}};
  }
  DEVICE_MEMBER static int firstRow(int lane) { return lane % 4 * 4; }
  DEVICE_MEMBER static int quad(int lane, int) { return lane / 4; }
  DEVICE_MEMBER float number(int row, int, int column) const {
    return float(int(words[row] >> 8 * column & 255) - 128);
  }
};

struct Q4 {
  static const int bytes = 256, rows = 2, quads = 2;
  u32 words[2];
  DEVICE_MEMBER static Q4 at(const u8 *block, int lane) {
    uint2 all = load<uint2>(block + lane * 8);
    return Q4{{all.x, all.y}};
  }
  DEVICE_MEMBER static int firstRow(int lane) { return lane % 8 * 2; }
  // The low halves of the bytes are one quad of columns, the high halves the fourth after it.
  DEVICE_MEMBER static int quad(int lane, int half) { return lane / 8 + 4 * half; }
  DEVICE_MEMBER float number(int row, int half, int column) const {
    return float(int(words[row] >> (8 * column + 4 * half) & 15) - 8);
  }
};

// One group of sixteen rows a block, whose eight warps take every eighth block of columns; grid (groups, ⌈count / V⌉).
template <class Block, int V>
DEVICE void blockRows(const u8 *blocks, const BF16 *scales, int rows, int columns, const float *input, int count,
                      const float *bias, float *output, int stride) {
  SHARED(float, found);  // [8 warps, V, 16]
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.y * V;
  int columnBlocks = pieces(columns, 32), row = Block::firstRow(lane);
  float sums[V][Block::rows] = {};
  for (int index = warp; index < columnBlocks; index += 8) {
    size_t place = size_t(blockIdx.x) * columnBlocks + index;
    Block numbers = Block::at(blocks + place * Block::bytes, lane);
#pragma unroll
    for (int v = 0; v < V; v++) {
      if (first + v >= count) break;
      const float *x = input + size_t(first + v) * columns;
      float4 quads[Block::quads];
#pragma unroll
      for (int half = 0; half < Block::quads; half++) {
        quads[half] = loadColumns(x, index * 32 + Block::quad(lane, half) * 4, columns);
      }
#pragma unroll
      for (int r = 0; r < Block::rows; r++) {
        float dot = 0;
#pragma unroll
        for (int half = 0; half < Block::quads; half++) {
          dot = fused(numbers.number(r, half, 0), quads[half].x, dot);
          dot = fused(numbers.number(r, half, 1), quads[half].y, dot);
          dot = fused(numbers.number(r, half, 2), quads[half].z, dot);
          dot = fused(numbers.number(r, half, 3), quads[half].w, dot);
        }
        sums[v][r] = fused(scales[place * 16 + row + r].number(), dot, sums[v][r]);
      }
    }
  }
  const int lanesOfRows = 16 / Block::rows;
#pragma unroll
  for (int v = 0; v < V; v++) {
#pragma unroll
    for (int r = 0; r < Block::rows; r++) {
      float sum = sums[v][r];
#pragma unroll
      for (int step = 16; step >= lanesOfRows; step /= 2) sum += __shfl_xor_sync(EVERY_LANE, sum, step);
      if (lane < lanesOfRows) found[(warp * V + v) * 16 + row + r] = sum;
    }
  }
  __syncthreads();
  int v = threadIdx.x / 16, place = threadIdx.x % 16, output_row = blockIdx.x * 16 + place;
  if (v >= V || first + v >= count || output_row >= rows) return;
  float sum = 0;
  for (int other = 0; other < 8; other++) sum += found[(other * V + v) * 16 + place];
  output[size_t(first + v) * stride + output_row] = sum + (bias ? bias[output_row] : 0);
}

// `scales` is not looked at where the numbers have none, so that all of them are called alike.
#define LINEAR(name, V, body)                                                                                          \
  KERNEL __launch_bounds__(256)                                                                                        \
      name(const u8 *weights, const u8 *scales, int rows, int columns, const float *input, int count,                  \
           const float *bias, float *output, int stride) {                                                             \
    body;                                                                                                              \
  }
#define PLAIN(name, Number, V)                                                                                         \
  LINEAR(name, V, (plainRows<Number, V>(reinterpret_cast<const Number *>(weights), rows, columns, input, count, bias, \
                                        output, stride)))
#define BLOCKS(name, Block, V)                                                                                         \
  LINEAR(name, V, (blockRows<Block, V>(weights, reinterpret_cast<const BF16 *>(scales), rows, columns, input, count,  \
                                       bias, output, stride)))

PLAIN(linear_f32_1, F32, 1)
PLAIN(linear_f32_4, F32, 4)
PLAIN(linear_bf16_1, BF16, 1)
PLAIN(linear_bf16_4, BF16, 4)
PLAIN(linear_f16_1, F16, 1)
PLAIN(linear_f16_4, F16, 4)
BLOCKS(linear_q8_1, Q8, 1)
BLOCKS(linear_q8_4, Q8, 4)
BLOCKS(linear_q4_1, Q4, 1)
BLOCKS(linear_q4_4, Q4, 4)
