// Saved states, logs and recipes that somebody altered or that were damaged: what no run comes to is refused in one line that
// says where, and nothing is written; what can be goes on.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import DMSText
import Foundation
import Testing

@testable import DMSRetrofit

final class StateTests: RunPlace {
  /// Every file of a run with its bytes.
  private func files(_ name: String) throws -> [String: Data] {
    let folder = "\(root)/\(name)"
    let paths = try FileManager.default.subpathsOfDirectory(atPath: folder)
    return try paths.reduce(into: [:]) { files, path in
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: "\(folder)/\(path)", isDirectory: &isFolder)
      // Foundation's reading of an empty file leaks, which the address sanitizer tells.
      let file = isFolder.boolValue ? nil : try MappedFile(path: "\(folder)/\(path)")
      files[path] = withExtendedLifetime(file) { Data(file?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)) }
    }
  }

  private func state(_ name: String, _ step: Int) -> String {
    "\(root)/\(name)/checkpoints/step-0000000\(step).safetensors"
  }

  /// Writes a state anew, with other members or numbers. The checksum stays as it was, where it is not among them.
  private func alter(
    _ path: String, state change: (String) -> String = { $0 }, tensors: (String, inout [Float]) -> Void = { _, _ in }
  ) throws {
    let file = try SafetensorsFile(path: path)
    let writer = try SafetensorsWriter(
      path: path, tensors: file.names.map { .init($0, .f32, file.view($0)?.shape ?? []) },
      metadata: [
        "state": change(file.metadata["state"] ?? ""), "checksum": file.metadata["checksum"] ?? "",
      ])
    for name in file.names {
      var values = Array(try #require(file.view(name)).bytes.bindMemory(to: Float.self))
      tensors(name, &values)
      try values.withUnsafeBytes { try writer.write($0, to: name) }
    }
    try writer.finish()
  }

  /// A state's text with another value for a key; `nil` takes the key away.
  private func setting(_ key: String, _ value: String?) -> (String) -> String {
    { text in
      guard var object = (try? JSON(parsing: text, source: ""))?.object else { return text }
      object[key] = value.flatMap { try? JSON(parsing: $0, source: "") }
      return JSON.object(object).text
    }
  }

  /// A run that stands at step 3, with a state of step 2 beside that one.
  private func interruptedRun(_ name: String = "run", _ more: String = "") throws -> (recipe: Recipe, model: String) {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain + more))
    try run(recipe, model, name, until: 3)
    return (recipe, model)
  }

  /// That going on is refused with these words, and leaves everything as it was.
  private func expectRefusal(
    _ recipe: Recipe, _ model: String, _ words: [String], _ comment: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let before = try files("run")
    let found = problem { try run(recipe, model, "run", resumes: true) }
    for word in words { #expect(found.contains(word), "\(comment): \(found)", sourceLocation: sourceLocation) }
    #expect(!found.contains("\n"), sourceLocation: sourceLocation)
    #expect(try files("run") == before, "\(comment)", sourceLocation: sourceLocation)
  }

  @Test func aCountThatCannotBeIsRefused() throws {
    let (recipe, model) = try interruptedRun()
    let path = state("run", 3)
    let good = try Data(contentsOf: URL(filePath: path))
    // 3 steps of 3 sequences of at most 150 tokens.
    let wrong: [(String, [String?])] = [
      ("step", ["-9223372036854775808", "9223372036854775807", "-1", "0", "2", "4", "3.5", "\"3\"", "[3]", nil]),
      ("tokens", ["-1", "0", "8", "1351", "9223372036854775807", "1e300", "\"600\"", nil]),
      ("seconds", ["-0.5", "1e300", "-9223372036854775808", "\"1\"", nil]),
      ("documents", ["-1", "0", "8", "100000", "9223372036854775807", nil]),
      (
        "items",
        [
          "[-1, 0]", "[0, -9223372036854775808]", "[9223372036854775807, 0]", "[0, 100000000]", "[0.5, 1]", "[1]",
          "[1, 2, 3]", "[]", "7", nil,
        ]
      ),
      (
        "places",
        [
          "[-1, 0]", "[0, -9223372036854775808]", "[9, 0]", "[0, 9223372036854775807]", "[0, 2]", "[0]", "[0, 0, 0]",
          "{}", nil,
        ]
      ),
      ("updates", ["3", "-1", "9223372036854775807"]),
    ]
    for (key, values) in wrong {
      for value in values {
        try alter(path, state: setting(key, value))
        try expectRefusal(
          recipe, model, ["step-00000003.safetensors: state", key, "remove the file to go on from the one before"],
          "\(key) = \(value ?? "nothing")")
        try good.write(to: URL(filePath: path))
      }
    }
    #expect(try run(recipe, model, "run", resumes: true) == .finished)
  }

  /// What a count can be, but was not.
  @Test func whatOnlyTheChecksumFindsIsRefused() throws {
    let (recipe, model) = try interruptedRun()
    let path = state("run", 3)
    let good = try Data(contentsOf: URL(filePath: path))
    for (key, value) in [("seconds", "77"), ("tokens", "100"), ("documents", "10")] {
      try alter(path, state: setting(key, value))
      try expectRefusal(recipe, model, ["step-00000003", "altered or damaged", "remove the file"], key)
      try good.write(to: URL(filePath: path))
    }
    for name in ["trained", "first", "second"] {
      try alter(path, tensors: { if $0 == name { $1[7] = Float(bitPattern: $1[7].bitPattern ^ 1) } })
      try expectRefusal(recipe, model, ["step-00000003", "altered or damaged"], name)
      try good.write(to: URL(filePath: path))
    }
    // Written otherwise, it says the same.
    try alter(path)
    #expect(try run(recipe, model, "run", resumes: true) == .finished)
  }

  @Test func numbersThatAreNoneAreRefused() throws {
    let (recipe, model) = try interruptedRun()
    let path = state("run", 3)
    let good = try Data(contentsOf: URL(filePath: path))
    let wrong: [(String, Float)] = [
      ("trained", .nan), ("trained", .infinity), ("first", .nan), ("first", -.infinity), ("second", .nan),
      ("second", .infinity), ("second", -1e-20),
    ]
    for (name, value) in wrong {
      try alter(path, tensors: { if $0 == name { $1[$1.count / 2] = value } })
      try expectRefusal(recipe, model, ["step-00000003.safetensors: \(name)", "finite"], "\(name) \(value)")
      try good.write(to: URL(filePath: path))
    }
  }

  @Test func aDamagedFileIsRefusedAndTheOneBeforeGoesOn() throws {
    let (recipe, model) = try interruptedRun()
    try run(recipe, model, "whole")
    let path = state("run", 3)
    let good = try Data(contentsOf: URL(filePath: path))
    for bytes in [Data(), good.prefix(100), good.dropLast(), good + [0], Data("no safetensors".utf8)] {
      try bytes.write(to: URL(filePath: path))
      try expectRefusal(
        recipe, model, ["step-00000003", "remove the file to go on from the one before"], "\(bytes.count)")
    }
    for text in ["", "[]", "{", "{\"step\": NaN}", "3"] {
      try good.write(to: URL(filePath: path))
      try alter(path, state: { _ in text })
      try expectRefusal(recipe, model, ["step-00000003", "no state of a run"], text)
    }
    try FileManager.default.removeItem(atPath: path)
    #expect(try run(recipe, model, "run", resumes: true) == .finished)
    #expect(try log("run") == log("whole"))
    #expect(try bytes("run/model/model.safetensors") == bytes("whole/model/model.safetensors"))
  }

  @Test func aStepBeyondTheRunIsRefused() throws {
    let (recipe, model) = try interruptedRun()
    try FileManager.default.moveItem(atPath: state("run", 3), toPath: state("run", 9))
    try expectRefusal(recipe, model, ["step: 9, as in the file's name"], "the name alone")
    try alter(state("run", 9), state: setting("step", "9"))
    try expectRefusal(recipe, model, ["state: step: step 9 of a run of 6 steps"], "name and step")
    // Names that no run gives are no states.
    for name in [
      "step-9.safetensors", "step--0000009.safetensors", "step-+0000009.safetensors", "step-00000000.safetensors",
    ] {
      let path = "\(root)/run/checkpoints/\(name)"
      try FileManager.default.moveItem(atPath: state("run", 9), toPath: path)
      #expect(RunState.lastStep(in: "\(root)/run/checkpoints") == 2, "\(name)")
      try FileManager.default.moveItem(atPath: path, toPath: state("run", 9))
    }
  }

  /// The last state of all: without it the run begins anew.
  @Test func withoutAnotherStateTheRunBeginsAnew() throws {
    let (recipe, model) = try interruptedRun()
    try FileManager.default.removeItem(atPath: state("run", 2))
    try alter(state("run", 3), state: setting("tokens", "0"))
    try expectRefusal(recipe, model, ["remove the file to begin anew"], "the only one")
  }

  /// Of a text an item gives many documents, and a stream may stand after the last of them.
  @Test func aPlaceIsPossibleUpToTheItemsDocuments() throws {
    let (model, text) = (try emptyModel(), "\(root)/data.txt")
    try String(repeating: "the cat = 12; the dog = 34; ", count: 100).write(
      toFile: text, atomically: true, encoding: .utf8)
    let recipe = try recipe(pretrain, overrides: ["data=[{\"text\": \"\(text)\"}]"])
    try run(recipe, model, "run", until: 1)
    let source = try TextSource(path: text, Tokenizer(folder: model))
    let count = try source.documents(of: 0, longest: 150, size: nil).count
    #expect(count > 3)
    let good = try Data(contentsOf: URL(filePath: state("run", 1)))
    for place in [count, count + 1] {
      try alter(state("run", 1), state: setting("places", "[\(place)]"))
      let words =
        place == count ? "altered or damaged" : "state: places: \(place) of an item of at most \(count) documents"
      try expectRefusal(recipe, model, [words], "\(place) of \(count)")
      try good.write(to: URL(filePath: state("run", 1)))
    }
    // Data that became shorter have no such place.
    try "the cat".write(toFile: text, atomically: true, encoding: .utf8)
    try expectRefusal(recipe, model, ["go on with the data that it was begun with"], "other data")
  }

  @Test func whatIsDoneCannotBeChangedByARecipe() throws {
    let (_, model) = try interruptedRun()
    for override in ["stages.0.sequences=1", "stages.0.length=120", "stages.0.steps=2"] {
      let other = try recipe(pretrain, overrides: [override])
      try expectRefusal(other, model, ["recipe.json: stages", "3 steps are done"], override)
    }
    #expect(try run(recipe(pretrain, overrides: ["stages.1.sequences=1"]), model, "run", resumes: true) == .finished)
  }

  @Test func aRecipeThatWasDamagedIsRefused() throws {
    let (_, model) = try interruptedRun()
    let path = "\(root)/run/recipe.json"
    let good = try String(contentsOfFile: path, encoding: .utf8)
    let wrong = [
      ("\"steps\": 3", "\"steps\": -3", "stages[0]: steps"),
      ("\"steps\": 3", "\"steps\": 9223372036854775807", "stages[0]: steps"),
      ("\"length\": 200", "\"length\": 0", "stages[1]: length"), ("\"kind\": \"pretrain\"", "\"kind\": \"x\"", "kind"),
      ("tokens_at_once", "tokensAtOnce", "unknown key \"tokensAtOnce\""), ("{", "", "recipe.json"),
      ("}", "", "recipe.json"),
    ]
    for (text, other, word) in wrong {
      #expect(good.contains(text))
      try good.replacingOccurrences(of: text, with: other).write(toFile: path, atomically: true, encoding: .utf8)
      let before = try files("run")
      let found = problem { try run(Recipe(file: path), model, "run", resumes: true) }
      #expect(found.contains(word) && found.contains("recipe.json"), "\(other): \(found)")
      #expect(try files("run") == before)
    }
  }

  // MARK: The log

  @Test func aDamagedLogIsRefused() throws {
    let (recipe, model) = try interruptedRun()
    let path = "\(root)/run/log.jsonl"
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    #expect(lines.count == 3)
    func other(_ line: Int, _ text: String) -> [String] {
      lines.enumerated().map { $0.offset == line ? text : $0.element }
    }
    func step(_ line: Int, _ value: String) -> [String] {
      other(line, lines[line].replacingOccurrences(of: "\"step\":\(line + 1)", with: "\"step\":\(value)"))
    }
    let wrong: [([String], String)] = [
      (step(1, "\"2\""), "line 2"), (step(1, "-2"), "line 2"), (step(0, "0"), "line 1"), (step(1, "1.5"), "line 2"),
      (step(1, "9223372036854775807"), "line 2"), (step(0, "1e300"), "line 1"), (step(1, "null"), "line 2"),
      (other(1, String(lines[1].prefix(30))), "line 2"), (other(2, String(lines[2].dropLast())), "line 3"),
      (other(0, "[]"), "line 1"), (other(1, "{}"), "line 2"), (other(1, "\0\0\0"), "line 2"),
      (other(1, lines[1].replacingOccurrences(of: "\"loss\":", with: "\"loss\":NaN,\"x\":")), "line 2"),
      (other(1, lines[1].replacingOccurrences(of: "\"loss\":", with: "\"loss\":\"x\",\"x\":")), "line 2"),
      (
        other(1, lines[1].replacingOccurrences(of: "token_loss", with: "tokenLoss")),
        "line 2: the key token_loss is missing"
      ),
      ([lines[0], lines[2]], "step 1 is followed by step 3"), ([lines[1], lines[0], lines[2]], "followed by"),
      ([lines[0], lines[0], lines[1], lines[2]], "followed by"), ([lines[0], lines[1]], "ends with step 2"),
    ]
    for (lines, words) in wrong {
      try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
      try expectRefusal(recipe, model, ["log.jsonl", words, "remove the file to go on without it"], words)
    }
  }

  /// A killed run leaves lines after its last state, and perhaps half of one; people's editors leave line ends of their own.
  @Test func whatComesAfterTheStateIsWrittenAgain() throws {
    let (recipe, model) = try interruptedRun()
    try run(recipe, model, "whole")
    let path = "\(root)/run/log.jsonl"
    let good = try String(contentsOfFile: path, encoding: .utf8)
    let last = String(good.split(separator: "\n")[2])
    func about(_ step: String) -> String {
      last.replacingOccurrences(of: "\"step\":3", with: "\"step\":" + step) + "\n"
    }
    var logs: [String] = ["\0\0\0\0", "\n\n", good, about("4"), about("9223372036854775807")].map { good + $0 }
    logs.append(good + String(about("4").prefix(40)))
    logs.append(String(good.dropLast()))
    logs.append(good.replacingOccurrences(of: "\n", with: "\r\n"))
    for (number, text) in logs.enumerated() {
      let name = "run-\(number)"
      try FileManager.default.copyItem(atPath: "\(root)/run", toPath: "\(root)/\(name)")
      try text.write(toFile: "\(root)/\(name)/log.jsonl", atomically: true, encoding: .utf8)
      #expect(try run(recipe, model, name, resumes: true) == .finished)
      // Of the lines alone: a carriage return before a line's end stays.
      let plain = String(decoding: try bytes("\(name)/log.jsonl").filter { $0 != 13 }, as: UTF8.self)
      try plain.write(toFile: "\(root)/\(name)/log.jsonl", atomically: true, encoding: .utf8)
      #expect(try log(name) == log("whole"), "\(number)")
    }
  }

  @Test func aLogThatWasTakenAwayIsBegunAgain() throws {
    let (recipe, model) = try interruptedRun("run", #", "evaluate_every": 2"#)
    try FileManager.default.removeItem(atPath: "\(root)/run/log.jsonl")
    #expect(try run(recipe, model, "run", resumes: true) == .finished)
    let steps = try log("run").map {
      try JSON(parsing: $0 + ($0.hasSuffix("}") ? "" : "}"), source: "")["step"]?.integer
    }
    #expect(steps == [4, 4, 5, 6])
    #expect(try JSON(file: "\(root)/run/report.json")["last"]?["step"]?.integer == 6)
  }
}
