// What pictures are drawn on: lines, areas and texts, in colours that are named for what they are for. A picture is drawn once;
// whether it becomes SVG (SVG.swift) or something else is the canvas' matter.

/// A place on a canvas, down and to the right of its upper left corner.
package struct Place: Equatable, Sendable {
  package var (x, y): (Double, Double)
  package init(_ x: Double, _ y: Double) { (self.x, self.y) = (x, y) }
}

/// Where a text stands to its place.
package enum TextAnchor: String, Sendable { case start, middle, end }

/// How a text is written.
package struct TextStyle: Sendable {
  package var anchor = TextAnchor.start
  package var isBold = false
  package var ink = Ink.text
  package init(_ anchor: TextAnchor = .start, isBold: Bool = false, ink: Ink = .text) {
    (self.anchor, self.isBold, self.ink) = (anchor, isBold, ink)
  }
}

/// What takes a picture's parts.
package protocol Canvas {
  /// Where the parts that follow have their zero.
  var origin: Place { get set }
  /// A line through places.
  mutating func line(_ places: [Place], _ ink: Ink, width: Double, isDashed: Bool)
  /// What is inside a line that comes back to its beginning.
  mutating func area(_ places: [Place], _ ink: Ink)
  /// A text on its baseline.
  mutating func text(_ text: String, at place: Place, _ style: TextStyle)
}

extension Canvas {
  mutating package func line(_ places: [Place], _ ink: Ink, width: Double) {
    line(places, ink, width: width, isDashed: false)
  }

  mutating package func text(_ text: String, _ x: Double, _ y: Double, _ style: TextStyle = TextStyle()) {
    self.text(text, at: Place(x, y), style)
  }

  mutating package func rectangle(_ x: Double, _ y: Double, _ width: Double, _ height: Double, _ ink: Ink) {
    area([Place(x, y), Place(x + width, y), Place(x + width, y + height), Place(x, y + height)], ink)
  }
}

/// A colour by what it is for; a theme says which it is.
package enum Ink: Hashable, Sendable {
  case ground, text, frame, grid, faintGrid
  /// Of one of several things that are told apart.
  case series(Int)
  /// Of a share in percent, and of a text on it.
  case shade(Int)
  case onShade(Int)

  /// In names of classes.
  var name: String {
    switch self {
    case .ground: "ground"
    case .text: "text"
    case .frame: "frame"
    case .grid: "grid"
    case .faintGrid: "faint"
    case .series(let number): "series\(number)"
    case .shade(let percent): "shade\(percent)"
    case .onShade(let percent): "on-shade\(percent)"
    }
  }
}

/// Which colours inks are.
package enum Theme: Sendable {
  case light, dark

  /// After Okabe and Ito's palette, which people tell apart who see few colours; on black paler, so that all can be seen.
  private static let series: [(light: UInt32, dark: UInt32)] = [
    (0x0072B2, 0x58A6E8), (0xD55E00, 0xF0803C), (0x009E73, 0x2FC79A), (0xB4508C, 0xE39AC4), (0xC98500, 0xF2B93B),
    (0x3A9AD0, 0xA5DAF7), (0x57606A, 0xB1BAC4), (0x7A4B2A, 0xC89B7B),
  ]

  /// Red, green and blue, a byte each.
  package func color(_ ink: Ink) -> UInt32 {
    let isLight = self == .light
    return switch ink {
    case .ground: isLight ? 0xFFFFFF : 0x0D1117
    case .text: isLight ? 0x1F2328 : 0xE6EDF3
    case .frame: isLight ? 0x57606A : 0x9198A1
    case .grid: isLight ? 0xC9D1D9 : 0x3D444D
    case .faintGrid: isLight ? 0xEAEEF2 : 0x21262D
    case .series(let number):
      isLight
        ? Self.series[number % Self.series.count].light : Self.series[number % Self.series.count].dark
    case .shade(let percent): Self.shade(Double(max(0, min(100, percent))) / 100)
    case .onShade(let percent): percent > 55 ? 0xFFFFFF : 0x000000
    }
  }

  /// From nearly white to dark blue.
  private static func shade(_ share: Double) -> UInt32 {
    zip([240.0, 245, 251], [10.0, 60, 130]).reduce(0) { $0 << 8 | UInt32(($1.0 + ($1.1 - $1.0) * share).rounded()) }
  }
}

/// A part of a picture, as wide as the picture.
package protocol Panel {
  var height: Double { get }
  func draw(on canvas: inout some Canvas)
}

/// Panels one below the other.
package struct Picture {
  package let width: Double
  package let panels: [any Panel]

  package init(width: Double, _ panels: [any Panel]) { (self.width, self.panels) = (width, panels) }

  package var height: Double { panels.reduce(0) { $0 + $1.height } }

  /// Draws everything, the ground first.
  package func draw(on canvas: inout some Canvas) {
    canvas.origin = Place(0, 0)
    canvas.rectangle(0, 0, width, height, .ground)
    for panel in panels {
      panel.draw(on: &canvas)
      canvas.origin.y += panel.height
    }
  }

  /// The picture as a file of SVG has it.
  package var svg: String {
    var canvas = SVGCanvas()
    draw(on: &canvas)
    return canvas.document(width: width, height: height)
  }
}

/// What a text takes across, roughly: how wide a font's letters are is the viewer's business.
package func textWidth(_ text: String) -> Double { 7 * Double(text.count) }
