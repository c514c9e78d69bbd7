// Deflated data (RFC 1951) in its zlib wrapping (RFC 1950), for published tests that come so. Small rather than fast: its input
// is a few megabytes.

import DMSPlatform

/// Unpacks what zlib has packed.
struct Inflate {
  /// What is no deflated data, or too much of it.
  private struct Damaged: Error {}

  private let bytes: [UInt8]
  private var place: Int
  private var (bits, count): (UInt32, Int) = (0, 0)
  private var output: [UInt8] = []
  private let most: Int

  /// - Parameter most: bytes that it may unpack to.
  /// - Returns: `nil` for damaged data, and for more.
  static func unpacked(_ bytes: [UInt8], most: Int) -> [UInt8]? {
    // A header of two bytes, and a checksum of four behind.
    guard bytes.count > 6, bytes[0] & 0x0F == 8, (Int(bytes[0]) << 8 + Int(bytes[1])) % 31 == 0, bytes[1] & 0x20 == 0
    else { return nil }
    var inflate = Inflate(bytes: bytes, place: 2, most: most)
    do { try inflate.blocks() } catch { return nil }
    guard inflate.checksum == inflate.storedChecksum else { return nil }
    return inflate.output
  }

  private init(bytes: [UInt8], place: Int, most: Int) { (self.bytes, self.place, self.most) = (bytes, place, most) }

  private var checksum: UInt32 {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in output {
      a = (a + UInt32(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return b << 16 | a
  }

  private var storedChecksum: UInt32? {
    guard place + 4 <= bytes.count else { return nil }
    return bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  private mutating func take(_ wanted: Int) throws -> Int {
    while count < wanted {
      guard place < bytes.count else { throw Damaged() }
      bits |= UInt32(bytes[place]) << UInt32(count)
      (place, count) = (place + 1, count + 8)
    }
    let value = bits & (1 << UInt32(wanted) - 1)
    (bits, count) = (bits >> UInt32(wanted), count - wanted)
    return Int(value)
  }

  private mutating func blocks() throws {
    var isLast = false
    while !isLast {
      isLast = try take(1) == 1
      switch try take(2) {
      case 0: try stored()
      case 1: try coded(Self.fixedLiterals, Self.fixedDistances)
      case 2:
        let (literals, distances) = try codes()
        try coded(literals, distances)
      default: throw Damaged()
      }
    }
    // Whole bytes that were read ahead of their time; there are none, for bits are read as they are needed.
    (bits, count) = (0, 0)
  }

  private mutating func stored() throws {
    (bits, count) = (0, 0)
    guard place + 4 <= bytes.count else { throw Damaged() }
    let length = Int(bytes[place]) | Int(bytes[place + 1]) << 8
    let check = Int(bytes[place + 2]) | Int(bytes[place + 3]) << 8
    place += 4
    guard length == ~check & 0xFFFF, place + length <= bytes.count, output.count + length <= most else {
      throw Damaged()
    }
    output += bytes[place..<place + length]
    place += length
  }

  /// A canonical Huffman code: how many words have a length, and what they stand for in order.
  private struct Code {
    var counts = [Int](repeating: 0, count: 16)
    var symbols: [Int] = []

    init(_ lengths: some Collection<Int>) throws {
      for length in lengths where length > 0 { counts[length] += 1 }
      var left = 1
      for length in 1...15 {
        left = 2 * left - counts[length]
        guard left >= 0 else { throw Damaged() }
      }
      symbols = lengths.enumerated().filter { $0.element > 0 }.sorted {
        ($0.element, $0.offset) < ($1.element, $1.offset)
      }
      .map(\.offset)
    }
  }

  private static let fixedLiterals = (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 }
  private static let fixedDistances = [Int](repeating: 5, count: 30)

  private mutating func symbol(_ code: Code) throws -> Int {
    var (word, first, index) = (0, 0, 0)
    for length in 1...15 {
      word |= try take(1)
      let count = code.counts[length]
      if word - count < first { return code.symbols[index + word - first] }
      index += count
      first = (first + count) << 1
      word <<= 1
    }
    throw Damaged()
  }

  private mutating func codes() throws -> ([Int], [Int]) {
    let (literals, distances, lengths) = (try take(5) + 257, try take(5) + 1, try take(4) + 4)
    let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    var codeLengths = [Int](repeating: 0, count: 19)
    for place in order.prefix(lengths) { codeLengths[place] = try take(3) }
    let code = try Code(codeLengths)
    var all: [Int] = []
    while all.count < literals + distances {
      let symbol = try symbol(code)
      switch symbol {
      case 0..<16: all.append(symbol)
      case 16:
        guard let last = all.last else { throw Damaged() }
        all += Array(repeating: last, count: 3 + (try take(2)))
      case 17: all += Array(repeating: 0, count: 3 + (try take(3)))
      default: all += Array(repeating: 0, count: 11 + (try take(7)))
      }
    }
    guard all.count == literals + distances else { throw Damaged() }
    return (Array(all[..<literals]), Array(all[literals...]))
  }

  private mutating func coded(_ literalLengths: [Int], _ distanceLengths: [Int]) throws {
    let (literals, distances) = (try Code(literalLengths), try Code(distanceLengths))
    while true {
      let symbol = try symbol(literals)
      if symbol < 256 {
        guard output.count < most else { throw Damaged() }
        output.append(UInt8(symbol))
        continue
      }
      guard symbol > 256 else { return }
      guard symbol < 286 else { throw Damaged() }
      let length: Int
      switch symbol {
      case ..<265: length = symbol - 254
      case 285: length = 258
      default:
        let extra = (symbol - 261) / 4
        length = 3 + (4 + (symbol - 261) % 4) << extra + (try take(extra))
      }
      let place = try self.symbol(distances)
      guard place < 30 else { throw Damaged() }
      let extra = max(0, place / 2 - 1)
      let distance = place < 4 ? place + 1 : 1 + (2 + place % 2) << extra + (try take(extra))
      guard distance <= output.count, output.count + length <= most else { throw Damaged() }
      for _ in 0..<length { output.append(output[output.count - distance]) }
    }
  }
}
