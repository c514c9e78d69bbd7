// Perplexity and divergence, beside the formulas computed once more from a model's logits.

import DMSCheckpoint
import DMSKernels
import DMSModel
import Foundation
import Testing

@testable import DMSEvaluation

private let fixtures =
  URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Fixtures"

private func engine(
  _ name: String, _ weights: WeightFormat = .asStored, threads: Int = 2, eviction: Bool = true, context: Int? = nil
) throws -> Engine {
  var loading = Decoder.Options()
  loading.weights = weights
  var options = Engine.Options()
  options.kvType = .f32
  options.eviction = eviction
  options.context = context
  let machine = try Machine(threads: threads)
  return try Engine(Decoder(ModelSource(path: "\(fixtures)/\(name)"), on: machine, loading), on: machine, options)
}

private func ids(_ name: String) throws -> [Int] {
  let file = try SafetensorsFile(path: "\(fixtures)/\(name)/golden.safetensors")
  let reader = try #require(file.view("input_ids").flatMap { IntegerReader($0) })
  return withExtendedLifetime(file) { (0..<reader.count).map { Int(reader[$0]) } }
}

/// Rows of probabilities: exp(x) / Σ exp(x), without further care, in wider numbers than the code's.
private func probabilities(_ engine: Engine, _ ids: ArraySlice<Int>) throws -> [[Double]] {
  let cache = try engine.makeCache()
  let vocabulary = engine.decoder.configuration.vocabulary
  var rows: [[Double]] = []
  try engine.prefill(Array(ids), into: cache) { count, logits in
    for row in 0..<count {
      let powers = logits[row * vocabulary..<(row + 1) * vocabulary].map { exp(Double($0)) }
      let sum = powers.reduce(0, +)
      rows.append(powers.map { $0 / sum })
    }
  }
  return rows
}

struct PerplexityTests {
  private static let names = ["qwen2-r1-style", "qwen3-dms-neuron-head", "qwen3-dms-adapter-head", "qwen2-tied-bf16"]

  @Test(arguments: names, [nil, 40])
  func itIsTheLikelihoodOfTheWindows(name: String, window: Int?) throws {
    let text = try ids(name)
    var (nats, tokens) = (0.0, 0)
    for first in stride(from: 0, to: text.count, by: window ?? text.count) {
      let part = text[first..<min(text.count, first + (window ?? text.count))]
      for (row, target) in zip(try probabilities(engine(name), part.dropLast()), part.dropFirst()) {
        nats -= log(row[target])
        tokens += 1
      }
    }
    var options = Perplexity.Options()
    options.window = window
    var shares: [Double] = []
    options.progress = { shares.append($0) }
    let result = try Perplexity.measure(text, on: engine(name), options: options)
    #expect(result.tokens == tokens && result.isComplete && result.difference == nil)
    #expect(result.windows == (window.map { (text.count + $0 - 1) / $0 } ?? 1))
    // The same logits: what differs is the rounding of doubles.
    #expect(abs(result.nats - nats) <= 1e-12 * nats)
    #expect(abs(result.value - exp(nats / Double(tokens))) <= 1e-10 * result.value)
    #expect(shares == shares.sorted() && shares.last == 1)
  }

  @Test(arguments: names, [WeightFormat.asStored, .q8])
  func aModelIsItself(name: String, format: WeightFormat) throws {
    let text = try ids(name)
    let result = try Perplexity.measure(
      text, on: engine(name, format), against: engine(name, format, threads: 1))
    let difference = try #require(result.difference)
    #expect(difference.divergences == Array(repeating: 0, count: text.count - 1))
    #expect(difference.sameTopShare == 1 && difference.referenceNats == result.nats)
    #expect(difference.meanDivergence == 0 && difference.largestDivergence == 0)
    #expect((difference.decisions == nil) == !name.contains("dms"))
    #expect(difference.decisions.map { $0.flips == 0 && $0.count > 0 } ?? true)
  }

  @Test(arguments: names)
  func theDivergenceIsThatOfTheDistributions(name: String) throws {
    let text = try ids(name)
    let (own, others) = (
      try probabilities(engine(name, .q8), text.dropLast()), try probabilities(engine(name), text.dropLast())
    )
    let result = try Perplexity.measure(text, on: engine(name, .q8), against: engine(name))
    let difference = try #require(result.difference)
    var same = 0
    for (index, (q, p)) in zip(own, others).enumerated() {
      let expected = zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
      #expect(abs(difference.divergences[index] - expected) <= 1e-12)
      same += q.firstIndex(of: q.max() ?? 0) == p.firstIndex(of: p.max() ?? 0) ? 1 : 0
    }
    #expect(difference.sameTopTokens == same)
    #expect(difference.meanDivergence > 0 && difference.largestDivergence < 10)
    let sorted = difference.divergences.sorted()
    #expect(difference.divergence(quantile: 1) == sorted.last)
    #expect(difference.divergence(quantile: 0) == sorted.first)
    #expect(sorted.count { $0 <= difference.divergence(quantile: 0.99) } >= Int(0.99 * Double(sorted.count)))
  }

  @Test func decisionsAreCountedAgainstTheReferences() throws {
    let name = "qwen3-dms-neuron-head"
    let (text, sparse) = (try ids(name), try engine(name))
    let shape = sparse.decoder.configuration
    let dense = try engine(name, eviction: false)
    let result = try Perplexity.measure(text, on: dense, against: sparse)
    let decisions = try #require(result.difference?.decisions)
    #expect(decisions.count == (text.count - 1) * shape.layers * shape.kvHeads)
    let file = try SafetensorsFile(path: "\(fixtures)/\(name)/golden.safetensors")
    let reader = try #require(file.view("decisions").flatMap { IntegerReader($0) })
    // All but the last token's: `[L, G, T]`.
    let expected = withExtendedLifetime(file) {
      (0..<reader.count).count { ($0 + 1) % text.count != 0 && reader[$0] == 1 }
    }
    #expect(decisions.referenceEvictions == expected && expected > 0)
    // Without eviction the first layer decides as with it.
    #expect(decisions.flips > 0 && decisions.flipsPerThousand < 1000)
  }

  /// A text of several chunks: the calls are of another size than one prefill, so rounding differs.
  @Test func longTextsGoInChunks() throws {
    let name = "qwen3-dms-neuron-head"
    let source = try ids(name)
    let text = (0..<700).map { source[$0 * 7 % source.count] }
    let engine = try engine(name)
    let rows = try probabilities(engine, text.dropLast())
    let expected = zip(rows, text.dropFirst()).reduce(0) { $0 - log($1.0[$1.1]) }
    let result = try Perplexity.measure(text, on: engine, against: try PerplexityTests.other(name))
    #expect(result.tokens == 699)
    #expect(abs(result.nats - expected) <= 1e-3 * expected)
    let difference = try #require(result.difference)
    #expect(difference.divergences.allSatisfy { $0 == 0 } && difference.referenceNats == result.nats)
  }

  private static func other(_ name: String) throws -> Engine { try engine(name, threads: 3) }

  @Test func cancellingKeepsWhatWasMeasured() throws {
    let name = "qwen2-r1-style"
    var options = Perplexity.Options()
    options.window = 16
    var windows = 0
    options.progress = { _ in windows += 1 }
    options.isCancelled = { windows == 2 }
    let result = try Perplexity.measure(ids(name), on: engine(name), options: options)
    #expect(!result.isComplete && result.windows == 2 && result.tokens == 30)
  }

  @Test func whatCannotBeMeasuredIsRefused() throws {
    let name = "qwen2-r1-style"
    let engine = try engine(name, context: 32)
    func refuses(_ ids: [Int], window: Int? = nil, against: Engine? = nil) -> Bool {
      var options = Perplexity.Options()
      options.window = window
      do {
        _ = try Perplexity.measure(ids, on: engine, against: against, options: options)
        return false
      } catch {
        return !"\(error)".contains("\n")
      }
    }
    #expect(
      refuses([]) && refuses([1]) && refuses([1, -1, 2]) && refuses([1, 1 << 40, 2]) && refuses([1, 2, 1 << 28])
        && refuses([1, 2, -1]))
    #expect(refuses([1, 2], window: 1) && refuses([1, 2], window: 33) && refuses([1, 2], window: -5))
    #expect(!refuses([1, 2]) && !refuses([1, 2, 3], window: 2))
  }
}
