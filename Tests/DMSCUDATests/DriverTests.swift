// The GPU's loader against a stub driver: what is missing is said in one line, what is there is used as it must be.

import DMSPlatform
import DMSTensor
import Foundation
import Testing

@testable import DMSCUDA

struct DriverTests {
  private func options(_ stub: StubDriver, cache: String? = nil) -> CUDADevice.Options {
    var options = CUDADevice.Options()
    (options.driver, options.compiler, options.cache) = ([stub.path], [stub.path], cache)
    return options
  }

  /// What a device says that cannot be; the stub's path as STUB.
  private func refusal(_ settings: [String: String], _ change: (inout CUDADevice.Options) -> Void = { _ in }) throws
    -> String?
  {
    guard let stub = try StubDriver(settings) else { return nil }
    defer { stub.remove() }
    var options = options(stub)
    change(&options)
    let error = try #require(throws: InputError.self) { _ = try CUDADevice(options) }
    return error.description.replacingOccurrences(of: stub.path, with: "STUB")
  }

  @Test func withoutADriverItSaysSo() throws {
    var options = CUDADevice.Options()
    options.driver = ["libcuda-that-is-not-there.so.1"]
    let error = try #require(throws: InputError.self) { _ = try CUDADevice(options) }
    #expect(
      error.description
        == "there is no NVIDIA driver (libcuda-that-is-not-there.so.1); install NVIDIA's driver, or use the CPU")
  }

  @Test(
    .enabled("needs a C compiler") { try StubDriver().map { $0.remove() } != nil },
    arguments: [
      (
        ["INIT": "100"],
        "the NVIDIA driver does not start: CUDA_ERROR_NO_DEVICE; install NVIDIA's driver, or use the CPU"
      ),
      (["GPUS": "0"], "there is no GPU 0: the driver knows 0; choose another, or use the CPU"),
      (["CAPABILITY": "61"], "Stub is of compute capability 6.1, and the kernels need 7.5; use the CPU"),
      (
        ["DRIVER": "11080"],
        "STUB: NVRTC 12.4 compiles for newer drivers than this one, which serves CUDA 11.8; update the driver, or install "
          + "NVRTC 11"
      ),
      (
        ["NVRTC_MAJOR": "11"],
        "STUB: NVRTC 11.4 is too old: 12.0 is needed; install NVRTC 12 (the CUDA toolkit has it), where the system's loader "
          + "finds it"
      ),
      (["LACKS_LAUNCH": "1"], "STUB: has no cuLaunchKernel: it is too old, or another library; update it"),
      (["COMPILES": "0"], "STUB: the kernels do not compile for sm_90: rows.cu(3): error: no such thing"),
    ])
  func whatIsMissingIsSaidInOneLine(settings: [String: String], message: String) throws {
    #expect(try refusal(settings) == message)
  }

  @Test(.enabled("needs a C compiler") { try StubDriver().map { $0.remove() } != nil })
  func withoutACompilerItSaysSo() throws {
    let message = try refusal([:]) { $0.compiler = ["libnvrtc-that-is-not-there.so"] }
    #expect(
      message
        == "there is no CUDA compiler NVRTC (libnvrtc-that-is-not-there.so); install NVRTC 12 (the CUDA toolkit has it), "
        + "where the system's loader finds it")
  }

  @Test(.enabled("needs a C compiler") { try StubDriver().map { $0.remove() } != nil })
  func kernelsRunThroughTheDriver() throws {
    let stub = try #require(try StubDriver())
    defer { stub.remove() }
    stub.emulate()
    let device = try CUDADevice(options(stub))
    #expect(device.name == "Stub" && device.architecture == 90)
    var random = SplitMix(2)
    let sample = ProductTests.Sample(.q4, 33, 70, &random)
    let input = random.floats(3 * 70)
    func product(_ device: any Device) throws -> [Float] {
      let (x, y) = (try device.floats(input), try device.room(3 * 33))
      return try withExtendedLifetime((sample, x)) {
        try DeviceMatrix(sample.weights, on: device).multiply(x.address, count: 3, to: y.address, stride: 33)
        return try y.floats()
      }
    }
    #expect(try product(device) == product(EmulatedDevice()))
    let wrong = try #require(throws: InputError.self) {
      try device.launch(KernelLaunch("no_such_kernel", grid: (1, 1, 1), threads: 32, []))
    }
    #expect(wrong.description == "Stub does not launch no_such_kernel: CUDA_ERROR_UNKNOWN")
  }

  @Test(.enabled("needs a C compiler") { try StubDriver().map { $0.remove() } != nil })
  func lackOfMemoryIsSaidWithARemedy() throws {
    let stub = try #require(try StubDriver(["MEMORY": "0"]))
    defer { stub.remove() }
    let device = try CUDADevice(options(stub))
    let error = try #require(throws: InputError.self) { _ = try DeviceBuffer(device, bytes: 1000) }
    #expect(
      error.description
        == "Stub has no room for 1000 bytes: CUDA_ERROR_OUT_OF_MEMORY; use a smaller --context or fewer sequences")
  }

  /// Where NVIDIA's compiler lies, if it does: `.ci/ptx --packages FOLDER` leaves it in
  /// FOLDER/nvidia/cuda_nvrtc/lib/libnvrtc.so.12.
  private static let compiler = ProcessInfo.processInfo.environment["DMS_NVRTC"]

  @Test(.enabled(if: compiler != nil, "DMS_NVRTC does not say where NVRTC is"), arguments: [75, 90])
  func theCompilerMakesMachineCode(architecture: Int) throws {
    let compiler = try KernelCompiler([try #require(Self.compiler)], driverVersion: 13_000)
    let kernels = try compiler.kernels(architecture: architecture, cachedIn: nil)
    // An ELF file, with the kernels by their names.
    #expect(kernels.starts(with: [0x7F, 0x45, 0x4C, 0x46]))
    #expect(String(decoding: kernels, as: UTF8.self).contains("attend_piece_bf16_4"))
    let error = try #require(throws: InputError.self) { try compiler.kernels(architecture: 12, cachedIn: nil) }
    #expect(error.description.contains("the kernels do not compile for sm_12: "))
  }

  @Test(.enabled("needs a C compiler") { try StubDriver().map { $0.remove() } != nil })
  func kernelsAreCompiledOnceForAnArchitecture() throws {
    let (stub, older) = (try #require(try StubDriver()), try #require(try StubDriver(["CAPABILITY": "86"])))
    defer {
      stub.remove()
      older.remove()
    }
    for _ in 0..<2 { _ = try CUDADevice(options(stub, cache: stub.folder)) }
    #expect(stub.compilations == 1)
    for _ in 0..<2 { _ = try CUDADevice(options(older, cache: stub.folder)) }
    #expect(older.compilations == 1)
    let kept = try FileManager.default.contentsOfDirectory(atPath: stub.folder).filter { $0.hasSuffix(".cubin") }
    #expect(kept.count == 2)
    // A folder that is not there keeps nothing, and hinders nothing.
    for _ in 0..<2 { _ = try CUDADevice(options(stub, cache: stub.folder + "/none")) }
    #expect(stub.compilations == 3)
  }
}
