// How far two files of tensors are apart: what a GPU back end's CI asks.

import DMSPlatform
import DMSTensor

/// The comparison of one tensor of a reference with its namesake.
public struct TensorComparison: Sendable {
  /// What came of it.
  public enum Outcome: Sendable, Equatable {
    /// `index` is where the largest difference is, by dimension.
    case compared(largestAbsolute: Double, largestRelative: Double, index: [Int])
    /// How many elements are not a number, in each file; `index` is the first one's place.
    case notANumber(Int, Int, index: [Int])
    /// It is in one of the files only.
    case missing(from: String)
    case shapesDiffer([Int], [Int])
    case typesDiffer(ElementType, ElementType)
  }

  /// Of the tensor.
  public let name: String
  /// In the reference; in the other file, if the reference lacks it.
  public let shape: [Int]
  /// What came of it.
  public let outcome: Outcome

  /// Integers must be equal; for numbers the largest absolute difference over the largest magnitude of the reference must
  /// not exceed the tolerance.
  public func isWithin(_ tolerance: Double) -> Bool {
    guard case .compared(_, let relative, _) = outcome else { return false }
    return relative <= tolerance
  }

  /// Compares every tensor of `reference` and of `other`, by name, in the order of the reference.
  ///
  /// Floating-point types may differ between the files (F64, F32, F16, BF16), integer types too; a float and an integer are
  /// different types. A tensor with a NaN, in either file, is equal to nothing: where numbers went wrong, equal NaNs prove
  /// nothing. An infinity equals its like at the same place, and is infinitely far from everything else. The relative
  /// difference is max|a − b| / max|a| over a's finite numbers, and infinite if those are all zero.
  /// For integers, and for types without arithmetic here, it is 0 or infinite. Reads both files once.
  public static func compare(_ reference: SafetensorsFile, _ other: SafetensorsFile) -> [TensorComparison] {
    var results = reference.names.compactMap { name in
      reference.view(name).map { compare(name, $0, other.view(name), missingFrom: other.path) }
    }
    for name in other.names where reference.view(name) == nil {
      let shape = other.view(name)?.shape ?? []
      results.append(TensorComparison(name: name, shape: shape, outcome: .missing(from: reference.path)))
    }
    return results
  }

  private static func compare(_ name: String, _ a: TensorView, _ b: TensorView?, missingFrom path: String) -> Self {
    func result(_ outcome: Outcome) -> Self { TensorComparison(name: name, shape: a.shape, outcome: outcome) }
    guard let b else { return result(.missing(from: path)) }
    guard a.shape == b.shape else { return result(.shapesDiffer(a.shape, b.shape)) }
    if let x = FloatReader(a), let y = FloatReader(b) { return result(compareFloats(x, y, a.shape)) }
    if let x = IntegerReader(a), let y = IntegerReader(b) { return result(compareIntegers(x, y, a.shape)) }
    if a.type == b.type { return result(compareBytes(a, b)) }
    return result(.typesDiffer(a.type, b.type))
  }

  private static func compareFloats(_ a: FloatReader, _ b: FloatReader, _ shape: [Int]) -> Outcome {
    var (largest, place, scale) = (0.0, 0, 0.0)
    var nans = NotANumbers()
    for index in 0..<a.count {
      let (x, y) = (a[index], b[index])
      nans.note(x.isNaN, y.isNaN, at: index)
      if x.isFinite { scale = max(scale, abs(x)) }
      guard x != y else { continue }
      let difference = x.isFinite && y.isFinite ? abs(x - y) : .infinity
      if difference > largest { (largest, place) = (difference, index) }
    }
    if let outcome = nans.outcome(shape) { return outcome }
    let relative = largest == 0 ? 0 : scale > 0 ? largest / scale : .infinity
    return .compared(largestAbsolute: largest, largestRelative: relative, index: indices(of: place, shape))
  }

  private static func compareIntegers(_ a: IntegerReader, _ b: IntegerReader, _ shape: [Int]) -> Outcome {
    var (largest, place): (Int128, Int) = (0, 0)
    for index in 0..<a.count {
      // 128 bits hold every difference of 64-bit numbers; a double would round a difference of one away.
      let difference = abs(a.exact(index) - b.exact(index))
      if difference > largest { (largest, place) = (difference, index) }
    }
    return .compared(
      largestAbsolute: Double(largest), largestRelative: largest == 0 ? 0 : .infinity, index: indices(of: place, shape))
  }

  /// Tensors of a type without arithmetic here (F8, F6, F4, C64): equal bytes, or not.
  private static func compareBytes(_ a: TensorView, _ b: TensorView) -> Outcome {
    var nans = NotANumbers()
    if let isNaN = NotANumbers.test(a.type) {
      for index in 0..<a.count { nans.note(isNaN(a.bytes, index), isNaN(b.bytes, index), at: index) }
    }
    if let outcome = nans.outcome(a.shape) { return outcome }
    guard let byte = a.bytes.indices.first(where: { a.bytes[$0] != b.bytes[$0] }) else {
      return .compared(largestAbsolute: 0, largestRelative: 0, index: indices(of: 0, a.shape))
    }
    // `byte * 8` stays within 64 bits for everything that can be mapped.
    let place = indices(of: byte * 8 / a.type.bits, a.shape)
    return .compared(largestAbsolute: .infinity, largestRelative: .infinity, index: place)
  }

  fileprivate static func indices(of place: Int, _ shape: [Int]) -> [Int] {
    var rest = place
    var reversed: [Int] = []
    for dimension in shape.reversed() {
      reversed.append(rest % max(1, dimension))
      rest /= max(1, dimension)
    }
    return reversed.reversed()
  }
}

/// What is not a number in two tensors.
private struct NotANumbers {
  private var (inReference, inOther) = (0, 0)
  private var first: Int?

  mutating func note(_ reference: Bool, _ other: Bool, at index: Int) {
    guard reference || other else { return }
    inReference += reference ? 1 : 0
    inOther += other ? 1 : 0
    first = first ?? index
  }

  /// `nil` if there are none.
  func outcome(_ shape: [Int]) -> TensorComparison.Outcome? {
    first.map { .notANumber(inReference, inOther, index: TensorComparison.indices(of: $0, shape)) }
  }

  /// Whether an element is NaN, for types without arithmetic here; `nil` for those that have no NaN (F4, F6).
  static func test(_ type: ElementType) -> ((UnsafeRawBufferPointer, Int) -> Bool)? {
    switch type {
    case .f8e4m3: { $0[$1] & 0x7F == 0x7F }
    case .f8e5m2: { $0[$1] & 0x7F > 0x7C }
    case .f8e8m0: { $0[$1] == 0xFF }
    case .f8e4m3fnuz, .f8e5m2fnuz: { $0[$1] == 0x80 }
    case .c64:
      { bytes, index in
        (0..<2).contains { bytes.load(fromByteOffset: 8 * index + 4 * $0, as: Float.self).isNaN }
      }
    default: nil
    }
  }
}

/// Numbers of any floating-point type as doubles.
struct FloatReader {
  private let view: TensorView
  let count: Int

  init?(_ view: TensorView) {
    guard [.f64, .f32, .f16, .bf16].contains(view.type) else { return nil }
    self.view = view
    count = view.count
  }

  subscript(index: Int) -> Double {
    let offset = index * view.type.size
    switch view.type {
    case .f64: return view.bytes.load(fromByteOffset: offset, as: Double.self)
    case .f32: return Double(view.bytes.load(fromByteOffset: offset, as: Float.self))
    case .bf16:
      return Double(Float(bitPattern: UInt32(view.bytes.load(fromByteOffset: offset, as: UInt16.self)) << 16))
    default: return Double(half: view.bytes.load(fromByteOffset: offset, as: UInt16.self))
    }
  }
}

extension Double {
  /// The value of an F16 bit pattern.
  fileprivate init(half bits: UInt16) {
    let (exponent, mantissa) = (Int(bits >> 10) & 0x1F, Double(bits & 0x3FF))
    let magnitude =
      switch exponent {
      case 0: mantissa * 0x1p-24
      case 31: mantissa == 0 ? Double.infinity : Double.nan
      default: Double(sign: .plus, exponent: exponent - 15, significand: 1 + mantissa * 0x1p-10)
      }
    self = bits & 0x8000 == 0 ? magnitude : -magnitude
  }
}

/// Numbers of any integer type.
package struct IntegerReader {
  private let view: TensorView
  package let count: Int

  package init?(_ view: TensorView) {
    guard [.i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool].contains(view.type) else { return nil }
    self.view = view
    count = view.count
  }

  /// The number at a place in row-major order; a U64 beyond Int64 gives the largest Int64.
  package subscript(index: Int) -> Int64 { Int64(clamping: exact(index)) }

  func exact(_ index: Int) -> Int128 {
    let offset = index * view.type.size
    return switch view.type {
    case .i64: Int128(view.bytes.load(fromByteOffset: offset, as: Int64.self))
    case .u64: Int128(view.bytes.load(fromByteOffset: offset, as: UInt64.self))
    case .i32: Int128(view.bytes.load(fromByteOffset: offset, as: Int32.self))
    case .u32: Int128(view.bytes.load(fromByteOffset: offset, as: UInt32.self))
    case .i16: Int128(view.bytes.load(fromByteOffset: offset, as: Int16.self))
    case .u16: Int128(view.bytes.load(fromByteOffset: offset, as: UInt16.self))
    case .i8: Int128(view.bytes.load(fromByteOffset: offset, as: Int8.self))
    default: Int128(view.bytes.load(fromByteOffset: offset, as: UInt8.self))
    }
  }
}
