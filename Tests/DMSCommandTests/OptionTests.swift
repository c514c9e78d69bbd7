// Options as people give them: numbers out of range, prompts that look like options, wishes about sampling, tools.

import DMSCheckpoint
import Foundation
import Testing

@testable import DMSCommand

struct OptionTests {
  private let model = models + "/tiny-cr8"

  /// Every option that takes a number, with what makes its command complete otherwise.
  @Test(arguments: [
    (
      ["run", "m", "p"],
      ["threads", "context", "seed", "temperature", "top-k", "top-p", "min-p", "repetition-penalty", "max-tokens"]
    ),
    (
      ["chat", "m"],
      ["threads", "context", "seed", "temperature", "top-k", "top-p", "min-p", "repetition-penalty", "max-tokens"]
    ),
    (
      ["bench", "m"],
      [
        "threads", "context", "depth", "chains", "prompt", "generate", "repetitions", "simulated-ratio",
        "simulated-window",
      ]
    ),
    (["trace", "m", "--prompt", "p", "-o", "o"], ["threads", "context", "split"]),
    (["perplexity", "m", "--text", "t"], ["threads", "context"]),
    (
      ["evaluate", "m"], ["threads", "context", "problems", "seed", "size", "limit", "samples", "batch", "max-tokens"]
    ), (["compare", "a", "b"], ["tolerance"]),
    (["quantize", "m", "o", "--weights", "q8"], ["threads"]),
    (["tokenizer", "train", "o", "--task", "sums"], ["problems"]),
  ])
  func aNegativeNumberHasAMessageOfItsOwn(_ command: [String], _ options: [String]) throws {
    for option in options {
      for form in [["--\(option)", "-1"], ["--\(option)=-1"], ["--\(option)", "-5"]] {
        let outcome = try dms(command + form)
        let first = outcome.errors.prefix { $0 != "\n" }
        #expect(outcome.code == 2 && outcome.output.isEmpty)
        #expect(first.contains("--\(option)") && !first.contains("Unknown"), "\(first)")
      }
    }
  }

  @Test(arguments: ["nan", "inf", "-0.0001", "1e400", "", "1,5"])
  func toleranceIsANumber(_ text: String) throws {
    let file = fixtures + "/qwen3/golden.safetensors"
    #expect(try dms("compare", file, file, "--tolerance", text).code == 2)
  }

  @Test func aPromptThatBeginsWithADashIsAPrompt() {
    for (given, expected) in [
      (["run", "m", "- what?", "--json"], ["run", "m", "--json", "--", "- what?"]),
      (["run", "--json", "m", "-- a list --"], ["run", "--json", "m", "--", "-- a list --"]),
      (["run", "m", "--system", "- be brief", "hi"], ["run", "m", "--system", "- be brief", "hi"]),
      (["run", "m", "--system=- be brief", "hi"], ["run", "m", "--system=- be brief", "hi"]),
      (["run", "m", "hi", "-o"], ["run", "m", "hi", "-o"]), (["run", "m", "--", "- a"], ["run", "m", "--", "- a"]),
      (["trace", "- a"], ["trace", "- a"]), ([], []),
    ] {
      #expect(withPromptLast(given) == expected)
    }
  }

  @Test func theVersionIsTold() throws {
    let outcome = try dms("--version")
    #expect(outcome.code == 0 && outcome.errors.isEmpty)
    let words = outcome.output.split { $0 == " " || $0 == "\n" }
    #expect(words.count == 2 && words[0] == "dms" && words[1].split(separator: ".").count == 3)
    #expect(try dms("run", "--version").output == outcome.output)
  }

  private func sampling(_ arguments: String...) throws -> SamplingArguments { try .parse(arguments) }

  @Test func whoeverNamesHowToSampleWantsIt() throws {
    let greedy = GenerationConfiguration()
    #expect(try sampling().options(greedy).temperature == 0)
    #expect(try sampling("--seed", "4", "--repetition-penalty", "1.1").options(greedy).temperature == 0)
    for (arguments, topK, topP, minP) in [
      (["--top-p", "0.9"], 50, 0.9, 0), (["--top-k", "5"], 5, 1, 0), (["--min-p", "0.1"], 50, 1, 0.1),
    ] as [([String], Int, Double, Double)] {
      let options = try SamplingArguments.parse(arguments).options(greedy)
      #expect(options.temperature == 1 && options.topK == topK && options.topP == topP && options.minP == minP)
    }
    #expect(try sampling("--top-p", "0.9", "--temperature", "0.5").options(greedy).temperature == 0.5)
    #expect(try sampling("--top-p", "0.9", "--temperature", "0").options(greedy).temperature == 0)
    var warm = GenerationConfiguration()
    warm.temperature = 0.6
    #expect(try sampling("--top-k", "5").options(warm).temperature == 0.6)
  }

  @Test func whatHasNoEffectIsSaid() throws {
    let arguments = ["run", model, "hi", "--max-tokens", "4"]
    let greedy = try dms(arguments)
    for option in [["--top-p", "0.9"], ["--top-k", "5"], ["--min-p", "0.1"]] {
      let cold = try dms(arguments + option + ["--temperature", "0"])
      #expect(cold.errors.hasPrefix("dms: warning: \(option[0]) has no effect at temperature 0\n"))
      #expect(cold.output == greedy.output)
      let warm = try dms(arguments + option)
      #expect(warm.code == 0 && !warm.errors.contains("warning"))
    }
    for option in [["--top-p", "1"], ["--top-k", "0"], ["--min-p", "0"]] {
      #expect(try !dms(arguments + option + ["--temperature", "0"]).errors.contains("warning"))
    }
  }

  @Test func wishesThatAreNotHonouredAreSaid() throws {
    try withFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: model, toPath: copy)
      for (text, said) in [
        (#"{"num_beams": 4, "top_k": 5, "no_repeat_ngram_size": 3}"#, "num_beams, no_repeat_ngram_size not honoured"),
        (#"{"bad_words_ids": [[1]]}"#, "bad_words_ids not honoured"),
        (#"{"a\u001b[1m": 1}"#, "a\\u{1B}[1m not honoured"),
        ("{\((1...9).map { "\"k\($0)\": 1" }.joined(separator: ", "))}", "k7, k8 and 1 more not honoured"),
        (#"{"num_beams": 1, "stop_strings": ["x"], "bos_token_id": 1}"#, nil),
      ] {
        try write(text, copy + "/generation_config.json")
        for arguments in [["run", copy, "hi", "--max-tokens", "1"], ["chat", copy, "--max-tokens", "1"]] {
          let outcome = try dms(arguments)
          #expect(outcome.code == 0)
          let warnings = outcome.errors.split(separator: "\n").filter { $0.contains("warning") }
          #expect(warnings.count == (said == nil ? 0 : 1))
          #expect(said.map { warnings.first?.hasSuffix($0) == true } ?? true, "\(warnings)")
        }
      }
    }
  }

  @Test func toolsReachTheTemplate() throws {
    try withFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: model, toPath: copy)
      try write(
        "{% for tool in tools or [] %}{{ tool.function.name }},{% endfor %}{{ messages[0].content }}",
        copy + "/chat_template.jinja")
      try write(
        "\u{FEFF}[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}},\n {\"function\": {\"name\": \"g\"}}]",
        folder + "/tools.json")
      func ids(_ arguments: [String]) throws -> [Int] {
        let outcome = try dms(["run", copy, "--json", "--max-tokens", "1"] + arguments)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let members = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return try #require(members?["prompt_ids"] as? [Int])
      }
      let expected = try ids(["f,g,what?"])
      #expect(try ids(["what?", "--tools", folder + "/tools.json"]) == expected)
      #expect(try ids(["what?"]) != expected)
      for (name, text) in [
        ("object", "{\"type\": \"function\"}"), ("numbers", "[1]"), ("string", "\"f\""), ("null", "null"),
        ("cut", "[{"),
        ("nested", "[[{}]]"), ("empty", ""),
      ] {
        try write(text, "\(folder)/\(name).json")
        try expectFailure(dms("run", copy, "hi", "--tools", "\(folder)/\(name).json"), "\(name)")
      }
      try expectFailure(dms("run", copy, "hi", "--tools", folder + "/absent.json"), "absent")
      for option in [["--raw"], ["--tokens", "t.json"]] {
        #expect(
          try dms(["run", copy, "--tools", folder + "/tools.json"] + option + (option.count == 1 ? ["hi"] : [])).code
            == 2)
      }
      for name in ["chat_template.jinja", "tokenizer_config.json"] {
        try FileManager.default.removeItem(atPath: "\(copy)/\(name)")
      }
      for option in [["--tools", folder + "/tools.json"], ["--system", "s"], ["--thinking", "on"]] {
        let outcome = try dms(["run", copy, "hi"] + option)
        expectFailure(outcome, "no template")
        #expect(outcome.errors.contains(option[0]))
      }
    }
  }

  @Test func whatCannotWorkIsSaidBeforeTheWork() throws {
    try withFolder { folder in
      let bare = fixtures + "/qwen3"
      // A hundred thousand problems would take minutes.
      for arguments in [
        ["evaluate", model, folder + "/none", "--problems", "100000"],
        ["evaluate", model, bare, "--problems", "100000"],
        ["evaluate", model, "--output", folder + "/none/run", "--problems", "1"],
        ["evaluate", model, "--output", models + "/problem.txt", "--problems", "1"],
        ["perplexity", model, "--text", models + "/problem.txt", "--against", folder + "/none"],
        ["perplexity", folder + "/none", "--text", models + "/problem.txt"],
        ["trace", folder + "/nothing", "--prompt", "hi", "-o", folder + "/none/out"],
        ["run", folder + "/none", "--prompt-file", folder + "/none.txt"],
        ["tokenizer", "train", folder + "/none/deep", "--task", "sums", "--problems", "2"],
        ["tokenizer", "train", folder + "/out", "--task", "sums", "--problems", "2", "--vocabulary", "10"],
        ["inspect", ""],
      ] {
        try expectFailure(dms(arguments), "\(arguments)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
      for names in ["", ",", ",,"] {
        let golden = bare + "/golden.safetensors"
        #expect(try dms("compare", golden, golden, "--only", names).code == 2)
      }
    }
  }

  @Test func aShapeIsAFileOfAnyNameOrAFolder() throws {
    try withFolder { folder in
      let config = try String(contentsOfFile: fixtures + "/qwen3/config.json", encoding: .utf8)
      let arguments = ["bench", "--prompt", "2", "--generate", "1", "--repetitions", "1", "--json", "--shape"]
      for name in ["config.json", "a shape ä", "not-config.json"] {
        try write(config, "\(folder)/\(name)")
        #expect(try dms(arguments + ["\(folder)/\(name)"]).code == 0, "\(name)")
      }
      #expect(try dms(arguments + [folder + "/"]).code == 0)
      #expect(try dms(arguments + ["/dev/stdin"], input: config).code == 0)
      try write("{\"model_type\": \"qwen3\"}", folder + "/part.json")
      try write("[]", folder + "/list.json")
      for path in ["part.json", "list.json", "absent.json"] {
        let outcome = try dms(arguments + ["\(folder)/\(path)"])
        expectFailure(outcome, "\(path)")
        #expect(outcome.errors.hasPrefix("dms: \(folder)/\(path): "))
      }
      try FileManager.default.removeItem(atPath: folder + "/config.json")
      try expectFailure(dms(arguments + [folder]), "a folder without a configuration")
    }
  }
}
