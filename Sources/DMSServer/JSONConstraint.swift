// What of a schema's values may come next, byte by byte: several stacks of what is still expected, of which each byte keeps those
// that it fits. Space is allowed where JSON allows it, but not without end.

import DMSGeneration
import DMSText

/// Keeps an answer to a schema; what a model thinks before it is free.
struct JSONConstraint: TokenConstraint {
  private enum Frame: Equatable {
    case value(Int)
    /// Bytes that must come, from a place on.
    case text([UInt8], Int)
    /// Inside of a string: continuation bytes that are due, or what an escape still needs.
    case string(continuation: Int)
    case escape
    case hexadecimal(Int)
    /// `digits`: how many it has, so that it stays one that programs can read.
    case number(Number, isInteger: Bool, digits: Int)
    /// Before a member that may be the first, or the closing brace; `next`: the first described one that may come.
    case members(Int, next: Int, isFirst: Bool)
    /// After a member's comma.
    case member(Int, next: Int)
    case colon
    case elements(Int, count: Int)
    case element(Int, count: Int)
  }

  private enum Number: Equatable { case start, minus, zero, digits, point, fraction, exponent, sign, power }

  private typealias Stack = [Frame]

  private let schema: Schema
  private var stacks: [Stack]
  /// Spaces in a row.
  private var spaces = 0
  /// The end of thinking, as far as it has come; `nil`: it is over.
  private var thinking: Int?
  private static let mostSpaces = 40
  private static let mostStacks = 64
  private static let mostDigits = 18
  private static let closing = Array("</think>".utf8)

  /// - Parameter insideThinking: whether the answer begins after thinking that is open.
  init(_ schema: Schema, insideThinking: Bool) {
    self.schema = schema
    stacks = [[.value(schema.root)]]
    thinking = insideThinking ? 0 : nil
  }

  var mayEnd: Bool {
    thinking == nil
      && stacks.contains { stack in
        stack.isEmpty || (stack.count == 1 && Self.isNumberThatMayEnd(stack[0]))
      }
  }

  var isComplete: Bool { thinking == nil && !stacks.isEmpty && stacks.allSatisfy(\.isEmpty) }

  func allows(_ bytes: [UInt8]) -> Bool {
    var copy = self
    return bytes.allSatisfy { copy.append($0) }
  }

  mutating func append(_ bytes: [UInt8]) { for byte in bytes where !append(byte) { return } }

  private mutating func append(_ byte: UInt8) -> Bool {
    if let matched = thinking {
      let next = byte == Self.closing[matched] ? matched + 1 : byte == Self.closing[0] ? 1 : 0
      thinking = next == Self.closing.count ? nil : next
      return true
    }
    var next: [Stack] = []
    for stack in stacks { step(stack, byte, &next) }
    let isSpace =
      Self.isSpace(byte) && !next.isEmpty && !stacks.contains { if case .string? = $0.last { true } else { false } }
    spaces = isSpace ? spaces + 1 : 0
    guard !next.isEmpty, spaces <= Self.mostSpaces else { return false }
    stacks = Array(next.prefix(Self.mostStacks))
    return true
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 10 || byte == 13 || byte == 9 }

  private static func isNumberThatMayEnd(_ frame: Frame) -> Bool {
    guard case .number(let state, _, _) = frame else { return false }
    return [.zero, .digits, .fraction, .power].contains(state)
  }

  private static func keep(_ stack: Stack, _ next: inout [Stack]) { if !next.contains(stack) { next.append(stack) } }

  /// Adds what a stack becomes with a byte to `next`; nothing, where the byte does not fit.
  private func step(_ stack: Stack, _ byte: UInt8, _ next: inout [Stack]) {
    guard let top = stack.last else { return }
    let below = Array(stack.dropLast())
    func keep(_ frames: Frame...) { Self.keep(below + frames, &next) }
    switch top {
    case .value(let node):
      if Self.isSpace(byte) { keep(top) } else { begin(node, byte, below, &next) }
    case .text(let bytes, let place):
      guard bytes[place] == byte else { return }
      if place + 1 == bytes.count { keep() } else { keep(.text(bytes, place + 1)) }
    case .string(let due): stepString(due, byte, keep: { keep($0) }, end: { keep() })
    case .escape:
      if byte == UInt8(ascii: "u") { keep(.string(continuation: 0), .hexadecimal(4)) }
      if Array("\"\\/bfnrt".utf8).contains(byte) { keep(.string(continuation: 0)) }
    case .hexadecimal(let count):
      // No halves of surrogate pairs: what begins with D.
      guard byte < 128, Character(UnicodeScalar(byte)).isHexDigit, count < 4 || byte | 32 != UInt8(ascii: "d") else {
        return
      }
      if count == 1 { keep() } else { keep(.hexadecimal(count - 1)) }
    case .number(let state, let isInteger, let digits):
      if let after = Self.after(state, byte, isInteger) {
        let isDigit = byte != UInt8(ascii: "-") && byte != UInt8(ascii: "+") && byte != UInt8(ascii: ".")
        // An exponent has two digits at most.
        let count = after == .exponent ? Self.mostDigits - 2 : digits + (isDigit ? 1 : 0)
        // A point wants a digit after it.
        if count + (after == .point ? 1 : 0) <= Self.mostDigits {
          keep(.number(after, isInteger: isInteger, digits: count))
        }
      }
      // What follows a number ends it.
      if Self.isNumberThatMayEnd(top), !below.isEmpty { step(below, byte, &next) }
    case .colon:
      if Self.isSpace(byte) { keep(top) } else if byte == UInt8(ascii: ":") { keep() }
    case .members, .member: stepObject(top, byte, below, &next)
    case .elements, .element: stepArray(top, byte, below, &next)
    }
  }

  private func stepString(_ due: Int, _ byte: UInt8, keep: (Frame) -> Void, end: () -> Void) {
    if due > 0 {
      if byte & 0xC0 == 0x80 { keep(.string(continuation: due - 1)) }
      return
    }
    switch byte {
    case UInt8(ascii: "\""): end()
    case UInt8(ascii: "\\"): keep(.escape)
    case 0x20..<0x80: keep(.string(continuation: 0))
    case 0xC2...0xDF: keep(.string(continuation: 1))
    case 0xE1...0xEC, 0xEE, 0xEF: keep(.string(continuation: 2))
    case 0xF1...0xF3: keep(.string(continuation: 3))
    default: break
    }
  }

  /// The first byte of a value.
  private func begin(_ node: Int, _ byte: UInt8, _ below: Stack, _ next: inout [Stack]) {
    func keep(_ frames: Frame...) { Self.keep(below + frames, &next) }
    switch schema.nodes[node] {
    case .any:
      let texts = ["true", "false", "null"].map { Array($0.utf8) }
      for text in texts where text[0] == byte { keep(.text(text, 1)) }
      if byte == UInt8(ascii: "\"") { keep(.string(continuation: 0)) }
      if byte == UInt8(ascii: "{") { keep(.members(node, next: 0, isFirst: true)) }
      if byte == UInt8(ascii: "[") { keep(.elements(node, count: 0)) }
      if let state = Self.after(.start, byte, false) { keep(.number(state, isInteger: false, digits: 1)) }
    case .texts(let texts):
      for text in texts where text[0] == byte { if text.count == 1 { keep() } else { keep(.text(text, 1)) } }
    case .string: if byte == UInt8(ascii: "\"") { keep(.string(continuation: 0)) }
    case .number(let isInteger):
      if let state = Self.after(.start, byte, isInteger) { keep(.number(state, isInteger: isInteger, digits: 1)) }
    case .object: if byte == UInt8(ascii: "{") { keep(.members(node, next: 0, isFirst: true)) }
    case .array: if byte == UInt8(ascii: "[") { keep(.elements(node, count: 0)) }
    case .oneOf(let places): for place in places { begin(place, byte, below, &next) }
    }
  }

  private func object(_ node: Int) -> (members: [Schema.Member], rest: Int?) {
    if case .object(let members, let rest) = schema.nodes[node] { (members, rest) } else { ([], 0) }
  }

  private func stepObject(_ top: Frame, _ byte: UInt8, _ below: Stack, _ next: inout [Stack]) {
    func keep(_ frames: Frame...) { Self.keep(below + frames, &next) }
    let (node, first, isFirst, isAfterComma): (Int, Int, Bool, Bool)
    switch top {
    case .members(let place, let member, let begins):
      (node, first, isFirst, isAfterComma) = (place, member, begins, false)
    case .member(let place, let member): (node, first, isFirst, isAfterComma) = (place, member, false, true)
    default: return
    }
    if Self.isSpace(byte) { return keep(top) }
    let (members, rest) = object(node)
    let left = members[min(first, members.count)...]
    switch byte {
    case UInt8(ascii: "}") where !isAfterComma && !left.contains(where: \.isRequired): keep()
    case UInt8(ascii: ",") where !isAfterComma && !isFirst && (rest != nil || !left.isEmpty):
      keep(.member(node, next: first))
    case UInt8(ascii: "\"") where isFirst || isAfterComma:
      // Any that may come next: up to the first that must.
      for index in left.indices {
        keep(
          .members(node, next: index + 1, isFirst: false), .value(members[index].node), .colon,
          .text(members[index].name, 1))
        if members[index].isRequired { break }
      }
      if let rest {
        keep(.members(node, next: first, isFirst: false), .value(rest), .colon, .string(continuation: 0))
      }
    default: break
    }
  }

  private func stepArray(_ top: Frame, _ byte: UInt8, _ below: Stack, _ next: inout [Stack]) {
    func keep(_ frames: Frame...) { Self.keep(below + frames, &next) }
    let (node, count, isAfterComma): (Int, Int, Bool)
    switch top {
    case .elements(let place, let seen): (node, count, isAfterComma) = (place, seen, false)
    case .element(let place, let seen): (node, count, isAfterComma) = (place, seen, true)
    default: return
    }
    if Self.isSpace(byte) { return keep(top) }
    var (item, range) = (0, 0...Int.max)
    if case .array(let place, let bounds) = schema.nodes[node] { (item, range) = (place, bounds) }
    if byte == UInt8(ascii: "]"), !isAfterComma { return range.contains(count) ? keep() : () }
    guard count < range.upperBound else { return }
    if byte == UInt8(ascii: ","), !isAfterComma { return count > 0 ? keep(.element(node, count: count)) : () }
    if isAfterComma || count == 0 {
      // A number of elements that does not matter is not told apart.
      let seen = range == 0...Int.max ? 1 : count + 1
      begin(item, byte, below + [.elements(node, count: seen)], &next)
    }
  }

  /// What a number becomes with a byte; `nil`: no number.
  private static func after(_ state: Number, _ byte: UInt8, _ isInteger: Bool) -> Number? {
    let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    switch (state, byte) {
    case (.start, UInt8(ascii: "-")): return .minus
    case (.start, UInt8(ascii: "0")), (.minus, UInt8(ascii: "0")): return .zero
    case (.start, _) where isDigit, (.minus, _) where isDigit, (.digits, _) where isDigit: return .digits
    case (.zero, UInt8(ascii: ".")), (.digits, UInt8(ascii: ".")): return isInteger ? nil : .point
    case (.point, _) where isDigit, (.fraction, _) where isDigit: return .fraction
    case (.zero, UInt8(ascii: "e")), (.zero, UInt8(ascii: "E")), (.digits, UInt8(ascii: "e")),
      (.digits, UInt8(ascii: "E")),
      (.fraction, UInt8(ascii: "e")), (.fraction, UInt8(ascii: "E")):
      return isInteger ? nil : .exponent
    case (.exponent, UInt8(ascii: "+")), (.exponent, UInt8(ascii: "-")): return .sign
    case (.exponent, _) where isDigit, (.sign, _) where isDigit, (.power, _) where isDigit: return .power
    default: return nil
    }
  }
}
