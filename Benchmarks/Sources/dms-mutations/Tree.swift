// JSON as it is written, so that it can be written wrongly: numbers and strings keep their spelling, keys may repeat. The
// program's own reader is not used: it is what is tried.

indirect enum Tree {
  /// null, true, false, a number, or what is none of them.
  case literal(String)
  /// What stands between the quotes, escapes as they are.
  case string(String)
  case list([Tree])
  case object([Member])

  struct Member {
    var key: String
    var value: Tree
  }

  private static let deepest = 100

  /// Meant for a file that is right. Of one that was changed before it makes something or other.
  init(_ bytes: [UInt8]) {
    var place = 0
    self = Tree.read(bytes, &place, depth: 0)
  }

  private static func read(_ bytes: [UInt8], _ place: inout Int, depth: Int) -> Tree {
    skip(bytes, &place)
    if depth > deepest {
      defer { place = bytes.count }
      return .literal(String(decoding: bytes[min(place, bytes.count)...], as: UTF8.self))
    }
    switch place < bytes.count ? bytes[place] : 0 {
    case UInt8(ascii: "{"):
      var members: [Member] = []
      while hasNext(bytes, &place, end: UInt8(ascii: "}")) {
        let key = text(bytes, &place)
        skip(bytes, &place)
        place += 1
        members.append(Member(key: key, value: read(bytes, &place, depth: depth + 1)))
      }
      return .object(members)
    case UInt8(ascii: "["):
      var elements: [Tree] = []
      while hasNext(bytes, &place, end: UInt8(ascii: "]")) { elements.append(read(bytes, &place, depth: depth + 1)) }
      return .list(elements)
    case UInt8(ascii: "\""): return .string(text(bytes, &place))
    default:
      let start = min(place, bytes.count)
      while place < bytes.count, !",]} \n\r\t".utf8.contains(bytes[place]) { place += 1 }
      return .literal(String(decoding: bytes[start..<max(start, min(place, bytes.count))], as: UTF8.self))
    }
  }

  /// Goes to the next element, past the bracket or the comma before it; `false` past the end.
  private static func hasNext(_ bytes: [UInt8], _ place: inout Int, end: UInt8) -> Bool {
    skip(bytes, &place)
    if place < bytes.count, bytes[place] != end {
      place += 1
      skip(bytes, &place)
    }
    guard place < bytes.count, bytes[place] != end else {
      place += 1
      return false
    }
    return true
  }

  private static func skip(_ bytes: [UInt8], _ place: inout Int) {
    while place < bytes.count, bytes[place] <= 0x20 { place += 1 }
  }

  private static func text(_ bytes: [UInt8], _ place: inout Int) -> String {
    let start = place + 1
    place = start
    while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
      place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
    }
    defer { place += 1 }
    return String(
      decoding: bytes[min(start, bytes.count)..<max(min(start, bytes.count), min(place, bytes.count))], as: UTF8.self)
  }

  var bytes: [UInt8] {
    var out: [UInt8] = []
    write(to: &out)
    return out
  }

  private func write(to out: inout [UInt8]) {
    switch self {
    case .literal(let text): out += text.utf8
    case .string(let text): out += "\"\(text)\"".utf8
    case .list(let elements):
      out.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        element.write(to: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      out.append(UInt8(ascii: "{"))
      for (index, member) in members.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        out += "\"\(member.key)\":".utf8
        member.value.write(to: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
  }

  /// The first member of a key; of everything but an object, `nil`. Setting `nil` removes it, a new key comes last.
  subscript(key: String) -> Tree? {
    get { if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil } }
    set {
      guard case .object(var members) = self else { return }
      if let index = members.firstIndex(where: { $0.key == key }) {
        if let newValue { members[index].value = newValue } else { members.remove(at: index) }
      } else if let newValue {
        members.append(Member(key: key, value: newValue))
      }
      self = .object(members)
    }
  }

  var keys: [String] { if case .object(let members) = self { members.map(\.key) } else { [] } }
  var elements: [Tree] { if case .list(let elements) = self { elements } else { [] } }
  var integer: Int? { if case .literal(let text) = self { Int(text) } else { nil } }
  var text: String? { if case .string(let text) = self { text } else { nil } }

  static func integer(_ value: Int) -> Tree { .literal(String(value)) }
  static func integers(_ values: [Int]) -> Tree { .list(values.map { .integer($0) }) }

  /// A text as it stands between quotes.
  static func quoted(_ text: String) -> Tree { .string(escaped(text)) }

  static func escaped(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      default:
        let code = String(scalar.value, radix: 16)
        if scalar.value < 0x20 {
          out += "\\u" + String(repeating: "0", count: 4 - code.count) + code
        } else {
          out.unicodeScalars.append(scalar)
        }
      }
    }
    return out
  }
}
