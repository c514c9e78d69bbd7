// Blocks one after another; the threads of a block as fibers. A fiber runs until it waits at a barrier, for its block or its
// warp, or ends. When none can run, those barriers open at which everybody stands that the barrier is for; if there is none,
// the kernel would hang, or is undefined, on a device.
//
// A fiber's stack is made once (ucontext), and then entered and left by _setjmp and _longjmp, which cost no system call. A
// stack that is left in the midst of a kernel, after an error, is begun anew.

#include "launch.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "emulation.hpp"
#include "include/CUDAEmulation.h"

namespace emulation {

thread_local uint3 thread, block, threads, blocks;

namespace {

constexpr size_t stackBytes = 64 << 10, mostThreads = 1024, mostShared = 48 << 10;

enum class State { ready, atBlock, atWarp, ended };

struct Fiber {
  jmp_buf place;
  char *stack = nullptr;
  bool isBegun = false;
  State state = State::ended;
};

// Belongs to one thread of the host.
struct Device {
  Fiber fibers[mostThreads];
  jmp_buf scheduler;
  ucontext_t start;
  unsigned current = 0;
  const Kernel *kernel = nullptr;
  void *const *arguments = nullptr;
  const char *problem = nullptr;
  std::vector<char> shared = std::vector<char>(mostShared + 16);
  // Two, in turns: a lane that is ahead does not overwrite what others have yet to read.
  unsigned words[mostThreads / 32][2][32];
  unsigned exchanges[mostThreads] = {};

  ~Device() {
    for (Fiber &fiber : fibers) std::free(fiber.stack);
  }
};

Device &device() {
  static thread_local Device all;
  return all;
}

void leave(State state) {
  Device &all = device();
  Fiber &fiber = all.fibers[all.current];
  fiber.state = state;
  if (!_setjmp(fiber.place)) _longjmp(all.scheduler, 1);
}

void fiberMain() {
  for (;;) {
    device().kernel->run(device().arguments);
    leave(State::ended);
  }
}

// Runs a fiber until it leaves.
void enter(unsigned index) {
  Device &all = device();
  Fiber &fiber = all.fibers[index];
  all.current = index;
  thread = {index, 0, 0};
  if (_setjmp(all.scheduler)) return;
  if (fiber.isBegun) _longjmp(fiber.place, 1);
  fiber.isBegun = true;
  if (!fiber.stack) fiber.stack = static_cast<char *>(std::malloc(stackBytes));
  getcontext(&all.start);
  all.start.uc_stack.ss_sp = fiber.stack;
  all.start.uc_stack.ss_size = stackBytes;
  all.start.uc_link = nullptr;
  makecontext(&all.start, fiberMain, 0);
  setcontext(&all.start);
}

// Opens the barriers that are complete. Returns whether any is.
bool openBarriers(unsigned count) {
  Device &all = device();
  bool opened = false;
  unsigned waiting = 0;
  for (unsigned warp = 0; warp < count / 32; warp++) {
    Fiber *lanes = all.fibers + warp * 32;
    unsigned atWarp = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
      atWarp += lanes[lane].state == State::atWarp;
      waiting += lanes[lane].state == State::atBlock;
    }
    if (atWarp < 32) continue;
    for (unsigned lane = 0; lane < 32; lane++) lanes[lane].state = State::ready;
    opened = true;
  }
  if (waiting < count) return opened;
  for (unsigned index = 0; index < count; index++) all.fibers[index].state = State::ready;
  return true;
}

void runBlock(unsigned count, unsigned sharedBytes, bool backward) {
  Device &all = device();
  // Not a number, whatever it is read as: what a kernel reads it must have written.
  std::memset(sharedMemory(), 0xff, sharedBytes);
  for (unsigned index = 0; index < count; index++) {
    all.fibers[index].state = State::ready;
    all.exchanges[index] = 0;
  }
  for (;;) {
    unsigned ended = 0;
    for (unsigned turn = 0; turn < count; turn++) {
      unsigned index = backward ? count - 1 - turn : turn;
      if (all.fibers[index].state == State::ready) enter(index);
      if (all.problem) return;
      ended += all.fibers[index].state == State::ended;
    }
    if (ended == count) return;
    if (!openBarriers(count)) {
      all.problem = "a barrier at which not all threads arrive that it is for";
      return;
    }
  }
}

}  // namespace

void *sharedMemory() {
  uintptr_t base = reinterpret_cast<uintptr_t>(device().shared.data());
  return reinterpret_cast<void *>((base + 15) / 16 * 16);
}

void synchronizeBlock() { leave(State::atBlock); }
void synchronizeWarp() { leave(State::atWarp); }

unsigned *exchange() {
  Device &all = device();
  return all.words[all.current / 32][all.exchanges[all.current]++ % 2];
}

void fail(const char *problem) {
  device().problem = problem;
  leave(State::ended);
  std::abort();
}

}  // namespace emulation

using namespace emulation;

const char *emulate_launch(const char *name, const uint32_t grid[3], uint32_t count, uint32_t sharedBytes,
                           void *const *arguments, int32_t order) {
  Device &all = device();
  all.problem = nullptr;
  all.kernel = nullptr;
  all.arguments = arguments;
  for (int index = 0; index < kernelCount; index++) {
    if (std::strcmp(kernels[index].name, name) == 0) all.kernel = kernels + index;
  }
  if (!all.kernel) return "there is no such kernel";
  if (count == 0 || count > mostThreads || count % 32 != 0) return "threads that are not whole warps";
  if (sharedBytes > mostShared) return "more shared memory than a block has";
  if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return "a grid without blocks";
  if (grid[1] > 65535 || grid[2] > 65535) return "a grid beyond what a device takes";
  threads = {count, 1, 1};
  blocks = {grid[0], grid[1], grid[2]};
  for (uint32_t z = 0; z < grid[2]; z++) {
    for (uint32_t y = 0; y < grid[1]; y++) {
      for (uint32_t x = 0; x < grid[0]; x++) {
        block = {x, y, z};
        runBlock(count, sharedBytes, order == emulated_backward);
        if (!all.problem) continue;
        for (Fiber &fiber : all.fibers) fiber.isBegun = false;
        return all.problem;
      }
    }
  }
  return nullptr;
}
