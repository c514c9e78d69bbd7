// The means of queries: turned back they are those of position 0, and a file keeps them for its model alone.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import Foundation
import Testing

struct CalibrationTests {
  private final class Queries: ForwardObserver {
    /// Of the first layer, `[T, H, D]`.
    var first: [Float] = []
    func wants(_ quantity: Observed) -> Bool { quantity == .query }
    func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) {
      if layer == 0 { first += values }
    }
  }

  /// In the first layer a query before RoPE depends on its token alone: at position 0 it is what RoPE leaves as it is. A borrowed
  /// channel, which is zero after RoPE, has no such way back.
  @Test(arguments: Fixture.all.filter { !$0.name.contains("neuron") })
  func queriesAreTurnedBack(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    var options = Engine.Options()
    (options.context, options.chunk) = (37, 16)
    let engine = try Engine(decoder, on: Machine(threads: 2), options)
    let calibration = try QueryCalibration.measure(Array(repeating: 7, count: 100), on: engine)
    let seen = Queries()
    engine.observer = seen
    try engine.prefill([7], into: engine.makeCache(policy: .keepAll))
    let shape = decoder.configuration
    let (half, scale) = (shape.headDim / 2, shape.rope.attentionFactor)
    let tolerance = 1e-4 * largest(seen.first) / scale
    for head in 0..<shape.heads {
      for channel in 0..<shape.headDim {
        let place = head * shape.headDim + channel
        #expect(abs(calibration.centers[place] - seen.first[place] / scale) <= tolerance, "\(place)")
      }
      for frequency in 0..<half {
        let x = seen.first[head * shape.headDim + frequency]
        let y = seen.first[head * shape.headDim + half + frequency]
        let length = (x * x + y * y).squareRoot() / scale
        #expect(abs(calibration.lengths[head * half + frequency] - length) <= tolerance)
      }
    }
  }

  @Test func aFileKeepsItForItsModel() throws {
    let fixture = try #require(Fixture.all.first { $0.name == "qwen3" })
    let decoder = try fixture.decoder()
    let engine = try Engine(decoder, on: Machine(threads: 1))
    let calibration = try QueryCalibration.measure([1, 2, 3, 4, 5], on: engine)
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try calibration.write(to: path, of: decoder)
    let read = try QueryCalibration(path: path, of: decoder)
    #expect(read == calibration && read.description == calibration.description)
    #expect(read.frequencies == calibration.frequencies)
    #expect(try engine.policy(.triAttention, budget: .tokens(200), calibration: read).name == "triattention")
    for other in Fixture.all where other.name != "qwen3" && other.name != "qwen3-config-v5" {
      #expect(throws: InputError.self) { try QueryCalibration(path: path, of: other.decoder()) }
    }
    #expect(throws: InputError.self) { try QueryCalibration(path: fixture.folder + "/model.safetensors", of: decoder) }
    #expect(throws: InputError.self) { try QueryCalibration.measure([], on: engine) }
  }
}
