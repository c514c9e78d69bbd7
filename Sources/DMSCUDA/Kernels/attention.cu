// Attention over the live slots of a head, softmax(q Kᵀ / √D) V, for some query rows at once. Keys come in pieces of 128, one
// a thread, so that no score is a sum across threads; a page's keys lie channel by channel, so that threads side by side
// read bytes side by side. Values are then read in rows. The softmax is folded in piece by piece (Milakov and Gimelshein, 2018).
//
// Decoding gives each piece a block of its own, so that two KV heads of one sequence fill a device, and puts together what
// they found; where the cuts are depends on the slots alone, and so does the result. A prefill's blocks have some queries
// and go over all pieces, first of the cached slots, then of the call's own tokens. Used by DeviceAttention; the slow twin
// is DMSKernels.Reference.attention.
//
// H query heads · G KV heads · R = H / G · D head dim, even · C channels of a lane (D ≤ 32 C) · Q query rows of a block

#include "slots.cuh"

#define PIECE 128
#define WARPS 4

// A block's shared memory.
template <int C, int Q> struct Work {
  float *queries;  // [D, Q], scaled
  float *scores;   // [PIECE, Q]
  float *outputs;  // [WARPS, Q, D]
  float *maxima;   // [Q]
  float *sums;     // [Q]
  float *factors;  // [Q]: what an earlier piece's sums weigh now
  float out[Q][C]; // this thread's share of what its warp's keys give

  DEVICE_MEMBER Work(float *shared, int dim) {
    queries = shared;
    scores = queries + Q * dim;
    outputs = scores + Q * PIECE;
    maxima = outputs + WARPS * Q * dim;
    sums = maxima + Q;
    factors = sums + Q;
  }

  DEVICE_MEMBER void begin() {
    if (threadIdx.x < Q) maxima[threadIdx.x] = NOTHING, sums[threadIdx.x] = 0;
#pragma unroll
    for (int q = 0; q < Q; q++) {
#pragma unroll
      for (int c = 0; c < C; c++) out[q][c] = 0;
    }
  }

  // `row(q)`: a query row, or null.
  template <class Row> DEVICE_MEMBER void loadQueries(int dim, Row row) {
    float scale = 1 / sqrtf(float(dim));
    for (int index = threadIdx.x; index < Q * dim; index += PIECE) {
      int q = index / dim, channel = index % dim;
      const float *source = row(q);
      queries[channel * Q + q] = source ? source[channel] * scale : 0;
    }
  }

  // Scores, softmax and weighted values of up to PIECE keys from `start` on.
  template <class Keys> DEVICE_MEMBER void add(const Keys &keys, int start, int end, int dim) {
    int key = start + threadIdx.x;
    float score[Q] = {};
    if (key < end) {
      auto numbers = keys.key(key);
#pragma unroll 4
      for (int pair = 0; pair < dim / 2; pair++) {
        float2 two = numbers(pair);
#pragma unroll
        for (int q = 0; q < Q; q += 4) {
          float4 x = load<float4>(queries + 2 * pair * Q + q), y = load<float4>(queries + (2 * pair + 1) * Q + q);
          score[q] = fused(two.y, y.x, fused(two.x, x.x, score[q]));
          score[q + 1] = fused(two.y, y.y, fused(two.x, x.y, score[q + 1]));
          score[q + 2] = fused(two.y, y.z, fused(two.x, x.z, score[q + 2]));
          score[q + 3] = fused(two.y, y.w, fused(two.x, x.w, score[q + 3]));
        }
      }
    }
#pragma unroll
    for (int q = 0; q < Q; q++) scores[threadIdx.x * Q + q] = key < end && keys.isVisible(key, q) ? score[q] : NOTHING;
    __syncthreads();
    fold();
    __syncthreads();
    weigh(keys, start, end);
    __syncthreads();
  }

  // Scores become weights relative to the largest so far; a warp has every fourth query.
  DEVICE_MEMBER void fold() {
    int lane = threadIdx.x % 32;
    for (int q = threadIdx.x / 32; q < Q; q += WARPS) {
      float largest = maxima[q], sum = 0;
      for (int key = lane; key < PIECE; key += 32) largest = fmaxf(largest, scores[key * Q + q]);
      largest = warpMaximum(largest);
      for (int key = lane; key < PIECE; key += 32) {
        float score = scores[key * Q + q], weight = score == NOTHING ? 0 : expf(score - largest);
        scores[key * Q + q] = weight;
        sum += weight;
      }
      sum = warpSum(sum);
      float old = maxima[q], factor = old == NOTHING ? 0 : expf(old - largest);
      __syncwarp();
      if (lane == 0) {
        maxima[q] = largest;
        sums[q] = fused(sums[q], factor, sum);
        factors[q] = factor;
      }
    }
  }

  // A warp has every fourth key, a lane C channels.
  template <class Keys> DEVICE_MEMBER void weigh(const Keys &keys, int start, int end) {
    int first = threadIdx.x % 32 * C;
#pragma unroll
    for (int q = 0; q < Q; q++) {
      float factor = factors[q];
#pragma unroll
      for (int c = 0; c < C; c++) out[q][c] *= factor;
    }
    int count = smaller(PIECE, end - start);
    for (int key = threadIdx.x / 32; key < count; key += WARPS) {
      float values[C];
      keys.value(start + key, first, values);
#pragma unroll
      for (int q = 0; q < Q; q++) {
        float weight = scores[key * Q + q];
#pragma unroll
        for (int c = 0; c < C; c++) out[q][c] = fused(weight, values[c], out[q][c]);
      }
    }
  }

  // What the four warps found, added up: `give(q, channel, sum)`.
  template <class Give> DEVICE_MEMBER void finish(int dim, Give give) {
    int warp = threadIdx.x / 32, first = threadIdx.x % 32 * C;
#pragma unroll
    for (int q = 0; q < Q; q++) {
#pragma unroll
      for (int c = 0; c < C; c++) {
        if (first + c < dim) outputs[(warp * Q + q) * dim + first + c] = out[q][c];
      }
    }
    __syncthreads();
    for (int index = threadIdx.x; index < Q * dim; index += PIECE) {
      float sum = 0;
      for (int other = 0; other < WARPS; other++) sum += outputs[other * Q * dim + index];
      give(index / dim, index % dim, sum);
    }
    __syncthreads();
  }
};

// Keys in the cache. `until` is null where all of them are visible.
template <class Number, int C, int Q> struct CachedKeys {
  const SlotLists *lists;
  int head, dim;
  const int *until;
  const int *positions;  // [Q]

  DEVICE_MEMBER auto key(int slot) const {
    const Number *numbers = pageOf<Number>(lists, head, slot, dim) + keyPair(slot);
    return [numbers](int pair) { return load2(numbers + pair * 2 * SLOTS); };
  }
  DEVICE_MEMBER bool isVisible(int slot, int q) const { return !until || until[slot] >= positions[q]; }
  DEVICE_MEMBER void value(int slot, int first, float out[C]) const {
    const Number *row = pageOf<Number>(lists, head, slot, dim) + valueRow(slot, dim) + first;
    if (first + C <= dim) {
#pragma unroll
      for (int c = 0; c < C; c += 2) {
        float2 two = load2(row + c);
        out[c] = two.x, out[c + 1] = two.y;
      }
    } else {
#pragma unroll
      for (int c = 0; c < C; c++) out[c] = first + c < dim ? row[c].number() : 0;
    }
  }
};

// Keys of the call itself, rounded as the cache rounds them.
template <class Number, int C, int Q> struct CallKeys {
  const float *keys, *values;  // [T, G, D], from this KV head on
  const int *lasts;            // [T, G], from this KV head on
  int kvHeads, dim, firstPosition;
  const int *positions;  // [Q]

  DEVICE_MEMBER auto key(int token) const {
    const float *numbers = keys + size_t(token) * kvHeads * dim;
    return [numbers](int pair) {
      float2 two = load<float2>(numbers + 2 * pair);
      return float2{rounded<Number>(two.x), rounded<Number>(two.y)};
    };
  }
  DEVICE_MEMBER bool isVisible(int token, int q) const {
    return firstPosition + token <= positions[q] && positions[q] <= lasts[size_t(token) * kvHeads];
  }
  DEVICE_MEMBER void value(int token, int first, float out[C]) const {
    const float *row = values + size_t(token) * kvHeads * dim + first;
#pragma unroll
    for (int c = 0; c < C; c++) out[c] = first + c < dim ? rounded<Number>(row[c]) : 0;
  }
};

// One piece of one head; grid (pieces, G, S). partials [S, G, pieces, R, D + 2]: sums over the piece's keys relative to a
// maximum, the maximum, and the sum of the weights. queries [S, H, D].
template <class Number, int C, int Q>
DEVICE void attendPiece(const SlotLists *lists, int layer, const int *sequences, const float *queries, int group, int dim,
                        float *partials) {
  SHARED(float, shared);
  int kvHead = blockIdx.y, kvHeads = lists->kvHeads;
  int head = headIndex(lists, sequences[blockIdx.z], layer, kvHead);
  int count = lists->counts[head], start = blockIdx.x * PIECE;
  if (start >= count) return;
  Work<C, Q> work(shared, dim);
  CachedKeys<Number, C, Q> keys{lists, head, dim, nullptr, nullptr};
  size_t place = size_t(blockIdx.z) * kvHeads + kvHead;
  float *partial = partials + (place * gridDim.x + blockIdx.x) * group * (dim + 2);
  for (int first = 0; first < group; first += Q) {
    work.begin();
    work.loadQueries(dim, [&](int q) {
      return first + q < group ? queries + (place * group + first + q) * dim : static_cast<const float *>(nullptr);
    });
    __syncthreads();
    work.add(keys, start, smaller(count, start + PIECE), dim);
    work.finish(dim, [&](int q, int channel, float sum) {
      if (first + q >= group) return;
      float *own = partial + (first + q) * (dim + 2);
      own[channel] = sum;
      if (channel == 0) own[dim] = work.maxima[q], own[dim + 1] = work.sums[q];
    });
  }
}

// The pieces of each head put together, in their order; grid (R, G, S), 64 threads. output [S, H, D].
KERNEL combine_pieces(const SlotLists *lists, int layer, const int *sequences, const float *partials, int most, int dim,
                      float *output) {
  int group = gridDim.x, kvHeads = gridDim.y;
  int count = lists->counts[headIndex(lists, sequences[blockIdx.z], layer, blockIdx.y)];
  size_t place = size_t(blockIdx.z) * kvHeads + blockIdx.y, step = size_t(group) * (dim + 2);
  const float *first = partials + (place * most * group + blockIdx.x) * (dim + 2);
  int all = pieces(count, PIECE);
  float largest = NOTHING;
  for (int piece = 0; piece < all; piece++) largest = fmaxf(largest, first[piece * step + dim]);
  for (int channel = threadIdx.x; channel < dim; channel += blockDim.x) {
    float sum = 0, out = 0;
    for (int piece = 0; piece < all; piece++) {
      const float *own = first + piece * step;
      float weight = expf(own[dim] - largest);
      sum = fused(own[dim + 1], weight, sum);
      out = fused(own[channel], weight, out);
    }
    output[(place * group + blockIdx.x) * dim + channel] = out / sum;
  }
}

// A prefill call of one sequence; grid (⌈T R / Q⌉, G). Row j of a KV head is query j % R of token j / R. queries and output
// [T, H, D], keys and values [T, G, D], lasts [T, G], until [G, untilStride].
template <class Number, int C, int Q>
DEVICE void attendCall(const SlotLists *lists, int layer, int sequence, const int *before, const float *queries,
                       const float *keys, const float *values, const int *lasts, const int *until, int firstPosition,
                       int tokens, int group, int dim, float *output) {
  SHARED(float, shared);
  Work<C, Q> work(shared, dim);
  int *positions = reinterpret_cast<int *>(work.factors + Q);
  int kvHead = blockIdx.y, kvHeads = lists->kvHeads, firstRow = blockIdx.x * Q;
  auto place = [&](int q) {
    int row = firstRow + q;
    return ((size_t(row / group) * kvHeads + kvHead) * group + row % group) * dim;
  };
  auto exists = [&](int q) { return firstRow + q < tokens * group; };
  work.begin();
  if (threadIdx.x < Q) {
    // A row that does not exist sees what the last one sees, and is not written.
    positions[threadIdx.x] = firstPosition + smaller(tokens - 1, (firstRow + int(threadIdx.x)) / group);
  }
  work.loadQueries(dim, [&](int q) { return exists(q) ? queries + place(q) : static_cast<const float *>(nullptr); });
  __syncthreads();
  int count = before[kvHead], head = headIndex(lists, sequence, layer, kvHead);
  CachedKeys<Number, C, Q> cached{lists, head, dim, until + size_t(kvHead) * lists->untilStride, positions};
  for (int start = 0; start < count; start += PIECE) work.add(cached, start, smaller(count, start + PIECE), dim);
  CallKeys<Number, C, Q> own{keys + size_t(kvHead) * dim, values + size_t(kvHead) * dim, lasts + kvHead, kvHeads, dim,
                             firstPosition, positions};
  // The last row sees no token after its own.
  int end = positions[Q - 1] - firstPosition + 1;
  for (int start = 0; start < end; start += PIECE) work.add(own, start, smaller(end, start + PIECE), dim);
  work.finish(dim, [&](int q, int channel, float sum) {
    if (exists(q)) output[place(q) + channel] = sum / work.sums[q];
  });
}

#define ATTENTION(suffix, Number, C, Q)                                                                                \
  KERNEL __launch_bounds__(PIECE, 5)                                                                                   \
      attend_piece_##suffix(const SlotLists *lists, int layer, const int *sequences, const float *queries, int group,  \
                            int dim, float *partials) {                                                                \
    attendPiece<Number, C, Q>(lists, layer, sequences, queries, group, dim, partials);                                 \
  }                                                                                                                    \
  KERNEL __launch_bounds__(PIECE, 5)                                                                                   \
      attend_call_##suffix(const SlotLists *lists, int layer, int sequence, const int *before, const float *queries,   \
                           const float *keys, const float *values, const int *lasts, const int *until,                 \
                           int firstPosition, int tokens, int group, int dim, float *output) {                         \
    attendCall<Number, C, Q>(lists, layer, sequence, before, queries, keys, values, lasts, until, firstPosition,       \
                             tokens, group, dim, output);                                                              \
  }

ATTENTION(f32_2, F32, 2, 8)
ATTENTION(f32_4, F32, 4, 8)
ATTENTION(f32_8, F32, 8, 4)
ATTENTION(bf16_2, BF16, 2, 8)
ATTENTION(bf16_4, BF16, 4, 8)
ATTENTION(bf16_8, BF16, 8, 4)
ATTENTION(f16_2, F16, 2, 8)
ATTENTION(f16_4, F16, 4, 8)
ATTENTION(f16_8, F16, 8, 4)
