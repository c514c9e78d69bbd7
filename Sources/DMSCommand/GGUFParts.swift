// What `dms inspect` says of a GGUF file beside its decoder's shape: types of weights, tokenizer, metadata.

import DMSCheckpoint
import DMSPlatform
import DMSText

struct GGUFParts {
  let file: GGUFFile
  /// What is there and cannot be used.
  private(set) var problems = PartProblems()

  init(_ file: GGUFFile) { self.file = file }

  var weights: String {
    let types = file.types.map { "\($0.type.name) \(byteCount($0.bytes)) in \($0.tensors)" }
    let unreadable = file.types.filter { !$0.type.isReadable }.map(\.type.name)
    return "\(file.names.count) tensors: \(types.joined(separator: ", "))" + (file.hasData ? "" : "; data not here")
      + (unreadable.isEmpty ? "" : "; \(unreadable.joined(separator: ", ")) cannot be run")
  }

  mutating func text() -> String {
    guard file.value("tokenizer.ggml.tokens") != nil else { return "no tokenizer" }
    let tokenizer = problems.describe(file.path) { [file] in "\(try Tokenizer(gguf: file).vocabularySize) tokens" }
    let template = problems.describe(file.path) { [file] in
      try file.template() == nil ? "no chat template" : "chat template"
    }
    return tokenizer == template ? tokenizer : "\(tokenizer), \(template)"
  }

  /// A line for each key; lists by their length, long texts by their beginning.
  var metadata: [String] {
    file.keys.map { key in "\(oneLine(key, most: 100)) = \(file.value(key).map(describe) ?? "")" }
  }

  private func describe(_ value: GGUFValue) -> String {
    switch value {
    case .integer(let value): "\(value)"
    case .huge(let value): "\(value)"
    case .number(let value): "\(Float(value))"
    case .bool(let value): "\(value)"
    case .string(let bytes): oneLine(String(decoding: bytes.prefix(320), as: UTF8.self), most: 70)
    case .array(let list): "\(list.count) \(list.kind == .string ? "strings" : "\(list.kind) values")"
    }
  }
}
