// What a run came to: its recipe, its figures, and where it forgets. As JSON, and as a picture of the log.

import DMSPlatform
import DMSText

struct RunReport {
  let recipe: Recipe
  let model: String
  let steps: [StepRecord]
  let evaluation: HeldOutEvaluation

  func write(to folder: RunFolder) throws {
    try writeAtomically(Array((json.text + "\n").utf8), to: folder.path + "/report.json")
    let plot = RunPlot(steps: steps, evictedShares: recipe.eviction == nil ? [] : evaluation.evictedShares)
    try writeAtomically(Array(plot.svg.utf8), to: folder.path + "/report.svg")
  }

  private var json: JSON {
    let last = steps.last
    return .members([
      "model": .string(model), "recipe": recipe.json, "steps": .integer(recipe.steps),
      "tokens": last.map { .integer($0.tokens) } ?? .null, "seconds": last.map { .number($0.seconds) } ?? .null,
      "last": last?.json ?? .null,
      "evaluation": .members([
        "documents": .integer(evaluation.documents), "tokens": .integer(evaluation.tokens),
        "scored_tokens": .integer(evaluation.scored), "loss": .number(evaluation.loss),
        "hit_share": .number(evaluation.hitShare), "exact_share": .number(evaluation.exactShare),
        "ratio": .number(evaluation.ratio),
        "evicted_shares": .array(evaluation.evictedShares.map { .array($0.map { .number($0) }) }),
      ]),
    ])
  }
}
