// Retrieval: "… cat = 482; … dog = 773; … What is dog?" The reasoning repeats the fact.

extension SyntheticTask {
  private static let factSize = 7

  func retrievalProblem(_ size: Int, _ random: inout some RandomNumberGenerator) -> Problem {
    let most = max(2, min(ProblemText.names.count, (size - 8) / Self.factSize))
    // Between many facts and few among many sentences.
    let names = ProblemText.names(Int.random(in: max(2, most / 4)...most, using: &random), &random)
    let values = names.map { _ in "\(Int.random(in: 100...999, using: &random))" }
    let facts = zip(names, values).map { "\($0) = \($1);" }
    let asked = Int.random(in: 0..<names.count, using: &random)
    let story = ProblemText.story(facts, factSize: Self.factSize, size: size - 8, &random)
    return Problem(
      task: self, prompt: "Facts: \(story) What is \(names[asked])?", reasoning: "\(names[asked]) = \(values[asked])",
      answer: values[asked])
  }
}
