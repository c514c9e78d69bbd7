// Pictures as SVG, for there is nothing to install then. Colours are written twice: light ones where they are used, for viewers
// that know nothing else, and dark ones in a style that holds where the reader prefers them.

/// The elements of a picture.
package struct SVGCanvas: Canvas {
  package var origin = Place(0, 0)
  private var elements: [String] = []
  /// The classes that are in use, in their order.
  private var classes: [(name: String, property: String, ink: Ink)] = []

  package init() {}

  package mutating func line(_ places: [Place], _ ink: Ink, width: Double, isDashed: Bool) {
    elements.append(
      "<polyline points=\"\(points(places))\" fill=\"none\" \(color("stroke", ink)) stroke-width=\"\(Self.number(width))\""
        + (isDashed ? " stroke-dasharray=\"6 4\"/>" : "/>"))
  }

  package mutating func area(_ places: [Place], _ ink: Ink) {
    elements.append("<polygon points=\"\(points(places))\" \(color("fill", ink))/>")
  }

  package mutating func text(_ text: String, at place: Place, _ style: TextStyle) {
    let escaped = text.map { ["&": "&amp;", "<": "&lt;", ">": "&gt;"][$0] ?? String($0) }.joined()
    elements.append(
      "<text x=\"\(Self.number(origin.x + place.x))\" y=\"\(Self.number(origin.y + place.y))\" text-anchor=\""
        + "\(style.anchor.rawValue)\"\(style.isBold ? " font-weight=\"bold\"" : "") \(color("fill", style.ink))>\(escaped)"
        + "</text>")
  }

  private func points(_ places: [Place]) -> String {
    places.map { "\(Self.number(origin.x + $0.x)),\(Self.number(origin.y + $0.y))" }.joined(separator: " ")
  }

  /// A colour as an element's attributes: by class for those who read styles, and by value for others.
  private mutating func color(_ property: String, _ ink: Ink) -> String {
    let name = "\(property)-\(ink.name)"
    if !classes.contains(where: { $0.name == name }) { classes.append((name, property, ink)) }
    return "class=\"\(name)\" \(property)=\"\(Self.hexadecimal(Theme.light.color(ink)))\""
  }

  /// The elements, one a line.
  package var body: String { elements.joined(separator: "\n") }

  /// A file of this size.
  package func document(width: Double, height: Double) -> String {
    let dark = classes.map { ".\($0.name){\($0.property):\(Self.hexadecimal(Theme.dark.color($0.ink)))}" }.joined()
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.number(width)) \(Self.number(height))" \
      font-family="sans-serif" font-size="12">
      <style>@media (prefers-color-scheme:dark){\(dark)}</style>
      \(body)
      </svg>

      """
  }

  private static func hexadecimal(_ color: UInt32) -> String {
    let digits = String(color, radix: 16)
    return "#" + String(repeating: "0", count: 6 - digits.count) + digits
  }

  /// To a hundredth: finer cannot be seen.
  private static func number(_ value: Double) -> String {
    let rounded = (value * 100).rounded() / 100
    return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
  }
}
