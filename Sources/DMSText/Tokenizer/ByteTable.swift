// A vocabulary's byte strings in two directions: id to bytes, bytes to id. All bytes lie in one array and the index is a
// flat open-addressing table, because 150,000 separate strings would take longer to make than the file takes to read.

/// Byte strings by id. Ids may have gaps; an id without a token has no bytes.
struct ByteStrings: Sendable {
  private var bytes: [UInt8] = []
  /// By id: where its bytes begin and end.
  private var ranges: [Range<UInt32>] = []

  init(expecting count: Int) {
    ranges.reserveCapacity(count)
    bytes.reserveCapacity(8 * count)
  }

  /// One more than the largest id.
  var count: Int { ranges.count }

  func contains(_ id: Int) -> Bool { ranges.indices.contains(id) && ranges[id].lowerBound != UInt32.max }

  /// Returns whether the id was free and the bytes had room; nothing changes if not.
  mutating func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int) -> Bool {
    while ranges.count <= id { ranges.append(UInt32.max..<UInt32.max) }
    guard ranges[id].lowerBound == UInt32.max else { return false }
    // Places are 32 bits wide, and the last one marks an id without a token.
    guard let begin = UInt32(exactly: bytes.count), let end = UInt32(exactly: bytes.count + token.count), begin < .max
    else { return false }
    bytes.append(contentsOf: token)
    ranges[id] = begin..<end
    return true
  }

  mutating func insert(_ token: [UInt8], id: Int) -> Bool { token.withUnsafeBufferPointer { insert($0, id: id) } }

  /// Gives an id other bytes, or its first ones.
  mutating func replace(_ token: [UInt8], id: Int) -> Bool {
    if contains(id) { ranges[id] = UInt32.max..<UInt32.max }
    return insert(token, id: id)
  }

  /// The bytes of a token; none for an id that has no token.
  func withBytes<Result>(of id: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    bytes.withUnsafeBufferPointer { all in
      guard contains(id) else { return body(UnsafeBufferPointer(start: nil, count: 0)) }
      return body(UnsafeBufferPointer(rebasing: all[Int(ranges[id].lowerBound)..<Int(ranges[id].upperBound)]))
    }
  }
}

/// Byte strings by id, and ids by byte string.
struct ByteTable: Sendable {
  private(set) var strings: ByteStrings
  /// Open addressing with linear probing: id + 1, or 0 for an empty place. A power of two, at most half full.
  private var index: [UInt32]
  private var indexed = 0
  /// Another one in every table, so that no file can be made whose tokens all meet in one place.
  private let seed = UInt64.random(in: .min ... .max)

  init(expecting count: Int) {
    var size = 64
    while size < 2 * count { size *= 2 }
    index = Array(repeating: 0, count: size)
    strings = ByteStrings(expecting: count)
  }

  /// One more than the largest id.
  var count: Int { strings.count }

  /// Adds a token. Of equal byte strings the first is found by `id(of:)`. Returns whether the id was free.
  mutating func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int) -> Bool {
    guard strings.insert(token, id: id) else { return false }
    if self.id(of: token) == nil { link(id) }
    return true
  }

  mutating func insert(_ token: [UInt8], id: Int) -> Bool { token.withUnsafeBufferPointer { insert($0, id: id) } }

  private mutating func link(_ id: Int) {
    indexed += 1
    if 2 * indexed > index.count {
      let linked = index.filter { $0 != 0 }
      index = Array(repeating: 0, count: 2 * index.count)
      for entry in linked { place(Int(entry) - 1) }
    }
    place(id)
  }

  private mutating func place(_ id: Int) {
    var place = withBytes(of: id) { hash($0, seed) } & (index.count - 1)
    while index[place] != 0 { place = (place + 1) & (index.count - 1) }
    index[place] = UInt32(id) + 1
  }

  func id(of token: UnsafeBufferPointer<UInt8>) -> Int? {
    var place = hash(token, seed) & (index.count - 1)
    while index[place] != 0 {
      let id = Int(index[place]) - 1
      if withBytes(of: id, { $0.elementsEqual(token) }) { return id }
      place = (place + 1) & (index.count - 1)
    }
    return nil
  }

  func id(of token: [UInt8]) -> Int? { token.withUnsafeBufferPointer { id(of: $0) } }

  func id(of token: String) -> Int? {
    var token = token
    return token.withUTF8 { id(of: $0) }
  }

  func withBytes<Result>(of id: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    strings.withBytes(of: id, body)
  }

  func contains(_ id: Int) -> Bool { strings.contains(id) }
}

/// Eight bytes at a time, multiplied and folded: for short keys.
@inline(__always)
func hash(_ bytes: UnsafeBufferPointer<UInt8>, _ seed: UInt64) -> Int {
  var value = seed ^ UInt64(bytes.count)
  var offset = 0
  let raw = UnsafeRawBufferPointer(bytes)
  while offset + 8 <= bytes.count {
    value = mix(value ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    offset += 8
  }
  var rest: UInt64 = 0
  while offset < bytes.count {
    rest = rest << 8 | UInt64(bytes[offset])
    offset += 1
  }
  return Int(truncatingIfNeeded: mix(value ^ rest) >> 1)
}

@inline(__always)
func mix(_ value: UInt64) -> UInt64 {
  let (high, low) = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
  return high ^ low
}
