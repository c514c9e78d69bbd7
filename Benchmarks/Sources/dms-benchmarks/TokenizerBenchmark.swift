// The tokenizer beside Hugging Face's, in turn, on one thread.

import ArgumentParser
import DMS

struct TokenizerBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Loading and encoding beside Hugging Face tokenizers (pip install tokenizers).")

  @Option(help: "A folder with tokenizer.json.") var model = "../../shared/data/qwen3-tokenizer"
  @Option(help: "The text to encode.") var text = "../../shared/data/corpus/war-and-peace.txt"
  @Option(help: "Repetitions.") var repetitions = 5

  func run() throws {
    printProvenance(threads: 1)
    let text = try MappedText(self.text).text
    var (loads, encodes, peerLoads, peerEncodes): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
    var counts: Set<Int> = []
    for _ in 0..<repetitions {
      var tokenizer: Tokenizer?
      loads.append(try seconds { tokenizer = try Tokenizer(folder: model) })
      guard let tokenizer else { return }
      encodes.append(seconds { counts.insert(tokenizer.encode(text, addSpecialTokens: false).count) })
      let peer = output(
        of: "RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false python3 tokenizer_peer.py '\(model)' '\(self.text)'"
      ).split(separator: " ").compactMap { Double($0) }
      guard peer.count == 3 else { continue }
      peerLoads.append(peer[0])
      peerEncodes.append(peer[1])
      counts.insert(Int(peer[2]))
    }
    print("load   \(Measurement(loads).text) s · tokenizers \(Measurement(peerLoads).text) s")
    print("encode \(Measurement(encodes).text) s · tokenizers \(Measurement(peerEncodes).text) s")
    print("tokens \(counts.sorted())")
  }
}
