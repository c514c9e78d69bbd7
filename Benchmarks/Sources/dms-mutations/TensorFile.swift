// A safetensors file as the driver takes it apart and puts it together, rightly or wrongly.

struct TensorFile {
  struct Tensor {
    var name: String
    var type: String
    var shape: [Int]
    var bytes: [UInt8]
  }

  var tensors: [Tensor] = []
  var metadata: [(key: String, value: String)] = []

  static let sizes = [
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
  ]

  init() {}

  /// `nil` for what is no such file.
  init?(_ bytes: [UInt8]) {
    guard let (header, data) = Self.split(bytes) else { return nil }
    for key in header.keys {
      guard let value = header[key] else { return nil }
      if key == "__metadata__" {
        metadata = value.keys.map { ($0, value[$0]?.text ?? "") }
        continue
      }
      let offsets = value["data_offsets"]?.elements.compactMap(\.integer) ?? []
      guard let type = value["dtype"]?.text, offsets.count == 2, offsets[0] >= 0, offsets[1] >= offsets[0],
        data.count >= offsets[1]
      else { return nil }
      let shape = value["shape"]?.elements.compactMap(\.integer) ?? []
      tensors.append(Tensor(name: key, type: type, shape: shape, bytes: Array(data[offsets[0]..<offsets[1]])))
    }
  }

  /// The header and the data of a file that is right.
  static func split(_ bytes: [UInt8]) -> (header: Tree, data: [UInt8])? {
    guard bytes.count >= 8 else { return nil }
    let length = (0..<8).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
    guard length >= 2, length <= bytes.count - 8 else { return nil }
    return (Tree(Array(bytes[8..<(8 + length)])), Array(bytes[(8 + length)...]))
  }

  static func joined(_ header: [UInt8], _ data: [UInt8], length: UInt64? = nil) -> [UInt8] {
    let length = length ?? UInt64(header.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + header + data
  }

  var bytes: [UInt8] {
    var members: [Tree.Member] = []
    if !metadata.isEmpty {
      let texts = metadata.map { Tree.Member(key: $0.key, value: .string($0.value)) }
      members.append(Tree.Member(key: "__metadata__", value: .object(texts)))
    }
    var data: [UInt8] = []
    for tensor in tensors {
      let offsets = [data.count, data.count + tensor.bytes.count]
      members.append(
        Tree.Member(
          key: tensor.name,
          value: .object([
            Tree.Member(key: "dtype", value: .string(tensor.type)),
            Tree.Member(key: "shape", value: .integers(tensor.shape)),
            Tree.Member(key: "data_offsets", value: .integers(offsets)),
          ])))
      data += tensor.bytes
    }
    var header = Tree.object(members).bytes
    while header.count % 8 != 0 { header.append(0x20) }
    return Self.joined(header, data)
  }

  subscript(name: String) -> Tensor? { tensors.first { $0.name == name } }
}

extension TensorFile.Tensor {
  /// Numbers in the type's own bits.
  init(_ name: String, _ type: String, _ shape: [Int], _ numbers: [Float]) {
    self.init(name: name, type: type, shape: shape, bytes: numbers.flatMap { Self.bits($0, type) })
  }

  init(_ name: String, integers: [Int32]) {
    self.init(
      name: name, type: "I32", shape: [integers.count],
      bytes: integers.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } })
  }

  /// Of F32, BF16 and F16; F16's smallest numbers become 0.
  static func bits(_ number: Float, _ type: String) -> [UInt8] {
    let bits = number.bitPattern
    switch type {
    case "F32": return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
    case "BF16": return [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 24)]
    default:
      let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
      let fraction = UInt16(truncatingIfNeeded: bits >> 13) & 0x3FF
      let exponent = Int(bits >> 23 & 0xFF) - 112
      let half: UInt16
      if number.isNaN {
        half = 0x7E00
      } else if exponent >= 31 {
        half = sign | 0x7C00
      } else if exponent <= 0 {
        half = sign
      } else {
        half = sign | UInt16(exponent) << 10 | fraction
      }
      return [UInt8(truncatingIfNeeded: half), UInt8(truncatingIfNeeded: half >> 8)]
    }
  }
}
