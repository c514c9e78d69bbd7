// What to say when a call's numbers are not finite: the tensor that holds such numbers, or else the layer that they came from.

import DMSCheckpoint
import DMSKernels
import DMSPlatform

/// Where in the decoder a number can stop being finite.
enum Stage {
  case embedding
  case layer(Int)
  case head

  private static let headNumber = Int(Int32.max) - 1

  /// The input of layer 0 is the embedding's output.
  static func layer(before index: Int) -> Stage { index > 0 ? .layer(index - 1) : .embedding }

  var number: Int {
    switch self {
    case .embedding: -1
    case .layer(let index): index
    case .head: Self.headNumber
    }
  }

  init(_ number: Int) {
    self = number < 0 ? .embedding : number == Self.headNumber ? .head : .layer(number)
  }
}

extension Decoder {
  /// The error of a call whose numbers are not finite after a stage. Reads all weights, as far as the first that holds such
  /// numbers.
  func error(after stage: Stage, on machine: Machine) -> InputError {
    if let tensor = model?.firstTensor(where: { !FiniteScan.areFinite($0, on: machine.pool) }) {
      return Checkpoint.notFinite(tensor.name, at: tensor.path)
    }
    let place =
      switch stage {
      case .embedding: "the embedding gives"
      case .layer(let index): "layer \(index) gives"
      case .head: "the logits have"
      }
    return InputError(
      "\(place) numbers that are not finite", at: model?.path,
      remedy: "its weights are damaged or too large: use another checkpoint")
  }
}
