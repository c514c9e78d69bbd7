// What TriAttention knows of a model's queries before it reads anything: where they lie on average before RoPE turns them.
//
// L layers · H query heads · D head dim · frequency f turns channel f with channel f + D/2: a complex number q[f] + i q[f + D/2]

/// Means of a model's queries before RoPE, by layer and head.
public final class QueryCalibration: Sendable, Equatable, CustomStringConvertible {
  /// Layers, query heads, channels.
  public let shape: (layers: Int, heads: Int, headDim: Int)
  /// `[L, H, D]`: the mean query; the real parts of its frequencies, then the imaginary ones.
  public let centers: [Float]
  /// `[L, H, D/2]`: the mean length of each frequency.
  public let lengths: [Float]
  /// `[L, D/2]`: radians per position; 0 in a layer that does not turn.
  public let frequencies: [Float]
  /// What tells one calibration from another.
  private let digest: UInt64

  /// - Precondition: as many numbers as the shape says.
  public init(
    shape: (layers: Int, heads: Int, headDim: Int), centers: [Float], lengths: [Float], frequencies: [Float]
  ) {
    let heads = shape.layers * shape.heads
    precondition(
      centers.count == heads * shape.headDim && lengths.count == heads * (shape.headDim / 2)
        && frequencies.count == shape.layers * (shape.headDim / 2), "numbers for every head")
    self.shape = shape
    self.centers = centers
    self.lengths = lengths
    self.frequencies = frequencies
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for number in centers + lengths { hash = (hash ^ UInt64(number.bitPattern)) &* 0x100_0000_01B3 }
    digest = hash
  }

  /// Whether both are of one shape and have the same numbers.
  public static func == (left: QueryCalibration, right: QueryCalibration) -> Bool {
    left.shape == right.shape && left.digest == right.digest
  }

  /// Sixteen hexadecimal digits that tell it from others.
  public var description: String {
    let digits = String(digest, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
