// GPT-2's alphabet: each byte as a printable character, so that vocabularies can be text. Space is Ġ, newline Ċ.

enum ByteAlphabet {
  /// The byte that a character stands for.
  static func byte(_ scalar: Unicode.Scalar) -> UInt8? {
    let value = scalar.value
    if value < 0x100 { return isPrintable(UInt8(value)) ? UInt8(value) : nil }
    guard value >= 0x100, value < 0x100 + 68 else { return nil }
    // The other 68 bytes, in order, are the characters from 256 on.
    let rank = value - 0x100
    return rank < 33 ? UInt8(rank) : rank < 67 ? UInt8(0x7F + rank - 33) : 0xAD
  }

  /// A token's bytes in the alphabet.
  static func encode(_ bytes: [UInt8]) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(isPrintable(byte) ? Unicode.Scalar(byte) : substitute(byte)) }
    return String(text)
  }

  /// Appends bytes as the UTF-8 of their characters in the alphabet.
  static func encode(_ bytes: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    for byte in bytes {
      let code = isPrintable(byte) ? UInt32(byte) : substitute(byte).value
      if code < 0x80 {
        out.append(UInt8(code))
      } else {
        out.append(0xC0 | UInt8(code >> 6))
        out.append(0x80 | UInt8(code & 0x3F))
      }
    }
  }

  private static func substitute(_ byte: UInt8) -> Unicode.Scalar {
    let rank = byte < 0x21 ? UInt32(byte) : byte == 0xAD ? 67 : UInt32(byte) - 0x7F + 33
    return Unicode.Scalar(0x100 + rank) ?? " "
  }

  private static func isPrintable(_ byte: UInt8) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
  }

  /// Appends the bytes of a token; `false`, with nothing appended, if it has characters outside the alphabet.
  static func decode(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) -> Bool {
    let start = out.count
    var index = 0
    while index < token.count {
      let first = token[index]
      let scalar: Unicode.Scalar
      if first < 0x80 {
        scalar = Unicode.Scalar(first)
        index += 1
      } else if first < 0xE0, index + 1 < token.count,
        let two = Unicode.Scalar(UInt32(first & 0x1F) << 6 | UInt32(token[index + 1] & 0x3F))
      {
        scalar = two
        index += 2
      } else {
        out.removeSubrange(start...)
        return false
      }
      guard let byte = byte(scalar) else {
        out.removeSubrange(start...)
        return false
      }
      out.append(byte)
    }
    return true
  }
}
