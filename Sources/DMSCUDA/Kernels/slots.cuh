// The KV lists of all sequences of a device cache: per sequence, layer and KV head the slots in use, the ring of the last
// w + 1 tokens, and the pages that the slots lie in. Arrays of ids, so that admission, storing and attention find
// everything on the device. DeviceCache.swift makes it and says the same.
//
// L layers · G KV heads · w window; a page has sixteen slots of one head: keys [D / 2][16][2], values [16][D].

#pragma once

#include "numbers.cuh"

struct SlotLists {
  int *counts;        // [sequences, L, G]: slots in use
  u32 *rings;         // [sequences, L, G, w + 1], by position modulo w + 1: the slot, shifted left, and the evict flag
  int *pages;         // [sequences, L, G, pagesPerHead]
  int *pageCounts;    // [sequences, L, G]
  int *freePages;     // a stack of pages that nobody has
  int *freeCount;     // [1]
  u8 *pool;           // the pages
  int layers, kvHeads;
  int window;         // −1: nothing is ever forgotten
  int shift;          // a decision made at token t is about token t − shift
  int pagesPerHead;
  int untilStride;    // slots that a head can have
};

#define SLOTS 16

DEVICE int headIndex(const SlotLists *lists, int sequence, int layer, int kvHead) {
  return (sequence * lists->layers + layer) * lists->kvHeads + kvHead;
}

template <class Number> DEVICE size_t pageBytes(int dim) { return size_t(SLOTS) * 2 * dim * sizeof(Number); }

template <class Number> DEVICE Number *pageOf(const SlotLists *lists, int head, int slot, int dim) {
  int page = lists->pages[size_t(head) * lists->pagesPerHead + slot / SLOTS];
  return reinterpret_cast<Number *>(lists->pool + page * pageBytes<Number>(dim));
}

// Channel c of a slot's key: `keyPair` + 32 (c / 2) + c % 2 numbers into the page.
DEVICE int keyPair(int slot) { return slot % SLOTS * 2; }
// Where a slot's value begins in the page.
DEVICE int valueRow(int slot, int dim) { return SLOTS * dim + slot % SLOTS * dim; }
