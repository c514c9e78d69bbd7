// A checkpoint that was written in another form is the model that loading would have made of it.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSTensor
import Foundation
import Testing

struct CheckpointConversionTests {
  private static let formats = WeightFormat.allCases.filter { $0 != .asStored }

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "dms-conversion-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func bits(_ decoder: Decoder, _ ids: [Int], split: [Int]) throws -> [UInt32] {
    let run = try Run(decoder)
    try run.read(ids, split: split)
    return (run.logits + run.decisionLogits.joined()).map(\.bitPattern)
  }

  @Test(arguments: Fixture.all, formats)
  func aWrittenFormIsTheLoadedOneToTheLastBit(fixture: Fixture, format: WeightFormat) throws {
    try withFolder { folder in
      let ids = try #require(fixture.integers("input_ids"))
      var conversion = try CheckpointConversion(to: format, on: Machine(threads: 2))
      var shares: [Double] = []
      conversion.progress = { shares.append($0) }
      let bytes = try conversion.write(ModelSource(path: fixture.folder), to: folder + "/written")
      #expect(shares == shares.sorted() && shares.last == 1)
      let written = Fixture(name: fixture.name, folder: folder + "/written", golden: fixture.golden)
      let checkpoint = try Checkpoint(folder: written.folder)
      #expect(checkpoint.weightBytes == bytes)
      let source = try Checkpoint(folder: fixture.folder).configuration
      #expect(
        checkpoint.configuration.dms == source.dms && checkpoint.configuration.tiedEmbeddings == source.tiedEmbeddings)
      // A written type is announced, and the fixtures choose the rotary type by what is announced.
      var options = Decoder.Options()
      options.rotaryType = source.storedType == .bf16 ? .bf16 : .f32
      let mapped = try Decoder(ModelSource(checkpoint), on: Machine(threads: 2), options)
      let loaded = try fixture.decoder(format)
      #expect(mapped.fingerprint == loaded.fingerprint)
      #expect(mapped.stepBytes == loaded.stepBytes)
      for split in [[ids.count], [7]] {
        #expect(try bits(mapped, ids, split: split) == bits(loaded, ids, split: split))
      }
      let isBlocks = [.q8, .q4].contains(format)
      #expect(mapped.weightFormat == (isBlocks ? format : .asStored))
      for other in WeightFormat.allCases where isBlocks && other != format && other != .asStored {
        var options = Decoder.Options()
        options.weights = other
        #expect(throws: (any Error).self) { try Decoder(ModelSource(checkpoint), on: Machine(threads: 2), options) }
      }
    }
  }

  @Test(arguments: Fixture.all)
  func blocksLieWhereTheyAreReadFast(fixture: Fixture) throws {
    try withFolder { folder in
      _ = try CheckpointConversion(to: .q8, on: Machine(threads: 2)).write(
        ModelSource(path: fixture.folder), to: folder + "/q8")
      let file = try SafetensorsFile(path: folder + "/q8/model.safetensors")
      let blocks = file.names.filter { $0.hasSuffix(".blocks") }
      #expect(!blocks.isEmpty)
      for name in blocks {
        let address = try #require(file.view(name)?.bytes.baseAddress)
        #expect(UInt(bitPattern: address) % 64 == 0, "\(name)")
      }
      let isTied = try Checkpoint(folder: fixture.folder).configuration.tiedEmbeddings
      #expect(file.names.contains("lm_head.weight.blocks") == !isTied)
      let borrows = try Checkpoint(folder: fixture.folder).configuration.dms.map { !$0.separateAlpha } ?? false
      #expect(file.names.contains("model.layers.0.self_attn.q_proj.weight.borrowed") == borrows)
      #expect(!file.names.contains { $0.contains("norm.weight.") || $0.contains("dms_proj_alpha.weight.") })
    }
  }

  @Test func cancellingLeavesNothing() throws {
    try withFolder { folder in
      let fixture = try #require(Fixture.all.first)
      var conversion = try CheckpointConversion(to: .q8, on: Machine(threads: 2))
      var questions = 0
      conversion.isCancelled = {
        questions += 1
        return questions == 5
      }
      #expect(throws: CancellationError.self) {
        try conversion.write(ModelSource(path: fixture.folder), to: folder + "/q8")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }
}
