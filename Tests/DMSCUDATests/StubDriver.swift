// A driver and a compiler that are none: a shared library made on the spot, whose memory is the host's, whose machine code is
// a few letters, and whose launches go where a test wants them.

import CUDAEmulation
import Foundation

struct StubDriver {
  /// The library.
  let path: String
  /// A folder of its own, removed by `remove`.
  let folder: String

  /// - Parameter settings: macros of the source below that differ from what it says.
  /// - Returns: `nil` where there is no C compiler.
  init?(_ settings: [String: String] = [:]) throws {
    guard let compiler = Self.compiler else { return nil }
    folder = FileManager.default.temporaryDirectory.path + "/dms-stub-\(UUID().uuidString)"
    path = folder + "/libstub.so"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Self.source.write(toFile: folder + "/stub.c", atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(filePath: compiler)
    process.arguments =
      ["-shared", "-fPIC", "-o", path, folder + "/stub.c"] + settings.map { "-D\($0.key)=\($0.value)" }
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw CocoaError(.executableLoad) }
  }

  func remove() { try? FileManager.default.removeItem(atPath: folder) }

  /// Sends launches to the emulation.
  func emulate() {
    typealias Launch =
      @convention(c) (
        UnsafePointer<CChar>?, UnsafePointer<UInt32>?, UInt32, UInt32, UnsafePointer<UnsafeMutableRawPointer?>?, Int32
      ) -> UnsafePointer<CChar>?
    guard let place = dlsym(dlopen(path, RTLD_NOW), "stub_launch") else { return }
    let launch: Launch = { emulate_launch($0, $1, $2, $3, $4, $5) }
    place.assumingMemoryBound(to: Launch.self).pointee = launch
  }

  /// How often it has compiled.
  var compilations: Int {
    dlsym(dlopen(path, RTLD_NOW), "stub_compilations").map { Int($0.load(as: Int32.self)) } ?? -1
  }

  private static var compiler: String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return ["clang", "cc", "gcc"].lazy.flatMap { name in folders.lazy.map { "\($0)/\(name)" } }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  private static let source = """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #ifndef DRIVER
    #define DRIVER 12090
    #endif
    #ifndef NVRTC_MAJOR
    #define NVRTC_MAJOR 12
    #endif
    #ifndef CAPABILITY
    #define CAPABILITY 90
    #endif
    #ifndef GPUS
    #define GPUS 1
    #endif
    #ifndef INIT
    #define INIT 0
    #endif
    #ifndef COMPILES
    #define COMPILES 1
    #endif
    #ifndef MEMORY
    #define MEMORY 1
    #endif
    const char *(*stub_launch)(const char *, const uint32_t *, uint32_t, uint32_t, void **, int32_t);
    int32_t stub_compilations;
    static const char code[] = "machine code";
    int cuInit(unsigned flags) { return INIT; }
    int cuDriverGetVersion(int *version) { *version = DRIVER; return 0; }
    int cuDeviceGetCount(int *count) { *count = GPUS; return 0; }
    int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Stub", size); return 0; }
    int cuDeviceGetAttribute(int *value, int attribute, int device) {
      *value = attribute == 75 ? CAPABILITY / 10 : attribute == 76 ? CAPABILITY % 10 : -1;
      return 0;
    }
    int cuGetErrorName(int status, const char **name) {
      *name = status == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : status == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
      return 0;
    }
    int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)code; return 0; }
    int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
    int cuCtxSetCurrent(void *context) { return context == code ? 0 : 201; }
    int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
      *address = MEMORY ? (uint64_t)aligned_alloc(256, (bytes + 255) / 256 * 256) : 0;
      return *address ? 0 : 2;
    }
    int cuMemFree_v2(uint64_t address) { free((void *)address); return 0; }
    int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
      memcpy((void *)to, from, bytes);
      return 0;
    }
    int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
      memcpy(to, (void *)from, bytes);
      return 0;
    }
    int cuStreamCreate(void **stream, unsigned flags) { *stream = (void *)code; return 0; }
    int cuStreamDestroy_v2(void *stream) { return 0; }
    int cuStreamSynchronize(void *stream) { return stream == code ? 0 : 400; }
    int cuModuleLoadData(void **module, const void *image) {
      *module = (void *)code;
      return strcmp(image, code) == 0 ? 0 : 200;
    }
    int cuModuleUnload(void *module) { return 0; }
    int cuModuleGetFunction(void **function, void *module, const char *name) { *function = strdup(name); return 0; }
    #ifndef LACKS_LAUNCH
    int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                       unsigned threads_z, unsigned shared, void *stream, void **arguments, void **extra) {
      uint32_t grid[3] = {x, y, z};
      if (!stub_launch || threads_y != 1 || threads_z != 1 || stream != code || extra) return 1;
      return stub_launch(function, grid, threads, shared, arguments, 0) ? 719 : 0;
    }
    #endif
    int nvrtcVersion(int *major, int *minor) { *major = NVRTC_MAJOR; *minor = 4; return 0; }
    int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers, const char **texts,
                           const char **names) {
      *program = (void *)code;
      for (int index = 0; index < headers; index++) {
        if (strlen(texts[index]) < 100 || !strstr(names[index], ".cu")) return 1;
        if (strstr(names[index], ".cuh")) continue;
        if (!strstr(source, names[index])) return 2;
      }
      return headers > 0 ? 0 : 3;
    }
    int nvrtcDestroyProgram(void **program) { return 0; }
    int nvrtcCompileProgram(void *program, int count, const char **options) {
      stub_compilations++;
      if (!COMPILES) return 6;
      for (int index = 0; index < count; index++) {
        if (strncmp(options[index], "--gpu-architecture=sm_", 22) == 0) return atoi(options[index] + 22) != CAPABILITY;
      }
      return 7;
    }
    int nvrtcGetCUBINSize(void *program, size_t *size) { *size = sizeof code; return 0; }
    int nvrtcGetCUBIN(void *program, char *out) { memcpy(out, code, sizeof code); return 0; }
    static const char complaints[] = "kernels.cu\\nrows.cu(3): error: no such thing\\nrows.cu(9): error: another";
    int nvrtcGetProgramLogSize(void *program, size_t *size) { *size = sizeof complaints; return 0; }
    int nvrtcGetProgramLog(void *program, char *out) { memcpy(out, complaints, sizeof complaints); return 0; }
    """
}
