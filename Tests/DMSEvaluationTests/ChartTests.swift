// Charts: axes that are what they say, ticks inside the frame, legends with marks, values that have no place.

import DMSPlatform
import Glibc
import Testing

@testable import DMSEvaluation

struct ChartTests {
  private func chart(_ scale: Chart.Scale, _ values: [[Double]], from step: Double = 1) -> String {
    let lines = values.enumerated().map { index, values in
      Chart.Line(
        "line \(index)", ink: .series(index),
        points: values.enumerated().map { (step + Double($0.offset), $0.element) })
    }
    return body(Chart("Title", axis: "step", scale, lines, width: 720, height: 260))
  }

  private func body(_ panel: some Panel) -> String {
    var canvas = SVGCanvas()
    panel.draw(on: &canvas)
    return canvas.body
  }

  /// The texts of a picture with their places.
  private func texts(_ svg: String) -> [(x: Double, y: Double, anchor: String, text: String)] {
    svg.matches(of: /<text x="([-0-9.]+)" y="([-0-9.]+)" text-anchor="(\w+)"[^>]*>([^<]*)</).compactMap {
      guard let x = Double($0.1), let y = Double($0.2) else { return nil }
      return (x, y, String($0.3), String($0.4))
    }
  }

  /// Of the ticks of what goes up: their numbers and where they stand.
  private func ticks(_ svg: String) -> [(value: Double, y: Double)] {
    texts(svg).filter { $0.anchor == "end" && $0.x == 58 }.compactMap { text in
      Double(text.text).map { ($0, text.y - 4) }
    }
  }

  @Test func aDecadeIsAsLongAsEveryOther() throws {
    let found = ticks(chart(.logarithmic, [[0.003, 0.7, 40, 9]]))
    #expect(found.map(\.value) == [0.01, 0.1, 1, 10])
    let distances = zip(found, found.dropFirst()).map { $0.y - $1.y }
    for distance in distances { #expect(abs(distance - distances[0]) < 0.03) }
    #expect(distances[0] > 30)
  }

  @Test(arguments: [
    [1e-6, 3, 200], [0.92, 0.95, 0.97], [2, 2.5, 8], [0.5, 5.2], [3, 3, 3], [1e-200, 1e200], [7], [0.1, 0.10000001],
  ])
  func ticksAreInTheFrameAndWhereTheirNumbersAre(values: [Double]) {
    for scale in [Chart.Scale.linear, .logarithmic] {
      let found = ticks(chart(scale, [values]))
      #expect((2...12).contains(found.count), "\(scale): \(found)")
      #expect(found.allSatisfy { (40...216).contains($0.y) })
      #expect(Set(found.map(\.value)).count == found.count, "\(scale): \(found)")
      // Equal steps of the scale are equal distances.
      let rates = zip(found, found.dropFirst()).map { a, b in
        (a.y - b.y) / (scale.place(b.value) - scale.place(a.value))
      }
      for rate in rates { #expect(abs(rate / rates[0] - 1) < 0.02, "\(scale): \(found)") }
    }
  }

  @Test func aSeededRangeHasTicksEverywhere() {
    var random = RandomStream(seed: 11)
    for _ in 0..<2000 {
      let low = Double.random(in: -9...9, using: &random)
      let high = low + Double.random(in: 0.001...9, using: &random)
      let range = Chart.Scale.logarithmic.range(from: pow(10, low), to: pow(10, high))
      let found = Chart.Scale.logarithmic.ticks(range)
      #expect((2...12).contains(found.count) && found.allSatisfy(range.contains), "\(range): \(found)")
    }
  }

  @Test func aLegendHasEachLinesMarkBesideItsName() throws {
    let svg = chart(.linear, [[1, 2, 3], [3, 2, 1]])
    let names = texts(svg).filter { $0.y == 20 }
    #expect(names.map(\.text).sorted() == ["Title", "line 0", "line 1"])
    for index in 0...1 {
      let name = try #require(names.first { $0.text == "line \(index)" })
      let mark = "points=\"\(Int(name.x) - 30),16 \(Int(name.x) - 6),16\" fill=\"none\" class=\"stroke-series\(index)\""
      #expect(svg.contains(mark), "\(svg)")
    }
    // Left to right without overlap, at 7 units a letter and 30 for a mark.
    let ordered = names.sorted { $0.x < $1.x }
    for (a, b) in zip(ordered, ordered.dropFirst()) { #expect(a.x + 7 * Double(a.text.count) < b.x - 30) }
  }

  @Test func whatHasNoPlaceIsLeftOutAndSaid() {
    let svg = chart(.logarithmic, [[1, .nan, 2, 3, 0, -1, 4, .infinity]])
    // 1 and 4 stand alone, 2 and 3 are a line.
    #expect(svg.components("<polygon") == 2)
    #expect(svg.contains("4 values"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
    #expect(!chart(.logarithmic, [[1, 2]]).contains("left out"))
    #expect(chart(.linear, [[0, -1, .nan]]).contains("1 values"))
  }

  @Test(arguments: [[[]], [], [[.nan]], [[0]], [[5]], [[-3]]] as [[[Double]]])
  func nothingToShowIsAnEmptyFrame(values: [[Double]]) {
    for scale in [Chart.Scale.linear, .logarithmic] {
      let svg = chart(scale, values)
      #expect(!svg.contains("nan") && !svg.contains("inf"))
      #expect(ticks(svg).count >= 2)
    }
  }

  @Test func namesAreEscaped() {
    var canvas = SVGCanvas()
    canvas.text("a < b & c", 0, 0)
    #expect(canvas.body.contains("a &lt; b &amp; c<"))
  }
}

extension String {
  fileprivate func components(_ part: String) -> Int { ranges(of: part).count }
}
