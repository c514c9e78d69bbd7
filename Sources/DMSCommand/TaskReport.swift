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
  private struct Row {
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
    func list(_ rows: [Row]) -> String {
      "["
        + rows.map { row in
          let right = row.proportion
          var members = [
            ("model", quoted(row.model)), ("group", quoted(row.group)), ("problems", "\(row.records.count)"),
            ("right", decimals(right.value, 6)), ("right_low", decimals(right.low, 6)),
            ("right_high", decimals(right.high, 6)), ("tokens", decimals(row.tokens, 2)),
            ("compression_ratio", decimals(row.ratio, 4)), ("cache_bytes_held", decimals(row.bytesHeld, 0)),
            ("cache_bytes_dense", decimals(row.bytesDense, 0)),
          ]
          if let difference = row.difference {
            members += [
              ("difference", decimals(difference.value, 6)), ("difference_low", decimals(difference.low, 6)),
              ("difference_high", decimals(difference.high, 6)),
            ]
          }
          return "{" + members.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
        }.joined(separator: ",") + "]"
    }
    return "{\"problems\":\(problems.problems),\"seed\":\(problems.seed),\"size\":[\(problems.size.lowerBound),"
      + "\(problems.size.upperBound)],\"by_task\":\(list(byTask)),\"by_length\":\(list(byLength))}"
  }

  /// A line for each answer.
  var answers: String {
    results.map { model, records in
      records.map { record in
        let members = [
          ("model", quoted(model)), ("task", quoted(record.problem.task.rawValue)),
          ("prompt", quoted(record.problem.prompt)), ("expected", quoted(record.problem.answer)),
          ("response", quoted(record.response)), ("right", "\(record.isRight)"),
          ("tokens_seen", "\(record.ledger.tokensSeen)"), ("live_tokens", decimals(record.ledger.liveTokens, 3)),
        ]
        return "{" + members.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}\n"
      }.joined()
    }.joined()
  }
}
