// What commands say of files: JSON for scripts, what is wrong with a folder, how far tensors are apart.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSCommand

struct ReportTests {
  private let model = models + "/tiny-cr8"

  private func expectSnakeCase(_ value: Any, _ comment: Comment) {
    if let object = value as? [String: Any] {
      for (key, member) in object {
        #expect(key.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "_") }, "\(key)")
        expectSnakeCase(member, comment)
      }
    }
    for element in value as? [Any] ?? [] { expectSnakeCase(element, comment) }
  }

  @Test func everyReportsKeysAreInSnakeCase() throws {
    try withFolder { folder in
      let ids = fixtures + "/qwen3-dms-neuron-head/golden.safetensors"
      for arguments in [
        ["run", model, "hi", "--max-tokens", "2"],
        ["bench", model, "--prompt", "2", "--generate", "1", "--repetitions", "1"],
        [
          "perplexity", fixtures + "/qwen3-dms-neuron-head", "--tokens", ids, "--against",
          fixtures + "/qwen3-dms-neuron-head",
        ],
        ["evaluate", model, model, "--problems", "1", "--size", "20-40", "--output", folder + "/run"],
      ] {
        let outcome = try dms(arguments + ["--json"])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let report = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        #expect((report as? [String: Any])?.isEmpty == false)
        expectSnakeCase(report, "\(arguments[0])")
      }
      let answers = try String(contentsOfFile: folder + "/run/records.jsonl", encoding: .utf8).split(separator: "\n")
      #expect(answers.count == 6)
      for line in answers { expectSnakeCase(try JSONSerialization.jsonObject(with: Data(line.utf8)), "answers") }
    }
  }

  @Test func aSeedIsWrittenExactly() throws {
    for (seed, written) in [("1000", "\"seed\":1000,"), ("18446744073709551615", "\"seed\":\"18446744073709551615\",")]
    {
      let outcome = try dms("evaluate", model, "--problems", "1", "--size", "20-40", "--json", "--seed", seed)
      #expect(outcome.output.contains(written), "\(outcome.output)")
    }
  }

  @Test func measuredNumbersAreRounded() {
    for (value, places, line) in [
      (1234.56789, 3, "1234.568"), (0, 3, "0.0"), (-0.00051, 3, "-0.001"), (12, 4, "12.0"), (1e300, 3, "1e+300"),
    ] {
      #expect(JSON.rounded(value, places).line == line)
    }
    for value in [Double.nan, .infinity, -.infinity] {
      guard case .number(let number) = JSON.rounded(value, 3) else { continue }
      #expect(!number.isFinite)
    }
  }

  private func write(_ path: String, _ numbers: [Float]) throws {
    let writer = try SafetensorsWriter(path: path, tensors: [.init("t", .f32, [numbers.count])])
    try numbers.withUnsafeBytes { try writer.write($0, to: "t") }
    try writer.finish()
  }

  @Test func compareNeverCallsNaNEqual() throws {
    try withFolder { folder in
      try write(folder + "/nan", [1, .nan, 3])
      try write(folder + "/number", [1, 2, 3])
      try write(folder + "/infinity", [1, .infinity, 3])
      for (a, b, counts) in [
        ("nan", "nan", "1 times in A and 1 times in B"), ("nan", "number", "1 times in A and 0 times in B"),
        ("number", "nan", "0 times in A and 1 times in B"), ("infinity", "nan", "0 times in A and 1 times in B"),
      ] {
        let outcome = try dms("compare", "\(folder)/\(a)", "\(folder)/\(b)", "--tolerance", "1e300")
        #expect(outcome.code == 1)
        #expect(
          outcome.output.contains("FAIL t [3] is not a number (NaN) \(counts), first at [1]"), "\(outcome.output)")
      }
      #expect(try dms("compare", folder + "/infinity", folder + "/infinity").code == 0)
    }
  }

  /// The shape on stdout, and of what is damaged one line each on stderr.
  private func expectShown(_ folder: String, code: Int32 = 0, _ said: [String], _ shown: String) throws {
    let outcome = try dms("inspect", folder)
    #expect(outcome.code == code, "\(outcome.errors)")
    let lines = outcome.errors.split(separator: "\n")
    #expect(lines.count == said.count && zip(lines, said).allSatisfy { $0.hasPrefix("dms: \($1)") }, "\(lines)")
    #expect(outcome.output.hasPrefix("architecture  qwen3, ") && outcome.output.contains("32768 tokens"))
    #expect(outcome.output.contains(shown), "\(outcome.output)")
  }

  @Test func inspectCountsWhatWindowsKeep() throws {
    try withFolder { folder in
      try """
      {"model_type": "smollm3", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
       "num_hidden_layers": 4, "vocab_size": 8, "intermediate_size": 8, "max_position_embeddings": 65536,
       "use_sliding_window": true, "sliding_window": 2048}
      """.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let outcome = try dms("inspect", folder)
      #expect(outcome.code == 0, "\(outcome.errors)")
      for words in [
        "smollm3, 4 layers", "2 KV heads of 16, window 2048 in 1 of 4 layers, no RoPE in 1 of 4 layers",
        "none: sliding layers keep their window", "cache in BF16   with windows", "1024 tokens   512.0 KiB",
        "8192 tokens   3.25 MiB", "32768 tokens  12.3 MiB",
      ] { #expect(outcome.output.contains(words), "\(words) in\n\(outcome.output)") }
    }
  }

  @Test func inspectSaysWhatIsWrongWithWeights() throws {
    try withFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: fixtures + "/qwen3", toPath: copy)
      let path = copy + "/model.safetensors"
      let weights = try Data(contentsOf: URL(filePath: path))
      try expectShown(copy, [], "parameters")
      for (damaged, problem) in [
        (weights.prefix(1000), "its header of"), (weights.dropLast(1), "tensor"), (Data(), "it has 0 bytes"),
        (Data("version https://git-lfs.github.com/spec/v1".utf8), "its header would have"),
      ] {
        try damaged.write(to: URL(filePath: path))
        try expectShown(
          copy, code: 1, ["\(path): not a valid safetensors file: \(problem)"], "weights       cannot be read")
      }
      try FileManager.default.removeItem(atPath: path)
      try expectShown(copy, [], "weights       not here\n")
      try DMSCommandTests.write("", copy + "/pytorch_model-00001-of-00002.bin")
      try expectShown(copy, [], "weights       not here (pytorch_model-00001-of-00002.bin is not read")
      let index = path + ".index.json"
      for (text, problem) in [
        (
          #"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#,
          "\(index): 2 of 2 files that the index names are missing"
        ),
        (
          #"{"weight_map": {"a": "1.safetensors"}}"#,
          "\(copy)/1.safetensors: the index names this file, and it is missing"
        ),
        ("{", "\(index), line 1: not valid JSON"), ("{}", "\(index): no weight_map"),
      ] {
        try DMSCommandTests.write(text, index)
        try expectShown(copy, code: 1, [problem], "weights       cannot be read")
      }
      try FileManager.default.removeItem(atPath: index)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "blobs/absent")
      try expectShown(copy, code: 1, ["\(path): no such file"], "weights       cannot be read")
    }
  }

  @Test func inspectSaysWhatIsWrongWithText() throws {
    try withFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: model, toPath: copy)
      try expectShown(copy, [], "text          617 tokens, chat template\n")
      for (name, text, shown) in [
        ("tokenizer.json", "{", "text          cannot be read"),
        ("chat_template.jinja", "{% if %}", "617 tokens, cannot be read"),
        ("generation_config.json", "{\"top_k\": \"x\"}", "sampling      cannot be read"),
      ] {
        let former = try? Data(contentsOf: URL(filePath: "\(copy)/\(name)"))
        try DMSCommandTests.write(text, "\(copy)/\(name)")
        try expectShown(copy, code: 1, ["\(copy)/\(name)"], shown)
        try FileManager.default.removeItem(atPath: "\(copy)/\(name)")
        try former?.write(to: URL(filePath: "\(copy)/\(name)"))
      }
      for (text, shown) in [
        (#"{"do_sample": true, "temperature": 0.6, "top_k": 20}"#, "temperature 0.60, top-k 20\n"),
        (
          #"{"num_beams": 4, "no\nsense": 1, "top_k": 20}"#,
          "the most likely token; num_beams, no\\nsense not honoured\n"
        ),
      ] {
        try DMSCommandTests.write(text, copy + "/generation_config.json")
        try expectShown(copy, [], "sampling      " + shown)
      }
    }
  }

  @Test func quantisedWeightsAreShownAndNotRun() throws {
    try withFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: model, toPath: copy)
      let config = try String(contentsOfFile: copy + "/config.json", encoding: .utf8)
      let end = try #require(config.lastIndex(of: "}"))
      for (key, value, name) in [
        ("quantization_config", #"{"quant_method": "gptq", "bits": 4}"#, "GPTQ in 4 bits"),
        ("quantization_config", #"{"quant_method": "fp8"}"#, "FP8"),
        ("quantization", #"{"group_size": 64, "bits": 8}"#, "MLX in 8 bits"),
      ] {
        try DMSCommandTests.write(config[..<end] + ",\"\(key)\": \(value)}", copy + "/config.json")
        try expectShown(copy, [], "quantised by \(name): cannot be run; use the unquantised checkpoint")
        for arguments in [
          ["run", copy, "hi"], ["chat", copy], ["quantize", copy, folder + "/q8", "--weights", "q8"], ["bench", copy],
          ["trace", copy, "--prompt", "hi", "-o", folder + "/out"], ["evaluate", copy, "--problems", "1"],
          ["perplexity", copy, "--tokens", fixtures + "/qwen3/golden.safetensors"],
        ] {
          let outcome = try dms(arguments)
          expectFailure(outcome, "\(arguments[0])")
          #expect(outcome.errors.contains("quantised by \(name)") && outcome.errors.contains("dms quantize"))
        }
      }
      try DMSCommandTests.write(config[..<end] + ",\"quantization_config\": null}", copy + "/config.json")
      #expect(try dms("run", copy, "hi", "--max-tokens", "1").code == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["model"])
    }
  }

  @Test func errorsAreOneLineWhateverIsInThem() throws {
    for path in ["/none\nthere", "/a\u{1B}[31mred", "/tab\there", "/c1\u{9B}31m", "/line\u{2028}end"] {
      try expectFailure(dms("inspect", path), "\(path.debugDescription)")
      #expect(
        oneLine(path).unicodeScalars.allSatisfy {
          $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) && $0 != "\u{2028}"
        })
    }
    #expect(oneLine("a\nb\t\u{1B}é模") == "a\\nb\\t\\u{1B}é模")
    #expect(oneLine(String(repeating: "\0", count: 5000), most: 4096).utf8.count <= 4100)
  }
}
