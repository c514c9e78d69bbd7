// What models did with problems, as tables or as JSON.

import DMSCache
import DMSCheckpoint
import DMSEvaluation
import DMSPlatform
import DMSText

struct TaskReport {
  private let results: [(model: String, records: [TaskEvaluation.Record])]
  private let problems: TaskEvaluation.Problems

  /// Where the lengths of a table begin.
  private static let lengths = [0, 250, 500, 1000]

  init(_ results: [(model: String, records: [TaskEvaluation.Record])], problems: TaskEvaluation.Problems) {
    self.results = results
    self.problems = problems
  }

  /// A group of a model's records, beside the first model's.
  fileprivate struct Row {
    let model: String
    let group: String
    let records: [TaskEvaluation.Record]
    let reference: [TaskEvaluation.Record]?

    var proportion: Proportion { Proportion(records.count { $0.isRight }, of: records.count) }
    var difference: PairedDifference? { reference.map { PairedDifference(records, against: $0) } }

    private func mean(_ value: (Ledger) -> Double) -> Double {
      records.reduce(0) { $0 + value($1.ledger) } / Double(max(1, records.count))
    }
    var tokens: Double { mean { Double($0.tokensSeen) } }
    /// All tokens by all live ones.
    var ratio: Double { mean { Double($0.tokensSeen) } / max(1e-9, mean(\.liveTokens)) }
    var bytesHeld: Double { mean { Double($0.bytesHeld) } }
    var bytesDense: Double { mean { Double($0.bytesDense) } }
  }

  private func rows(_ groups: [(String, (TaskEvaluation.Record) -> Bool)]) -> [Row] {
    groups.flatMap { name, belongs in
      results.enumerated().map { index, result in
        // The first model's tokens decide about lengths, so that pairs stay together.
        let places = results[0].records.indices.filter { belongs(results[0].records[$0]) }
        return Row(
          model: result.model, group: name, records: places.map { result.records[$0] },
          reference: index == 0 ? nil : places.map { results[0].records[$0] })
      }
    }.filter { !$0.records.isEmpty }
  }

  private var byTask: [Row] {
    rows(
      problems.tasks.map { task in (task.rawValue, { $0.problem.task == task }) } + [("all", { _ in true })])
  }

  private var byLength: [Row] {
    rows(
      Self.lengths.indices.map { index in
        let (low, high) = (Self.lengths[index], index + 1 < Self.lengths.count ? Self.lengths[index + 1] : Int.max)
        let name = high == .max ? "\(low) and more" : "\(low)–\(high - 1)"
        return (name, { (low..<high).contains($0.ledger.tokensSeen) })
      })
  }

  var markdown: String {
    """
    \(problems.problems) problems of each task, seed \(problems.seed), prompts of about \(problems.size.lowerBound) to \
    \(problems.size.upperBound) tokens. Intervals are 95 %; differences are paired, with \(results[0].model).

    \(table(byTask, "task"))

    \(table(byLength, "tokens"))
    """
  }

  private func table(_ rows: [Row], _ group: String) -> String {
    var lines = [
      "| \(group) | model | problems | right, % | difference, points | tokens | ratio | cache held | dense |",
      "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows {
      let right = row.proportion
      let difference = row.difference.map {
        "\(points($0.value)) (\(points($0.low)) to \(points($0.high)))"
      }
      lines.append(
        "| \(row.group) | \(row.model) | \(row.records.count) | \(points(right.value)) (\(points(right.low))–"
          + "\(points(right.high))) | \(difference ?? "") | \(decimals(row.tokens, 0)) | \(decimals(row.ratio, 2)) | "
          + "\(byteCount(Int(row.bytesHeld))) | \(byteCount(Int(row.bytesDense))) |")
    }
    return lines.joined(separator: "\n")
  }

  private func points(_ share: Double) -> String { decimals(100 * share, 1) }

  var json: String {
    JSON.members([
      "problems": .integer(problems.problems), "seed": seed,
      "size": .array([.integer(problems.size.lowerBound), .integer(problems.size.upperBound)]),
      "by_task": .array(byTask.map(\.json)), "by_length": .array(byLength.map(\.json)),
    ]).line
  }

  /// Exact, also beyond the integers that JSON's readers agree upon.
  private var seed: JSON { Int(exactly: problems.seed).map(JSON.integer) ?? .string(String(problems.seed)) }

  /// A line for each answer.
  var answers: String {
    results.map { model, records in
      records.map { record in
        JSON.members([
          "model": .string(model), "task": .string(record.problem.task.rawValue),
          "prompt": .string(record.problem.prompt), "expected": .string(record.problem.answer),
          "response": .string(record.response), "right": .bool(record.isRight),
          "tokens_seen": .integer(record.ledger.tokensSeen), "live_tokens": .rounded(record.ledger.liveTokens, 3),
        ]).line + "\n"
      }.joined()
    }.joined()
  }
}

extension TaskReport.Row {
  fileprivate var json: JSON {
    let right = proportion
    var object = JSONObject([
      "model": .string(model), "group": .string(group), "problems": .integer(records.count),
      "right": .rounded(right.value, 6), "right_low": .rounded(right.low, 6), "right_high": .rounded(right.high, 6),
      "tokens": .rounded(tokens, 2), "compression_ratio": .rounded(ratio, 4),
      "cache_bytes_held": .integer(Int(bytesHeld.rounded())), "cache_bytes_dense": .integer(Int(bytesDense.rounded())),
    ])
    if let difference {
      object["difference"] = .rounded(difference.value, 6)
      object["difference_low"] = .rounded(difference.low, 6)
      object["difference_high"] = .rounded(difference.high, 6)
    }
    return .object(object)
  }
}
