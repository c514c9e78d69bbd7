// Runs as a report: points, tables and pictures. The report's JSON holds everything that tables and pictures are made of, so that
// those are the same whether they come from records or from a file.

import DMSPlatform
import DMSText

/// What chains, tokens and compression ratios gain at which cost.
public struct ScalingReport: Sendable, Equatable {
  /// The points of each group of problems, in the order of the runs.
  public let points: [ScalingPoint]
  /// What was asked and what did the work, run by run.
  public let runs: [JSON]
  /// Points that could not be, with the reasons, as `coordinates` and `skipped`.
  public let skipped: [JSON]

  private static let version = 1
  /// The group of all problems.
  public static let all = "all"

  /// Compares runs.
  ///
  /// - Parameters:
  ///   - chains: W of the points; `nil` leaves it to the runs.
  ///   - isMixed: whether models and settings may differ from run to run.
  ///   - combination: how a task's chains become one answer, by its name.
  /// - Throws: `InputError` for runs of different questions, and for runs without points.
  public init(
    _ runs: [ScalingRun], chains: [Int]? = nil, isMixed: Bool = false,
    combination: (String) -> ChainCombination = TaskName.combination
  ) throws {
    if !isMixed { try ScalingRun.requireOneQuestion(runs) }
    let sources = try ScalingPoints(runs, chains: chains, isMixed: isMixed, combination)
    let tasks = sources.tasks
    let groups = tasks.count == 1 ? tasks : [Self.all] + tasks
    points = groups.flatMap { group in
      sources.points(group) { group == Self.all || $0.task == group }
    }
    guard !points.isEmpty else {
      throw InputError(
        "no problem has as many answers as a point has chains",
        remedy: "give other runs, or fewer --chains")
    }
    skipped = runs.flatMap(\.skipped).map { part in
      .members(["coordinates": .object(part.coordinates), "skipped": .string(part.skipped ?? "")])
    }
    self.runs = runs.flatMap(\.parts).map { part in
      .members([
        "path": .string(part.path), "missing_records": .integer(part.missing), "settings": .object(part.settings),
        "work": .array(part.work),
      ])
    }
  }

  /// Reads a report.
  /// - Throws: `InputError` for a file that is none.
  public init(file path: String) throws {
    let json = try JSON(file: path)
    guard json["dms_report"]?.integer == Self.version, let runs = json["runs"]?.array,
      let skipped = json["skipped"]?.array, let points = json["points"]?.array
    else {
      throw InputError("no report of this program", at: path, remedy: "give what dms report --json has printed")
    }
    (self.runs, self.skipped) = (runs, skipped)
    self.points = try points.enumerated().map { index, json in
      guard let point = ScalingPoint(json) else {
        throw InputError("point \(index + 1) is no point", at: path, remedy: "make the report again")
      }
      return point
    }
  }

  /// The whole report.
  public var json: JSON {
    var entries: [JSON] = []
    for group in groups {
      let points = points(of: group)
      let fronts = ScalingCost.allCases.map { ($0.rawValue, Set($0.front(of: points))) }
      for (index, point) in points.enumerated() {
        var object = point.json
        object["on_front"] = .array(fronts.filter { $0.1.contains(index) }.map { .string($0.0) })
        entries.append(.object(object))
      }
    }
    return .members([
      "dms_report": .integer(Self.version), "points": .array(entries), "skipped": .array(skipped), "runs": .array(runs),
    ])
  }

  /// The groups of problems, all of them first.
  public var groups: [String] { points.reduce(into: []) { if $0.last != $1.group { $0.append($1.group) } } }

  func points(of group: String) -> [ScalingPoint] { points.filter { $0.group == group } }

  // MARK: Tables

  /// A table for each group, in Markdown.
  public var markdown: String {
    let head = """
      W–L–CR: chains, tokens of a chain, compression ratio. Intervals are 95 %; differences are paired, with the first row of the \
      same W and L. Costs are means over problems. Front: no other row is as right or more at as little or less of that cost.
      """
    let tables = groups.map { group -> String in
      let points = points(of: group)
      let title = groups.count > 1 ? "\(group == Self.all ? "All problems" : group)\n\n" : ""
      return title + Self.table(points)
    }
    return ([head] + tables + (skipped.isEmpty ? [] : [leftOut])).joined(separator: "\n\n")
  }

  private var leftOut: String {
    let lines = skipped.map { part -> String in
      let coordinates = (part["coordinates"]?.object?.members.map { $0 } ?? []).filter { !$0.value.isNull }
      let names = coordinates.map { "\($0.key) \($0.value.string ?? $0.value.line)" }.joined(separator: ", ")
      return "- \(oneLine(names)): \(oneLine(part["skipped"]?.string ?? ""))"
    }
    return (["Left out:"] + lines).joined(separator: "\n")
  }

  private static func table(_ points: [ScalingPoint]) -> String {
    let fronts = ScalingCost.allCases.map { ($0.rawValue, Set($0.front(of: points))) }
    func percent(_ share: Double) -> String { decimals(100 * share, 1) }
    var lines = [
      "| W–L–CR | policy | model | problems | right, % | difference, points | ratio | KV reads | peak tokens | bytes | "
        + "seconds | front |", "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (index, point) in points.enumerated() {
      let difference = point.difference.map { "\(percent($0.value)) (\(percent($0.low)) to \(percent($0.high)))" }
      let cells = [
        point.label, point.line, point.model, "\(point.problems)",
        "\(percent(point.right.value)) (\(percent(point.right.low))–\(percent(point.right.high)))", difference ?? "",
        decimals(point.measuredRatio, 2), decimals(point.reads, 0), decimals(point.peakTokens, 0),
        byteCount(Int(point.bytes)), decimals(point.seconds, 2),
        fronts.filter { $0.1.contains(index) }.map(\.0).joined(separator: ", "),
      ]
      lines.append("| " + cells.map(Self.cell).joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  /// Names of files may hold what tables are made of.
  private static func cell(_ text: String) -> String { oneLine(text).replacing("|", with: "\\|") }

  // MARK: Pictures

  /// Accuracy against a cost, for a group of problems: a file of SVG, legible on light and dark grounds.
  public func svg(_ cost: ScalingCost, of group: String) -> String { picture(cost, of: group).svg }

  /// The same as a file of PNG, which cannot know the ground that it is shown on.
  public func png(_ cost: ScalingCost, of group: String, isDark: Bool = false) -> [UInt8] {
    picture(cost, of: group).png(isDark ? .dark : .light)
  }

  private func picture(_ cost: ScalingCost, of group: String) -> Picture {
    Picture(width: 760, [Self.chart(points(of: group), cost)])
  }

  private static func chart(_ points: [ScalingPoint], _ cost: ScalingCost) -> Chart {
    let front = Set(cost.front(of: points))
    let names = points.reduce(into: [String]()) { if !$0.contains($1.line) { $0.append($1.line) } }
    let lines = names.enumerated().map { series, name -> Chart.Line in
      let own = points.indices.filter { points[$0].line == name }
      // A line goes through what its own policy does not do better elsewhere.
      let best = cost.front(of: own.map { points[$0] }).map { points[own[$0]] }
      let through = best.map { (x: cost.value($0), y: $0.right.value) }.sorted { ($0.x, $0.y) < ($1.x, $1.y) }
      var line = Chart.Line(name, ink: .series(series), isDashed: series > 7, points: through)
      line.form = .of(series: series)
      line.marks = own.map { index in
        var mark = Chart.Point(x: cost.value(points[index]), y: points[index].right.value)
        mark.label = points[index].label
        mark.interval = points[index].right.low...max(points[index].right.low, points[index].right.high)
        mark.isRinged = front.contains(index)
        mark.isFilled = best.contains(points[index])
        return mark
      }
      return line
    }
    let problems = Set(points.map(\.problems)).sorted().map(String.init).joined(separator: " to ")
    return Chart(
      "Right answers, %, of \(problems) problems (\(points.first?.group ?? ""))",
      (Chart.Axis(cost.axis, .logarithmic, cost == .bytes ? .bytes : .thousands), Chart.Axis("", .linear, .percent)),
      lines, ringName: "Pareto front", size: (760, 420))
  }
}

extension ScalingCost {
  /// What goes across, in words.
  fileprivate var axis: String {
    switch self {
    case .reads: "KV reads of a problem's chains, tokens of each layer and head"
    case .tokens: "peak live tokens of a problem's chains, of each layer and head"
    case .bytes: "bytes of cache that a problem's chains hold"
    case .seconds: "seconds of the machine for a problem's chains"
    }
  }
}

extension ScalingPoint {
  /// As a report has it.
  fileprivate var json: JSONObject {
    var object = JSONObject([
      "group": .string(group), "line": .string(line), "model": .string(model), "point": .string(label),
      "chains": .integer(chains), "max_tokens": .integer(tokens), "ratio": .number(ratio),
      "compression_ratio": .number(measuredRatio), "problems": .integer(problems), "right": .number(right.value),
      "right_low": .number(right.low), "right_high": .number(right.high),
    ])
    if let difference {
      object["difference"] = .number(difference.value)
      object["difference_low"] = .number(difference.low)
      object["difference_high"] = .number(difference.high)
    }
    object["agreement"] = .number(agreement)
    object["generated_tokens"] = .number(generated)
    object["tokens_read"] = .number(reads)
    object["peak_tokens"] = .number(peakTokens)
    object["cache_bytes"] = .number(bytes)
    object["seconds"] = .number(seconds)
    return object
  }

  /// - Returns: `nil` for what is no point of a report.
  fileprivate init?(_ json: JSON) {
    // Files come from outside: a number beyond these is none of a report's, and no integer or picture could hold it.
    func number(_ key: String, _ range: ClosedRange<Double> = 0...1e15) -> Double? {
      json[key]?.double.flatMap { range.contains($0) ? $0 : nil }
    }
    func count(_ key: String, from least: Int) -> Int? {
      json[key]?.integer.flatMap { (least...1_000_000_000).contains($0) ? $0 : nil }
    }
    guard let group = json["group"]?.string, let line = json["line"]?.string, let model = json["model"]?.string,
      let chains = count("chains", from: 1), let tokens = count("max_tokens", from: 0), let ratio = number("ratio"),
      let measured = number("compression_ratio"), let problems = count("problems", from: 0),
      let right = number("right", 0...1), let low = number("right_low", -1...2),
      let high = number("right_high", -1...2), let reads = number("tokens_read"),
      let peak = number("peak_tokens"), let bytes = number("cache_bytes"), let seconds = number("seconds")
    else { return nil }
    self.init()
    (self.group, self.line, self.model) = (group, line, model)
    (self.chains, self.tokens, self.problems) = (chains, tokens, problems)
    (self.ratio, measuredRatio, self.right) = (ratio, measured, Interval(right, low, high))
    if let value = number("difference", -1...1), let low = number("difference_low", -2...2),
      let high = number("difference_high", -2...2)
    {
      difference = Interval(value, low, high)
    }
    (agreement, generated) = (number("agreement") ?? 0, number("generated_tokens") ?? 0)
    (self.reads, peakTokens, self.bytes, self.seconds) = (reads, peak, bytes, seconds)
  }
}
