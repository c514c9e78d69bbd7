import DMSCheckpoint
import DMSPlatform
import Glibc
import Testing

@testable import DMSGeneration

struct SamplerTests {
  private func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var options = SamplingOptions()
    change(&options)
    return options
  }

  private func draw(_ options: SamplingOptions, _ logits: [Float], _ count: Int) -> [Int] {
    var sampler = Sampler(options, vocabulary: logits.count)
    return logits.withUnsafeBufferPointer { logits in (0..<count).map { sampler.next(logits, position: $0) } }
  }

  @Test func suppressedTokensAreNeverChosen() {
    let logits: [Float] = [1, 5, 4, 3, -2, 4.5]
    let greedy = options { $0.suppressed = [1, 5, 99, -1] }
    #expect(draw(greedy, logits, 3) == [2, 2, 2])
    for topK in [0, 1, 2, 4] {
      for topP in [0.5, 1] {
        let sampled = options {
          ($0.temperature, $0.topK, $0.topP, $0.suppressed) = (1.5, topK, topP, [1, 2, 5])
        }
        #expect(Set(draw(sampled, logits, 200)).isDisjoint(with: [1, 2, 5]))
      }
    }
    let all = options { ($0.temperature, $0.suppressed) = (1, Array(0..<6)) }
    #expect(draw(all, logits, 1) == [0], "some token must be")
  }

  /// The tokens that may be drawn, by the definitions: sort, cut, cut, cut.
  private func allowed(_ options: SamplingOptions, _ logits: [Float]) -> Set<Int> {
    var order = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
    if options.topK > 0 { order = Array(order.prefix(options.topK)) }
    func weight(_ id: Int) -> Double { exponential(Double(logits[id] - logits[order[0]]) / options.temperature) }
    var (kept, mass) = ([Int](), 0.0)
    let total = order.reduce(0.0) { $0 + weight($1) }
    for id in order where kept.isEmpty || options.topP == 1 || mass < options.topP * total {
      kept.append(id)
      mass += weight(id)
    }
    return Set(kept.filter { weight($0) >= options.minP })
  }

  private func exponential(_ x: Double) -> Double {
    // A series is slow and clear enough here: e^x = (e^(x/1024))^1024.
    var result = 1 + x / 1024 + x * x / 2_097_152 + x * x * x / 6_442_450_944
    for _ in 0..<10 { result *= result }
    return result
  }

  @Test func greedyTakesTheMostLikelyAndOfEqualsTheFirst() {
    #expect(draw(SamplingOptions(), [1, 3, 3, 2], 3) == [1, 1, 1])
    #expect(
      draw(
        options {
          $0.temperature = 2; $0.topK = 1
        }, [0, 5, 5], 2) == [1, 1])
  }

  @Test(arguments: 0..<6)
  func onlyAllowedTokensAreDrawnAndAllOfThem(round: Int) {
    var random = SplitMix(seed: UInt64(round))
    let logits = (0..<40).map { _ in Float(random.next() >> 40) * 0x1p-22 }
    let options = options {
      $0.temperature = 0.7
      $0.topK = [0, 5, 0, 12, 1000, 7][round]
      $0.topP = [1, 1, 0.6, 0.8, 0.9, 1][round]
      $0.minP = [0, 0, 0, 0.05, 0, 0.2][round]
      $0.seed = 11
    }
    #expect(Set(draw(options, logits, 20_000)) == allowed(options, logits))
  }

  /// The draw as it is defined: everything sorted, in double precision.
  private func twin(_ options: SamplingOptions, _ logits: [Float], _ uniform: Double) -> Int {
    var order = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
    let largest = logits[order[0]]
    func weight(_ id: Int) -> Double { exp(Double(logits[id] - largest) / options.temperature) }
    if options.topK > 0 { order = Array(order.prefix(options.topK)) }
    var (kept, mass) = ([Int](), 0.0)
    let total = order.reduce(0.0) { $0 + weight($1) }
    for id in order where kept.isEmpty || options.topP == 1 || mass < options.topP * total {
      kept.append(id)
      mass += weight(id)
    }
    kept.removeAll { weight($0) < options.minP }
    if options.topP == 1 { kept.sort() }
    let target = uniform * kept.reduce(0.0) { $0 + weight($1) }
    var seen = 0.0
    return kept.first { id in
      seen += weight(id)
      return seen > target
    } ?? kept.last { weight($0) > 0 } ?? 0
  }

  @Test(arguments: [1, 2, 7, 300, 5000], [0.001, 0.6, 1, 8, 1e300, 1e-300])
  func theDrawIsThatOfTheTwin(vocabulary: Int, temperature: Double) {
    var random = SplitMix(seed: UInt64(vocabulary))
    var logits = (0..<vocabulary).map { _ in Float(random.next() >> 40) * 0x1p-20 - 4 }
    // Equal ones, and one that must not be.
    if vocabulary > 5 { (logits[5], logits[4], logits[3]) = (logits[2], logits[2], -.infinity) }
    for (topK, topP, minP) in [
      (0, 1, 0), (0, 0.95, 0), (0, 0, 0), (40, 1, 0), (40, 0.8, 0), (0, 1, 0.1), (0, 0.9, 0.3), (3, 0.99, 1),
      (0, 0.5, 1e-9),
    ] {
      let options = options {
        ($0.temperature, $0.topK, $0.topP, $0.minP, $0.seed) = (temperature, topK, topP, minP, 5)
      }
      let ours = draw(options, logits, 50)
      let expected = (0..<50).map {
        twin(options, logits, RandomNumbers.uniform(seed: 5, sequence: 0, position: $0))
      }
      #expect(ours == expected, "\(topK) \(topP) \(minP)")
    }
  }

  @Test func frequenciesAreTheProbabilities() {
    // p = 1/2, 1/4, 1/4; 40,000 draws: five standard deviations are 500 and 433.
    let counts = draw(options { $0.temperature = 1 }, [0.693_147_2, 0, 0], 40_000)
      .reduce(into: [0, 0, 0]) { $0[$1] += 1 }
    #expect(abs(counts[0] - 20_000) < 500)
    #expect(abs(counts[1] - 10_000) < 433)
  }

  @Test func aSeedRepeatsItselfAndAnotherDoesNot() {
    let logits = [Float](repeating: 0, count: 1000)
    let first = draw(
      options {
        $0.temperature = 1; $0.seed = 1
      }, logits, 50)
    #expect(
      first
        == draw(
          options {
            $0.temperature = 1; $0.seed = 1
          }, logits, 50))
    #expect(
      first
        != draw(
          options {
            $0.temperature = 1; $0.seed = 2
          }, logits, 50))
  }

  @Test func repetitionIsPenalisedOnBothSidesOfZero() {
    let options = options { $0.repetitionPenalty = 2 }
    var sampler = Sampler(options, vocabulary: 3)
    sampler.note([0, 99, -1])
    #expect([Float]([3, 2, 0]).withUnsafeBufferPointer { sampler.next($0, position: 0) } == 1)
    #expect([Float]([-1, -1.5, -9]).withUnsafeBufferPointer { sampler.next($0, position: 0) } == 1)
  }

  @Test func wishesComeFromTheCheckpoint() {
    var configuration = GenerationConfiguration()
    configuration.temperature = 0.6
    #expect(SamplingOptions(configuration).temperature == 0, "greedy unless the checkpoint samples")
    configuration.doSample = true
    configuration.topP = 0.95
    #expect(SamplingOptions(configuration).temperature == 0.6)
    #expect(SamplingOptions(configuration).topK == 50, "as transformers")
    #expect(SamplingOptions(configuration).topP == 0.95)
  }

  @Test func optionsOutOfRangeAreRefused() {
    for change: (inout SamplingOptions) -> Void in [
      { $0.temperature = -1 }, { $0.temperature = .nan }, { $0.topK = -1 }, { $0.topP = 1.1 }, { $0.minP = -0.1 },
      { $0.repetitionPenalty = 0 },
    ] {
      #expect(throws: InputError.self) { try options(change).validate() }
    }
  }
}

struct SplitMix {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
