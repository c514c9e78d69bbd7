// A GGUF file as the driver takes it apart and puts it together, rightly or wrongly.

struct GGUFModel {
  enum Value {
    /// A number or a truth value, as its bytes.
    case number(kind: UInt32, [UInt8])
    case text([UInt8])
    /// Texts without their lengths.
    case list(kind: UInt32, [[UInt8]])
  }

  struct Tensor {
    var name: [UInt8]
    /// Fastest first.
    var shape: [UInt64]
    var type: UInt32
    var offset: UInt64
  }

  /// A number of the header: a count, a length, a kind, a size, a place.
  struct Number {
    var place: Int
    var size: Int
    var what: String
  }

  var keys: [(name: [UInt8], value: Value)] = []
  var tensors: [Tensor] = []
  var data: [UInt8] = []
  /// Of a file that was read.
  private(set) var numbers: [Number] = []

  static let text: UInt32 = 8
  private static let list: UInt32 = 9
  /// Bytes of a value by its kind.
  static let sizes: [UInt32: Int] = [0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8]
  private static let alignment = 32

  init() {}

  /// `nil` for what is no such file.
  init?(_ bytes: [UInt8]) {
    var reader = GGUFReader(bytes: bytes)
    guard bytes.starts(with: "GGUF".utf8) else { return nil }
    reader.place = 4
    _ = reader.number(4, "version")
    let (tensorCount, keyCount) = (reader.number(8, "count of tensors"), reader.number(8, "count of keys"))
    guard tensorCount < 1 << 16, keyCount < 1 << 16 else { return nil }
    for _ in 0..<keyCount where !reader.isDamaged {
      let name = reader.text("length of a key")
      keys.append((name, reader.value("\(String(decoding: name.prefix(60), as: UTF8.self))")))
    }
    for _ in 0..<tensorCount where !reader.isDamaged {
      let name = reader.text("length of a tensor's name")
      let dimensions = reader.number(4, "dimensions")
      guard dimensions < 8 else { return nil }
      let shape = (0..<dimensions).map { _ in reader.number(8, "size") }
      let type = UInt32(truncatingIfNeeded: reader.number(4, "type of a tensor"))
      tensors.append(Tensor(name: name, shape: shape, type: type, offset: reader.number(8, "offset")))
    }
    let start = (reader.place + Self.alignment - 1) / Self.alignment * Self.alignment
    guard !reader.isDamaged, start <= bytes.count else { return nil }
    data = Array(bytes[start...])
    numbers = reader.numbers
  }

  var bytes: [UInt8] {
    var out = Array("GGUF".utf8) + Self.bytes(3, 4)
    out += Self.bytes(UInt64(tensors.count), 8) + Self.bytes(UInt64(keys.count), 8)
    for (name, value) in keys {
      out += Self.withLength(name)
      switch value {
      case .number(let kind, let bytes): out += Self.bytes(UInt64(kind), 4) + bytes
      case .text(let text): out += Self.bytes(UInt64(Self.text), 4) + Self.withLength(text)
      case .list(let kind, let elements):
        out += Self.bytes(UInt64(Self.list), 4) + Self.bytes(UInt64(kind), 4) + Self.bytes(UInt64(elements.count), 8)
        for element in elements { out += kind == Self.text ? Self.withLength(element) : element }
      }
    }
    for tensor in tensors {
      out += Self.withLength(tensor.name) + Self.bytes(UInt64(tensor.shape.count), 4)
      for size in tensor.shape { out += Self.bytes(size, 8) }
      out += Self.bytes(UInt64(tensor.type), 4) + Self.bytes(tensor.offset, 8)
    }
    while out.count % Self.alignment != 0 { out.append(0) }
    return out + data
  }

  static func bytes(_ number: UInt64, _ size: Int) -> [UInt8] {
    (0..<size).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
  }

  private static func withLength(_ text: [UInt8]) -> [UInt8] { bytes(UInt64(text.count), 8) + text }

  /// Adds a tensor behind the others.
  mutating func add(_ name: String, _ shape: [Int], type: UInt32, _ bytes: [UInt8]) {
    while data.count % Self.alignment != 0 { data.append(0) }
    tensors.append(
      Tensor(name: Array(name.utf8), shape: shape.reversed().map(UInt64.init), type: type, offset: UInt64(data.count)))
    data += bytes
  }
}

/// Reads what is right; of what is not it makes something or other.
private struct GGUFReader {
  let bytes: [UInt8]
  var place = 0
  var isDamaged = false
  var numbers: [GGUFModel.Number] = []

  private mutating func take(_ count: UInt64) -> [UInt8] {
    guard !isDamaged, count <= UInt64(bytes.count - place) else {
      isDamaged = true
      return []
    }
    defer { place += Int(count) }
    return Array(bytes[place..<place + Int(count)])
  }

  mutating func number(_ size: Int, _ what: String) -> UInt64 {
    numbers.append(GGUFModel.Number(place: place, size: size, what: what))
    return take(UInt64(size)).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func text(_ what: String) -> [UInt8] { take(number(8, what)) }

  mutating func value(_ key: String) -> GGUFModel.Value {
    let kind = UInt32(truncatingIfNeeded: number(4, "kind of \(key)"))
    if kind == GGUFModel.text { return .text(text("length of \(key)")) }
    if let size = GGUFModel.sizes[kind] { return .number(kind: kind, take(UInt64(size))) }
    let element = UInt32(truncatingIfNeeded: number(4, "kind of the list \(key)"))
    let count = number(8, "count of \(key)")
    guard count <= UInt64(bytes.count), element == GGUFModel.text || GGUFModel.sizes[element] != nil else {
      isDamaged = true
      return .text([])
    }
    var elements: [[UInt8]] = []
    for _ in 0..<count where !isDamaged {
      elements.append(
        element == GGUFModel.text ? text("length of a text of \(key)") : take(UInt64(GGUFModel.sizes[element] ?? 1)))
    }
    return .list(kind: element, elements)
  }
}
