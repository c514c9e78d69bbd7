// Names for texts that stay the same: what tells prompts, files and settings apart from run to run.

import DMSPlatform

/// FNV-1a of 64 bits: tells texts apart, and keeps nobody from making two alike.
enum StableHash {
  static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  static func of(_ text: String) -> UInt64 { of(text.utf8) }

  /// Sixteen hexadecimal digits.
  static func digits(_ hash: UInt64) -> String {
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// What tells a file from others of its name: a hash of its bytes, sixteen hexadecimal digits.
/// - Throws: `InputError` for a file that cannot be read.
public func fileHash(_ path: String) throws -> String {
  let file = try MappedFile(path: path)
  return withExtendedLifetime(file) { StableHash.digits(StableHash.of(file.bytes)) }
}
