// Answers of a batch are those that prompts get alone, whatever the batch.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

struct AnswerBatchTests {
  private let machine: Machine
  private let model: LanguageModel

  init() throws {
    machine = try Machine(threads: 2)
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    model = try LanguageModel(path: root + "/Models/tiny-cr8", on: machine)
  }

  private func prompts(temperature: Double) throws -> [LanguageModel.BatchPrompt] {
    try (0..<7).map { index in
      let facts = (0...index * 3).map { "The value of fox\($0) is \($0 * 7 + 11)." }.joined(separator: " ")
      var options = AnswerOptions(model)
      options.sampling.temperature = temperature
      options.sampling.seed = 5
      options.sequence = index
      options.maxTokens = index == 3 ? 1 : 20 + index
      if index == 4 { options.stops = ["think"] }
      let message = ChatMessage(role: "user", content: "\(facts) What is fox\(index)?")
      return LanguageModel.BatchPrompt(try model.prompt([message]), options)
    }
  }

  private func answers(_ prompts: [LanguageModel.BatchPrompt], batch: Int) throws -> [Answer?] {
    var options = Engine.Options()
    options.batch = batch
    options.context = 400
    var answers = [Answer?](repeating: nil, count: prompts.count)
    var next = 0
    try model.answerAll(
      {
        guard next < prompts.count else { return nil }
        next += 1
        return prompts[next - 1]
      }, on: Engine(model.decoder, on: machine, options)
    ) { answers[$0] = $1 }
    return answers
  }

  @Test(arguments: [0.0, 0.8], [1, 3, 16])
  func answersDoNotFeelTheirNeighbours(temperature: Double, batch: Int) throws {
    let prompts = try prompts(temperature: temperature)
    for (prompt, found) in zip(prompts, try answers(prompts, batch: batch)) {
      var options = Engine.Options()
      options.context = 400
      let session = try Session(Engine(model.decoder, on: machine, options))
      let alone = try model.answer(prompt.prompt, in: session, prompt.options)
      let answer = try #require(found)
      #expect(answer.generation.ids == alone.generation.ids)
      #expect(answer.generation.reason == alone.generation.reason)
      #expect(answer.text == alone.text)
      #expect(answer.content == alone.content)
    }
  }

  @Test(arguments: [1, 3, 16])
  func chainsThatShareAPromptAnswerAsAlone(batch: Int) throws {
    // Two problems of four chains, the second without a group.
    let own = try prompts(temperature: 0.9)
    let alone = [6, 6, 6, 6, 2, 2].enumerated().map { index, prompt in
      var chain = own[prompt]
      (chain.options.sequence, chain.options.maxTokens, chain.options.stops) = (index, 110 + index, [])
      return chain
    }
    let grouped = alone.enumerated().map { index, chain in
      LanguageModel.BatchPrompt(chain.prompt, chain.options, chainGroup: index < 4 ? 9 : nil)
    }
    let expected = try answers(alone, batch: 1)
    let found = try answers(grouped, batch: batch)
    #expect(Set(expected.map { $0?.text }).count == 6)
    for (index, (answer, expected)) in zip(found, expected).enumerated() {
      let (answer, expected) = (try #require(answer), try #require(expected))
      #expect(answer.generation.ids == expected.generation.ids)
      #expect(answer.ledger.liveTokens == expected.ledger.liveTokens)
      #expect(answer.ledger.tokensRead == expected.ledger.tokensRead)
      #expect(answer.ledger.peakTokens == expected.ledger.peakTokens)
      #expect(answer.generation.time > .zero && answer.promptTime > .zero)
      guard index < 4 else {
        #expect(answer.sharedBytes == nil && answer.ledger.bytesHeld == expected.ledger.bytesHeld)
        continue
      }
      // The prompt's pages are all that it does not have for itself, however long the others' answers are.
      let shared = try #require(answer.sharedBytes)
      #expect(answer.ledger.bytesPrivate < answer.ledger.bytesHeld)
      #expect(answer.ledger.bytesPrivate + shared >= answer.ledger.bytesHeld)
    }
    #expect(try answers(grouped, batch: 2).map { $0?.ledger.bytesPrivate } == found.map { $0?.ledger.bytesPrivate })
  }

  @Test func anAnswerEndsWhereTheContextDoes() throws {
    var options = Engine.Options()
    var prompt = try prompts(temperature: 0)[6]
    prompt.options.maxTokens = 1000
    options.context = prompt.prompt.ids.count + 5
    options.batch = 2
    let engine = try Engine(model.decoder, on: machine, options)
    var given = false
    var found: Answer?
    try model.answerAll(
      {
        defer { given = true }
        return given ? nil : prompt
      }, on: engine
    ) { found = $1 }
    let alone = try model.answer(prompt.prompt, in: Session(engine), prompt.options)
    #expect(found?.generation.ids == alone.generation.ids)
    #expect(found?.generation.reason == .context)
  }

  @Test func aCancelledBatchGivesUpWhatIsNotComplete() throws {
    var asked = 0
    let engine = try Engine(model.decoder, on: machine, Engine.Options())
    #expect(throws: CancellationError.self) {
      try model.answerAll(
        { try prompts(temperature: 0)[0] }, on: engine,
        isCancelled: {
          asked += 1
          return asked > 5
        }
      ) { _, _ in }
    }
  }
}
