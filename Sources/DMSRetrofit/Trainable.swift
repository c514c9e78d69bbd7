// Which numbers train, and where their gradients lie: packed, so that what is frozen takes no memory.

import DMSCheckpoint
import DMSPlatform
import DMSTensor

extension ModelConfiguration {
  /// The shape of a model that is to be trained.
  /// - Throws: `InputError` for a decoder that only runs.
  init(trained folder: String) throws {
    try self.init(folder: folder)
    guard !slides else {
      throw InputError(
        "sliding windows cannot be trained", at: folder,
        remedy: "set sliding_window to null in its config.json if no text is longer than that")
    }
  }
}

/// Rows of a matrix, or numbers of a vector, that train.
struct GradientRun {
  /// The first row.
  let first: Int
  let count: Int
  /// `[count, columns]`
  let gradient: Floats
}

/// What trains (DMS, section 4).
public enum TrainableSet: String, Sendable, CaseIterable {
  /// Everything: the paper's way.
  case full
  /// The adapter alone: NVIDIA's recipe.
  case adapter
  /// The rows of the query projections that are borrowed.
  case borrowed
}

/// The trainable pieces of a layout, in its order.
public struct TrainableParts: Sendable {
  /// A run of numbers that train.
  public struct Part: Sendable {
    /// Of the numbers in the parameters' buffer.
    public let range: Range<Int>
    /// The first of them among the packed ones.
    public let packed: Int
    /// Whether weight decay shrinks them: matrices, not norms and biases.
    public let decays: Bool
  }

  /// Of all parameters.
  public let layout: ParameterLayout
  /// In the order of the layout.
  public private(set) var parts: [Part] = []
  /// Numbers in all.
  public private(set) var count = 0

  /// What a set trains of a layout.
  public init(_ layout: ParameterLayout, _ set: TrainableSet) {
    self.layout = layout
    let shape = layout.shape
    for tensor in layout.tensors {
      let isMatrix = tensor.shape.count > 1
      switch set {
      case .full: add(tensor.offset..<tensor.offset + tensor.count, decays: isMatrix)
      case .adapter:
        guard [.decision, .decisionNorm].contains(tensor.role) else { continue }
        add(tensor.offset..<tensor.offset + tensor.count, decays: isMatrix)
      case .borrowed:
        guard tensor.role == .query else { continue }
        for kvHead in 0..<shape.kvHeads {
          let first = tensor.offset + shape.borrowedChannel(kvHead) * tensor.width
          add(first..<first + tensor.width, decays: isMatrix)
        }
      }
    }
  }

  private mutating func add(_ range: Range<Int>, decays: Bool) {
    if let last = parts.last, last.range.upperBound == range.lowerBound, last.decays == decays {
      parts[parts.count - 1] = Part(
        range: last.range.lowerBound..<range.upperBound, packed: last.packed, decays: decays)
    } else {
      parts.append(Part(range: range, packed: count, decays: decays))
    }
    count += range.count
  }
}

/// The gradients of the trainable numbers.
public final class Gradients {
  /// What they are gradients of.
  public let parts: TrainableParts
  /// Packed, `[count]`.
  public let values: FloatBuffer

  /// Zeros.
  public init(_ parts: TrainableParts) {
    self.parts = parts
    values = FloatBuffer(parts.count)
  }

  static func bytes(_ parts: TrainableParts) -> Int { MemoryLayout<Float>.stride * parts.count }

  /// Sets them to zero.
  public func reset() { values.base.update(repeating: 0, count: values.count) }

  /// The trainable rows of the `rows` × `width` numbers at an offset of the parameters.
  func runs(at offset: Int?, rows: Int, width: Int = 1) -> [GradientRun] {
    guard let offset else { return [] }
    return parts.parts.compactMap { part in
      let range = part.range.clamped(to: offset..<offset + rows * width)
      guard !range.isEmpty else { return nil }
      return GradientRun(
        first: (range.lowerBound - offset) / width, count: range.count / width,
        gradient: values.base + part.packed + range.lowerBound - part.range.lowerBound)
    }
  }
}
