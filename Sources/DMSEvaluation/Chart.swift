// Lines over a common axis as a picture in SVG, for there is nothing to install then. What the lines mean is not known here.

import Glibc

/// A chart with a frame, ticks inside of it, and a legend with the lines' marks.
package struct Chart {
  package enum Scale: Sendable { case linear, logarithmic }

  package struct Line {
    package let name: String
    package let color: String
    package let isDashed: Bool
    package let points: [(x: Double, y: Double)]

    package init(_ name: String, color: String, isDashed: Bool = false, points: [(x: Double, y: Double)]) {
      self.name = name
      self.color = color
      self.isDashed = isDashed
      self.points = points
    }
  }

  private let title: String
  private let axis: String
  private let scale: Scale
  private let lines: [Line]
  private let xRange: ClosedRange<Double>
  private let yRange: ClosedRange<Double>
  private let (width, height): (Double, Double)

  private static let (left, right, top, bottom) = (64.0, 20.0, 40.0, 44.0)

  /// - Parameters:
  ///   - axis: the name of what goes across, in whole numbers.
  ///   - scale: of what goes up. A logarithmic one has no place for 0 and less.
  package init(_ title: String, axis: String, _ scale: Scale, _ lines: [Line], width: Double, height: Double) {
    (self.title, self.axis, self.scale, self.width, self.height) = (title, axis, scale, width, height)
    self.lines = lines
    let xs = lines.flatMap { $0.points.map(\.x) }.filter(\.isFinite)
    let (first, last) = (xs.min() ?? 0, xs.max() ?? 1)
    xRange = first < last ? first...last : first - 1...first + 1
    let ys = lines.flatMap { $0.points.map(\.y) }.filter { scale.hasPlace(for: $0) }
    yRange = scale.range(from: ys.min() ?? 1, to: ys.max() ?? 1)
  }

  /// The chart's elements, at home in a rectangle of its width and height.
  package var svg: String {
    let frame = SVG.rectangle(Self.left, Self.top, plotWidth, plotHeight, fill: "none", stroke: "#57606a")
    return ([SVG.text(Self.left, 20, title, weight: "bold")] + legend + grid + lines.flatMap(marks) + [frame, note])
      .filter { !$0.isEmpty }.joined(separator: "\n")
  }

  private var plotWidth: Double { width - Self.left - Self.right }
  private var plotHeight: Double { height - Self.top - Self.bottom }

  private func across(_ x: Double) -> Double {
    Self.left + (x - xRange.lowerBound) / (xRange.upperBound - xRange.lowerBound) * plotWidth
  }

  private func down(_ y: Double) -> Double {
    let (low, high) = (scale.place(yRange.lowerBound), scale.place(yRange.upperBound))
    return Self.top + (1 - (scale.place(y) - low) / (high - low)) * plotHeight
  }

  // MARK: Parts

  /// A sample of each line beside its name, from the right.
  private var legend: [String] {
    var parts: [String] = []
    var x = width - Self.right
    for line in lines.reversed() {
      x -= SVG.width(line.name)
      parts.append(SVG.text(x, 20, line.name))
      parts.append(SVG.polyline([(x - 30, 16), (x - 6, 16)], color: line.color, width: 2.5, isDashed: line.isDashed))
      x -= 48
    }
    return parts
  }

  private var grid: [String] {
    var parts: [String] = []
    for y in scale.minorTicks(yRange) {
      parts.append(SVG.polyline([(Self.left, down(y)), (width - Self.right, down(y))], color: "#eaeef2", width: 1))
    }
    let yTicks = scale.ticks(yRange)
    for y in yTicks {
      parts.append(SVG.polyline([(Self.left, down(y)), (width - Self.right, down(y))], color: "#c9d1d9", width: 1))
      parts.append(SVG.text(Self.left - 6, down(y) + 4, Self.label(y, among: yTicks), anchor: "end"))
    }
    let bottom = height - Self.bottom
    let xTicks = Scale.linear.ticks(xRange).filter { $0 == $0.rounded() }
    for x in xTicks {
      parts.append(SVG.polyline([(across(x), bottom), (across(x), bottom - 5)], color: "#57606a", width: 1))
      parts.append(SVG.text(across(x), bottom + 16, Self.label(x, among: xTicks), anchor: "middle"))
    }
    parts.append(SVG.text(Self.left + plotWidth / 2, bottom + 34, axis, anchor: "middle"))
    return parts
  }

  /// A line, broken where a value has no place; a value that stands alone is a dot.
  private func marks(_ line: Line) -> [String] {
    let pieces = line.points.split { !$0.x.isFinite || !scale.hasPlace(for: $0.y) }
    return pieces.map { piece in
      let places = piece.map { (across($0.x), down($0.y)) }
      guard places.count > 1 else { return SVG.dot(places[0].0, places[0].1, color: line.color) }
      return SVG.polyline(places, color: line.color, width: 1.75, isDashed: line.isDashed)
    }
  }

  /// What is not shown is said.
  private var note: String {
    let count = lines.reduce(0) { $0 + $1.points.count { !scale.hasPlace(for: $0.y) } }
    guard count > 0 else { return "" }
    let kind = scale == .logarithmic ? "not above 0" : "no numbers"
    return SVG.text(width - Self.right, height - 10, "\(count) values left out: \(kind)", anchor: "end")
  }

  /// A tick's number, with the digits that tell it from its neighbours.
  static func label(_ value: Double, among ticks: [Double]) -> String {
    let finest = (zip(ticks, ticks.dropFirst()).map { $1 - $0 } + ticks.map(abs)).filter { $0 > 0 }.min() ?? 1
    let digits = max(0, ceil(-log10(max(finest, .leastNormalMagnitude))))
    let scaled = value * pow(10, digits)
    let rounded = digits < 300 && scaled.isFinite ? scaled.rounded() / pow(10, digits) : value
    let text = "\(rounded)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}

extension Chart.Scale {
  func hasPlace(for y: Double) -> Bool { abs(y) < 1e300 && (self == .linear || y > 1e-300) }

  /// Equal distances of these are equal distances on the axis.
  func place(_ y: Double) -> Double { self == .linear ? y : log10(y) }

  /// A little more than from the least value to the largest; of a single one, what is around it.
  func range(from least: Double, to largest: Double) -> ClosedRange<Double> {
    switch self {
    case .linear:
      let isOne = largest - least <= 1e-9 * max(abs(least), abs(largest))
      let room = isOne ? max(0.5 * abs(largest), 0.5) : 0.05 * (largest - least)
      return least - room...largest + room
    case .logarithmic:
      let decades = log10(largest) - log10(least)
      let room = pow(10, decades <= 1e-9 ? log10(2) : min(3, 0.05 * decades))
      return least / room...largest * room
    }
  }

  /// At most about eight, inside the range.
  func ticks(_ range: ClosedRange<Double>) -> [Double] {
    let decades = self == .linear ? 0 : log10(range.upperBound) - log10(range.lowerBound)
    // In less than a factor of 5 the numbers 1, 2, 5 may not occur twice.
    guard decades > log10(5) else { return Self.even(range) }
    if decades < 2.5 { return Self.decades(range, 1).flatMap { [$0, 2 * $0, 5 * $0] }.filter(range.contains) }
    return Self.decades(range, Int((decades / 7).rounded(.up))).filter(range.contains)
  }

  /// Between the ticks of whole decades: so a logarithmic axis is known.
  func minorTicks(_ range: ClosedRange<Double>) -> [Double] {
    guard self == .logarithmic, range.upperBound / range.lowerBound < 1e7 else { return [] }
    let ticks = ticks(range)
    return Self.decades(range, 1).flatMap { decade in (1...9).map { Double($0) * decade } }.filter {
      range.contains($0) && !ticks.contains($0)
    }
  }

  /// Powers of ten from below the range to its end, every `step`th.
  private static func decades(_ range: ClosedRange<Double>, _ step: Int) -> [Double] {
    let (first, last) = (Int(floor(log10(range.lowerBound))), Int(floor(log10(range.upperBound))))
    let start = step == 1 ? first : Int((Double(first) / Double(step)).rounded(.down)) * step
    return stride(from: start, through: last, by: step).map { pow(10, Double($0)) }
  }

  /// Multiples of 1, 2 or 5 times a power of ten.
  private static func even(_ range: ClosedRange<Double>) -> [Double] {
    let rough = (range.upperBound - range.lowerBound) / 6
    guard rough > 0, rough.isFinite else { return [] }
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? 10 * power
    let (first, last) = ((range.lowerBound / step).rounded(.up), (range.upperBound / step).rounded(.down))
    guard first <= last, last - first < 20 else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }
}
