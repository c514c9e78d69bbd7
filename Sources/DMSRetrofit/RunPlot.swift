// A run as a picture: loss and ratio over steps, and the share that each layer and KV head evicts.

import DMSEvaluation

struct RunPlot {
  private let charts: [Chart]
  private let evictedShares: [[Double]]  // [L, G]

  private static let (width, height) = (720.0, 260.0)
  /// Points of a line: more cannot be seen.
  private static let points = 600
  // Okabe and Ito's colours, which people tell apart who see few.
  private static let (blue, vermilion, green, grey) = ("#0072B2", "#D55E00", "#009E73", "#57606a")

  /// - Parameter evictedShares: `[L, G]`; empty for what is no retrofit.
  init(steps: [StepRecord], evictedShares: [[Double]]) {
    self.evictedShares = evictedShares
    func line(
      _ name: String, _ color: String, isDashed: Bool = false, _ value: (StepRecord) -> Double?
    ) -> Chart.Line {
      let all = steps.compactMap { step in value(step).map { (Double(step.step), $0) } }
      return Chart.Line(name, color: color, isDashed: isDashed, points: Self.means(all))
    }
    func chart(_ title: String, _ scale: Chart.Scale, _ lines: [Chart.Line]) -> Chart {
      Chart(title, axis: "step", scale, lines, width: Self.width, height: Self.height)
    }
    let loss = line("loss", Self.blue, \.loss)
    guard steps.contains(where: { $0.eviction != nil }) else {
      // The tokens' part is all there is.
      charts = [chart("Loss", .logarithmic, [loss])]
      return
    }
    func ratio(_ share: Double) -> Double { 1 / max(1e-3, 1 - share) }
    charts = [
      chart("Loss", .logarithmic, [loss, line("tokens' part", Self.vermilion, isDashed: true, \.tokenLoss)]),
      chart(
        "Compression ratio", .linear,
        [
          line("target", Self.grey, isDashed: true) { $0.eviction.map { ratio($0.targetShare) } },
          line("reached, relaxed", Self.green) { $0.eviction.map { ratio($0.evictedShare) } },
        ]),
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
    var panels = charts.map { (height: Self.height, svg: $0.svg) }
    if !evictedShares.isEmpty { panels.append((Self.height, heads)) }
    return SVG.picture(width: Self.width, panels)
  }

  // MARK: Heads

  /// A field for each layer and KV head, the darker the more it evicts.
  private var heads: String {
    let (left, top) = (64.0, 40.0)
    let (layers, kvHeads) = (evictedShares.count, max(1, evictedShares.map(\.count).max() ?? 1))
    let (across, down) = ((Self.width - left - 20) / Double(layers), (Self.height - top - 44) / Double(kvHeads))
    var parts = [SVG.text(left, 20, "Share evicted", weight: "bold")] + key
    for (layer, shares) in evictedShares.enumerated() {
      for (kvHead, share) in shares.enumerated() {
        let (x, y) = (left + Double(layer) * across, top + Double(kvHead) * down)
        parts.append(SVG.rectangle(x, y, across - min(1, across / 8), down - min(1, down / 8), fill: Self.shade(share)))
        // There is room for "100 %".
        if across >= 36, down >= 14 {
          parts.append(
            SVG.text(
              x + across / 2, y + down / 2 + 4, Self.percent(share), anchor: "middle",
              color: share > 0.55 ? "white" : "black"))
        }
      }
    }
    let bottom = top + down * Double(kvHeads)
    for layer in stride(from: 0, to: layers, by: max(1, (layers + 19) / 20)) {
      parts.append(SVG.text(left + (Double(layer) + 0.5) * across, bottom + 16, "\(layer)", anchor: "middle"))
    }
    for kvHead in stride(from: 0, to: kvHeads, by: max(1, (kvHeads + 9) / 10)) {
      parts.append(SVG.text(left - 6, top + (Double(kvHead) + 0.5) * down + 4, "\(kvHead)", anchor: "end"))
    }
    let middle = (left + Self.width - 20) / 2
    parts.append(SVG.text(middle, bottom + 34, "layer (across), KV head (down)", anchor: "middle"))
    return parts.joined(separator: "\n")
  }

  /// What the shades mean.
  private var key: [String] {
    (0...4).flatMap { step -> [String] in
      let (share, x) = (Double(step) / 4, Self.width - 20 - 64 * Double(5 - step))
      return [SVG.rectangle(x, 8, 16, 14, fill: Self.shade(share)), SVG.text(x + 20, 20, Self.percent(share))]
    }
  }

  private static func percent(_ share: Double) -> String {
    share.isFinite && abs(share) < 1e6 ? "\(Int((100 * share).rounded())) %" : "?"
  }

  /// From nearly white to dark blue. Not every viewer knows hsl().
  private static func shade(_ share: Double) -> String {
    let strength = share.isFinite ? max(0, min(1, share)) : 0
    let parts = zip([240, 245, 251], [10, 60, 130]).map { "\(Int($0 + ($1 - $0) * strength))" }
    return "rgb(\(parts.joined(separator: ",")))"
  }
}
