// `dms generate`: prompts are read or refused by their lines, and an interrupted file goes on as if nothing had happened.

import Foundation
import Testing

struct GenerateTests {
  private let folder: String
  private let model: String

  init() throws {
    folder = FileManager.default.temporaryDirectory.path + "/dms-generate-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    model =
      URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
      + "/Models/tiny-cr8"
  }

  private func write(_ text: String) throws -> String {
    let path = folder + "/prompts-\(UUID().uuidString).jsonl"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  private func generate(_ output: String, _ more: String...) throws -> Outcome {
    try dms(["generate", model, "--output", "\(folder)/\(output)", "--max-tokens", "12"] + more)
  }

  private func lines(_ output: String) throws -> [String] {
    try String(contentsOfFile: "\(folder)/\(output)", encoding: .utf8).split(separator: "\n").map(String.init)
  }

  private var prompts: String {
    """
    {"prompt": "The value of fox is 4. What is fox?"}

    {"question": "Which?", "choices": ["one", "two"]}
    {"prompt": "The value of fox is 4. What is fox?"}
    {"messages": [{"role": "user", "content": "fox"}, {"role": "assistant", "content": "4"}, {"role": "user", "content": "and"}]}
    {"text": "The value of"}
    """
  }

  @Test func interruptedAndContinuedIsUninterrupted() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try write(prompts)
    let whole = try generate(
      "whole", "--prompts", file, "--samples", "3", "--task", "retrieval", "--problems", "2", "--size", "60-90")
    #expect(whole.code == 0, "\(whole.errors)")
    #expect(whole.errors.contains("1 prompts that occur again"))
    let all = try lines("whole")
    #expect(all.count > 6)
    #expect(all.contains { $0.contains("Which?\\nA. one\\nB. two") })
    #expect(Set(all).count == all.count)
    for cut in [0, 1, 4, all.count] {
      let half = all[..<cut].map { $0 + "\n" }.joined() + (cut < all.count ? String(all[cut].prefix(20)) : "")
      try half.write(toFile: "\(folder)/parts", atomically: true, encoding: .utf8)
      let rest = try generate(
        "parts", "--prompts", file, "--samples", "3", "--task", "retrieval", "--problems", "2", "--size", "60-90",
        "--resume",
        "--batch", "3")
      #expect(rest.code == 0, "\(rest.errors)")
      #expect(try lines("parts") == all)
    }
    let other = try generate("parts", "--prompts", file, "--samples", "3", "--resume", "--seed", "9")
    #expect(other.code == 1)
    #expect(other.errors.contains("line 1: made by another model, of other prompts or with other options"))
    let again = try generate("parts", "--prompts", file)
    #expect(again.code == 1)
    #expect(again.errors.contains("exists already"))
  }

  @Test(arguments: [
    ("{\"prompt\": \"a\"}\n{\"prompt\": ", "line 2"), ("[]", "no prompt"), ("{\"prompt\": \"\"}", "empty question"),
    ("{\"text\": 3}", "no prompt"), ("{\"messages\": [{\"role\": \"user\"}]}", "without role and content"),
    ("{\"messages\": []}", "await no answer"), ("\n\n", "empty"),
    ("{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}", "await no answer"),
    ("{\"question\": \"a\", \"choices\": [1]}", "choices that are no texts"),
  ])
  func aBrokenPromptIsNamed(text: String, problem: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let found = try generate("out", "--prompts", write(text))
    #expect(found.code == 1)
    #expect(found.errors.contains(problem), "\(found.errors)")
    #expect(found.errors.split(separator: "\n").count == 1)
    #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
  }

  @Test func aPromptThatDoesNotFitIsNamedBeforeAnythingIsWritten() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try write(#"{"prompt": "fox"}"# + "\n" + #"{"text": "\#(String(repeating: "fox ", count: 200))"}"#)
    let outcome = try generate("long", "--prompts", file, "--context", "64")
    #expect(outcome.code == 1 && outcome.errors.contains("prompt 2 has "), "\(outcome.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder + "/long"))
  }

  @Test func withoutPromptsTheUsageIsWrong() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(try generate("out").code == 2)
    #expect(try generate("out", "--task", "sums", "--size", "9-3").code == 2)
  }
}
