// What a run came to: its recipe, its figures, and where it forgets. As JSON, and as a picture of the log.

import DMSCheckpoint
import DMSPlatform
import DMSText

struct RunReport {
  private let folder: RunFolder
  private let recipe: Recipe
  private let model: String
  private let evaluation: HeldOutEvaluation

  init(_ folder: RunFolder, _ recipe: Recipe, model: String, _ evaluation: HeldOutEvaluation) {
    self.folder = folder
    self.recipe = recipe
    self.model = model
    self.evaluation = evaluation
  }

  func write() throws {
    let steps = try loggedSteps()
    try writeAtomically(Array((json(steps).text + "\n").utf8), to: folder.path + "/report.json")
    let plot = RunPlot(steps: steps, evictedShares: recipe.eviction == nil ? [] : evaluation.evictedShares)
    try writeAtomically(Array(plot.svg.utf8), to: folder.path + "/report.svg")
  }

  private func loggedSteps() throws -> [JSON] {
    let file = try MappedFile(path: folder.log)
    return try withExtendedLifetime(file) {
      try file.bytes.split(separator: UInt8(ascii: "\n")).map {
        try JSON(parsing: UnsafeRawBufferPointer(rebasing: $0), source: folder.log)
      }.filter { $0["loss"] != nil }
    }
  }

  private func json(_ steps: [JSON]) -> JSON {
    let last = steps.last
    return .members([
      "model": .string(model), "recipe": recipe.json, "steps": .integer(recipe.steps),
      "tokens": last?["tokens"] ?? .null, "seconds": last?["seconds"] ?? .null, "last": last ?? .null,
      "evaluation": .members([
        "documents": .integer(evaluation.documents), "tokens": .integer(evaluation.tokens),
        "scoredTokens": .integer(evaluation.scored), "loss": .number(evaluation.loss),
        "hitShare": .number(evaluation.hitShare), "exactShare": .number(evaluation.exactShare),
        "ratio": .number(evaluation.ratio),
        "evictedShares": .array(evaluation.evictedShares.map { .array($0.map { .number($0) }) }),
      ]),
    ])
  }
}
