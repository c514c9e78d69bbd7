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

/// How a task judges an output.
private func share(_ output: String, of problem: TaskProblem, _ task: any EvaluationTask) throws -> Double {
  try task.answer(in: output).map { try task.share(right: $0, references: problem.references) } ?? 0
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
    let (problems, records) = (try task.problems(choice), try DataRecord.all(of: path))
    #expect(problems.count == 300)
    for (problem, record) in zip(problems, records) {
      let answer = try record.string("answer")
      #expect(try share(answer, of: problem, task) == 1)
      #expect(try share(answer + "1", of: problem, task) == 0)
    }
  }

  @Test(.enabled(if: hasTasks, "needs ../shared/data/tasks"))
  func publishedSolutionsAreRightAndOthersWrong() throws {
    let path = data + "/tasks/math500-120.jsonl"
    let task = MathTask(name: "math500", path: path)
    let (problems, records) = (try task.problems(TaskChoice()), try DataRecord.all(of: path))
    #expect(problems.count == 120 && Set(problems.map(\.id)).count == 120)
    var wrong = 0
    for (place, problem) in problems.enumerated() {
      #expect(try share("<think>\\boxed{0}</think>" + records[place].string("solution"), of: problem, task) == 1)
      let other = (place + 1) % problems.count
      wrong += try share(records[other].string("solution"), of: problem, task) == 0 ? 1 : 0
    }
    // A few neighbours have the same answer.
    #expect(wrong > 110)
  }

  @Test func madeUpAnswersAreRightAndTheirPromptsHaveThem() throws {
    var choice = TaskChoice()
    (choice.problems, choice.size) = (20, 300...900)
    for task in [try Needle(), try VariableTracking()] as [any EvaluationTask] {
      let problems = try task.problems(choice)
      #expect(try task.problems(choice) == problems)
      for (problem, next) in zip(problems, problems.dropFirst()) {
        let answer = problem.references.joined(separator: ", ")
        #expect(problem.references.allSatisfy { problem.prompt.text.contains($0) })
        #expect(try share(answer.lowercased(), of: problem, task) == 1)
        #expect(try share(answer, of: next, task) == 0)
        guard case .answer(_, let tokens) = problem.question else { continue }
        // With the answer no longer than asked for, and not much shorter.
        let size = try choice.reader.promptTokens(problem.prompt) + tokens
        #expect((290...900).contains(size), "\(size)")
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
      let parts = problem.prompt.text.components(separatedBy: "\n\n")
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

  @Test func whatIsNoUTF8IsNamedByItsLine() throws {
    try withFile("") { path in
      let good = Array(#"{"problem": "a", "answer": "b"}"#.utf8)
      try Data(good + [10] + good.dropLast(3) + [0xFF] + good.suffix(2)).write(to: URL(filePath: path))
      let error = #expect(throws: InputError.self) {
        try MathTask(name: "math500", path: path).problems(TaskChoice())
      }
      #expect(error?.description.contains("line 2") == true && error?.description.contains("UTF-8") == true)
      let text = #expect(throws: InputError.self) { try Needle(path: path) }
      #expect(text?.description.contains("line 2") == true && text?.description.contains("UTF-8") == true)
    }
  }

  @Test func aTableHasItsRowsAndItsErrorsTheirLines() throws {
    let head = "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\r\n"
    let row = "r1,\"Which, of\nthese?\",\"the \"\"right\"\" one\",x,y,z\r\n"
    try withFile("\u{FEFF}" + head + row + row.replacing("r1", with: "r2")) { path in
      let task = GPQA(path: path)
      let problems = try task.problems(TaskChoice())
      #expect(problems.map(\.id) == ["r1", "r2"])
      for problem in problems {
        let prompt = problem.prompt.text
        #expect(prompt.contains("Which, of\nthese?"))
        let letter = problem.references[0]
        #expect(prompt.contains("\(letter)) the \"right\" one"))
        for other in ["A", "B", "C", "D"] {
          #expect(try share("Well.\nAnswer: $\(other)$", of: problem, task) == (other == letter ? 1 : 0))
          #expect(
            try share("<think>Answer: D</think>So \\boxed{\\text{\(other)}}", of: problem, task)
              == (other == letter ? 1 : 0))
        }
        #expect(try share("<think>Answer: \(letter)", of: problem, task) == 0)
      }
      var other = TaskChoice()
      #expect(try task.problems(other) == problems)
      let seeds = try (0..<20).map { seed in
        other.seed = UInt64(seed)
        return try task.problems(other)[0].references[0]
      }
      #expect(Set(seeds) == ["A", "B", "C", "D"])
    }
    for (broken, line) in [(row + "r3,a,b\n", "line 4"), (row + "r3,\"a,b,c\n", "line 4")] {
      try withFile(head + broken) { path in
        let error = #expect(throws: InputError.self) { try GPQA(path: path).problems(TaskChoice()) }
        #expect(error?.description.contains(line) == true, "\(String(describing: error))")
      }
    }
    try withFile("Question,Answer\na,b\n") { path in
      let error = #expect(throws: InputError.self) { try GPQA(path: path).problems(TaskChoice()) }
      #expect(error?.description.contains("Correct Answer") == true)
    }
  }

  @Test func examplesComeFromTheirFileWhereThereIsOne() throws {
    let question = #"{"question": "Q0", "answer": "so #### 4"}"# + "\n"
    let others = (1...7).map { #"{"question": "Q\#($0)", "answer": "so #### \#($0)"}"# + "\n" }.joined()
    try withFile(question) { path in
      try withFile(others) { examples in
        let problems = try GSM8K(path: path, examples: examples).problems(TaskChoice())
        #expect(problems.count == 1)
        let text = problems[0].prompt.text
        #expect(
          text.hasPrefix("Question: Q1\nAnswer: so #### 1\n\nQuestion: Q2") && text.hasSuffix("Question: Q0\nAnswer:"))
        #expect(text.contains("Q5") && !text.contains("Q6"))
        #expect(problems[0].prompt.message?.contains("boxed") == true)
      }
    }
  }

  @Test(arguments: [
    ("gsm8k", "needs"), ("sums=a", "without a file"), ("needle=", "no file"), ("gsm9k=a", "no task is named so"),
    ("gpqa=/nowhere.csv", "nowhere.csv"), ("", "no task"),
  ])
  func aTaskIsNamedRight(text: String, problem: String) throws {
    let error = #expect(throws: InputError.self) { try TaskName(text).task().problems(TaskChoice()) }
    #expect(
      error?.description.contains(problem == "needs" ? "in a file" : problem) == true, "\(String(describing: error))")
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
      let score = try ChoiceScore(endings, after: problem.prompt.text, tokenizer: tokenizer, on: engine)
      for (ending, found) in zip(endings, score.logLikelihoods) {
        let text = try ContinuedText(problem.prompt.text, ending, tokenizer)
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
        let alone = try ChoiceScore([ending], after: problem.prompt.text, tokenizer: tokenizer, on: engine)
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
    // What they share has been forgotten in part: else this says nothing about forgetting.
    let ledger = try ChoiceScore(choices, after: problem.prompt, tokenizer: tokenizer, on: engine).ledger
    #expect(ledger.liveTokens < 0.7 * Double(ledger.tokensSeen), "\(ledger)")
  }
}
