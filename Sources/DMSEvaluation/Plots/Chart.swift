// Lines and points over common axes. What they mean is not known here; what they are drawn on neither (Canvas.swift).

import Glibc

/// A chart with a frame, ticks inside of it, and a legend with the lines' marks.
package struct Chart: Panel {
  /// A point that stands for itself.
  package struct Point: Sendable {
    package let (x, y): (Double, Double)
    /// What is said beside it.
    package var label = ""
    /// Where its value may be.
    package var interval: ClosedRange<Double>?
    /// Whether it is pointed out with a ring.
    package var isRinged = false
    /// Whether it is filled; else only its outline is seen.
    package var isFilled = true

    package init(x: Double, y: Double) { (self.x, self.y) = (x, y) }
  }

  package struct Line {
    package let name: String
    package let ink: Ink
    package let isDashed: Bool
    /// What the line goes through.
    package let points: [(x: Double, y: Double)]
    /// Points with a form of their own, on the line or beside it.
    package var marks: [Point] = []
    package var form = MarkForm.dot

    package init(_ name: String, ink: Ink, isDashed: Bool = false, points: [(x: Double, y: Double)]) {
      self.name = name
      self.ink = ink
      self.isDashed = isDashed
      self.points = points
    }
  }

  private let title: String
  private let (xAxis, yAxis): (Axis, Axis)
  private let lines: [Line]
  /// What a ring says.
  private let ringName: String?
  private let xRange: ClosedRange<Double>
  private let yRange: ClosedRange<Double>
  private let width: Double
  package let height: Double
  /// Where the frame begins: below the title, and below the legend where that has rows of its own.
  private let top: Double

  private static let (left, right, bottom) = (64.0, 20.0, 44.0)
  private static let rowHeight = 20.0

  /// - Parameters:
  ///   - axes: what goes across and up. A logarithmic one has no place for 0 and less.
  ///   - ringName: what a point with a ring is, for the legend.
  package init(
    _ title: String, _ axes: (across: Axis, up: Axis), _ lines: [Line], ringName: String? = nil,
    size: (width: Double, height: Double)
  ) {
    (self.title, self.lines, self.ringName, width, height) = (title, lines, ringName, size.width, size.height)
    (xAxis, yAxis) = (axes.across, axes.up)
    let xs = lines.flatMap { $0.points.map(\.x) + $0.marks.map(\.x) }.filter { axes.across.scale.hasPlace(for: $0) }
    let (first, last) = (xs.min() ?? (axes.across.scale == .linear ? 0 : 1), xs.max() ?? 1)
    if lines.allSatisfy(\.marks.isEmpty), axes.across.scale == .linear {
      xRange = first < last ? first...last : first - 1...first + 1
    } else {
      xRange = axes.across.scale.range(from: first, to: last, room: 0.12)
    }
    let ys = lines.flatMap { line in
      line.points.map(\.y)
        + line.marks.flatMap { [$0.y, $0.interval?.lowerBound ?? $0.y, $0.interval?.upperBound ?? $0.y] }
    }.filter { axes.up.scale.hasPlace(for: $0) }
    yRange = axes.up.scale.range(from: ys.min() ?? 1, to: ys.max() ?? 1)
    let names = Self.legend(lines, ringName)
    let besideTitle = Self.left + textWidth(title) + names.reduce(0) { $0 + Self.legendWidth($1) } <= width - Self.right
    top = besideTitle ? 40 : 36 + Self.rowHeight * Double(Self.rows(names, width).count)
  }

  /// A chart of lines over steps, in whole numbers.
  package init(_ title: String, axis: String, _ scale: Scale, _ lines: [Line], width: Double, height: Double) {
    self.init(title, (Axis(axis, .linear, .whole), Axis("", scale)), lines, size: (width, height))
  }

  package func draw(on canvas: inout some Canvas) {
    canvas.text(title, Self.left, 20, TextStyle(isBold: true))
    drawLegend(on: &canvas)
    drawGrid(on: &canvas)
    for line in lines { drawLine(line, on: &canvas) }
    let (right, bottom) = (width - Self.right, height - Self.bottom)
    let corners = [(Self.left, top), (right, top), (right, bottom), (Self.left, bottom), (Self.left, top)]
    canvas.line(corners.map { Place($0.0, $0.1) }, .frame, width: 1)
    drawPoints(on: &canvas)
    drawNote(on: &canvas)
  }

  private var plotWidth: Double { width - Self.left - Self.right }
  private var plotHeight: Double { height - top - Self.bottom }

  private func across(_ x: Double) -> Double {
    let (low, high) = (xAxis.scale.place(xRange.lowerBound), xAxis.scale.place(xRange.upperBound))
    return Self.left + (xAxis.scale.place(x) - low) / (high - low) * plotWidth
  }

  private func down(_ y: Double) -> Double {
    let (low, high) = (yAxis.scale.place(yRange.lowerBound), yAxis.scale.place(yRange.upperBound))
    return top + (1 - (yAxis.scale.place(y) - low) / (high - low)) * plotHeight
  }

  private func place(_ x: Double, _ y: Double) -> Place { Place(across(x), down(y)) }

  private func hasPlace(_ x: Double, _ y: Double) -> Bool {
    xAxis.scale.hasPlace(for: x) && yAxis.scale.hasPlace(for: y)
  }

  // MARK: Legend

  /// A name of the legend with what it is the name of; `nil`: the ring.
  private typealias LegendEntry = (name: String, line: Line?)

  private static func legend(_ lines: [Line], _ ringName: String?) -> [LegendEntry] {
    lines.map { ($0.name, $0) } + (ringName.map { [($0, nil)] } ?? [])
  }

  /// The name, its mark and the room between entries.
  private static func legendWidth(_ entry: LegendEntry) -> Double { textWidth(entry.name) + 48 }

  private static func rows(_ entries: [LegendEntry], _ width: Double) -> [[LegendEntry]] {
    var (rows, used) = ([[LegendEntry]](), Double.infinity)
    for entry in entries {
      if used + legendWidth(entry) > width - right - left + 18 { (rows, used) = (rows + [[]], 0) }
      rows[rows.count - 1].append(entry)
      used += legendWidth(entry)
    }
    return rows
  }

  /// A sample of each line beside its name: from the right of the title's line, or in rows below it.
  private func drawLegend(on canvas: inout some Canvas) {
    let entries = Self.legend(lines, ringName)
    if top == 40 {
      var x = width - Self.right
      for entry in entries.reversed() {
        x -= textWidth(entry.name)
        drawEntry(entry, Place(x, 20), on: &canvas)
        x -= 48
      }
      return
    }
    for (row, entries) in Self.rows(entries, width).enumerated() {
      var x = Self.left + 30
      for entry in entries {
        drawEntry(entry, Place(x, 40 + Self.rowHeight * Double(row)), on: &canvas)
        x += Self.legendWidth(entry)
      }
    }
  }

  private func drawEntry(_ entry: LegendEntry, _ place: Place, on canvas: inout some Canvas) {
    canvas.text(entry.name, place.x, place.y)
    let middle = Place(place.x - 18, place.y - 4)
    guard let line = entry.line else { return drawRing(middle, on: &canvas) }
    canvas.line(
      [Place(middle.x - 12, middle.y), Place(middle.x + 12, middle.y)], line.ink, width: 2.5, isDashed: line.isDashed)
    if !line.marks.isEmpty { canvas.area(line.form.outline(at: middle, radius: 4.5), line.ink) }
  }

  // MARK: Parts

  private func drawGrid(on canvas: inout some Canvas) {
    let right = width - Self.right
    for y in yAxis.scale.minorTicks(yRange) {
      canvas.line([Place(Self.left, down(y)), Place(right, down(y))], .faintGrid, width: 1)
    }
    for (y, text) in yAxis.ticks(yRange) {
      canvas.line([Place(Self.left, down(y)), Place(right, down(y))], .grid, width: 1)
      canvas.text(text, Self.left - 6, down(y) + 4, TextStyle(.end))
    }
    let bottom = height - Self.bottom
    for x in xAxis.scale.minorTicks(xRange) {
      canvas.line([Place(across(x), bottom), Place(across(x), bottom - 3)], .frame, width: 1)
    }
    var end = -Double.infinity
    for (x, text) in xAxis.ticks(xRange) {
      canvas.line([Place(across(x), bottom), Place(across(x), bottom - 5)], .frame, width: 1)
      // Numbers that would run into each other are left out.
      guard across(x) - textWidth(text) / 2 > end + 6 else { continue }
      end = across(x) + textWidth(text) / 2
      canvas.text(text, across(x), bottom + 16, TextStyle(.middle))
    }
    canvas.text(xAxis.name, Self.left + plotWidth / 2, bottom + 34, TextStyle(.middle))
  }

  /// A line, broken where a value has no place; a value that stands alone is a dot.
  private func drawLine(_ line: Line, on canvas: inout some Canvas) {
    for piece in line.points.split(whereSeparator: { !hasPlace($0.x, $0.y) }) {
      let places = piece.map { place($0.x, $0.y) }
      if places.count > 1 {
        canvas.line(places, line.ink, width: 1.75, isDashed: line.isDashed)
      } else if line.marks.isEmpty {
        canvas.area(MarkForm.dot.outline(at: places[0], radius: 3), line.ink)
      }
    }
  }

  /// Intervals below, then marks, then names where there is room.
  private func drawPoints(on canvas: inout some Canvas) {
    let marks = lines.flatMap { line in line.marks.filter { hasPlace($0.x, $0.y) }.map { (line: line, point: $0) } }
    var labels = LabelPlacement(
      frame: .init(left: Self.left + 2, right: width - Self.right - 2, top: top + 2, bottom: height - Self.bottom - 2))
    for line in lines {
      for (start, end) in zip(line.points, line.points.dropFirst())
      where hasPlace(start.x, start.y) && hasPlace(end.x, end.y) {
        labels.avoid(from: place(start.x, start.y), to: place(end.x, end.y))
      }
    }
    for (line, point) in marks {
      labels.avoid(place(point.x, point.y), radius: 6)
      guard let interval = point.interval else { continue }
      let (low, high) = (place(point.x, interval.lowerBound), place(point.x, interval.upperBound))
      labels.avoid(from: low, to: high)
      canvas.line([low, high], line.ink, width: 1)
      for end in [low, high] { canvas.line([Place(end.x - 3, end.y), Place(end.x + 3, end.y)], line.ink, width: 1) }
    }
    for (line, point) in marks {
      let outline = line.form.outline(at: place(point.x, point.y), radius: 4.5)
      canvas.area(outline, point.isFilled ? line.ink : .ground)
      canvas.line(outline + outline.prefix(1), line.ink, width: 1.5)
      if point.isRinged { drawRing(place(point.x, point.y), on: &canvas) }
    }
    for (_, point) in marks where !point.label.isEmpty {
      let (place, anchor) = labels.place(point.label, beside: place(point.x, point.y))
      canvas.text(point.label, at: place, TextStyle(anchor))
    }
  }

  private func drawRing(_ place: Place, on canvas: inout some Canvas) {
    let ring = MarkForm.dot.outline(at: place, radius: 8)
    canvas.line(ring + ring.prefix(1), .text, width: 1.25)
  }

  /// What is not shown is said.
  private func drawNote(on canvas: inout some Canvas) {
    let count = lines.reduce(0) { count, line in
      count + line.points.count { !yAxis.scale.hasPlace(for: $0.y) } + line.marks.count { !hasPlace($0.x, $0.y) }
    }
    guard count > 0 else { return }
    let isLogarithmic = yAxis.scale == .logarithmic || lines.contains { !$0.marks.isEmpty }
    let kind = isLogarithmic ? "not above 0" : "no numbers"
    canvas.text("\(count) values left out: \(kind)", width - Self.right, height - 10, TextStyle(.end))
  }
}
