// How a number lies in memory. Arithmetic is elsewhere; here are only sizes, names and the views that carry them.

/// The element types that safetensors files know, by their names there.
///
/// `f8e4m3` is a float with four bits of exponent and three of mantissa, `e8m0` a power of two; `fnuz` has neither
/// infinities nor a negative zero. `f4` is E2M1, `c64` a complex number of two F32.
public enum ElementType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"
  case f8e4m3 = "F8_E4M3"
  case f8e5m2 = "F8_E5M2"
  case f8e8m0 = "F8_E8M0"
  case f8e4m3fnuz = "F8_E4M3FNUZ"
  case f8e5m2fnuz = "F8_E5M2FNUZ"
  case f6e2m3 = "F6_E2M3"
  case f6e3m2 = "F6_E3M2"
  case f4 = "F4"
  case c64 = "C64"

  /// Bits of one element.
  public var bits: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .i8, .u8, .bool, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
    case .f6e2m3, .f6e3m2: 6
    case .f4: 4
    }
  }

  /// Bytes of one element; 1 for the packed types F6 and F4, several of whose elements share a byte.
  public var size: Int { max(1, bits / 8) }

  /// Bytes of `count` elements. `nil` if they do not fill whole bytes, or if the number overflows.
  public func bytes(of count: Int) -> Int? {
    let (product, overflow) = count.multipliedReportingOverflow(by: bits)
    return overflow || product % 8 != 0 ? nil : product / 8
  }
}

/// A borrowed, row-major tensor: a pointer, a type and a shape. It owns nothing; whoever makes one keeps the bytes alive.
///
/// `@unchecked Sendable`: the bytes are only read.
public struct TensorView: @unchecked Sendable {
  /// Type of the elements.
  public let type: ElementType
  /// Sizes of the dimensions, outermost first.
  public let shape: [Int]
  /// The elements, row-major and without gaps; borrowed.
  public let bytes: UnsafeRawBufferPointer

  /// Borrows bytes that lie row-major, without gaps.
  ///
  /// - Precondition: `bytes.count` is what the product of `shape` elements of `type` take.
  public init(type: ElementType, shape: [Int], bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == type.bytes(of: shape.reduce(1, *)), "a tensor's bytes must match its shape")
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  /// Elements of the whole tensor.
  public var count: Int { shape.reduce(1, *) }
}
