// Libraries that are there or not when the program runs: NVIDIA's driver and compiler. Nothing of them is needed to build.

import DMSPlatform
import Glibc

/// An open shared library. It is never closed: drivers do not survive that.
struct DynamicLibrary {
  /// The name that it was opened by.
  let name: String
  private let handle: UnsafeMutableRawPointer

  /// Opens the first of `names` that the system's loader finds.
  ///
  /// - Throws: `missing`, if there is none.
  init(_ names: [String], orElse missing: InputError) throws {
    for name in names {
      guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else { continue }
      self.name = name
      self.handle = handle
      return
    }
    throw missing
  }

  /// A function of the library. The type is what its header says, which nobody checks.
  ///
  /// - Throws: `InputError` where the library does not have it.
  func function<Function>(_ symbol: String, as type: Function.Type = Function.self) throws -> Function {
    guard let address = dlsym(handle, symbol) else {
      throw InputError("has no \(symbol): it is too old, or another library", at: name, remedy: "update it")
    }
    return unsafeBitCast(address, to: type)
  }
}
