// What `dms generate` has to do, in order, and how a line of its output says what was done.

import DMSGeneration
import DMSPlatform
import DMSText
import Glibc

/// Each prompt `samples` times, in order.
struct GenerationJobs {
  /// Those that occur for the first time, with their place among all, which addresses their random numbers.
  let prompts: [(place: Int, line: PromptLine)]
  let repeatedPrompts: Int
  private let samples: Int
  private let options: AnswerOptions
  /// What the answers depend on beside their own prompt: another run's file is told by it.
  let settings: String

  init(_ lines: [PromptLine], samples: Int, _ options: AnswerOptions, _ model: LanguageModel) {
    var seen: Set<String> = []
    prompts = lines.enumerated().filter { seen.insert("\($0.element)").inserted }.map { ($0.offset, $0.element) }
    repeatedPrompts = lines.count - prompts.count
    self.samples = samples
    self.options = options
    let all = "\(samples) \(options) \(model.decoder.fingerprint) \(model.decoder.arithmetic) \(prompts)"
    settings = String(
      all.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }, radix: 16)
  }

  /// - Throws: `InputError` for messages where the model has no chat template.
  func prompt(_ line: PromptLine, _ model: LanguageModel) throws -> LanguageModel.Prompt {
    switch line {
    case .messages(let messages): try model.prompt(messages)
    case .text(let text): LanguageModel.Prompt(ids: model.ids(raw: text))
    }
  }

  func batchPrompt(_ prompt: LanguageModel.Prompt, job: Int) -> LanguageModel.BatchPrompt {
    var options = options
    options.sequence = prompts[job / samples].place * samples + job % samples
    return LanguageModel.BatchPrompt(prompt, options)
  }

  /// A line of the output.
  func record(_ job: Int, _ answer: Answer) -> JSON {
    let (place, line) = prompts[job / samples]
    var record = JSONObject()
    switch line {
    case .messages(let messages):
      let all = messages + [ChatMessage(role: "assistant", content: answer.text)]
      record["messages"] = .array(
        all.map { .object(JSONObject(["role": .string($0.role), "content": .string($0.content)])) })
    case .text(let text): record["text"] = .string(text + answer.text)
    }
    record["job"] = .integer(job)
    record["prompt"] = .integer(place)
    record["sample"] = .integer(job % samples)
    record["tokens"] = .integer(answer.generation.ids.count)
    record["finish"] = .string(answer.generation.reason.rawValue)
    record["settings"] = .string(settings)
    return .object(record)
  }
}

/// The output of `dms generate`: whole lines, in order. An interruption costs the line that was being written.
final class AnswerFile {
  private let path: String
  private var descriptor: Int32 = -1
  /// Jobs that are done, those whose answer was left out included, as far as the file knows.
  private(set) var done = 0
  /// What the last prompt got.
  private var got: (prompt: Int, answers: Set<String>) = (-1, [])

  /// - Throws: `InputError` for a file that exists and is not to go on, or is another run's.
  init(_ path: String, resumes: Bool, settings: String) throws {
    self.path = path
    var flags = O_WRONLY | O_CREAT | O_CLOEXEC
    var kept = (jobs: 0, bytes: 0)
    if resumes {
      kept = try read(settings)
    } else {
      flags |= O_EXCL
    }
    descriptor = open(path, flags, 0o666)
    guard descriptor >= 0 else {
      let code = errno
      guard code == EEXIST else { throw cannotWrite(path, code) }
      throw InputError("exists already", at: path, remedy: "go on with --resume, or give a new name")
    }
    done = kept.jobs
    guard ftruncate(descriptor, off_t(kept.bytes)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else {
      throw cannotWrite(path, errno)
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// How many jobs a file's whole lines stand for, and how many bytes those are.
  private func read(_ settings: String) throws -> (jobs: Int, bytes: Int) {
    let file = try MappedFile(path: path)
    let end = file.bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    var done = 0
    for (index, line) in file.bytes[..<end].split(separator: UInt8(ascii: "\n")).enumerated() {
      let place = "\(path), line \(index + 1)"
      let json = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: line), source: place)
      guard let job = json?["job"]?.integer, job >= done, job < Int.max, let found = json?["settings"]?.string else {
        throw InputError("no answer of this program in order", at: place, remedy: "begin anew under another name")
      }
      guard found == settings else {
        throw InputError(
          "made by another model, of other prompts or with other options", at: place,
          remedy: "go on with the same ones, or begin anew under another name")
      }
      done = job + 1
      if let json, let prompt = json["prompt"]?.integer { _ = isNew(json, prompt: prompt) }
    }
    return (done, end)
  }

  /// Writes an answer, unless the prompt got it already.
  ///
  /// - Returns: whether it was written.
  func append(_ record: JSON, prompt: Int) throws -> Bool {
    guard isNew(record, prompt: prompt) else { return false }
    let bytes = Array((record.line + "\n").utf8)
    let code = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
    if let code { throw cannotWrite(path, code) }
    return true
  }

  private func isNew(_ record: JSON, prompt: Int) -> Bool {
    if got.prompt != prompt { got = (prompt, []) }
    return got.answers.insert((record["messages"] ?? record["text"] ?? .null).line).inserted
  }
}
