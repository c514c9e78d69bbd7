// Public tasks: what their files say, what is judged right, and choices scored from forks beside a plain computation.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import Foundation
import Testing

@testable import DMSEvaluation

private let repository =
  URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
private let data = repository.deletingLastPathComponent().appending(path: "shared/data").path
private let hasTasks = FileManager.default.fileExists(atPath: data + "/tasks/gsm8k-300.jsonl")
private let hasStories = FileManager.default.fileExists(atPath: data + "/stories260K/model.safetensors")

private func withFile(_ text: String, _ body: (String) throws -> Void) throws {
  let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).jsonl").path
  try text.write(toFile: path, atomically: true, encoding: .utf8)
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}

struct PublicTaskTests {
  @Test(arguments: [
    ("so 1,234.50 dollars.", "1234.5"), ("#### 18", "18"), ("x = -07", "-7"), ("5-3", "3"), ("about $.5", "0.5"),
    ("\\boxed{42}", "42"), ("-$20", "-20"), ("2.00", "2"),
  ])
  func theLastNumberHasOneSpelling(text: String, number: String) {
    #expect(AnswerScore.lastNumber(in: text) == number)
    #expect(AnswerScore.lastNumber(in: "none") == nil)
  }

  @Test(.enabled(if: hasTasks, "needs ../shared/data/tasks"))
  func publishedAnswersAreRightAndOthersWrong() throws {
    let path = data + "/tasks/gsm8k-300.jsonl"
    var choice = TaskChoice()
    choice.limit = 1000
    let task = GSM8K(path: path)
    let (problems, records) = (try task.problems(choice), try TaskRecord.all(of: path))
    #expect(problems.count == 300)
    for (problem, record) in zip(problems, records) {
      let answer = try record.string("answer")
      #expect(task.share(right: answer, of: problem) == 1)
      #expect(task.share(right: answer + "1", of: problem) == 0)
    }
  }

  @Test func madeUpAnswersAreRightAndTheirPromptsHaveThem() throws {
    var choice = TaskChoice()
    (choice.limit, choice.size) = (20, 300...900)
    for task in [try Needle(), try VariableTracking()] as [any EvaluationTask] {
      let problems = try task.problems(choice)
      #expect(try task.problems(choice) == problems)
      for (problem, next) in zip(problems, problems.dropFirst()) {
        let answer = problem.references.joined(separator: ", ")
        #expect(problem.references.allSatisfy { problem.prompt.contains($0) })
        #expect(task.share(right: answer.lowercased(), of: problem) == 1)
        #expect(task.share(right: answer, of: next) == 0)
      }
    }
  }

  @Test(.enabled(if: hasTasks, "needs ../shared/data/tasks"))
  func examplesAreNeverTheQuestion() throws {
    var choice = TaskChoice()
    choice.limit = 1000
    let problems = try MMLU(path: data + "/tasks/mmlu-174.jsonl").problems(choice)
    #expect(problems.count == 174)
    for problem in problems {
      let parts = problem.prompt.components(separatedBy: "\n\n")
      let question = try #require(parts.last)
      #expect(question.hasSuffix("\nAnswer:"))
      #expect(!parts.dropLast().contains { $0.hasPrefix(question) })
    }
  }

  @Test func aBrokenRecordIsNamedByItsLine() throws {
    let good = #"{"context": "a", "endings": ["b", "c"], "label": 1}"#
    for broken in [#"{"context": "a", "endings": ["b", "c"]}"#, "{", "[]", #"{"context": "a", "label": 0}"#] {
      try withFile("\(good)\n\n\(broken)\n") { path in
        let error = #expect(throws: InputError.self) { try HellaSwag(path: path).problems(TaskChoice()) }
        #expect(error?.description.contains("line 3") == true)
      }
    }
    #expect(throws: InputError.self) { try GSM8K(path: "/nowhere.jsonl").problems(TaskChoice()) }
  }

  @Test func wikiHowsMarksAreTakenOut() {
    #expect(HellaSwag.cleaned(" Cut it [title] Wait. [step] Go. ") == "Cut it. Wait. Go.")
  }

  @Test(.enabled(if: hasStories && hasTasks, "needs ../shared/data"))
  func choicesFromForksAreThoseOfPlainReading() throws {
    let source = try ModelSource(path: data + "/stories260K")
    let machine = try Machine(threads: 2)
    var options = Engine.Options()
    options.kvType = .f32
    let engine = try Engine(Decoder(source, on: machine), on: machine, options)
    let tokenizer = try source.tokenizer()
    var choice = TaskChoice()
    choice.limit = 8
    for problem in try HellaSwag(path: data + "/tasks/hellaswag-200.jsonl").problems(choice) {
      guard case .choices(let endings, _) = problem.question else { continue }
      let score = try ChoiceScore(endings, after: problem.prompt, tokenizer: tokenizer, on: engine)
      for (ending, found) in zip(endings, score.logLikelihoods) {
        let text = try ContinuedText(problem.prompt, ending, tokenizer)
        var rows: [[Double]] = []
        let cache = try engine.makeCache()
        let vocabulary = engine.decoder.configuration.vocabulary
        try engine.prefill(text.ids, into: cache) { count, logits in
          for row in 0..<count { rows.append(logits[row * vocabulary..<(row + 1) * vocabulary].map(Double.init)) }
        }
        let plain = (text.split..<text.ids.count).reduce(0.0) { sum, place in
          let row = rows[place - 1]
          return sum + row[text.ids[place]] - log(row.reduce(0) { $0 + exp($1) })
        }
        #expect(abs(found - plain) < 1e-4)
        let alone = try ChoiceScore([ending], after: problem.prompt, tokenizer: tokenizer, on: engine)
        #expect(abs(alone.logLikelihoods[0] - found) < 1e-4)
      }
    }
  }

  @Test func choicesDoNotSeeEachOtherWhereTheCacheForgets() throws {
    let source = try ModelSource(path: repository.appending(path: "Models/tiny-cr8").path)
    let machine = try Machine(threads: 2)
    let engine = try Engine(Decoder(source, on: machine), on: machine, Engine.Options())
    let tokenizer = try source.tokenizer()
    let problem = SyntheticTask.retrieval.problem(seed: 1, index: 0, size: 600)
    let choices = [" cat482; dog773; ant115;", " the old river sees", " 1"]
    func scores(_ choices: [String]) throws -> [Double] {
      try ChoiceScore(choices, after: problem.prompt, tokenizer: tokenizer, on: engine).logLikelihoods
    }
    let together = try scores(choices)
    #expect(Set(together).count == choices.count)
    #expect(try scores(choices.reversed()) == together.reversed())
    for (choice, found) in zip(choices, together) { #expect(try scores([choice]) == [found]) }
  }
}
