// The few elements of SVG that pictures here are made of.

package enum SVG {
  /// A picture of panels one below the other, each with its height. It brings its own background: it looks the same in viewers
  /// of every colour.
  package static func picture(width: Double, _ panels: [(height: Double, svg: String)]) -> String {
    var (y, placed) = (0.0, [String]())
    for panel in panels {
      placed.append("<g transform=\"translate(0 \(number(y)))\">\n\(panel.svg)\n</g>")
      y += panel.height
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(width)) \(number(y))" font-family="sans-serif" font-size="12">
      \(rectangle(0, 0, width, y, fill: "white"))
      \(placed.joined(separator: "\n"))
      </svg>

      """
  }

  package static func text(
    _ x: Double, _ y: Double, _ text: String, anchor: String = "start", weight: String = "normal",
    color: String = "#1f2328"
  ) -> String {
    let escaped = text.map { ["&": "&amp;", "<": "&lt;", ">": "&gt;"][$0] ?? String($0) }.joined()
    return "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\" font-weight=\"\(weight)\" "
      + "fill=\"\(color)\">\(escaped)</text>"
  }

  /// What a text takes across, roughly: how wide a font's letters are is the viewer's business.
  package static func width(_ text: String) -> Double { 7 * Double(text.count) }

  package static func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, fill: String, stroke: String? = nil
  ) -> String {
    "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\" fill=\"\(fill)\""
      + (stroke.map { " stroke=\"\($0)\"" } ?? "") + "/>"
  }

  package static func polyline(
    _ points: [(Double, Double)], color: String, width: Double, isDashed: Bool = false
  ) -> String {
    "<polyline points=\"\(points.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " "))\" fill=\"none\" "
      + "stroke=\"\(color)\" stroke-width=\"\(number(width))\"\(isDashed ? " stroke-dasharray=\"6 4\"" : "")/>"
  }

  package static func dot(_ x: Double, _ y: Double, color: String) -> String {
    "<circle cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"3\" fill=\"\(color)\"/>"
  }

  /// To a hundredth: finer cannot be seen.
  package static func number(_ value: Double) -> String {
    let rounded = (value * 100).rounded() / 100
    return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
  }
}
