// A device in the host's memory, whose kernels run under the emulation; and seeded numbers.

import CUDAEmulation
import DMSCUDA
import DMSKernels
import DMSPlatform
import DMSTensor

final class EmulatedDevice: Device {
  /// In which order the threads of a block take turns.
  enum Turns: Int32, CaseIterable { case forward = 0, backward = 1 }

  private let turns: Turns
  private var sizes: [DeviceAddress: Int] = [:]
  /// Freed with the device: tests pass addresses on, which do not keep their buffers.
  private var released: [DeviceAddress] = []
  private static let fence = 64
  private static let fenceByte: UInt8 = 0xA5

  init(_ turns: Turns = .forward) { self.turns = turns }

  private func pointer(_ address: DeviceAddress) -> UnsafeMutableRawPointer {
    guard let pointer = UnsafeMutableRawPointer(bitPattern: UInt(address)) else { preconditionFailure("an address") }
    return pointer
  }

  /// What kernels read before they write it is not a number.
  func allocate(_ bytes: Int) -> DeviceAddress {
    let pointer = UnsafeMutableRawPointer.allocate(byteCount: bytes + Self.fence, alignment: 256)
    pointer.initializeMemory(as: UInt8.self, repeating: 0xFF, count: bytes)
    (pointer + bytes).initializeMemory(as: UInt8.self, repeating: Self.fenceByte, count: Self.fence)
    let address = DeviceAddress(UInt(bitPattern: pointer))
    sizes[address] = bytes
    return address
  }

  func release(_ address: DeviceAddress) {
    sizes[address] = nil
    released.append(address)
  }

  deinit {
    for address in released { pointer(address).deallocate() }
  }

  func upload(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) {
    if let base = bytes.baseAddress { pointer(address).copyMemory(from: base, byteCount: bytes.count) }
  }

  func download(_ address: DeviceAddress, to bytes: UnsafeMutableRawBufferPointer) {
    bytes.baseAddress?.copyMemory(from: pointer(address), byteCount: bytes.count)
  }

  func launch(_ launch: KernelLaunch) throws {
    let grid = [UInt32(launch.grid.x), UInt32(launch.grid.y), UInt32(launch.grid.z)]
    let problem = launch.withArguments {
      emulate_launch(
        launch.kernel, grid, UInt32(launch.threads), UInt32(launch.shared), UnsafePointer($0), turns.rawValue)
    }
    if let problem { throw InputError(String(cString: problem), at: launch.kernel) }
    for (address, bytes) in sizes {
      let fence = UnsafeRawBufferPointer(start: pointer(address) + bytes, count: Self.fence)
      guard fence.allSatisfy({ $0 == Self.fenceByte }) else {
        throw InputError("a buffer of \(bytes) bytes was written beyond its end", at: launch.kernel)
      }
    }
  }
}

extension Device {
  func floats(_ numbers: [Float]) throws -> DeviceBuffer { try DeviceBuffer(self, numbers) }
  func integers(_ numbers: [Int]) throws -> DeviceBuffer { try DeviceBuffer(self, numbers.map(Int32.init)) }
  /// Not numbers, until something is written.
  func room(_ count: Int) throws -> DeviceBuffer { try DeviceBuffer(self, bytes: 4 * count) }
  /// For the stages that rows fail after.
  func faults(_ rows: Int) throws -> DeviceBuffer {
    try DeviceBuffer(self, [Int32](repeating: DeviceFaults.none, count: rows))
  }
}

extension DeviceBuffer {
  func floats() throws -> [Float] { try download(Float.self, bytes / 4) }
  func integers() throws -> [Int] { try download(Int32.self, bytes / 4).map(Int.init) }
}

struct SplitMix {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  /// Uniform in [-1, 1).
  mutating func float() -> Float { Float(next() >> 40) * 0x1p-23 - 1 }
  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }
}

/// A sum of n products of numbers up to 1, in any order, is off by at most n · ε · Σ|a b| ≤ n² · 2⁻²⁴; partial sums and the
/// independence of roundings make n · 2⁻²² generous, and far from what a wrong index does.
func sumTolerance(_ terms: Int) -> Double { Double(max(1, terms)) * 0x1p-22 }

/// The largest difference; not a number, if there is one that is none.
func largestDifference(_ found: [Float], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).reduce(0) { most, pair in
    let difference = abs(Double(pair.0) - pair.1)
    return difference.isNaN ? .infinity : max(most, difference)
  }
}
