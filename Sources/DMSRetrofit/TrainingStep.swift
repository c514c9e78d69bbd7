// One step: loss and gradients of a batch, accumulated over as many rows at a time as there is room for.
//
// Retrofitting (DMS, section 3.2):  loss = distillation + mean over sequences of max(0, target − share evicted)
// Pretraining:                      loss = −log p of the next tokens

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// What a step found.
public struct StepLoss: Sendable, Equatable {
  /// Of the whole step.
  public var loss = 0.0
  /// The mean over scored tokens: of the distillation, or of the next tokens.
  public var tokenLoss = 0.0
  /// The mean over sequences of what is missing to the target share.
  public var ratioLoss = 0.0
  /// The mean over sequences of the share of decisions that evict.
  public var evictedShare = 0.0
  /// The share that was asked for.
  public var targetShare = 0.0
  /// The share of scored tokens at which the most likely token is the target's.
  public var hitShare = 0.0
  /// Tokens of the step.
  public var tokens = 0
  /// Tokens that were predicted.
  public var scoredTokens = 0

  /// Zeros.
  public init() {}

  /// What the decisions amount to, if they were to last: 1 / (1 − share).
  public var ratio: Double { 1 / max(1e-9, 1 - evictedShare) }
}

/// Where a distillation takes its targets from.
public struct Teacher {
  /// Of the teacher's own, or the student's.
  public var parameters: Parameters
  /// Whether it does without the borrowed channels.
  public var zeroesBorrowed: Bool
  /// Of the student from it.
  public var divergence: Divergence

  /// A teacher with these parameters.
  public init(_ parameters: Parameters, zeroesBorrowed: Bool, divergence: Divergence = .studentTeacher) {
    self.parameters = parameters
    self.zeroesBorrowed = zeroesBorrowed
    self.divergence = divergence
  }
}

/// Computes a step's loss and gradients; the optimiser is not its business. Its memory is that of the decoders, student and
/// teacher, and of the gradients. Not for several threads at once: it has threads of its own.
public final class TrainingStep {
  /// What trains, and what does not.
  public let parameters: Parameters
  /// Of the last step's batch.
  public let gradients: Gradients
  private let student: TrainingDecoder
  private let teacher: TrainingDecoder?
  private let teacherOf: Teacher?
  private let logits: Logits<FloatBuffer>
  private let products: ProductType
  private var capacity: Int { student.capacity }
  private var shape: ModelConfiguration { student.shape }

  /// - Parameters:
  ///   - capacity: the most rows that go through the decoder at once; no sequence may be longer.
  ///   - teacher: for distillation; `nil` trains on the next tokens.
  ///   - products: what the factors of matrix products are rounded to, forward and backward, the teacher's too.
  public init(
    _ parameters: Parameters, trains: TrainableParts, teacher: Teacher?, capacity: Int, recomputes: Bool,
    products: ProductType = .f32, on machine: Machine
  ) {
    let shape = parameters.layout.shape
    self.parameters = parameters
    self.products = products
    gradients = Gradients(trains)
    student = TrainingDecoder(
      shape, capacity: capacity, trains: true, recomputes: recomputes, products: products, on: machine)
    teacherOf = teacher
    self.teacher = teacher.map { _ in
      TrainingDecoder(
        shape, capacity: capacity, trains: false, recomputes: false, products: products, on: machine)
    }
    logits = Logits(shape, rows: capacity, distils: teacher != nil, FloatBuffer.init)
  }

  /// Of the rows that are held at a time.
  private struct Logits<Buffer> {
    let student: Buffer
    let teacher: Buffer?

    init(_ shape: ModelConfiguration, rows: Int, distils: Bool, _ make: (Int) -> Buffer) {
      let held = LossHead.rowsHeld(rows: rows, vocabulary: shape.vocabulary) * shape.vocabulary
      student = make(held)
      teacher = distils ? make(held) : nil
    }
  }

  /// Bytes that a step takes besides the numbers that train, their gradients and the teacher's numbers.
  static func bytes(
    _ shape: ModelConfiguration, capacity: Int, longest: Int, distils: Bool, recomputes: Bool, threads: Int
  ) -> Int {
    func decoder(trains: Bool) -> Int {
      TrainingDecoder.bytes(
        shape, capacity: capacity, longest: longest, trains: trains, recomputes: recomputes, threads: threads)
    }
    return decoder(trains: true) + (distils ? decoder(trains: false) : 0)
      + bytesTaken { _ = Logits(shape, rows: capacity, distils: distils, $0) }
  }

  /// How evictions enter a step.
  public struct Eviction {
    /// The share of decisions that are to evict.
    public var targetShare: Double
    /// Of the ratio loss.
    public var weight: Double
    /// Logistic noise of a decision (section 3.1).
    public var noise: @Sendable (_ layer: Int, _ sequence: Int, _ kvHead: Int, _ token: Int) -> Float

    /// A target with its noise.
    public init(
      targetShare: Double, weight: Double = 1,
      noise: @escaping @Sendable (_ layer: Int, _ sequence: Int, _ kvHead: Int, _ token: Int) -> Float
    ) {
      self.targetShare = targetShare
      self.weight = weight
      self.noise = noise
    }
  }

  /// Computes loss and gradients. The gradients are the batch's alone afterwards.
  ///
  /// - Parameter eviction: `nil` keeps everything.
  public func run(_ batch: TokenBatch, _ eviction: Eviction?) -> StepLoss {
    gradients.reset()
    var result = StepLoss()
    result.targetShare = eviction?.targetShare ?? 0
    let scored = batch.scoredRows
    var sums = LossSums()
    for part in parts(of: batch) {
      let rows = batch.sequences(part)
      sums += run(rows, first: part.lowerBound, of: batch.sequences.count, scored: scored, eviction, &result)
    }
    result.tokens = batch.rows
    result.scoredTokens = scored
    result.tokenLoss = sums.loss / Double(max(1, scored))
    result.hitShare = Double(sums.hits) / Double(max(1, scored))
    result.loss = result.tokenLoss + (eviction?.weight ?? 0) * result.ratioLoss
    return result
  }

  /// Runs of sequences that fit.
  private func parts(of batch: TokenBatch) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var (first, rows) = (0, 0)
    for (index, sequence) in batch.sequences.enumerated() {
      if rows + sequence.count > capacity, index > first {
        parts.append(first..<index)
        (first, rows) = (index, 0)
      }
      rows += sequence.count
    }
    if first < batch.sequences.count { parts.append(first..<batch.sequences.count) }
    return parts
  }

  private func run(
    _ batch: TokenBatch, first: Int, of sequences: Int, scored: Int, _ eviction: Eviction?, _ result: inout StepLoss
  ) -> LossSums {
    if let teacher, let teacherOf {
      teacher.forward(batch, teacherOf.parameters, .off(zeroesBorrowed: teacherOf.zeroesBorrowed))
    }
    var mode = EvictionMode.off(zeroesBorrowed: false)
    if let noise = eviction?.noise {
      mode = .relaxed { layer, row, kvHead in
        let sequence = batch.sequenceOfRow(row)
        return noise(layer, first + sequence, kvHead, row - batch.sequences[sequence].lowerBound)
      }
    }
    let evicted = student.forward(batch, parameters, mode)
    var dShare = [Float](repeating: 0, count: batch.sequences.count)
    if let eviction {
      for (index, sequence) in batch.sequences.enumerated() where !sequence.isEmpty {
        let decisions = Double(shape.layers * shape.kvHeads * sequence.count)
        let share = Double(evicted[index]) / decisions
        result.evictedShare += share / Double(sequences)
        result.ratioLoss += max(0, eviction.targetShare - share) / Double(sequences)
        if share < eviction.targetShare {
          dShare[index] = Float(-eviction.weight / (Double(sequences) * decisions))
        }
      }
    }
    let sums = head().run(
      student.hidden, teacherNormed: teacher?.hidden, batch: batch, share: 1 / Float(max(1, scored)),
      to: student.dHidden,
      head: gradients.runs(at: parameters.layout.head, rows: shape.vocabulary, width: shape.hidden),
      logits: logits.student.base, teacherLogits: logits.teacher?.base, student.pool)
    student.backward(batch, parameters, mode, dShare: dShare, to: gradients)
    return sums
  }

  private func head() -> LossHead {
    LossHead(
      objective: (teacherOf?.divergence).map(Objective.distillation) ?? .nextToken, student: headMap(parameters),
      teacher: (teacherOf?.parameters).map { headMap($0) })
  }

  private func headMap(_ parameters: Parameters) -> LinearMap {
    LinearMap(
      weights: parameters.values.base + parameters.layout.head, bias: nil, outputs: shape.vocabulary,
      inputs: shape.hidden, products: products)
  }
}
