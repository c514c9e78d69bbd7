// A session goes on from its own last logits, whatever its engine has done since, and from its own last token, whether or not it
// has been read.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import Foundation
import Testing

@testable import DMSGeneration

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .appending(path: "Fixtures").path

struct OwnedLogitsTests {
  private static let models = ["qwen3", "qwen3-dms-neuron-high-cr", "qwen3-dms-adapter-head"]

  private func engine(_ fixture: String, context: Int? = nil) throws -> Engine {
    let machine = try Machine(threads: 2)
    var options = Engine.Options()
    options.context = context
    options.chunk = 32
    return try Engine(Decoder(ModelSource(path: "\(fixtures)/\(fixture)"), on: machine), on: machine, options)
  }

  private func ids(_ count: Int, seed: UInt64) -> [Int] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in Int(random.next() % 160) }
  }

  private func generate(_ session: Session, _ count: Int, temperature: Double = 0.9) throws -> [Int] {
    var options = SamplingOptions()
    options.temperature = temperature
    options.repetitionPenalty = 1.1
    options.seed = 3
    var sampler = Sampler(options, vocabulary: 160)
    return try session.generate(&sampler, eosIDs: [], maxTokens: count) { _ in true }.ids
  }

  /// What a session on an engine of its own says.
  private func alone(_ fixture: String, _ prompt: [Int], _ count: Int) throws -> [Int] {
    let session = try Session(engine(fixture))
    try session.resume(prompt)
    return try generate(session, count)
  }

  @Test(arguments: models) func interleavedSessionsEqualIndependentOnes(fixture: String) throws {
    let engine = try engine(fixture)
    let prompts = [ids(40, seed: 1), ids(25, seed: 2), ids(70, seed: 3)]
    let expected = try prompts.map { try alone(fixture, $0, 30) }
    let sessions = try prompts.map { _ in try Session(engine) }
    // All read before any generates; then in turns of uneven length.
    for (session, prompt) in zip(sessions, prompts) { try session.resume(prompt) }
    var said = prompts.map { _ in [Int]() }
    for turn in [1, 2, 7, 3, 1, 9, 7] {
      for (index, session) in sessions.enumerated() { said[index] += try generate(session, turn) }
    }
    #expect(said == expected)
  }

  @Test(arguments: models) func aForkGoesOnFromItsOwnLogits(fixture: String) throws {
    let prompt = ids(50, seed: 4)
    let expected = try alone(fixture, prompt, 20)
    let first = try Session(engine(fixture))
    try first.resume(prompt)
    let second = try first.fork()
    #expect(try generate(first, 20) == expected)
    #expect(try generate(second, 20) == expected)
    // A fork in the middle of an answer, whose last token was not read yet.
    let third = try Session(first.engine)
    try third.resume(prompt)
    let begun = try generate(third, 7)
    let fourth = try third.fork()
    #expect(try begun + generate(fourth, 13) == expected)
    #expect(try begun + generate(third, 13) == expected)
  }

  @Test(arguments: models) func aLoadedSessionGoesOnFromItsOwnLogits(fixture: String) throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).session").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let prompt = ids(50, seed: 5)
    let expected = try alone(fixture, prompt, 20)
    for before in [0, 1, 8] {
      let session = try Session(engine(fixture))
      try session.resume(prompt)
      let begun = try generate(session, before)
      try SessionFile.save(session, note: "", to: path)
      let engine = try engine(fixture)
      let loaded = try SessionFile.load(path, on: engine).session
      // The engine has done something else since.
      try Session(engine).resume(ids(9, seed: 6))
      #expect(loaded.ids == prompt + begun)
      #expect(try begun + generate(loaded, 20 - before) == expected)
    }
  }

  @Test(arguments: models) func generatingTwiceIsGeneratingOnce(fixture: String) throws {
    let prompt = ids(33, seed: 7)
    let expected = try alone(fixture, prompt, 12)
    for parts in [[6, 6], [1, 11], [11, 1], [0, 12], Array(repeating: 1, count: 12)] {
      let session = try Session(engine(fixture))
      try session.resume(prompt)
      #expect(try parts.flatMap { try generate(session, $0) } == expected)
      #expect(session.ids == prompt + expected)
    }
  }

  @Test(arguments: models) func readingAfterGeneratingComesAfterTheLastToken(fixture: String) throws {
    let (prompt, more) = (ids(33, seed: 8), ids(5, seed: 9))
    let session = try Session(engine(fixture))
    try session.resume(prompt)
    let said = try generate(session, 6)
    try session.read(more)
    #expect(session.ids == prompt + said + more)
    #expect(session.cache.tokensSeen == session.ids.count)
    // The same sequence, read by the same calls.
    let other = try Session(engine(fixture))
    try other.resume(prompt)
    for id in said.dropLast() { try other.engine.decode(id, in: other.cache) }
    try other.engine.prefill([said[5]] + more, into: other.cache)
    #expect(session.logits == Array(other.engine.logits()))
  }

  @Test func aSessionThatHasReadNothingRefuses() throws {
    let engine = try engine("qwen3")
    let other = try Session(engine)
    try other.resume(ids(10, seed: 1))
    let fresh = try Session(engine)
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).session").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try SessionFile.save(fresh, note: "", to: path)
    for session in [fresh, try fresh.fork(), try SessionFile.load(path, on: engine).session] {
      #expect { try generate(session, 3) } throws: { "\($0)".contains("nothing was read") }
    }
    try fresh.read([])
    #expect(throws: InputError.self) { try generate(fresh, 3) }
    try fresh.read([1])
    #expect(try generate(fresh, 3).count == 3)
  }

  @Test func whatIsRefusedLeavesTheSessionAsItWas() throws {
    let session = try Session(engine("qwen3-dms-neuron-high-cr", context: 80))
    let prompt = ids(40, seed: 10)
    let expected = try alone("qwen3-dms-neuron-high-cr", prompt, 15)
    try session.resume(prompt)
    let begun = try generate(session, 5)
    for wrong in [[-1], [160], [3, 1 << 40], Array(repeating: 1, count: 90)] {
      #expect(throws: InputError.self) { try session.read(wrong) }
      #expect(throws: InputError.self) { try session.resume(wrong) }
    }
    #expect(session.ids == prompt + begun)
    #expect(try begun + generate(session, 10) == expected)
  }

  /// Wherever the reading of a prompt is stopped, the next try reads what is missing and says what it would have said.
  @Test(arguments: models) func aStoppedReadingGoesOnAtTheNextTry(fixture: String) throws {
    let (system, question) = (ids(70, seed: 11), ids(75, seed: 12))
    let expected = try alone(fixture, system + question, 12)
    var asked = 0
    for stop in stride(from: 0, to: 100, by: 3) {
      let session = try Session(engine(fixture))
      try session.resume(system + [1], stable: 70)
      var calls = 0
      let finished =
        (try? session.resume(system + question, stable: 100) {
          calls += 1
          return calls > stop
        }) != nil
      asked = max(asked, calls)
      if !finished {
        #expect((system + question).starts(with: session.ids), "what is left is a beginning")
        #expect(session.ids.count == session.cache.tokensSeen && session.cache.isWhole)
      }
      try session.resume(system + question)
      // Chunks with other borders may round otherwise; the greedy text and the sampled one do not feel it here.
      #expect(try generate(session, 12).prefix(6) == expected.prefix(6), "stopped at \(stop)")
    }
    #expect(asked > 8, "between the layers of each chunk, too")
  }
}
