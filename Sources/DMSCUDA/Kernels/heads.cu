// From projections to what attention takes: query and key norms, the eviction decision (DMS, section 3.1), RoPE; in place.
// A warp has a head. Used by DeviceHeads; the twin is DMSModel's HeadPreparation.
//
// H query heads · G KV heads · R = H / G · D head dim, even

#include "numbers.cuh"

// Bits of `flags`.
#define ROTATES 1            // RoPE turns this layer's heads
#define DECIDES 2            // a model that forgets
#define DECIDES_APART 4      // the adapter's projection decides, and waits in `projected`
#define DECIDES_PER_LAYER 8  // KV head 0 decides for all
#define ZEROED_TWICE 16      // borrowed channels are zero after RoPE, too
#define BORROWED_APART 32    // the borrowed channels were computed apart, and wait in `projected`

// x / √(mean(x²) + ε) · gain over a head, by a warp.
DEVICE void normalizeHead(float *head, int dim, const float *gain, float epsilon) {
  int lane = threadIdx.x % 32;
  float sum = 0;
  for (int channel = lane; channel < dim; channel += 32) sum = fused(head[channel], head[channel], sum);
  float scale = 1 / sqrtf(warpSum(sum) / float(dim) + epsilon);
  for (int channel = lane; channel < dim; channel += 32) head[channel] = head[channel] * scale * gain[channel];
  __syncwarp();
}

DEVICE void rotateHead(float *head, int dim, const float *cosines, const float *sines) {
  int half = dim / 2;
  for (int channel = threadIdx.x % 32; channel < half; channel += 32) {
    float x = head[channel], y = head[channel + half];
    head[channel] = x * cosines[channel] - y * sines[channel];
    head[channel + half] = y * cosines[channel] + x * sines[channel];
  }
  __syncwarp();
}

// Grid (rows, ⌈(H + 2 G) / 8⌉): query heads, key heads, and value heads, which are only looked at.
// queries [rows, H, D], keys and values [rows, G, D], projected and decisions [rows, G], cosines and sines [rows, D / 2].
KERNEL __launch_bounds__(256)
    prepare_heads(float *queries, float *keys, const float *values, const float *projected, float *decisions,
                  const float *queryNorm, const float *keyNorm, const float *cosines, const float *sines, int heads,
                  int kvHeads, int dim, float epsilon, int flags, float alphaScale, float alphaOffset, int *faults,
                  int stage) {
  int row = blockIdx.x, head = blockIdx.y * 8 + threadIdx.x / 32, lane = threadIdx.x % 32, group = heads / kvHeads;
  if (head >= heads + 2 * kvHeads) return;
  bool isQuery = head < heads, isKey = !isQuery && head < heads + kvHeads;
  float zeros = 0;
  const float *seen;
  if (isQuery || isKey) {
    float *own = isQuery ? queries + (size_t(row) * heads + head) * dim
                         : keys + (size_t(row) * kvHeads + head - heads) * dim;
    int kvHead = isQuery ? head / group : head - heads;
    bool borrows = isQuery && head % group == 0 && (flags & DECIDES) && !(flags & DECIDES_APART);
    if (borrows && (flags & BORROWED_APART)) {
      if (lane == 0) own[dim - 1] = projected[row * kvHeads + kvHead];
      __syncwarp();
    }
    const float *gain = isQuery ? queryNorm : keyNorm;
    if (gain) normalizeHead(own, dim, gain, epsilon);
    bool perLayer = flags & DECIDES_PER_LAYER;
    if (borrows) {
      float logit = own[dim - 1] * alphaScale - alphaOffset;
      zeros = logit * 0;
      __syncwarp();
      if (lane == 0) {
        own[dim - 1] = 0;
        if (!perLayer) decisions[row * kvHeads + kvHead] = logit;
      }
      if (perLayer && kvHead == 0) {
        for (int other = lane; other < kvHeads; other += 32) decisions[row * kvHeads + other] = logit;
      }
      __syncwarp();
    }
    if (isKey && (flags & DECIDES) && (flags & DECIDES_APART)) {
      float logit = projected[row * kvHeads + (perLayer ? 0 : kvHead)] * alphaScale - alphaOffset;
      zeros = logit * 0;
      if (lane == 0) decisions[row * kvHeads + kvHead] = logit;
    }
    if (flags & ROTATES) {
      rotateHead(own, dim, cosines + size_t(row) * (dim / 2), sines + size_t(row) * (dim / 2));
      if (borrows && (flags & ZEROED_TWICE)) {
        if (lane == 0) own[dim - 1] = 0;
        __syncwarp();
      }
    }
    seen = own;
  } else {
    seen = values + (size_t(row) * kvHeads + head - heads - kvHeads) * dim;
  }
  for (int channel = lane; channel < dim; channel += 32) zeros = fused(seen[channel], 0.0f, zeros);
  zeros = warpSum(zeros);
  if (lane == 0) noteFault(faults, row, stage, zeros);
}
