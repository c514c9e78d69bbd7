// A kernel by its name, between kernels.cpp and launch.cpp.

#pragma once

namespace emulation {

struct Kernel {
  const char *name;
  void (*run)(void *const *arguments);
};

extern const Kernel kernels[];
extern const int kernelCount;

}  // namespace emulation
