// The command as its users see it: exit codes, stdout and stderr, files.

import DMSCheckpoint
import Foundation
import Testing

struct CommandTests {
  @Test(arguments: ["qwen3", "qwen2-r1-style", "qwen3-dms-neuron-high-cr", "qwen3-dms-adapter-head"])
  func aTraceEqualsItsGoldenValues(fixture: String) throws {
    try withFolder { folder in
      let golden = "\(fixtures)/\(fixture)/golden.safetensors"
      let names = try SafetensorsFile(path: golden).names.filter {
        !["dense_logits", "greedy_from_first_20"].contains($0)
      }
      for split in [nil, "40,24,1", "7,7,7"] {
        let out = folder + "/trace.safetensors"
        var arguments = ["trace", "\(fixtures)/\(fixture)", "--tokens", golden, "--output", out]
        if let split { arguments += ["--split", split] }
        #expect(try run(arguments).code == 0)
        let compared = try dms("compare", golden, out, "--only", names.joined(separator: ","))
        #expect(compared.code == 0, "\(compared.output)")
        #expect(compared.output.split(separator: "\n").count == names.count + 1)
      }
    }
  }

  private func run(_ arguments: [String]) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return Outcome(code: process.terminationStatus, output: "", errors: "")
  }

  @Test func theSameSplitIsBitIdenticalForAnyThreads() throws {
    try withFolder { folder in
      let model = fixtures + "/qwen3-dms-neuron-head"
      var contents: [Data] = []
      for threads in ["1", "2", "4"] {
        let out = "\(folder)/\(threads).safetensors"
        let outcome = try dms(
          "trace", model, "--tokens", model + "/golden.safetensors", "--split", "33,20", "--detail", "--threads",
          threads,
          "-o", out)
        #expect(outcome.code == 0)
        contents.append(try Data(contentsOf: URL(filePath: out)))
      }
      #expect(contents[0] == contents[1])
      #expect(contents[0] == contents[2])
      let detail = try SafetensorsFile(path: folder + "/1.safetensors")
      #expect(detail.view("layers.2.query")?.shape == [96, 8, 16])
      #expect(detail.view("layers.0.hidden")?.shape == [96, 64])
      #expect(detail.view("layers.1.key")?.shape == [96, 2, 16])
      #expect(detail.view("layers.1.attention")?.shape == [96, 8, 16])
    }
  }

  @Test func badInputIsOneLineAndLeavesNothing() throws {
    try withFolder { folder in
      let model = fixtures + "/qwen3"
      try write("[1, 2, 160]", folder + "/outside.json")
      try write("[1, -2]", folder + "/negative.json")
      try write("[1, 2", folder + "/broken.json")
      try write("[]", folder + "/empty.json")
      try write("[\(Array(repeating: "1", count: 513).joined(separator: ","))]", folder + "/long.json")
      for tokens in ["outside", "negative", "broken", "empty", "long", "absent"] {
        let out = folder + "/out.safetensors"
        try expectFailure(
          dms("trace", model, "--tokens", "\(folder)/\(tokens).json", "-o", out), "\(tokens)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).allSatisfy { $0.hasSuffix(".json") })
      }
      try expectFailure(dms("inspect", folder), "no config")
      try expectFailure(dms("compare", "/absent", "/absent"), "no file")
      try expectFailure(dms("run", model, "hello"), "no tokenizer")
      for (key, value) in [
        ("model_type", "\"mamba\""), ("num_hidden_layers", "NaN"), ("rms_norm_eps", "\"x\""), ("head_dim", "15"),
        ("rope_scaling", "{\"rope_type\":\"spiral\",\"factor\":2}"), ("hidden_act", "\"gelu\""),
      ] {
        let broken = "\(folder)/model"
        try? FileManager.default.removeItem(atPath: broken)
        try FileManager.default.copyItem(atPath: model, toPath: broken)
        let config = try String(contentsOfFile: broken + "/config.json", encoding: .utf8)
        // The last of two equal keys counts.
        let end = try #require(config.lastIndex(of: "}"))
        try write(config[..<end] + ",\"\(key)\":\(value)}", broken + "/config.json")
        try expectFailure(dms("inspect", broken), "\(key)")
      }
    }
  }

  @Test func aBenchmarkNeedsNoModelAndCountsWhatItReads() throws {
    let shape = "\(fixtures)/qwen3/config.json"
    let outcome = try dms(
      "bench", "--shape", shape, "--depth", "0,64", "--chains", "1,3", "--policy", "dense,dms", "--simulated-ratio",
      "4",
      "--simulated-window", "8", "--prompt", "9", "--generate", "3", "--repetitions", "2", "--json", "--threads", "2")
    #expect(outcome.code == 0, "\(outcome.errors)")
    let report = try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    let results = try #require(report["results"] as? [[String: Any]])
    #expect(results.count == 2 * 2 * 3)
    for result in results {
      let speed = try #require(result["tokens_per_second"] as? [String: Any])
      #expect((speed["samples"] as? [Double])?.count == 2 && (speed["median"] as? Double ?? 0) > 0)
      #expect(result["kv_bytes"] as? Int ?? 0 > 0)
      // A dense cache holds the depth and what was decoded; a sparse one about a quarter of what left its window.
      let live = try #require(result["live_tokens"] as? Double)
      if result["work"] as? String == "decode", result["depth"] as? Int == 64 {
        if result["policy"] as? String == "dense" { #expect(live >= 64) } else { #expect((10...45).contains(live)) }
      }
    }
    try expectFailure(dms("bench", "--shape", shape, "--policy", "dms"), "nothing decides")
    try expectFailure(dms("bench", "/nonexistent"), "no model")
  }

  @Test func theHardwareIsShownWithoutAModel() throws {
    let outcome = try dms("inspect", "--hardware")
    #expect(outcome.code == 0 && outcome.errors.isEmpty)
    for line in ["instructions", "processors", "memory node", "threads", "memory reads"] {
      #expect(outcome.output.contains(line), "\(line)")
    }
  }

  /// An answer that could not be written is a failure, whoever wrote it: the stream or `print`.
  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "needs /dev/full"),
    arguments: [["inspect", "qwen3"], ["compare", "qwen3/golden.safetensors", "qwen3/golden.safetensors"]])
  func aFullDiskUnderTheAnswerIsReported(arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms")
    process.arguments = arguments.prefix(1) + arguments.dropFirst().map { "\(fixtures)/\($0)" }
    process.standardOutput = FileHandle(forWritingAtPath: "/dev/full")
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let said = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 1)
    #expect(said.hasPrefix("dms: stdout: cannot be written"), "\(said)")
  }

  @Test(arguments: [
    ["trace"], ["nonsense"], ["run", "x", "--temperature", "-1", "y"],
    ["trace", "m", "--split", "0", "--tokens", "t", "-o", "o"],
    ["run", "m", "p", "--max-tokens", "0"], ["run", "m", "p", "--tokens", "t"], ["run", "m", "p", "--kv-type", "q1"],
    ["compare", "a", "b", "--tolerance", "-1"], ["run", "m", "p", "--context", "0"],
    ["run", "m", "p", "--stop", ""], ["run", "m", "p", "--weights", "q9"], ["run", "m", "p", "--isa", "mmx"],
    ["inspect"], ["bench"], ["bench", "m", "--shape", "s"], ["bench", "m", "--depth", "x"],
    ["bench", "m", "--policy", "dense,nonsense"],
    ["bench", "m", "--simulated-ratio", "0.5"], ["bench", "m", "--no-eviction"],
    ["quantize", "m", "o"], ["quantize", "m", "o", "--weights", "as-stored"], ["quantize", "m", "--weights", "q8"],
  ])
  func wrongUsageIsExitCodeTwo(arguments: [String]) throws { #expect(try run(arguments).code == 2) }

  @Test func compareFindsWhatDiffers() throws {
    let (a, b) = (fixtures + "/qwen3/golden.safetensors", fixtures + "/qwen3-config-v5/golden.safetensors")
    #expect(try dms("compare", a, a).code == 0)
    let outcome = try dms("compare", a, b)
    #expect(outcome.code == 1)
    #expect(outcome.output.contains("FAIL logits"))
    #expect(try dms("compare", a, b, "--only", "nothing").code == 1)
  }

  @Test func helpNamesEveryCommand() throws {
    let help = try dms("--help")
    #expect(help.code == 0)
    for command in ["run", "chat", "inspect", "quantize", "trace", "compare", "perplexity"] {
      #expect(help.output.contains("\n  \(command) "))
      #expect(try dms(command, "--help").code == 0)
    }
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func everyKnownConfigurationCanBeInspected() throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: shared + "/configs") {
      let outcome = try dms("inspect", "\(shared)/configs/\(name)")
      #expect(outcome.code == 0, "\(name): \(outcome.errors)")
      #expect(outcome.output.contains("32768 tokens"))
    }
    let sparse = try dms("inspect", shared + "/configs/Qwen3-8B-DMS-8x")
    #expect(sparse.output.contains("borrowed neuron, one decision per head, window 512"))
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func runAnswersOnStdoutAndSumsUpOnStderr() throws {
    let model = shared + "/stories260K"
    let story = try dms("run", model, "--raw", "", "--max-tokens", "40")
    #expect(story.code == 0)
    #expect(story.output.hasPrefix("Once upon a time, there was a little girl named Lily."))
    #expect(story.errors.contains("ratio 1.00"))
    let piped = try dms("run", model, "--max-tokens", "10", input: "Once upon a time\n")
    #expect(piped.output.hasPrefix(", there was"))
    let stopped = try dms("run", model, "Once upon a time", "--stop", "little", "--max-tokens", "40")
    #expect(stopped.output == ", there was a \n")
    let json = try dms("run", model, "Once", "--json", "--max-tokens", "5", "--temperature", "0.8", "--seed", "4")
    let members = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect((members["generated_ids"] as? [Int])?.count == 5)
    #expect(members["finish_reason"] as? String == "length")
    let again = try dms(
      "run", model, "Once", "--json", "--max-tokens", "5", "--temperature", "0.8", "--seed", "4", "--threads", "1")
    let repeated = try #require(try JSONSerialization.jsonObject(with: Data(again.output.utf8)) as? [String: Any])
    #expect(members["text"] as? String == repeated["text"] as? String)
    try expectFailure(dms("run", model, String(repeating: "long story ", count: 400)), "longer than the context")
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func aChatCanBePutAwayAndContinued() throws {
    try withFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: shared + "/stories260K", toPath: model)
      let template =
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: model)
      try write(template, model + "/chat_template.jinja")
      let file = folder + "/talk.session"
      let first = try dms("chat", model, "--session", file, "--max-tokens", "12", input: "hello\n/stats\nand then\n")
      #expect(first.code == 0, "\(first.errors)")
      #expect(first.output.split(separator: "\n", omittingEmptySubsequences: false).count >= 3)
      #expect(first.errors.contains("tokens are free"))
      let second = try dms("chat", model, "--session", file, "--max-tokens", "12", input: "go on\n/bye\nnever\n")
      #expect(second.errors.contains("2 turns"))
      #expect(second.code == 0)
      let reset = try dms(
        "chat", model, "--session", file, "--max-tokens", "5",
        input: "/reset\n/thinking\n/help\n/system Be brief.\nhi\n")
      #expect(reset.errors.contains("3 turns"))
      #expect(reset.code == 0)
      #expect(try dms("chat", model, "--session", file, input: "").errors.contains("1 turns"))
      try expectFailure(dms("chat", shared + "/stories260K", input: "hi\n"), "no template")
    }
  }
}
