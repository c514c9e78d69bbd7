// Decoders of real GGUF files against transformers' logits over the weights as gguf-py widens them.

import DMSCheckpoint
import DMSKernels
import DMSModel
import Foundation
import Testing

private let shared = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared/data/gguf").path
private let golden = try? SafetensorsFile(path: shared + "/golden.safetensors")
private let names = (golden?.names ?? []).filter { $0.hasSuffix(".logits") }.map { String($0.dropLast(7)) }

@Suite(.enabled(if: golden != nil, "needs ../shared/data/gguf"))
struct GGUFDecoderTests {
  private func run(_ name: String, _ arithmetic: Arithmetic, _ isa: InstructionSet? = nil, split: [Int]) throws -> Run {
    let ids = try #require(golden?.view("input_ids").flatMap { IntegerReader($0) })
    var options = Decoder.Options()
    options.arithmetic = arithmetic
    let machine = try Machine(threads: 2)
    let source = try ModelSource(path: "\(shared)/\(name).gguf")
    let run = try Run(Decoder(source, on: machine, options), instructions: isa)
    try run.read((0..<ids.count).map { Int(ids[$0]) }, split: split)
    return run
  }

  private func expected(_ name: String) throws -> [Float] {
    Array(try #require(golden?.view("\(name).logits")).bytes.bindMemory(to: Float.self))
  }

  @Test(arguments: names, [[48], [20, 7, 1]])
  func exactLogitsAreThoseOfTheReference(name: String, split: [Int]) throws {
    let (run, expected) = (try run(name, .exact, split: split), try expected(name))
    #expect(run.logits.count == expected.count)
    #expect(largestDifference(run.logits, expected) <= 1e-4 * largest(expected))
  }

  @Test(arguments: names, InstructionSet.available)
  func exactLogitsAreSoOnEveryInstructionSet(name: String, instructions: InstructionSet) throws {
    let (run, expected) = (try run(name, .exact, instructions, split: [40]), try expected(name))
    #expect(largestDifference(run.logits, expected) <= 1e-4 * largest(expected))
  }
}
