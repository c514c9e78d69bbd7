// Points of a chart: forms that are told apart without colours, and names beside them that hide as little as they can.

import Glibc

/// The form of a series' points.
package struct MarkForm: Sendable, Equatable {
  private let corners: Int
  /// Of a turn, where the first corner is; 0 is up.
  private let turn: Double

  private static let all = [
    MarkForm(corners: 20, turn: 0), MarkForm(corners: 4, turn: 0.125), MarkForm(corners: 3, turn: 0),
    MarkForm(corners: 4, turn: 0), MarkForm(corners: 3, turn: 0.5), MarkForm(corners: 5, turn: 0),
    MarkForm(corners: 6, turn: 1.0 / 12),
  ]

  /// A round one.
  package static let dot = all[0]

  /// The form of a series; colours come back after eight, forms after seven.
  package static func of(series: Int) -> MarkForm { all[series % all.count] }

  private init(corners: Int, turn: Double) { (self.corners, self.turn) = (corners, turn) }

  /// The corners, clockwise from the first.
  package func outline(at place: Place, radius: Double) -> [Place] {
    // Forms of few corners have less area in the same circle.
    let size = radius * (corners == 3 ? 1.35 : corners == 4 ? 1.2 : 1.05)
    return (0..<corners).map { corner in
      let angle = 2 * Double.pi * (turn + Double(corner) / Double(corners))
      return Place(place.x + size * sin(angle), place.y - size * cos(angle))
    }
  }
}

/// Puts names beside points.
struct LabelPlacement {
  /// What a name takes.
  struct Box {
    var (left, right, top, bottom): (Double, Double, Double, Double)

    func overlap(_ other: Box) -> Double {
      max(0, min(right, other.right) - max(left, other.left)) * max(0, min(bottom, other.bottom) - max(top, other.top))
    }
    var area: Double { (right - left) * (bottom - top) }
  }

  private let frame: Box
  private var taken: [Box] = []

  init(frame: Box) { self.frame = frame }

  /// Keeps names off what is drawn around a place.
  mutating func avoid(_ place: Place, radius: Double) {
    taken.append(
      Box(left: place.x - radius, right: place.x + radius, top: place.y - radius, bottom: place.y + radius))
  }

  /// Keeps names off a line.
  mutating func avoid(from start: Place, to end: Place) {
    let steps = max(1, Int(max(abs(end.x - start.x), abs(end.y - start.y)) / 6))
    for step in 0...steps {
      let part = Double(step) / Double(steps)
      avoid(Place(start.x + (end.x - start.x) * part, start.y + (end.y - start.y) * part), radius: 1.5)
    }
  }

  /// The place of a name's baseline, and how the name stands to it: where it hides least, rather beside or above its point.
  mutating func place(_ text: String, beside point: Place) -> (Place, TextAnchor) {
    let width = textWidth(text)
    let choices: [(Double, Double, TextAnchor)] = [
      (9, 4, .start), (0, -10, .middle), (-9, 4, .end), (8, -7, .start), (-8, -7, .end), (8, 15, .start),
      (0, 20, .middle),
      (-8, 15, .end), (0, -24, .middle), (0, 34, .middle), (14, -20, .start), (-14, -20, .end), (14, 28, .start),
      (-14, 28, .end),
    ]
    var best: (cost: Double, place: Place, anchor: TextAnchor, box: Box)?
    for (index, (x, y, anchor)) in choices.enumerated() {
      let place = Place(point.x + x, point.y + y)
      let left =
        switch anchor {
        case .start: place.x
        case .middle: place.x - width / 2
        case .end: place.x - width
        }
      let box = Box(left: left, right: left + width, top: place.y - 10, bottom: place.y + 3)
      let outside = box.area - box.overlap(frame)
      let cost = taken.reduce(Double(index) + 20 * outside) { $0 + 2 * $1.overlap(box) }
      if cost < best?.cost ?? .infinity { best = (cost, place, anchor, box) }
    }
    guard let best else { return (point, .start) }
    taken.append(best.box)
    return (best.place, best.anchor)
  }
}
