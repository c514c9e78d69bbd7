// Pictures of pixels: what is packed unpacks, files are what PNG says, areas and lines cover what they cover.

import DMSPlatform
import Testing

@testable import DMSEvaluation

struct BitmapTests {
  @Test func whatIsPackedUnpacks() {
    var random = RandomStream(seed: 8)
    var inputs: [[UInt8]] = [
      [], [7], [1, 2, 3], Array(repeating: 0, count: 100_000), Array((0...255).map(UInt8.init)),
    ]
    inputs.append((0..<70_000).map { _ in UInt8.random(in: 0...255, using: &random) })
    // Repetitions at all distances, up to beyond the window.
    let piece = (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) }
    inputs.append((0..<40).flatMap { gap in piece + Array(repeating: UInt8(gap), count: gap * gap * 3) })
    inputs.append((0..<2000).map { UInt8($0 / 7 % 5) })
    for input in inputs {
      for stride in [1, 5, 300, 40_000] {
        let packed = Deflate.packed(input, stride: stride)
        #expect(Inflate.unpacked(packed, most: input.count) == input, "\(input.count), \(stride)")
      }
    }
    #expect(Deflate.packed(inputs[3], stride: 1).count < 1000)
  }

  @Test func checksumsAreThoseOfTheirSpecifications() {
    #expect(Deflate.checksum(Array("Wikipedia".utf8)) == 0x11E6_0398)
    #expect(Bitmap.checksum(Array("IEND".utf8)) == 0xAE42_6082)
    #expect(Bitmap.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
  }

  /// Width, height and pixels of a file, read by its specification.
  private func read(_ png: [UInt8]) throws -> (width: Int, height: Int, pixels: [[UInt8]]) {
    func number(_ place: Int) -> Int { png[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
    #expect(png.prefix(8) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
    var (place, chunks) = (8, [String: [UInt8]]())
    while place < png.count {
      let length = number(place)
      let named = Array(png[place + 4..<place + 8 + length])
      #expect(number(place + 8 + length) == Int(Bitmap.checksum(named)))
      chunks[String(decoding: named.prefix(4), as: UTF8.self)] = Array(named.dropFirst(4))
      place += 12 + length
    }
    #expect(Set(chunks.keys) == ["IHDR", "IDAT", "IEND"])
    let (width, height) = (number(16), number(20))
    #expect(chunks["IHDR"]?.suffix(5) == [8, 2, 0, 0, 0])
    let rows = try #require(Inflate.unpacked(chunks["IDAT"] ?? [], most: height * (3 * width + 1)))
    #expect(rows.count == height * (3 * width + 1))
    let pixels = (0..<height * width).map { index in
      let place = index / width * (3 * width + 1) + 1 + index % width * 3
      return Array(rows[place..<place + 3])
    }
    return (width, height, pixels)
  }

  @Test func areasAndLinesCoverWhatTheyCover() throws {
    var bitmap = Bitmap(width: 8, height: 4, scale: 1, .light)
    bitmap.rectangle(0, 0, 8, 4, .ground)
    // Half of a column's first pixel, and a quarter of its second.
    bitmap.rectangle(2.5, 0, 0.5, 1, .text)
    bitmap.rectangle(2.75, 1, 0.25, 1, .text)
    bitmap.line([Place(4, 2.5), Place(8, 2.5)], .text, width: 1)
    let (width, height, pixels) = try read(bitmap.png)
    #expect(width == 8 && height == 4)
    func red(_ x: Int, _ y: Int) -> Int { Int(pixels[y * 8 + x][0]) }
    #expect(red(0, 0) == 255 && red(2, 0) == 143 && red(2, 1) == 199 && red(3, 0) == 255)
    #expect(red(5, 2) == 0x1F && red(5, 1) == 255 && red(5, 3) == 255)
    // Outside there is nothing to draw on.
    bitmap.line([Place(-100, -100), Place(100, -50)], .text, width: 3)
    bitmap.rectangle(-9, 2, 4, 900, .text)
    bitmap.rectangle(7, 3, 100, 100, .text)
    #expect(try read(bitmap.png).pixels[3 * 8 + 7][0] == 0x1F)
  }

  @Test func aPictureIsTheSameInBothFormsAndEveryThemeHasItsOwn() throws {
    let picture = Picture(width: 100, [Chart("Title", axis: "step", .linear, [], width: 100, height: 90)])
    let (light, dark) = (try read(picture.png(.light)), try read(picture.png(.dark)))
    #expect(light.width == 200 && light.height == 180 && dark.width == 200)
    #expect(light.pixels[0] == [255, 255, 255] && dark.pixels[0] == [0x0D, 0x11, 0x17])
    #expect(light.pixels.contains([0x57, 0x60, 0x6A]) || light.pixels.contains { $0[0] < 0x70 })
  }

  @Test func everySignOfAChartHasALetter() {
    let box = StrokeFont.lines(of: "\u{1F600}")
    for scalar in 33...126 {
      let lines = StrokeFont.lines(of: Character(UnicodeScalar(UInt8(scalar))))
      #expect(!lines.isEmpty && lines != box, "\(scalar)")
      #expect(
        lines.allSatisfy { $0.count > 1 && $0.allSatisfy { (-0.5...7.5).contains($0.x) && (-10...5).contains($0.y) } })
    }
    for sign in "–×…·" { #expect(StrokeFont.lines(of: sign) != box) }
    #expect(StrokeFont.lines(of: " ").isEmpty)
  }
}
