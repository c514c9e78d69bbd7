// DMS admission (section 3): a call's tokens get their slots, head by head. Slot for slot what DMSCache's DelayedEviction and
// SlotAssignment do one token at a time, but in batches of up to w + 1 tokens: a token's slot depends on the one that is
// w + 1 before it, which then is of an earlier batch. Used by DeviceCache.
//
// S sequences · T tokens of each (1 in decoding; in prefill S is 1) · G KV heads · w window. Token t of sequence s is row
// s T + t.

#include "slots.cuh"

// The number of threads before this one whose `counts` is set, and of all of them. Shared: an int per warp.
DEVICE int placeInBlock(bool counts, int *scratch, int *total) {
  u32 lanes = __ballot_sync(EVERY_LANE, counts);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) scratch[warp] = __popc(lanes);
  __syncthreads();
  int before = 0, all = 0;
  for (int other = 0; other < int(blockDim.x) / 32; other++) {
    if (other < warp) before += scratch[other];
    all += scratch[other];
  }
  __syncthreads();
  *total = all;
  return before + __popc(lanes & ((1u << lane) - 1));
}

// Grid (G, S), 128 threads.
//   decisions  [rows, G] logits, evict where positive; null: nothing is evicted
//   slots      [rows, G]: the slot that each token gets
//   lasts      [rows, G]: the last position that sees it; LASTING: it is alive at the call's end
//   before     [S, G]: slots before the call
//   until      [G, untilStride]: the last position that sees a cached slot; LASTING but where this call says otherwise,
//              until `store_slots` sets it back. Null in decoding.
// The caller sees to it that there are pages enough.
KERNEL __launch_bounds__(128)
    admit_tokens(const SlotLists *lists, int layer, const int *sequences, const int *positions, int tokens,
                 const float *decisions, int *slots, int *lasts, int *before, int *until) {
  SHARED(int, scratch);
  int kvHead = blockIdx.x, kvHeads = lists->kvHeads, first = positions[blockIdx.y];
  int head = headIndex(lists, sequences[blockIdx.y], layer, kvHead);
  int count = lists->counts[head], window = lists->window, shift = lists->shift, row = blockIdx.y * tokens;
  u32 *ring = window < 0 ? nullptr : lists->rings + size_t(head) * (window + 1);
  auto decides = [&](int token) {
    return decisions && token < tokens && decisions[(row + token) * kvHeads + kvHead] > 0;
  };
  __syncthreads();
  if (threadIdx.x == 0) {
    before[blockIdx.y * kvHeads + kvHead] = count;
    // About a token of an earlier call.
    if (ring && shift == 1 && first >= 1 && decides(0)) ring[(first - 1) % (window + 1)] |= 1;
  }
  for (int token = threadIdx.x; token < tokens; token += blockDim.x) lasts[(row + token) * kvHeads + kvHead] = LASTING;
  __syncthreads();
  int batch = ring ? smaller(blockDim.x, window + 1) : int(blockDim.x);
  for (int start = 0; start < tokens; start += batch) {
    int token = start + threadIdx.x, position = first + token;
    bool arrives = int(threadIdx.x) < batch && token < tokens;
    // The token that leaves the ring has the place in it that the arriving one gets.
    u32 leaving = arrives && ring && position > window ? ring[position % (window + 1)] : 0;
    bool takesOver = leaving & 1;
    int fresh, place = placeInBlock(arrives && !takesOver, scratch, &fresh);
    int slot = takesOver ? int(leaving >> 1) : count + place;
    if (arrives) {
      slots[(row + token) * kvHeads + kvHead] = slot;
      if (ring) ring[position % (window + 1)] = u32(slot) << 1 | (decides(token + shift) ? 1 : 0);
      if (takesOver) {
        int gone = token - window - 1;
        if (gone >= 0) {
          lasts[(row + gone) * kvHeads + kvHead] = position - 1;
        } else if (until) {
          until[size_t(kvHead) * lists->untilStride + slot] = position - 1;
        }
      }
    }
    count += fresh;
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  lists->counts[head] = count;
  int *pages = lists->pages + size_t(head) * lists->pagesPerHead;
  for (int page = lists->pageCounts[head]; page < pieces(count, SLOTS); page++) {
    pages[page] = lists->freePages[atomicSub(lists->freeCount, 1) - 1];
    lists->pageCounts[head] = page + 1;
  }
}

// Writes the keys and values of tokens that are alive at the call's end; grid (rows, G), 64 threads. keys, values
// [rows, G, D], keys after RoPE.
template <class Number>
DEVICE void storeSlots(const SlotLists *lists, int layer, const int *sequences, int tokens, const int *slots,
                       const int *lasts, const float *keys, const float *values, int dim, int *until) {
  int row = blockIdx.x, kvHead = blockIdx.y, kvHeads = lists->kvHeads, place = row * kvHeads + kvHead;
  if (lasts[place] != LASTING) return;
  int slot = slots[place];
  int head = headIndex(lists, sequences[row / tokens], layer, kvHead);
  Number *page = pageOf<Number>(lists, head, slot, dim);
  for (int channel = threadIdx.x; channel < dim; channel += blockDim.x) {
    size_t source = size_t(place) * dim + channel;
    page[keyPair(slot) + channel / 2 * 2 * SLOTS + channel % 2] = Number::nearest(keys[source]);
    page[valueRow(slot, dim) + channel] = Number::nearest(values[source]);
  }
  if (until && threadIdx.x == 0) until[size_t(kvHead) * lists->untilStride + slot] = LASTING;
}

#define STORE(name, Number)                                                                                            \
  KERNEL name(const SlotLists *lists, int layer, const int *sequences, int tokens, const int *slots, const int *lasts, \
              const float *keys, const float *values, int dim, int *until) {                                           \
    storeSlots<Number>(lists, layer, sequences, tokens, slots, lasts, keys, values, dim, until);                       \
  }

STORE(store_slots_f32, F32)
STORE(store_slots_bf16, BF16)
STORE(store_slots_f16, F16)

// A sequence ends: its pages go back, and its lists are empty; grid (1), one thread per head up to 256, in their order.
KERNEL release_sequence(const SlotLists *lists, int sequence) {
  int heads = lists->layers * lists->kvHeads;
  for (int index = threadIdx.x; index < heads; index += blockDim.x) {
    int head = sequence * heads + index;
    int count = lists->pageCounts[head], free = atomicAdd(lists->freeCount, count);
    for (int page = 0; page < count; page++) {
      lists->freePages[free + page] = lists->pages[size_t(head) * lists->pagesPerHead + page];
    }
    lists->pageCounts[head] = 0;
    lists->counts[head] = 0;
  }
}
