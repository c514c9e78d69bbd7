// A run as a picture: loss and ratio over steps, and the share that each layer and KV head evicts.

import DMSEvaluation

struct RunPlot {
  private let charts: [Chart]
  private let evictedShares: [[Double]]  // [L, G]

  private static let (width, height) = (720.0, 260.0)
  /// Points of a line: more cannot be seen.
  private static let points = 600

  /// - Parameter evictedShares: `[L, G]`; empty for what is no retrofit.
  init(steps: [StepRecord], evictedShares: [[Double]]) {
    self.evictedShares = evictedShares
    func line(
      _ name: String, _ ink: Ink, isDashed: Bool = false, _ value: (StepRecord) -> Double?
    ) -> Chart.Line {
      let all = steps.compactMap { step in value(step).map { (Double(step.step), $0) } }
      return Chart.Line(name, ink: ink, isDashed: isDashed, points: Self.means(all))
    }
    func chart(_ title: String, _ scale: Chart.Scale, _ lines: [Chart.Line]) -> Chart {
      Chart(title, axis: "step", scale, lines, width: Self.width, height: Self.height)
    }
    let loss = line("loss", .series(0), \.loss)
    guard steps.contains(where: { $0.eviction != nil }) else {
      // The tokens' part is all there is.
      charts = [chart("Loss", .logarithmic, [loss])]
      return
    }
    func ratio(_ share: Double) -> Double { 1 / max(1e-3, 1 - share) }
    charts = [
      chart("Loss", .logarithmic, [loss, line("tokens' part", .series(1), isDashed: true, \.tokenLoss)]),
      chart(
        "Compression ratio", .linear,
        [
          line("target", .frame, isDashed: true) { $0.eviction.map { ratio($0.targetShare) } },
          line("reached, relaxed", .series(2)) { $0.eviction.map { ratio($0.evictedShare) } },
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
    var panels: [any Panel] = charts
    if !evictedShares.isEmpty {
      panels.append(HeadsPanel(shares: evictedShares, width: Self.width, height: Self.height))
    }
    return Picture(width: Self.width, panels).svg
  }
}

/// A field for each layer and KV head, the darker the more it evicts.
private struct HeadsPanel: Panel {
  let shares: [[Double]]  // [L, G]
  let width: Double
  let height: Double

  func draw(on canvas: inout some Canvas) {
    let (left, top) = (64.0, 40.0)
    let (layers, kvHeads) = (shares.count, max(1, shares.map(\.count).max() ?? 1))
    let (across, down) = ((width - left - 20) / Double(layers), (height - top - 44) / Double(kvHeads))
    canvas.text("Share evicted", left, 20, TextStyle(isBold: true))
    drawKey(on: &canvas)
    for (layer, shares) in shares.enumerated() {
      for (kvHead, share) in shares.enumerated() {
        let (x, y) = (left + Double(layer) * across, top + Double(kvHead) * down)
        let percent = Self.percent(share)
        canvas.rectangle(x, y, across - min(1, across / 8), down - min(1, down / 8), .shade(percent ?? 0))
        // There is room for "100 %".
        if across >= 36, down >= 14 {
          canvas.text(
            Self.words(percent), x + across / 2, y + down / 2 + 4, TextStyle(.middle, ink: .onShade(percent ?? 0)))
        }
      }
    }
    let bottom = top + down * Double(kvHeads)
    for layer in stride(from: 0, to: layers, by: max(1, (layers + 19) / 20)) {
      canvas.text("\(layer)", left + (Double(layer) + 0.5) * across, bottom + 16, TextStyle(.middle))
    }
    for kvHead in stride(from: 0, to: kvHeads, by: max(1, (kvHeads + 9) / 10)) {
      canvas.text("\(kvHead)", left - 6, top + (Double(kvHead) + 0.5) * down + 4, TextStyle(.end))
    }
    canvas.text("layer (across), KV head (down)", (left + width - 20) / 2, bottom + 34, TextStyle(.middle))
  }

  /// What the shades mean.
  private func drawKey(on canvas: inout some Canvas) {
    for step in 0...4 {
      let x = width - 20 - 64 * Double(5 - step)
      canvas.rectangle(x, 8, 16, 14, .shade(25 * step))
      canvas.text(Self.words(25 * step), x + 20, 20)
    }
  }

  private static func percent(_ share: Double) -> Int? {
    share.isFinite && abs(share) < 1e6 ? Int((100 * share).rounded()) : nil
  }

  private static func words(_ percent: Int?) -> String { percent.map { "\($0) %" } ?? "?" }
}
