// Changes of safetensors files: lies in the header, whole tensors that are missing or of another form, numbers that are none.

enum TensorMutators {
  /// - Parameters:
  ///   - required: whether a command that reads the file needs every tensor in it.
  ///   - isUsed: whether a tensor's numbers reach every answer, so that none of them may be NaN.
  static func all(required: Bool, isUsed: @escaping @Sendable (String) -> Bool) -> Mutators {
    let shares: [(Int, Mutator)] = [
      (6, headerLength), (6, headerTree), (8, description), (4, gap), (3, repeatTensor), (2, padding), (3, metadata),
      (2, broken),
      (5, without(required)), (3, renamed(required)), (4, reshaped(required)), (3, retyped(required)), (2, reordered),
      (1, manyTensors), (8, poison(isUsed)), (3, extreme),
    ]
    // Of a file whose tensors lie end to end every byte counts.
    return Mutators(shares.map { ($0.0 * 3, $0.1) } + ByteMutators.all(cut: .certain, isUTF8: false))
  }

  private static let headerLength: Mutator = { bytes, random in
    guard let (header, _) = TensorFile.split(bytes), bytes.count > 16 else { return nil }
    let right = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << (8 * UInt64($1)) }
    _ = header
    let size = UInt64(bytes.count)
    let length = random.pick([
      0, 1, 2, right - 1, right + 1, right + 8, right / 2, size, size - 8, size - 7, 100_000_000, 100_000_001, 1 << 31,
      1 << 32,
      1 << 62, 1 << 63, .max, .max - 7,
    ])
    guard length != right else { return nil }
    return Mutation(
      bytes: TensorFile.joined(Array(bytes[8...]), [], length: length), what: "header length \(length), not \(right)",
      damage: .certain)
  }

  /// Any change of the header's JSON, in a header of the right length.
  private static let headerTree: Mutator = { bytes, random in
    guard let (header, data) = TensorFile.split(bytes) else { return nil }
    let changed = Mutators(JSONMutators.all).mutate(header.bytes, &random)
    return Mutation(
      bytes: TensorFile.joined(changed.bytes, data), what: "header: \(changed.what)", damage: changed.damage)
  }

  /// A tensor's type, shape or place that does not fit the rest.
  private static let description: Mutator = { bytes, random in
    guard var (header, data) = TensorFile.split(bytes) else { return nil }
    let names = header.keys.filter { $0 != "__metadata__" }
    guard !names.isEmpty else { return nil }
    let name = random.pick(names)
    guard var tensor = header[name], let type = tensor["dtype"]?.text,
      let shape = tensor["shape"]?.elements.compactMap(\.integer),
      let offsets = tensor["data_offsets"]?.elements.compactMap(\.integer), offsets.count == 2,
      offsets[0] >= 0, offsets[1] >= offsets[0], offsets[1] <= data.count, shape.allSatisfy({ 0...(1 << 30) ~= $0 })
    else { return nil }
    let what: String
    var damage = Damage.certain
    switch random.below(3) {
    case 0:
      let other = random.pick(Array(TensorFile.sizes.keys).sorted() + ["", "F128", "f32", "F4", "Q8"])
      guard other != type else { return nil }
      if TensorFile.sizes[other] == TensorFile.sizes[type] || offsets[0] == offsets[1] { damage = .possible }
      tensor["dtype"] = .string(other)
      what = "\(type) is called \(other)"
    case 1:
      var other = shape
      if other.isEmpty || random.chance(0.2) {
        other.append(random.pick([0, 2, -1, 1 << 40, Int.max]))
      } else {
        let axis = random.below(other.count)
        let size = other[axis]
        other[axis] = random.pick([0, -1, size + 1, size - 1, size * 2, Int.max, 1 << 32, -size, Int.min])
        if random.chance(0.2) { other.append(Int.max) }
      }
      let product = other.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
      guard product != shape.reduce(1, &*) || other.contains(where: { $0 < 0 }) else { return nil }
      // A product that overflows is no size, whatever is left of it.
      tensor["shape"] = .integers(other)
      what = "shape \(shape) is called \(other)"
    default:
      let size = offsets[1] - offsets[0]
      let other = random.pick([
        [offsets[0], offsets[1] + 4], [offsets[0] + 4, offsets[1]], [offsets[1], offsets[0]],
        [-offsets[1], -offsets[0]],
        [offsets[0] + data.count, offsets[1] + data.count], [Int.max - size, Int.max], [offsets[0]],
        [offsets[0] + 4, offsets[1] + 4],
        [0, Int.max], [Int.min, offsets[1]], [offsets[0], offsets[1], offsets[1]],
      ])
      guard other != offsets else { return nil }
      tensor["data_offsets"] = .integers(other)
      what = "offsets \(offsets) are called \(other)"
      if size == 0 { damage = .possible }
    }
    header[name] = tensor
    return Mutation(bytes: TensorFile.joined(header.bytes, data), what: "\(name): \(what)", damage: damage)
  }

  /// Data that belong to no tensor, or to two.
  private static let gap: Mutator = { bytes, random in
    guard var (header, data) = TensorFile.split(bytes) else { return nil }
    switch random.below(3) {
    case 0:
      return Mutation(
        bytes: bytes + Array(repeating: 0, count: random.pick([1, 4, 64])), what: "more data than tensors",
        damage: .certain)
    case 1:
      let names = header.keys.filter { name in
        let offsets = header[name]?["data_offsets"]?.elements.compactMap(\.integer) ?? []
        return offsets.count == 2 && offsets[0] != offsets[1]
      }
      guard !names.isEmpty else { return nil }
      let name = random.pick(names)
      header[name] = nil
      return Mutation(
        bytes: TensorFile.joined(header.bytes, data), what: "\(name) is not described, its data are there",
        damage: .certain)
    default:
      guard !data.isEmpty else { return nil }
      data.removeLast(min(data.count, random.pick([1, 4])))
      return Mutation(bytes: TensorFile.joined(header.bytes, data), what: "the last data are missing", damage: .certain)
    }
  }

  private static let repeatTensor: Mutator = { bytes, random in
    guard let (header, data) = TensorFile.split(bytes), case .object(var members) = header, !members.isEmpty else {
      return nil
    }
    let copy = random.pick(members)
    members.insert(copy, at: random.below(members.count + 1))
    return Mutation(
      bytes: TensorFile.joined(Tree.object(members).bytes, data), what: "\(copy.key) is described twice",
      damage: .certain)
  }

  /// A header that is longer than it need be, which is right, and leaves the data at odd addresses.
  private static let padding: Mutator = { bytes, random in
    guard let (header, data) = TensorFile.split(bytes) else { return nil }
    let spaces = random.pick([1, 2, 3, 5, 4096])
    return Mutation(
      bytes: TensorFile.joined(header.bytes + Array(repeating: 0x20, count: spaces), data),
      what: "\(spaces) spaces of padding")
  }

  private static let metadata: Mutator = { bytes, random in
    guard let (header, data) = TensorFile.split(bytes), case .object(var members) = header else { return nil }
    members.removeAll { $0.key == "__metadata__" }
    let value = JSONMutators.value(&random)
    let isText = value.bytes.first == UInt8(ascii: "\"")
    let inside = random.chance(0.7)
    members.insert(
      Tree.Member(key: "__metadata__", value: inside ? .object([Tree.Member(key: "a", value: value)]) : value), at: 0)
    var damage = Damage.certain
    if inside && isText { damage = .possible }
    if !inside, ["null", "{}"].contains(String(decoding: value.bytes, as: UTF8.self)) { damage = .possible }
    if !inside, value.keys == [""] { damage = .certain }
    return Mutation(bytes: TensorFile.joined(Tree.object(members).bytes, data), what: "other metadata", damage: damage)
  }

  /// A header that is no UTF-8.
  private static let broken: Mutator = { bytes, random in
    guard let (header, data) = TensorFile.split(bytes) else { return nil }
    guard let changed = ByteMutators.breakUTF8(header.bytes, &random) else { return nil }
    return Mutation(bytes: TensorFile.joined(changed.bytes, data), what: "header: \(changed.what)", damage: .certain)
  }

  private static func changing(
    _ required: Bool, _ body: @escaping @Sendable (inout TensorFile, Int, inout Random) -> String?
  ) -> Mutator {
    { bytes, random in
      guard var file = TensorFile(bytes), !file.tensors.isEmpty,
        let what = body(&file, random.below(file.tensors.count), &random)
      else { return nil }
      return Mutation(bytes: file.bytes, what: what, damage: required ? .certainInNumbers : .possible)
    }
  }

  private static func without(_ required: Bool) -> Mutator {
    changing(required) { file, index, _ in "without \(file.tensors.remove(at: index).name)" }
  }

  private static func renamed(_ required: Bool) -> Mutator {
    changing(required) { file, index, random in
      let name = file.tensors[index].name
      file.tensors[index].name = random.pick([
        name + "x", "x", "", "\\u0000", "a\\u000ab", String(name.dropFirst(5)) + ".y",
      ])
      return "\(name) is called \(file.tensors[index].name)"
    }
  }

  /// The same numbers in another shape.
  private static func reshaped(_ required: Bool) -> Mutator {
    changing(required) { file, index, random in
      let shape = file.tensors[index].shape
      let count = shape.reduce(1, &*)
      let other = random.pick([shape.reversed(), [count], shape + [1], [1] + shape, [count / 2, 2], [1, count]])
      guard other != shape, other.reduce(1, &*) == count else { return nil }
      file.tensors[index].shape = other
      return "\(file.tensors[index].name) \(shape) has the shape \(other)"
    }
  }

  /// The same bytes as another type of another size.
  private static func retyped(_ required: Bool) -> Mutator {
    changing(required) { file, index, random in
      let tensor = file.tensors[index]
      guard let type = ["F32": "I32", "BF16": "I16", "F16": "U16", "U8": "I8", "I32": "F32", "U32": "F32"][tensor.type]
      else { return nil }
      file.tensors[index].type = type
      return "\(tensor.name) is of \(type)"
    }
  }

  private static let reordered = changing(false) { file, index, random in
    file.tensors.swapAt(index, random.below(file.tensors.count))
    return "tensors in another order"
  }

  /// What other programs' quantisation leaves beside a matrix.
  static let strayScale: Mutator = { bytes, random in
    guard var file = TensorFile(bytes) else { return nil }
    let matrices = file.tensors.filter { $0.shape.count == 2 }
    guard !matrices.isEmpty else { return nil }
    let name = random.pick(matrices).name + random.pick(["_scale", "_scale_inv"])
    file.tensors.append(TensorFile.Tensor(name, "F32", [1], [0.5]))
    return Mutation(bytes: file.bytes, what: "a stray \(name)", damage: .certainInNumbers)
  }

  private static let manyTensors = changing(false) { file, _, random in
    let count = random.pick([10, 10_000])
    for number in 0..<count {
      file.tensors.append(TensorFile.Tensor(name: "empty.\(number)", type: "F32", shape: [0, number], bytes: []))
    }
    return "\(count) tensors more, without numbers"
  }

  /// A number that is none, where every answer needs it.
  private static func poison(_ isUsed: @escaping @Sendable (String) -> Bool) -> Mutator {
    { bytes, random in
      guard var file = TensorFile(bytes), let index = number(file, &random) else { return nil }
      let tensor = file.tensors[index.tensor]
      let value: Float = random.pick([.nan, .infinity, -.infinity, -.nan])
      // A whole tensor at times: what is skipped for one number may not be for many.
      let all = random.chance(0.2)
      put(value, &file.tensors[index.tensor], at: index.place, all: all)
      return Mutation(
        bytes: file.bytes, what: "\(tensor.name) has \(value) \(all ? "everywhere" : "at byte \(index.place)")",
        damage: isUsed(tensor.name) ? .certainInNumbers : .possible)
    }
  }

  /// Numbers that are finite and overflow, or vanish.
  private static let extreme: Mutator = { bytes, random in
    guard var file = TensorFile(bytes), let index = number(file, &random) else { return nil }
    let value: Float = random.pick([3e38, -3e38, 1e30, Float(bitPattern: 1), -0, 0, 65504])
    let all = random.chance(0.5)
    put(value, &file.tensors[index.tensor], at: index.place, all: all)
    return Mutation(bytes: file.bytes, what: "\(file.tensors[index.tensor].name) has \(value)")
  }

  private static func number(_ file: TensorFile, _ random: inout Random) -> (tensor: Int, place: Int)? {
    let float = file.tensors.indices.filter {
      ["F32", "BF16", "F16"].contains(file.tensors[$0].type) && !file.tensors[$0].bytes.isEmpty
    }
    guard !float.isEmpty else { return nil }
    let tensor = random.pick(float)
    let size = TensorFile.sizes[file.tensors[tensor].type] ?? 1
    return (tensor, random.below(file.tensors[tensor].bytes.count / size) * size)
  }

  private static func put(_ value: Float, _ tensor: inout TensorFile.Tensor, at place: Int, all: Bool) {
    let bits = TensorFile.Tensor.bits(value, tensor.type)
    for start in all ? Array(stride(from: 0, to: tensor.bytes.count, by: bits.count)) : [place] {
      for offset in bits.indices { tensor.bytes[start + offset] = bits[offset] }
    }
  }
}
