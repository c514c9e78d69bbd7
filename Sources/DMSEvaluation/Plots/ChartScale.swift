// Axes: where values stand, and which numbers are written at them.

import Glibc

extension Chart {
  /// What equal distances on an axis are: equal differences or equal quotients.
  package enum Scale: Sendable { case linear, logarithmic }

  /// What goes across or up.
  package struct Axis: Sendable {
    /// What numbers stand for.
    package enum Unit: Sendable { case number, whole, thousands, bytes, percent }

    package let name: String
    package let scale: Scale
    package let unit: Unit

    package init(_ name: String, _ scale: Scale = .linear, _ unit: Unit = .number) {
      (self.name, self.scale, self.unit) = (name, scale, unit)
    }

    /// Ticks with their numbers as they are written.
    func ticks(_ range: ClosedRange<Double>) -> [(value: Double, text: String)] {
      // Bytes are counted in binary units, and so are their ticks.
      let unit = self.unit == .bytes ? pow(1024, max(0, floor(log(range.upperBound) / log(1024)))) : 1
      let values = scale.ticks(range.lowerBound / unit...range.upperBound / unit).map { $0 * unit }
      switch self.unit {
      case .number: return values.map { ($0, Chart.label($0, among: values)) }
      case .whole:
        let whole = values.filter { $0 == $0.rounded() }
        return whole.map { ($0, Chart.label($0, among: whole)) }
      case .percent:
        let shares = values.map { 100 * $0 }
        return values.map { ($0, Chart.label(100 * $0, among: shares)) }
      case .thousands:
        return values.map { value in
          let (size, name) = value >= 1e9 ? (1e9, "G") : value >= 1e6 ? (1e6, "M") : value >= 1e4 ? (1e3, "k") : (1, "")
          return (value, Chart.label(value / size, among: values.map { $0 / size }) + name)
        }
      case .bytes:
        let names = ["B", "KiB", "MiB", "GiB", "TiB"]
        let name = names[min(names.count - 1, Int((log2(unit) / 10).rounded()))]
        let numbers = values.map { $0 / unit }
        return zip(values, numbers).map { ($0, "\(Chart.label($1, among: numbers)) \(name)") }
      }
    }
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
  /// - Parameter room: beyond them, as a share of their distance.
  func range(from least: Double, to largest: Double, room share: Double = 0.05) -> ClosedRange<Double> {
    switch self {
    case .linear:
      let isOne = largest - least <= 1e-9 * max(abs(least), abs(largest))
      let room = isOne ? max(0.5 * abs(largest), 0.5) : share * (largest - least)
      return least - room...largest + room
    case .logarithmic:
      let decades = log10(largest) - log10(least)
      let room = pow(10, decades <= 1e-9 ? log10(2) : min(3, share * decades))
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
