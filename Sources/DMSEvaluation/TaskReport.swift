// What models did with problems, as tables or as JSON, made from records alone.

import DMSCache
import DMSPlatform
import DMSText

/// What models did with the same problems.
public struct TaskReport {
  /// A model's problems in their order.
  private let results: [(model: String, problems: [Answered])]
  private let settings: JSONObject
  private let work: [JSON]

  /// Where the lengths of a table begin.
  private static let lengths = [0, 250, 500, 1000]

  /// A problem with a model's answers to it.
  fileprivate struct Answered {
    struct Key: Hashable { let (task, place): (String, Int) }
    let key: Key
    var records: [EvaluationRecord]

    func mean(_ value: (EvaluationRecord) -> Double) -> Double {
      records.reduce(0) { $0 + value($1) } / Double(records.count)
    }
    var share: Double { mean(\.share) }
  }

  /// - Parameters:
  ///   - settings: what was asked, as an evaluation's folder has it.
  ///   - work: what did the work.
  public init(_ records: [EvaluationRecord], settings: JSONObject, work: [JSON]) {
    (self.settings, self.work) = (settings, work)
    let models = settings["models"]?.array?.compactMap { $0["model"]?.string } ?? []
    results = models.map { model in
      var (problems, places) = ([Answered](), [Answered.Key: Int]())
      for record in records where record.key.model == model {
        let key = Answered.Key(task: record.key.task, place: record.key.place)
        if let place = places[key] {
          problems[place].records.append(record)
        } else {
          places[key] = problems.count
          problems.append(Answered(key: key, records: [record]))
        }
      }
      return (model, problems)
    }
  }

  /// A group of a model's problems, beside the first model's.
  fileprivate struct Row {
    let model: String
    let group: String
    let problems: [Answered]
    let reference: [Answered]?
    let share: (Answered) -> Double

    var proportion: Proportion { Proportion(problems.map(share), of: problems.count) }
    var difference: PairedDifference? {
      reference.map { PairedDifference(problems.map(share), against: $0.map(share)) }
    }

    func mean(_ value: (EvaluationRecord) -> Double) -> Double {
      problems.reduce(0) { $0 + $1.mean(value) } / Double(max(1, problems.count))
    }
    var tokens: Double { mean { Double($0.ledger.tokensSeen) } }
    /// All tokens by all live ones.
    var ratio: Double { tokens / max(1e-9, mean(\.ledger.liveTokens)) }
    var bytesHeld: Double { mean { Double($0.ledger.bytesHeld) } }
    var bytesDense: Double { mean { Double($0.ledger.bytesDense) } }
  }

  /// One row a model that has all of the first model's problems of a group, or those of them that it has.
  private func rows(
    _ group: String, share: @escaping (Answered) -> Double = \.share, _ belongs: (Answered) -> Bool
  ) -> [Row] {
    guard let first = results.first else { return [] }
    let wanted = first.problems.filter(belongs)
    return results.enumerated().compactMap { index, result in
      let own = Dictionary(result.problems.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
      let pairs = wanted.compactMap { reference in own[reference.key].map { ($0, reference) } }
      guard !pairs.isEmpty else { return nil }
      return Row(
        model: result.model, group: group, problems: pairs.map(\.0), reference: index == 0 ? nil : pairs.map(\.1),
        share: share)
    }
  }

  private var byTask: [Row] {
    let tasks = settings["tasks"]?.array?.compactMap { $0["task"]?.string } ?? []
    let all = tasks.flatMap { task in
      var rows = rows(task) { $0.key.task == task }
      let bytes = rows.first?.problems.flatMap(\.records).map(\.choiceBytes) ?? []
      // Where all choices are of one length both measures are the same.
      if bytes.contains(where: { Set($0).count > 1 }) {
        rows += self.rows("\(task), whole choice", share: { $0.mean { $0.plainShare ?? 0 } }) { $0.key.task == task }
      }
      return rows
    }
    return all + rows("all") { _ in true }
  }

  private var byLength: [Row] {
    Self.lengths.indices.flatMap { index in
      let (low, high) = (Self.lengths[index], index + 1 < Self.lengths.count ? Self.lengths[index + 1] : Int.max)
      // The first model's tokens decide about lengths, so that pairs stay together.
      return rows(high == .max ? "\(low) and more" : "\(low)–\(high - 1)") {
        (Double(low)..<Double(high)).contains($0.mean { Double($0.ledger.tokensSeen) })
      }
    }
  }

  /// Two tables, by task and by length, in Markdown.
  public var markdown: String {
    """
    \(asked). Intervals are 95 %; differences are paired, with \(results.first?.model ?? "none").

    \(table(byTask, "task"))

    \(table(byLength, "tokens"))
    """
  }

  /// What was asked, in words.
  private var asked: String {
    let tasks = settings["tasks"]?.array ?? []
    let counts = Set(tasks.map { $0["problems"]?.integer ?? 0 })
    var words =
      tasks.allSatisfy({ $0["file"] == nil }) && counts.count == 1
      ? "\(counts.first ?? 0) problems of each task"
      : "Problems: "
        + tasks.map { "\($0["task"]?.string ?? "") \($0["problems"]?.integer ?? 0)" }.joined(separator: ", ")
    words += ", seed \(settings["seed"]?.exact ?? 0)"
    if let size = settings["size"]?.array?.compactMap(\.integer), size.count == 2 {
      words += ", prompts of about \(size[0])\(size[0] == size[1] ? "" : " to \(size[1])") tokens"
    }
    if let samples = settings["samples"]?.integer, samples > 1 {
      words += ", \(samples) answers to each at temperature \(settings["temperature"]?.double ?? 0)"
    }
    return words
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
        "| \(row.group) | \(row.model) | \(row.problems.count) | \(points(right.value)) (\(points(right.low))–"
          + "\(points(right.high))) | \(difference ?? "") | \(decimals(row.tokens, 0)) | \(decimals(row.ratio, 2)) | "
          + "\(byteCount(Int(row.bytesHeld))) | \(byteCount(Int(row.bytesDense))) |")
    }
    return lines.joined(separator: "\n")
  }

  private func points(_ share: Double) -> String { decimals(100 * share, 1) }

  /// The tables with what produced them.
  public var json: JSON {
    .members([
      "problems": settings["problems"] ?? .null, "seed": settings["seed"] ?? .null, "size": settings["size"] ?? .null,
      "by_task": .array(byTask.map(\.json)), "by_length": .array(byLength.map(\.json)),
      "settings": .object(settings), "work": .array(work),
    ])
  }
}

extension TaskReport.Row {
  fileprivate var json: JSON {
    let right = proportion
    var object = JSONObject([
      "model": .string(model), "group": .string(group), "problems": .integer(problems.count),
      "right": .rounded(right.value, 6), "right_low": .rounded(right.low, 6), "right_high": .rounded(right.high, 6),
      "answered": .rounded(mean { $0.answer == nil ? 0 : 1 }, 6), "tokens": .rounded(tokens, 2),
      "generated_tokens": .rounded(mean { Double($0.tokens) }, 2), "compression_ratio": .rounded(ratio, 4),
      "tokens_read": .rounded(mean(\.ledger.tokensRead), 2), "peak_tokens": .rounded(mean(\.ledger.peakTokens), 2),
      "cache_bytes_held": .integer(Int(bytesHeld.rounded())), "cache_bytes_dense": .integer(Int(bytesDense.rounded())),
      "seconds": .rounded(mean(\.seconds), 4),
    ])
    if let difference {
      object["difference"] = .rounded(difference.value, 6)
      object["difference_low"] = .rounded(difference.low, 6)
      object["difference_high"] = .rounded(difference.high, 6)
    }
    return .object(object)
  }
}
