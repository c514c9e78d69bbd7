// The functions of NVIDIA's driver that a device needs, by their names, and what their errors say. Used by CUDADevice.

import DMSPlatform

/// `libcuda.so.1`.
struct CUDADriver {
  typealias Status = Int32
  typealias Handle = OpaquePointer?
  typealias Pointers = UnsafeMutablePointer<UnsafeMutableRawPointer?>?

  let allocate: @convention(c) (UnsafeMutablePointer<UInt64>, Int) -> Status
  let free: @convention(c) (UInt64) -> Status
  let toDevice: @convention(c) (UInt64, UnsafeRawPointer, Int, Handle) -> Status
  let toHost: @convention(c) (UnsafeMutableRawPointer, UInt64, Int, Handle) -> Status
  let makeStream: @convention(c) (UnsafeMutablePointer<Handle>, UInt32) -> Status
  let destroyStream: @convention(c) (Handle) -> Status
  let synchronize: @convention(c) (Handle) -> Status
  let loadModule: @convention(c) (UnsafeMutablePointer<Handle>, UnsafeRawPointer) -> Status
  let unloadModule: @convention(c) (Handle) -> Status
  let functionOfModule: @convention(c) (UnsafeMutablePointer<Handle>, Handle, UnsafePointer<CChar>) -> Status
  /// Grid, block, shared bytes, stream, arguments, extras.
  let launch:
    @convention(c) (
      Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle, Pointers, Pointers
    ) -> Status
  let retainContext: @convention(c) (UnsafeMutablePointer<Handle>, Int32) -> Status
  let releaseContext: @convention(c) (Int32) -> Status
  let setContext: @convention(c) (Handle) -> Status
  private let initialize: @convention(c) (UInt32) -> Status
  private let driverVersion: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  private let deviceCount: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  private let deviceName: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  private let attribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status
  private let errorName: @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status

  /// CUDA's version that the driver serves: 1000 · major + 10 · minor.
  let version: Int

  static let names = ["libcuda.so.1"]

  /// Loads the driver and starts it.
  ///
  /// - Throws: `InputError` where there is none, or none for a GPU.
  init(_ names: [String] = Self.names) throws {
    let remedy = "install NVIDIA's driver, or use the CPU"
    let library = try DynamicLibrary(
      names, orElse: InputError("there is no NVIDIA driver (\(names.joined(separator: ", ")))", remedy: remedy))
    allocate = try library.function("cuMemAlloc_v2")
    free = try library.function("cuMemFree_v2")
    toDevice = try library.function("cuMemcpyHtoDAsync_v2")
    toHost = try library.function("cuMemcpyDtoHAsync_v2")
    makeStream = try library.function("cuStreamCreate")
    destroyStream = try library.function("cuStreamDestroy_v2")
    synchronize = try library.function("cuStreamSynchronize")
    loadModule = try library.function("cuModuleLoadData")
    unloadModule = try library.function("cuModuleUnload")
    functionOfModule = try library.function("cuModuleGetFunction")
    launch = try library.function("cuLaunchKernel")
    retainContext = try library.function("cuDevicePrimaryCtxRetain")
    releaseContext = try library.function("cuDevicePrimaryCtxRelease_v2")
    setContext = try library.function("cuCtxSetCurrent")
    initialize = try library.function("cuInit")
    driverVersion = try library.function("cuDriverGetVersion")
    deviceCount = try library.function("cuDeviceGetCount")
    deviceName = try library.function("cuDeviceGetName")
    attribute = try library.function("cuDeviceGetAttribute")
    errorName = try library.function("cuGetErrorName")
    var (version, status): (Int32, Status) = (0, initialize(0))
    if status == 0 { status = driverVersion(&version) }
    self.version = Int(version)
    try check(status, "the NVIDIA driver does not start", remedy: remedy)
  }

  /// - Parameter what: a sentence that the error's name follows.
  func check(_ status: Status, _ what: @autoclosure () -> String, remedy: String? = nil) throws {
    guard status != 0 else { return }
    var name: UnsafePointer<CChar>?
    _ = errorName(status, &name)
    let text = name.map { String(cString: $0) } ?? "error \(status)"
    throw InputError("\(what()): \(text)", remedy: remedy)
  }

  /// A GPU, as the driver describes it.
  struct Properties {
    let name: String
    /// 10 · major + minor, as in sm_90.
    let architecture: Int
  }

  /// - Throws: `InputError` where there is no GPU of this number, or one that is too old.
  func properties(of device: Int) throws -> Properties {
    var count: Int32 = 0
    try check(deviceCount(&count), "the GPUs cannot be counted")
    guard (0..<Int(count)).contains(device) else {
      throw InputError("there is no GPU \(device): the driver knows \(count)", remedy: "choose another, or use the CPU")
    }
    var (major, minor): (Int32, Int32) = (0, 0)
    // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
    try check(attribute(&major, 75, Int32(device)), "the GPU's architecture cannot be read")
    try check(attribute(&minor, 76, Int32(device)), "the GPU's architecture cannot be read")
    let name = try withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
      guard let base = text.baseAddress else { return "" }
      try check(deviceName(base, 256, Int32(device)), "the GPU's name cannot be read")
      return String(cString: base)
    }
    let architecture = Int(10 * major + minor)
    guard architecture >= 75 else {
      throw InputError(
        "\(name) is of compute capability \(major).\(minor), and the kernels need 7.5", remedy: "use the CPU")
    }
    return Properties(name: name, architecture: architecture)
  }
}
