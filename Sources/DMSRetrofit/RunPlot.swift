// A run as a picture: loss and ratio over steps, and the share that each layer and KV head evicts. SVG, for there is nothing
// to install then.

import DMSText
import Glibc

struct RunPlot {
  private struct Line {
    let name: String
    let color: String
    let points: [(x: Double, y: Double)]
  }

  private let losses: [Line]
  private let ratios: [Line]
  private let evictedShares: [[Double]]
  private let steps: ClosedRange<Double>

  private static let (width, height, margin) = (720.0, 260.0, 56.0)
  /// Points of a line: more cannot be seen.
  private static let points = 600

  init(steps: [JSON], evictedShares: [[Double]]) {
    self.evictedShares = evictedShares
    let first = steps.first?["step"]?.double ?? 0
    self.steps = first...max(first + 1, steps.last?["step"]?.double ?? 0)
    func line(_ name: String, _ color: String, _ value: (JSON) -> Double?) -> Line {
      let all = steps.compactMap { step in
        if let x = step["step"]?.double, let y = value(step), y.isFinite { (x, y) } else { nil }
      }
      return Line(name: name, color: color, points: Self.means(all))
    }
    func ratio(_ key: String) -> (JSON) -> Double? {
      { $0[key]?.double.map { 1 / max(1e-3, 1 - $0) } }
    }
    let loss = line("loss", "#1f6feb") { $0["loss"]?.double }
    // Of a pretraining the tokens' part is all there is.
    losses = evictedShares.isEmpty ? [loss] : [loss, line("tokens' part", "#d29922") { $0["tokenLoss"]?.double }]
    ratios =
      evictedShares.isEmpty
      ? []
      : [
        line("target ratio", "#8b949e", ratio("targetShare")),
        line("reached, relaxed", "#2da44e", ratio("evictedShare")),
      ]
  }

  /// Neighbours as their mean, so that a line has few points and little noise.
  private static func means(_ all: [(Double, Double)]) -> [(x: Double, y: Double)] {
    let size = max(1, (all.count + points - 1) / points)
    return stride(from: 0, to: all.count, by: size).map { first in
      let part = all[first..<min(all.count, first + size)]
      let count = Double(part.count)
      return (part.reduce(0) { $0 + $1.0 } / count, part.reduce(0) { $0 + $1.1 } / count)
    }
  }

  var svg: String {
    var panels = [chart(losses, title: "Loss", isLogarithmic: true)]
    if !ratios.isEmpty { panels.append(chart(ratios, title: "Compression ratio", isLogarithmic: false)) }
    if !evictedShares.isEmpty { panels.append(heads) }
    let total = Self.height * Double(panels.count)
    let placed = panels.enumerated().map { "<g transform=\"translate(0 \(Self.height * Double($0)))\">\($1)</g>" }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(total)" font-family="sans-serif" font-size="12">
      <rect width="\(Self.width)" height="\(total)" fill="white"/>
      \(placed.joined(separator: "\n"))
      </svg>

      """
  }

  private func chart(_ lines: [Line], title: String, isLogarithmic: Bool) -> String {
    let all = lines.flatMap(\.points)
    let smallest = all.map(\.y).filter { $0 > 0 }.min() ?? 1
    func scaled(_ y: Double) -> Double { isLogarithmic ? log10(max(y, smallest)) : y }
    let (left, right) = (steps.lowerBound, steps.upperBound)
    let low = isLogarithmic ? floor(scaled(smallest)) : 0
    let high = max(isLogarithmic ? ceil(scaled(all.map(\.y).max() ?? 1)) : (all.map(\.y).max() ?? 1) * 1.05, low + 1)
    func place(_ x: Double, _ y: Double) -> String {
      let across = Self.margin + (x - left) / (right - left) * (Self.width - 2 * Self.margin)
      let down =
        Self.height - Self.margin + 16 - (scaled(y) - low) / (high - low) * (Self.height - 2 * Self.margin + 16)
      return "\(short(across)),\(short(down))"
    }
    var parts = [text(Self.margin, 22, title, weight: "bold")]
    let ticks = isLogarithmic ? stride(from: low, through: high, by: 1).map { pow(10, $0) } : linearTicks(high)
    for tick in ticks {
      let (a, b) = (place(left, tick), place(right, tick))
      parts.append("<polyline points=\"\(a) \(b)\" stroke=\"#d0d7de\" fill=\"none\"/>")
      let down = Double(a.split(separator: ",")[1]) ?? 0
      parts.append(text(Self.margin - 6, down + 4, short(tick), anchor: "end"))
    }
    parts.append(text(Self.margin, Self.height - 22, "step \(short(left))"))
    parts.append(text(Self.width - Self.margin, Self.height - 22, short(right), anchor: "end"))
    for (index, line) in lines.enumerated() where !line.points.isEmpty {
      let points = line.points.map { place($0.x, $0.y) }.joined(separator: " ")
      parts.append("<polyline points=\"\(points)\" stroke=\"\(line.color)\" stroke-width=\"1.5\" fill=\"none\"/>")
      parts.append(text(260 + 160 * Double(index), 22, line.name, color: line.color))
    }
    return parts.joined(separator: "\n")
  }

  private func linearTicks(_ high: Double) -> [Double] {
    let step = [0.5, 1, 2, 5, 10, 20, 50].first { high / $0 <= 8 } ?? 100
    return Array(stride(from: 0, through: high, by: step))
  }

  /// A field for each layer and KV head, the darker the more it evicts.
  private var heads: String {
    let (layers, kvHeads) = (evictedShares.count, evictedShares.map(\.count).max() ?? 1)
    let (across, down) = ((Self.width - 2 * Self.margin) / Double(layers), (Self.height - 90) / Double(kvHeads))
    var parts = [text(Self.margin, 22, "Share evicted, by layer (across) and KV head (down)", weight: "bold")]
    for (layer, shares) in evictedShares.enumerated() {
      for (kvHead, share) in shares.enumerated() {
        let (x, y) = (Self.margin + Double(layer) * across, 36 + Double(kvHead) * down)
        let strength = max(0, min(1, share))
        // From nearly white to blue. Not every viewer knows hsl().
        let fill = zip([240, 245, 251], [27, 98, 189]).map { "\(Int($0 + ($1 - $0) * strength))" }
          .joined(separator: ",")
        parts.append(
          "<rect x=\"\(short(x))\" y=\"\(short(y))\" width=\"\(short(across - 1))\" height=\"\(short(down - 1))\" "
            + "fill=\"rgb(\(fill))\"/>")
        guard layers <= 16, kvHeads <= 8 else { continue }
        parts.append(
          text(
            x + across / 2, y + down / 2 + 4, "\(Int((100 * share).rounded())) %", anchor: "middle",
            color: strength > 0.6 ? "white" : "black"))
      }
    }
    return parts.joined(separator: "\n")
  }

  private func text(
    _ x: Double, _ y: Double, _ text: String, anchor: String = "start", weight: String = "normal",
    color: String = "black"
  ) -> String {
    "<text x=\"\(short(x))\" y=\"\(short(y))\" text-anchor=\"\(anchor)\" font-weight=\"\(weight)\" fill=\"\(color)\">"
      + "\(text)</text>"
  }

  /// A number with as few digits as it needs here.
  private func short(_ value: Double) -> String {
    if value != 0, abs(value) < 0.1 { return "\((value * 1e6).rounded() / 1e6)" }
    let rounded = (value * 100).rounded() / 100
    return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
  }
}
