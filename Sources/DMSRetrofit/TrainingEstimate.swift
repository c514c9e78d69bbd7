// What a run would take, before it begins: memory by the lists of what it allocates, time by the matrix products of its steps
// and the rate that this machine multiplies at.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor

/// What a run would take of memory and time.
public struct TrainingEstimate {
  /// Bytes.
  public let parameters: Int
  /// Bytes of the teacher's parameters, where they are a copy.
  public let teacher: Int
  /// Bytes of the gradients.
  public let gradients: Int
  /// Bytes of the optimiser's moments.
  public let moments: Int
  /// Bytes of what forward and backward work in.
  public let activations: Int
  /// Bytes in all.
  public var bytes: Int { parameters + teacher + gradients + moments + activations + Self.program }
  /// Floating-point operations of all steps' matrix products.
  public let operations: Double
  /// Tokens, if every sequence is full.
  public let tokens: Int
  private let products: ProductType
  private let machine: Machine

  /// The program itself, its data and its stacks.
  private static let program = 24 << 20
  /// What a step reaches of that rate: its products are smaller and oddly shaped, and a third of it is not products.
  private static let efficiency = 0.58

  /// - Throws: `InputError` for a model's folder that cannot be read.
  public init(_ recipe: Recipe, model: String, on machine: Machine) throws {
    let shape = try ModelConfiguration(trained: model)
    let taught = shape.taught(recipe.settings)
    let layout = ParameterLayout(taught)
    let parts = TrainableParts(layout, recipe.trains)
    self.machine = machine
    products = recipe.products
    let distils = recipe.divergence != nil
    parameters = Parameters.bytes(layout)
    teacher = recipe.copiesTeacher ? Parameters.bytes(layout) : 0
    gradients = Gradients.bytes(parts)
    moments = bytesTaken { _ = AdamW.Moments(count: parts.count, $0) }
    activations = TrainingStep.bytes(
      taught, capacity: recipe.tokensAtOnce, longest: recipe.longestSequence, distils: distils,
      recomputes: recipe.recomputes, threads: machine.threads)
    tokens = recipe.stages.reduce(0) { $0 + $1.steps * $1.sequences * $1.length }
    // Forward 2 operations a weight and token; backward 2 for what is before it, and 2 for the weight itself if it trains.
    let weights = Double(shape.parameters + (shape.tiedEmbeddings ? 0 : -shape.vocabulary * shape.hidden))
    let trained = recipe.trains == .full ? weights : Double(parts.count)
    let forwards = 1.0 + (distils ? 1 : 0) + (recipe.recomputes ? 1 : 0)
    operations = recipe.stages.reduce(0) { sum, stage in
      let document = stage.size.map { min(stage.length, ($0.lowerBound + $0.upperBound) / 2) } ?? stage.length
      let attention = Double(2 * shape.layers * shape.heads * shape.headDim * document)
      let token = 2 * (weights * (forwards + 1) + trained) + attention * (forwards + 2.5)
      return sum + Double(stage.steps * stage.sequences * stage.length) * token
    }
  }

  /// Floating-point operations of matrix products that this machine does in a second; multiplies for a moment.
  public func measureRate() -> Double {
    let pool = machine.pool
    let (rows, size) = (512, 512)
    let buffers = (0..<pool.count).map { _ in FloatBuffer(3 * rows * size) }
    let tasks = 8 * pool.count
    func multiplyAll() {
      pool.forEach(tasks) { _, worker in
        let a = buffers[worker].base
        multiply(
          rows, size, size, a, size, a + rows * size, size, transposed: true, a + 2 * rows * size, size,
          accumulating: false, in: products)
      }
    }
    multiplyAll()
    let time = (0..<3).map { _ in ContinuousClock().measure { multiplyAll() } / .seconds(1) }.min() ?? 1
    return Double(2 * rows * size * size * tasks) / max(1e-9, time)
  }

  /// Of all steps.
  ///
  /// - Parameter rate: as measured.
  public func seconds(atRate rate: Double) -> Double { operations / (rate * Self.efficiency) }
}
