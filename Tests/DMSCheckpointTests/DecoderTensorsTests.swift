// The table of a decoder's tensors against checkpoints that the reference implementations wrote.

import DMSCheckpoint
import Testing

@Suite struct DecoderTensorsTests {
  @Test func theTableIsWhatACheckpointHolds() throws {
    let folders = fixtureFolders()
    try #require(!folders.isEmpty)
    for folder in folders {
      let checkpoint = try Checkpoint(folder: folder)
      let shape = checkpoint.configuration
      let stored = DecoderTensors(shape).all.filter { $0.use != .borrowed }
      for tensor in stored { _ = try checkpoint.tensor(tensor.name, shape: tensor.shape) }
      // Nothing lies in the files that the table does not name, but for a head that is tied.
      let tied = shape.tiedEmbeddings && checkpoint.hasTensor("lm_head.weight") ? shape.vocabulary * shape.hidden : 0
      #expect(stored.reduce(tied) { $0 + $1.shape.reduce(1, *) } == checkpoint.parameters, "\(folder)")
      #expect(Set(stored.map(\.name)).count == stored.count)
    }
  }

  @Test func whatDecidesIsNeverConverted() throws {
    for folder in fixtureFolders() {
      let shape = try ModelConfiguration(folder: folder)
      for tensor in DecoderTensors(shape).all {
        let decides = [.decision, .decisionNorm].contains(tensor.role) || tensor.part == .borrowed
        #expect((tensor.use == .converted) == (tensor.shape.count == 2 && !decides), "\(tensor.name)")
        #expect(tensor.part != .borrowed || shape.dms?.separateAlpha == false)
      }
    }
  }
}
