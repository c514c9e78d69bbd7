// Bytes in zlib's form (RFC 1950), deflated with the fixed code (RFC 1951, section 3.2.6): enough for pictures, whose rows repeat
// themselves. What unpacks it is Inflate.swift, or any other program.

/// Packs what any zlib unpacks.
struct Deflate {
  private var output: [UInt8] = [0x78, 0x01]
  private var (bits, count): (UInt64, Int) = (0, 0)

  private static let (window, shortest, longest) = (32_768, 3, 258)
  /// Beginnings of the codes for lengths and distances, and how many bits more say which of them it is.
  private static let lengths = ranges([3, 4, 5, 6, 7, 8, 9, 10], by: 4, to: 28) + [(258, 0)]
  private static let distances = ranges([1, 2, 3, 4], by: 2, to: 30)

  /// Each code covers twice as many values as the one `group` before it.
  private static func ranges(_ first: [Int], by group: Int, to count: Int) -> [(base: Int, extra: Int)] {
    var ranges = first.map { (base: $0, extra: 0) }
    while ranges.count < count {
      let extra = (ranges.count - first.count) / group + 1
      let last = ranges[ranges.count - 1]
      ranges.append((last.base + 1 << last.extra, extra))
    }
    return ranges
  }

  /// - Parameter stride: after so many bytes things are likely to come again.
  static func packed(_ bytes: [UInt8], stride: Int) -> [UInt8] {
    var deflate = Deflate()
    // One block, the last, with the fixed code.
    deflate.put(3, 3)
    deflate.write(bytes, stride: stride)
    deflate.put(code: 0, 7)
    deflate.put(0, (8 - deflate.count % 8) % 8)
    deflate.flush()
    let checksum = checksum(bytes)
    for shift in [24, 16, 8, 0] { deflate.output.append(UInt8(truncatingIfNeeded: checksum >> UInt32(shift))) }
    return deflate.output
  }

  /// Adler-32.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      a = (a + UInt32(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return b << 16 | a
  }

  private mutating func write(_ bytes: [UInt8], stride: Int) {
    // Where the last three bytes of a hash stood.
    var last = [Int](repeating: -1, count: 1 << 15)
    func hash(_ place: Int) -> Int {
      (Int(bytes[place]) << 10 ^ Int(bytes[place + 1]) << 5 ^ Int(bytes[place + 2])) & 0x7FFF
    }
    var place = 0
    while place < bytes.count {
      var (best, distance) = (0, 0)
      if place + Self.shortest <= bytes.count {
        for earlier in [last[hash(place)], place - 3, place - stride]
        where earlier >= 0 && earlier >= place - Self.window {
          let most = min(Self.longest, bytes.count - place)
          var length = 0
          while length < most, bytes[earlier + length] == bytes[place + length] { length += 1 }
          if length > best { (best, distance) = (length, place - earlier) }
        }
      }
      let step = best >= Self.shortest ? best : 1
      if step > 1 { put(length: best, distance: distance) } else { put(literal: bytes[place]) }
      // A hash is of three bytes: the last two have none.
      for covered in place..<max(place, min(place + step, bytes.count - 2)) { last[hash(covered)] = covered }
      place += step
    }
  }

  private mutating func put(literal byte: UInt8) {
    if byte < 144 { put(code: 0x30 + Int(byte), 8) } else { put(code: 0x190 + Int(byte) - 144, 9) }
  }

  private mutating func put(length: Int, distance: Int) {
    let code = Self.lengths.lastIndex { $0.base <= length } ?? 0
    if code < 23 { put(code: code + 1, 7) } else { put(code: 0xC0 + code - 23, 8) }
    put(length - Self.lengths[code].base, Self.lengths[code].extra)
    let far = Self.distances.lastIndex { $0.base <= distance } ?? 0
    put(code: far, 5)
    put(distance - Self.distances[far].base, Self.distances[far].extra)
  }

  /// Huffman codes come with their first bit first.
  private mutating func put(code: Int, _ width: Int) {
    for bit in (0..<width).reversed() { put(code >> bit & 1, 1) }
  }

  private mutating func put(_ value: Int, _ width: Int) {
    bits |= UInt64(value) << UInt64(count)
    count += width
    flush()
  }

  private mutating func flush() {
    while count >= 8 {
      output.append(UInt8(truncatingIfNeeded: bits))
      (bits, count) = (bits >> 8, count - 8)
    }
  }
}
