// Made-up problems are right, their own, and of the size that was asked for; answers are found where they stand.

import DMSEvaluation
import Testing

struct ProblemTests {
  /// Reads a problem's text as a person would, and works the answer out anew.
  private struct Solver {
    private var definitions: [String: String] = [:]

    mutating func solve(_ prompt: String) -> Int? {
      let words = prompt.split(separator: " ").map(String.init)
      // "cat482;" or "map cat;"
      for (index, word) in words.enumerated() where word.last == ";" {
        let definition = String(word.dropLast())
        let name = definition.prefix { $0.isLetter }
        if name.count < definition.count {
          definitions[String(name)] = String(definition.dropFirst(name.count))
        } else {
          definitions[words[index - 1]] = definition
        }
      }
      guard let what = words.lastIndex(of: "What"), words[what + 1] == "is" else { return nil }
      var (total, sign) = (0, 1)
      for word in words[(what + 2)...] {
        switch word {
        case "+": sign = 1
        case "-": sign = -1
        default:
          guard let value = value(of: word.last == "?" ? String(word.dropLast()) : word) else { return nil }
          total += sign * value
        }
      }
      return total
    }

    private func value(of name: String) -> Int? {
      var name = name
      while let definition = definitions[name] {
        if let value = Int(definition) { return value }
        name = definition
      }
      return nil
    }
  }

  @Test(arguments: SyntheticTask.questions, [30, 200, 1500])
  func answersFollowFromTheText(task: SyntheticTask, size: Int) {
    for index in 0..<100 {
      let problem = task.problem(seed: 11, index: index, size: size)
      var solver = Solver()
      #expect(solver.solve(problem.prompt).map(String.init) == problem.answer)
    }
  }

  @Test(arguments: SyntheticTask.questions)
  func laterQuestionsAreAboutTheSameFacts(task: SyntheticTask) {
    for index in 0..<30 {
      var solver = Solver()
      for problem in task.conversation(seed: 2, index: index, size: 200, questions: 5) {
        #expect(solver.solve(problem.prompt).map(String.init) == problem.answer)
      }
    }
  }

  @Test func aRecitalRepeatsEveryFactAndCountsThem() {
    for index in 0..<50 {
      let problem = SyntheticTask.recital.problem(seed: 4, index: index, size: 150)
      let facts = problem.prompt.split(separator: " ").filter { $0.last == ";" }
      #expect(facts.sorted() == problem.reasoning.split(separator: " ").sorted())
      #expect(problem.answer == "\(facts.count)")
    }
  }

  /// Every step of a sum is a true equation, and every value is the text's.
  @Test func stepsOfSumsAreTrue() {
    for index in 0..<200 {
      let reasoning = SyntheticTask.sums.problem(seed: 5, index: index, size: 100).reasoning
      var steps = 0
      for step in reasoning.split(whereSeparator: { ";,:".contains($0) }) where step.contains("=") {
        let sides = step.split(separator: "=")
        var (total, number, sign) = (0, 0, 1)
        for character in sides[0] where character != " " {
          if let digit = character.wholeNumberValue {
            number = number * 10 + digit
          } else {
            total += sign * number
            (number, sign) = (0, character == "-" ? -1 : 1)
          }
        }
        #expect(total + sign * number == Int(sides[1]), "\(step) in \(reasoning)")
        steps += 1
      }
      #expect(steps >= 2)
    }
  }

  @Test func aSeedGivesItsOwnProblems() {
    for task in SyntheticTask.allCases {
      #expect(task.problem(seed: 1, index: 4, size: 100) == task.problem(seed: 1, index: 4, size: 100))
      #expect(task.problem(seed: 1, index: 4, size: 100) != task.problem(seed: 1, index: 5, size: 100))
      #expect(task.problem(seed: 1, index: 4, size: 100) != task.problem(seed: 2, index: 4, size: 100))
    }
  }

  /// Words, numbers and signs are about as many as were asked for.
  @Test(arguments: SyntheticTask.allCases, [100, 500, 1900])
  func textsHaveTheirSize(task: SyntheticTask, size: Int) {
    for index in 0..<20 {
      let prompt = task.problem(seed: 3, index: index, size: size).prompt
      let tokens =
        prompt.reduce(0) { $0 + ($1.isNumber || ";.?".contains($1) ? 1 : 0) } + prompt.split(separator: " ").count
      #expect(Double(tokens) > 0.6 * Double(size) && Double(tokens) < 1.4 * Double(size) + 30)
    }
  }

  @Test func answersAreWhatFollowsTheReasoning() {
    #expect(SyntheticTask.answer(in: " cat = 4</think>48") == "48")
    #expect(SyntheticTask.answer(in: "<think>a</think> b</think> 7 \n") == "7")
    #expect(SyntheticTask.answer(in: "48") == nil)
  }

  /// Wilson's interval of 8 of 10 by hand: (0.4902, 0.9433); of a pair's differences 1, 0, 0, -1 the mean is 0.
  @Test func intervals() {
    let share = Proportion(8, of: 10)
    #expect(abs(share.low - 0.4902) < 1e-4 && abs(share.high - 0.9433) < 1e-4)
    #expect(Proportion(0, of: 0).low == 0)
  }
}
