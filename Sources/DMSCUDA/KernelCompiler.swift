// Kernels from their sources, for one architecture: by NVRTC, once; later from a file. Used by CUDADevice. `.ci/ptx` compiles
// the same sources with the same options for all architectures.

import DMSPlatform

/// The kernels' sources, which travel with the program.
enum KernelSources {
  /// By the names that they include each other by.
  static let files: [(name: String, text: [UInt8])] = [
    ("numbers.cuh", PackageResources.numbers_cuh), ("slots.cuh", PackageResources.slots_cuh),
    ("rows.cu", PackageResources.rows_cu), ("linear.cu", PackageResources.linear_cu),
    ("heads.cu", PackageResources.heads_cu), ("admission.cu", PackageResources.admission_cu),
    ("attention.cu", PackageResources.attention_cu),
  ]

  /// One program of all of them.
  static var program: String {
    files.filter { $0.name.hasSuffix(".cu") }.map { "#include \"\($0.name)\"\n" }.joined()
  }
}

/// `libnvrtc`.
struct KernelCompiler {
  private let create:
    @convention(c) (
      UnsafeMutablePointer<OpaquePointer?>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32,
      UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<UnsafePointer<CChar>?>?
    ) -> Int32
  private let destroy: @convention(c) (UnsafeMutablePointer<OpaquePointer?>) -> Int32
  private let compile: @convention(c) (OpaquePointer?, Int32, UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
  private let codeSize: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>) -> Int32
  private let code: @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>) -> Int32
  private let logSize: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>) -> Int32
  private let log: @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>) -> Int32
  /// 1000 · major + 10 · minor.
  let version: Int
  private let name: String

  static let names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
  /// Multiplications and additions are fused where the kernels say so, and nowhere else.
  static let options = ["--std=c++17", "--fmad=false"]
  /// Since then NVRTC makes machine code.
  private static let oldest = 12_000

  /// Loads the compiler.
  ///
  /// - Parameter driverVersion: what the driver serves, of which the major number must not be below the compiler's.
  /// - Throws: `InputError` where there is none, or none that fits the driver.
  init(_ names: [String] = Self.names, driverVersion: Int) throws {
    let remedy = "install NVRTC \(driverVersion / 1000) (the CUDA toolkit has it), where the system's loader finds it"
    let library = try DynamicLibrary(
      names,
      orElse: InputError("there is no CUDA compiler NVRTC (\(names.joined(separator: ", ")))", remedy: remedy))
    let readVersion: @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32 =
      try library.function("nvrtcVersion")
    create = try library.function("nvrtcCreateProgram")
    destroy = try library.function("nvrtcDestroyProgram")
    compile = try library.function("nvrtcCompileProgram")
    codeSize = try library.function("nvrtcGetCUBINSize")
    code = try library.function("nvrtcGetCUBIN")
    logSize = try library.function("nvrtcGetProgramLogSize")
    log = try library.function("nvrtcGetProgramLog")
    var (major, minor): (Int32, Int32) = (0, 0)
    guard readVersion(&major, &minor) == 0 else { throw InputError("does not tell its version", at: library.name) }
    version = Int(1000 * major + 10 * minor)
    name = library.name
    guard version >= Self.oldest else {
      throw InputError("NVRTC \(major).\(minor) is too old: 12.0 is needed", at: name, remedy: remedy)
    }
    guard driverVersion / 1000 >= Int(major) else {
      throw InputError(
        "NVRTC \(major).\(minor) compiles for newer drivers than this one, which serves CUDA "
          + "\(driverVersion / 1000).\(driverVersion % 1000 / 10)",
        at: name, remedy: "update the driver, or install NVRTC \(driverVersion / 1000)")
    }
  }

  /// The kernels' machine code for an architecture: from `folder` if it is there, otherwise compiled, which takes seconds,
  /// and left there.
  ///
  /// - Parameters:
  ///   - architecture: as in sm_90.
  ///   - folder: exists; `nil` keeps nothing. One that cannot be written keeps nothing either.
  /// - Throws: `InputError` with the compiler's first complaint.
  func kernels(architecture: Int, cachedIn folder: String?) throws -> [UInt8] {
    guard let folder else { return try compiled(architecture) }
    let path = "\(folder)/kernels-\(hexadecimal(fingerprint))-sm_\(architecture).cubin"
    if let file = try? MappedFile(path: path), !file.bytes.isEmpty {
      return withExtendedLifetime(file) { Array(file.bytes) }
    }
    let kernels = try compiled(architecture)
    try? writeAtomically(kernels, to: path)
    return kernels
  }

  /// Of all that the code depends on, but for the architecture (FNV-1a).
  private var fingerprint: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    var parts = KernelSources.files.flatMap { [Array($0.name.utf8), $0.text] }
    parts += (Self.options + [String(version)]).map { Array($0.utf8) }
    for part in parts {
      for byte in part { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    return hash
  }

  private func hexadecimal(_ number: UInt64) -> String { String(number, radix: 16) }

  private func compiled(_ architecture: Int) throws -> [UInt8] {
    let files = KernelSources.files
    var program: OpaquePointer?
    let made = withStrings(files.map { Array($0.name.utf8) }) { names in
      withStrings(files.map(\.text)) { texts in
        create(&program, KernelSources.program, "kernels.cu", Int32(files.count), texts, names)
      }
    }
    guard made == 0 else { throw InputError("takes no program (error \(made))", at: name) }
    defer { _ = destroy(&program) }
    let options = (Self.options + ["--gpu-architecture=sm_\(architecture)"]).map { Array($0.utf8) }
    let status = withStrings(options) { compile(program, Int32(options.count), $0) }
    guard status == 0 else {
      let text = String(decoding: (try? bytes(program, logSize, log)) ?? [], as: UTF8.self)
      let complaint = text.split(separator: "\n").first { $0.contains("error") } ?? "error \(status)"
      throw InputError("the kernels do not compile for sm_\(architecture): \(complaint)", at: name)
    }
    return try bytes(program, codeSize, code)
  }

  private func bytes(
    _ program: OpaquePointer?, _ size: (OpaquePointer?, UnsafeMutablePointer<Int>) -> Int32,
    _ take: (OpaquePointer?, UnsafeMutablePointer<CChar>) -> Int32
  ) throws -> [UInt8] {
    var count = 0
    guard size(program, &count) == 0, count > 0 else { throw InputError("gives no result", at: name) }
    return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: count) { bytes in
      guard let base = bytes.baseAddress, take(program, base) == 0 else {
        throw InputError("gives no result", at: name)
      }
      return bytes.map { UInt8(bitPattern: $0) }
    }
  }

  /// Calls `body` with pointers to texts that end with a zero.
  private func withStrings<Result>(
    _ texts: [[UInt8]], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
  ) -> Result {
    var all: [CChar] = []
    for text in texts {
      for byte in text { all.append(CChar(bitPattern: byte)) }
      all.append(0)
    }
    return all.withUnsafeBufferPointer { characters in
      var (pointers, first): ([UnsafePointer<CChar>?], Int) = ([], 0)
      for text in texts {
        pointers.append(characters.baseAddress.map { $0 + first })
        first += text.count + 1
      }
      return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
    }
  }
}
