// What kernels run on: memory with addresses of its own, and launches by name. A driver implements it for a GPU; the tests
// implement it by an emulation on the host, which is how every kernel is compared with the CPU's without a GPU. Nothing here
// knows what a kernel computes.

import DMSPlatform

/// An address in a device's memory; 0 is none.
package typealias DeviceAddress = UInt64

/// A device in the order of its calls: a launch sees what earlier ones and earlier uploads wrote.
package protocol Device: AnyObject {
  /// - Returns: memory at a multiple of 256 bytes, not cleared.
  /// - Throws: `InputError` for lack of memory.
  func allocate(_ bytes: Int) throws -> DeviceAddress
  func release(_ address: DeviceAddress)
  func upload(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) throws
  /// Waits for what was launched before.
  func download(_ address: DeviceAddress, to bytes: UnsafeMutableRawBufferPointer) throws
  /// - Throws: `InputError` where the device refuses it.
  func launch(_ launch: KernelLaunch) throws
}

/// One launch of a kernel.
package struct KernelLaunch {
  /// An argument, as the kernel's signature has it.
  package enum Argument {
    case address(DeviceAddress)
    case integer(Int)
    case number(Float)
  }

  package let kernel: String
  /// Blocks.
  package let grid: (x: Int, y: Int, z: Int)
  /// Threads of a block, whole warps.
  package let threads: Int
  /// Bytes of shared memory of a block.
  package let shared: Int
  package let arguments: [Argument]

  package init(
    _ kernel: String, grid: (Int, Int, Int), threads: Int, shared: Int = 0, _ arguments: [Argument]
  ) {
    self.kernel = kernel
    self.grid = grid
    self.threads = threads
    self.shared = shared
    self.arguments = arguments
  }

  /// Calls `body` with a pointer to each argument, in the widths that the kernels have: 8 bytes for an address, 4 otherwise.
  package func withArguments<Result>(
    _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>) throws -> Result
  ) rethrows -> Result {
    try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: max(1, arguments.count)) { words in
      try withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: max(1, arguments.count)) {
        pointers in
        for (index, argument) in arguments.enumerated() {
          words[index] =
            switch argument {
            case .address(let address): address
            case .integer(let integer): UInt64(UInt32(bitPattern: Int32(integer)))
            case .number(let number): UInt64(number.bitPattern)
            }
          pointers[index] = words.baseAddress.map { UnsafeMutableRawPointer($0 + index) }
        }
        guard let base = pointers.baseAddress else { preconditionFailure("room for a pointer") }
        return try body(base)
      }
    }
  }
}

/// Memory on a device, freed with its last reference. An address does not keep it: who launches keeps the buffer.
package final class DeviceBuffer {
  package let device: any Device
  package let address: DeviceAddress
  /// Size in bytes.
  package let bytes: Int

  /// Memory that is not cleared.
  package init(_ device: any Device, bytes: Int) throws {
    self.device = device
    self.bytes = bytes
    address = try device.allocate(max(bytes, 1))
  }

  /// Memory with a copy of some numbers.
  package convenience init<Number>(_ device: any Device, _ numbers: [Number]) throws {
    try self.init(device, bytes: numbers.count * MemoryLayout<Number>.stride)
    try upload(numbers)
  }

  deinit { device.release(address) }

  /// Writes numbers from the beginning on.
  package func upload<Number>(_ numbers: [Number]) throws {
    try numbers.withUnsafeBytes {
      precondition($0.count <= bytes, "numbers that fit")
      if !$0.isEmpty { try device.upload($0, to: address) }
    }
  }

  /// A copy of `count` numbers, the first of which is number `first`.
  package func download<Number>(_ type: Number.Type, from first: Int = 0, _ count: Int) throws -> [Number] {
    let size = MemoryLayout<Number>.stride
    precondition(first >= 0 && (first + count) * size <= bytes, "numbers of the buffer")
    guard count > 0 else { return [] }
    return try withUnsafeTemporaryAllocation(of: Number.self, capacity: count) { numbers in
      try device.download(address + UInt64(first * size), to: UnsafeMutableRawBufferPointer(numbers))
      return Array(numbers)
    }
  }
}
