// Changes that know nothing of what a file means, but for what is certain of every file of its kind.

enum ByteMutators {
  /// - Parameters:
  ///   - cut: what is known of a file that was cut off; nothing is of a text.
  ///   - isUTF8: whether a byte that is no UTF-8 is certain damage.
  static func all(cut: Damage, isUTF8: Bool) -> [(Int, Mutator)] {
    [
      (4, flip), (3, set), (3, insert), (3, remove), (2, repeatRange), (2, fill), (2, number), (1, empty(cut)),
      (4, truncate(cut)), (1, swap), (2, dictionary), (isUTF8 ? 3 : 0, breakUTF8), (1, append),
    ]
  }

  static let flip: Mutator = { bytes, random in
    guard !bytes.isEmpty else { return nil }
    var out = bytes
    var places: [Int] = []
    for _ in 0...random.below(3) {
      let place = random.below(bytes.count)
      out[place] ^= 1 << UInt8(random.below(8))
      places.append(place)
    }
    return Mutation(bytes: out, what: "flips bits of bytes \(places)")
  }

  static let set: Mutator = { bytes, random in
    guard !bytes.isEmpty else { return nil }
    var out = bytes
    let place = random.below(bytes.count)
    out[place] = random.pick([0, 0xFF, 0x80, 0x7F, 0x20, 0x0A, 0x22, 0x5C, 0x7B, 0x5B])
    return Mutation(bytes: out, what: "sets byte \(place) to \(out[place])")
  }

  static let insert: Mutator = { bytes, random in
    let place = random.below(bytes.count + 1)
    let count = random.pick([1, 1, 2, 8, 100, 70_000])
    let added = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    return Mutation(bytes: bytes[..<place] + added + bytes[place...], what: "inserts \(count) bytes at \(place)")
  }

  static let remove: Mutator = { bytes, random in
    guard bytes.count > 1 else { return nil }
    let place = random.below(bytes.count)
    let count = min(bytes.count - place, random.pick([1, 1, 2, 4, 16, 256]))
    return Mutation(
      bytes: Array(bytes[..<place]) + bytes[(place + count)...], what: "removes \(count) bytes at \(place)")
  }

  static let repeatRange: Mutator = { bytes, random in
    guard !bytes.isEmpty else { return nil }
    let place = random.below(bytes.count)
    let part = bytes[place..<min(bytes.count, place + 1 + random.below(64))]
    let times = random.pick([1, 1, 3, 1000])
    let added = (0..<times).flatMap { _ in part }
    return Mutation(bytes: bytes[..<place] + added + bytes[place...], what: "repeats \(part.count) bytes at \(place)")
  }

  static let fill: Mutator = { bytes, random in
    guard !bytes.isEmpty else { return nil }
    var out = bytes
    let place = random.below(bytes.count)
    let end = min(bytes.count, place + random.pick([4, 16, 512, bytes.count]))
    let value: UInt8 = random.pick([0, 0xFF])
    for index in place..<end { out[index] = value }
    return Mutation(bytes: out, what: "fills bytes \(place)..<\(end) with \(value)")
  }

  /// Puts another number in the place of one that is written in digits.
  static let number: Mutator = { bytes, random in
    let digits = bytes.indices.filter { bytes[$0] >= 0x30 && bytes[$0] <= 0x39 }
    guard !digits.isEmpty else { return nil }
    let place = random.pick(digits)
    var end = place
    while end < bytes.count, bytes[end] >= 0x30, bytes[end] <= 0x39 { end += 1 }
    let text = random.pick(JSONMutators.numbers)
    return Mutation(bytes: bytes[..<place] + Array(text.utf8) + bytes[end...], what: "writes \(text) at byte \(place)")
  }

  static func empty(_ cut: Damage) -> Mutator {
    { bytes, _ in bytes.isEmpty ? nil : Mutation(bytes: [], what: "is empty", damage: cut) }
  }

  static func truncate(_ cut: Damage) -> Mutator {
    { bytes, random in
      // Spaces at the end can be missed.
      var last = bytes.count
      while last > 0, bytes[last - 1] <= 0x20 { last -= 1 }
      guard last > 1 else { return nil }
      let place = random.chance(0.3) ? min(last - 1, random.below(32)) : random.below(last)
      return Mutation(bytes: Array(bytes[..<place]), what: "ends at byte \(place)", damage: cut)
    }
  }

  static let swap: Mutator = { bytes, random in
    let count = 1 + random.below(16)
    guard bytes.count > 2 * count else { return nil }
    let (one, other) = (random.below(bytes.count / 2 - count), bytes.count / 2 + random.below(bytes.count / 2 - count))
    guard one >= 0, other + count <= bytes.count else { return nil }
    var out = bytes
    for index in 0..<count { out.swapAt(one + index, other + index) }
    return Mutation(bytes: out, what: "exchanges \(count) bytes at \(one) and \(other)")
  }

  static let dictionary: Mutator = { bytes, random in
    let words = [
      "<|im_end|>", "<|im_start|>", "<think>", "</think>", "\u{0}", "\u{1B}[31m", "\u{2028}", "\u{FEFF}", "\r\n", "\r",
      "e\u{301}\u{301}\u{301}", "👩‍👩‍👧", "{{", "{%", "%}", "\"", "\\u0000", "/", "../", "~",
    ]
    let (word, place) = (random.pick(words), random.below(bytes.count + 1))
    return Mutation(
      bytes: bytes[..<place] + Array(word.utf8) + bytes[place...], what: "inserts \(word.debugDescription) at \(place)")
  }

  /// A byte that UTF-8 never has.
  static let breakUTF8: Mutator = { bytes, random in
    let place = random.below(bytes.count + 1)
    return Mutation(
      bytes: bytes[..<place] + [random.pick([0xFF, 0xC0, 0xFE])] + bytes[place...], what: "no UTF-8 at byte \(place)",
      damage: .certain)
  }

  static let append: Mutator = { bytes, random in
    let count = random.pick([1, 3, 8, 4096])
    let value: UInt8 = random.pick([0, 0x20, 0x0A, 0x7D])
    return Mutation(bytes: bytes + Array(repeating: value, count: count), what: "ends with \(count) bytes \(value)")
  }
}
