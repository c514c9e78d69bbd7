// Pictures as pixels, for where SVG is not shown. Lines are as dark as pixels are near, areas as dark as they cover; letters are
// lines (StrokeFont.swift), for there is no font to rely on.

import Glibc

/// A picture's pixels in one theme.
package struct Bitmap: Canvas {
  package var origin = Place(0, 0)
  private let theme: Theme
  /// Pixels of a unit.
  private let scale: Double
  private let (columns, rows): (Int, Int)
  private var pixels: [UInt8]  // [rows, columns, 3]

  package init(width: Double, height: Double, scale: Double, _ theme: Theme) {
    (self.theme, self.scale) = (theme, scale)
    (columns, rows) = (max(1, Int((width * scale).rounded())), max(1, Int((height * scale).rounded())))
    pixels = Array(repeating: 0, count: columns * rows * 3)
  }

  package mutating func line(_ places: [Place], _ ink: Ink, width: Double, isDashed: Bool) {
    let points = places.map(pixel)
    let strokes = isDashed ? Self.dashes(points, on: 6 * scale, off: 4 * scale) : [points]
    for stroke in strokes { self.stroke(stroke, radius: width * scale / 2, ink) }
  }

  package mutating func text(_ text: String, at place: Place, _ style: TextStyle) {
    let width = textWidth(text)
    var x: Double =
      switch style.anchor {
      case .start: place.x
      case .middle: place.x - width / 2
      case .end: place.x - width
      }
    for character in text {
      for line in StrokeFont.lines(of: character) {
        let points = line.map { pixel(Place(x + $0.x, place.y + $0.y)) }
        // What a pen only touches is drawn as a dot.
        let pen = (style.isBold ? 0.85 : 0.55) * (points.count == 2 && points[0] == points[1] ? 1.6 : 1)
        stroke(points, radius: pen * scale, style.ink)
      }
      x += StrokeFont.advance
    }
  }

  private func pixel(_ place: Place) -> Place { Place((origin.x + place.x) * scale, (origin.y + place.y) * scale) }

  // MARK: Lines

  private static func dashes(_ points: [Place], on: Double, off: Double) -> [[Place]] {
    var (dashes, isOn, left) = ([Array(points.prefix(1))], true, on)
    for (start, end) in zip(points, points.dropFirst()) {
      let length = hypot(end.x - start.x, end.y - start.y)
      var done = 0.0
      while done < length {
        let step = min(left, length - done)
        (done, left) = (done + step, left - step)
        let part = done / length
        let here = Place(start.x + (end.x - start.x) * part, start.y + (end.y - start.y) * part)
        if isOn { dashes[dashes.count - 1].append(here) }
        guard left <= 0 else { continue }
        (isOn, left) = (!isOn, isOn ? off : on)
        if isOn { dashes.append([here]) }
      }
    }
    return dashes.filter { $0.count > 1 }
  }

  /// A pixel is covered as far as it lies within the radius of the nearest part of the line, so corners and ends are round.
  private mutating func stroke(_ points: [Place], radius: Double, _ ink: Ink) {
    guard let first = points.first else { return }
    let reach = radius + 1
    let (xs, ys) = (points.map(\.x), points.map(\.y))
    let left = max(0, Int(floor((xs.min() ?? first.x) - reach)))
    let right = min(columns - 1, Int(ceil((xs.max() ?? first.x) + reach)))
    let top = max(0, Int(floor((ys.min() ?? first.y) - reach)))
    let bottom = min(rows - 1, Int(ceil((ys.max() ?? first.y) + reach)))
    guard left <= right, top <= bottom else { return }
    let width = right - left + 1
    var covered = [Float](repeating: 0, count: width * (bottom - top + 1))
    let ends = points.count > 1 ? Array(points.dropFirst()) : points
    for (a, b) in zip(points, ends) {
      let lines = max(top, Int(floor(min(a.y, b.y) - reach)))...max(top, min(bottom, Int(ceil(max(a.y, b.y) + reach))))
      let across =
        max(left, Int(floor(min(a.x, b.x) - reach)))...max(left, min(right, Int(ceil(max(a.x, b.x) + reach))))
      let squared = (b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y)
      for row in lines {
        for column in across {
          let (x, y) = (Double(column) + 0.5, Double(row) + 0.5)
          let along = squared > 0 ? ((x - a.x) * (b.x - a.x) + (y - a.y) * (b.y - a.y)) / squared : 0
          let part = max(0, min(1, along))
          let distance = hypot(x - a.x - part * (b.x - a.x), y - a.y - part * (b.y - a.y))
          let place = (row - top) * width + column - left
          covered[place] = max(covered[place], Float(max(0, min(1, radius + 0.5 - distance))))
        }
      }
    }
    let color = theme.color(ink)
    for (place, coverage) in covered.enumerated() where coverage > 0 {
      blend(color, row: top + place / width, column: left + place % width, Double(coverage))
    }
  }

  // MARK: Areas

  /// Lines of a row that are looked at: across them coverage is exact.
  private static let samples = 4

  package mutating func area(_ places: [Place], _ ink: Ink) {
    let points = places.map(pixel)
    guard points.count > 2, let top = points.map(\.y).min(), let bottom = points.map(\.y).max() else { return }
    let color = theme.color(ink)
    for row in max(0, Int(floor(top)))..<max(0, min(rows, Int(ceil(bottom)))) {
      var covered = [Double](repeating: 0, count: columns)
      for sample in 0..<Self.samples {
        let y = Double(row) + (Double(sample) + 0.5) / Double(Self.samples)
        let crossings = zip(points, points.dropFirst() + points.prefix(1)).compactMap { a, b -> Double? in
          (a.y <= y) == (b.y <= y) ? nil : a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x)
        }.sorted()
        for pair in stride(from: 0, to: crossings.count - 1, by: 2) {
          let (low, high) = (max(0, crossings[pair]), min(Double(columns), crossings[pair + 1]))
          guard low < high else { continue }
          for column in Int(low)...min(columns - 1, Int(high)) {
            let part = min(high, Double(column + 1)) - max(low, Double(column))
            covered[column] += max(0, part) / Double(Self.samples)
          }
        }
      }
      for column in 0..<columns where covered[column] > 0 {
        blend(color, row: row, column: column, min(1, covered[column]))
      }
    }
  }

  private mutating func blend(_ color: UInt32, row: Int, column: Int, _ coverage: Double) {
    let place = (row * columns + column) * 3
    for part in 0..<3 {
      let (own, new) = (Double(pixels[place + part]), Double(color >> UInt32(16 - 8 * part) & 255))
      pixels[place + part] = UInt8((own + (new - own) * coverage).rounded())
    }
  }

  // MARK: Files

  /// The picture as a file of PNG has it: colours of 8 bits, rows as they are.
  package var png: [UInt8] {
    var data: [UInt8] = []
    data.reserveCapacity(rows * (3 * columns + 1))
    for row in 0..<rows {
      data.append(0)
      data += pixels[row * columns * 3..<(row + 1) * columns * 3]
    }
    func number(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
      let named = Array(name.utf8) + data
      return number(UInt32(data.count)) + named + number(Self.checksum(named))
    }
    let header = number(UInt32(columns)) + number(UInt32(rows)) + [8, 2, 0, 0, 0]
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", header)
      + chunk("IDAT", Deflate.packed(data, stride: 3 * columns + 1)) + chunk("IEND", [])
  }

  /// CRC-32, as PNG has it.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let table = (0..<256).map { index -> UInt32 in
      var value = UInt32(index)
      for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
      return value
    }
    var sum = ~UInt32(0)
    for byte in bytes { sum = table[Int((sum ^ UInt32(byte)) & 255)] ^ (sum >> 8) }
    return ~sum
  }
}

extension Picture {
  /// The picture as a file of PNG, two pixels a unit.
  package func png(_ theme: Theme) -> [UInt8] {
    var bitmap = Bitmap(width: width, height: height, scale: 2, theme)
    draw(on: &bitmap)
    return bitmap.png
  }
}
