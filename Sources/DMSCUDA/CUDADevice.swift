// An NVIDIA GPU as a device for the kernels. Built and tested against a stub driver; not yet run on a GPU. Used by
// `dms inspect --hardware` where the package is built with the trait CUDA.

import DMSPlatform

/// A GPU: one stream, in whose order everything happens. Not for several threads at once.
package final class CUDADevice: Device {
  /// Where the libraries are looked for, and where compiled kernels are kept.
  package struct Options {
    /// Names that the system's loader knows, or paths; the first that opens is taken.
    package var driver = CUDADriver.names
    package var compiler = KernelCompiler.names
    /// An existing folder for compiled kernels; `nil` compiles them every time.
    package var cache: String?
    /// Which of the GPUs.
    package var device = 0

    package init() {}
  }

  /// The GPU's name, as the driver says it.
  package let name: String
  /// 10 · major + minor, as in sm_90.
  package let architecture: Int
  /// CUDA's version that the driver serves: 1000 · major + 10 · minor.
  package var driverVersion: Int { driver.version }
  private let driver: CUDADriver
  private let number: Int32
  private let context: CUDADriver.Handle
  private var stream: CUDADriver.Handle = nil
  private var module: CUDADriver.Handle = nil
  /// By the kernels' names.
  private var functions: [String: CUDADriver.Handle] = [:]

  /// Starts a GPU, and compiles the kernels for it or takes them from the cache.
  ///
  /// - Throws: `InputError` where the driver, the compiler or the GPU is missing, or is too old.
  package init(_ options: Options = Options()) throws {
    driver = try CUDADriver(options.driver)
    let properties = try driver.properties(of: options.device)
    name = properties.name
    architecture = properties.architecture
    let compiler = try KernelCompiler(options.compiler, driverVersion: driver.version)
    let kernels = try compiler.kernels(architecture: architecture, cachedIn: options.cache)
    number = Int32(options.device)
    var context: CUDADriver.Handle = nil
    try driver.check(driver.retainContext(&context, number), "\(name) cannot be used")
    self.context = context
    try enter()
    try driver.check(driver.makeStream(&stream, 1), "\(name) has no room for a stream")
    try kernels.withUnsafeBytes {
      guard let base = $0.baseAddress else { throw InputError("the compiled kernels are empty") }
      try driver.check(
        driver.loadModule(&module, base), "\(name) does not take the kernels", remedy: "update the driver")
    }
  }

  deinit {
    _ = driver.setContext(context)
    if stream != nil { _ = driver.synchronize(stream) }
    if module != nil { _ = driver.unloadModule(module) }
    if stream != nil { _ = driver.destroyStream(stream) }
    if context != nil { _ = driver.releaseContext(number) }
  }

  /// A context belongs to the calling thread, which need not be the last call's.
  private func enter() throws { try driver.check(driver.setContext(context), "\(name) cannot be used") }

  package func allocate(_ bytes: Int) throws -> DeviceAddress {
    try enter()
    var address: DeviceAddress = 0
    try driver.check(
      driver.allocate(&address, bytes), "\(name) has no room for \(bytes) bytes",
      remedy: "use a smaller --context or fewer sequences")
    return address
  }

  package func release(_ address: DeviceAddress) {
    _ = driver.setContext(context)
    _ = driver.free(address)
  }

  package func upload(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) throws {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    try enter()
    // From memory that may be paged out the driver copies before it returns.
    try driver.check(driver.toDevice(address, base, bytes.count, stream), "\(name) takes no data")
  }

  package func download(_ address: DeviceAddress, to bytes: UnsafeMutableRawBufferPointer) throws {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    try enter()
    try driver.check(driver.toHost(base, address, bytes.count, stream), "\(name) gives no data")
    try driver.check(driver.synchronize(stream), "a kernel failed on \(name)")
  }

  package func launch(_ launch: KernelLaunch) throws {
    try enter()
    let function = try function(launch.kernel)
    let grid = (UInt32(launch.grid.x), UInt32(launch.grid.y), UInt32(launch.grid.z))
    let status = launch.withArguments {
      driver.launch(
        function, grid.0, grid.1, grid.2, UInt32(launch.threads), 1, 1, UInt32(launch.shared), stream, $0, nil)
    }
    try driver.check(status, "\(name) does not launch \(launch.kernel)")
  }

  private func function(_ kernel: String) throws -> CUDADriver.Handle {
    if let known = functions[kernel] { return known }
    var function: CUDADriver.Handle = nil
    try driver.check(driver.functionOfModule(&function, module, kernel), "the kernels have no \(kernel)")
    functions[kernel] = function
    return function
  }
}
