// Where a run stands, in one file: what trains, the optimiser's moments, the position in the data. A run that goes on from
// it is, bit for bit, the run that was never interrupted; so a state that cannot be is refused.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import DMSText
import Glibc

struct RunState {
  /// Steps that are done. Each is an update of the optimiser.
  var step = 0
  var cursor: BatchCursor
  /// Tokens read so far, and seconds spent.
  var tokens = 0
  var seconds = 0.0

  init(cursor: BatchCursor) { self.cursor = cursor }

  private static let names = ["trained", "first", "second"]
  /// Longer than anybody waits: 30 years.
  private static let mostSeconds = 1e9

  // MARK: Writing

  /// Writes the state beside the last one, then removes all but these two.
  /// - Throws: `InputError` for numbers that are none: such a state could not be gone on from.
  func save(_ parameters: Parameters, _ optimizer: AdamW, _ parts: TrainableParts, in folder: String) throws {
    let path = Self.path(folder, step)
    let trained = parts.parts.map {
      UnsafeBufferPointer(start: parameters.values.base + $0.range.lowerBound, count: $0.range.count)
    }
    let moments = [optimizer.moments.first, optimizer.moments.second].map {
      UnsafeBufferPointer(start: $0.base, count: $0.count)
    }
    guard (trained + moments).allSatisfy({ Self.areNumbers($0) }) else {
      throw InputError(
        "weights or moments are no numbers after step \(step)", at: path,
        remedy: "go on from the last checkpoint with a lower rate: --resume --set rate.peak=…")
    }
    var checksum = Checksum(json.line)
    for values in trained + moments { checksum.add(values) }
    let writer = try SafetensorsWriter(
      path: path, tensors: Self.names.map { .init($0, .f32, [parts.count]) },
      metadata: ["state": json.text, "checksum": checksum.text])
    for (part, values) in zip(parts.parts, trained) {
      try writer.write(UnsafeRawBufferPointer(values), to: "trained", atByte: 4 * part.packed)
    }
    for (name, values) in zip(Self.names.dropFirst(), moments) {
      try writer.write(UnsafeRawBufferPointer(values), to: name)
    }
    try writer.finish()
    for old in Self.saved(in: folder).dropLast(2) { unlink(Self.path(folder, old)) }
  }

  private var json: JSON {
    .members([
      "step": .integer(step), "tokens": .integer(tokens), "seconds": .number(seconds),
      "documents": .integer(cursor.documents), "items": .array(cursor.sources.map { .integer($0.item) }),
      "places": .array(cursor.sources.map { .integer($0.document) }),
    ])
  }

  private static let keys = ["step", "tokens", "seconds", "documents", "items", "places"]

  // MARK: Reading

  /// The last state of a folder, its numbers put in their places; `nil` if there is none.
  /// - Throws: `InputError` for a state of another run, or one that no run comes to, naming the file and what cannot be.
  static func loadLast(
    in folder: String, _ recipe: Recipe, _ data: TrainingData, _ parameters: Parameters, _ optimizer: AdamW,
    _ parts: TrainableParts
  ) throws -> RunState? {
    let all = saved(in: folder)
    guard let last = all.last else { return nil }
    let remedy = "remove the file to \(all.count > 1 ? "go on from the one before" : "begin anew")"
    let file: SafetensorsFile
    do { file = try SafetensorsFile(path: path(folder, last)) } catch let error as InputError {
      throw InputError(error.problem, at: error.location, remedy: remedy)
    }
    return try withExtendedLifetime(file) {
      let values = try names.map { try tensor($0, of: file, count: parts.count) }
      let state = try RunState(file, step: last, remedy)
      try state.check(recipe, data, at: file.path, remedy)
      var checksum = Checksum(state.json.line)
      for (name, values) in zip(names, values) {
        // The second moments are means of squares.
        guard areNumbers(values), name != "second" || values.allSatisfy({ $0 >= 0 }) else {
          throw InputError(
            "not all numbers are finite" + (name == "second" ? " and 0 or more" : ""), at: "\(file.path): \(name)",
            remedy: remedy)
        }
        checksum.add(values)
      }
      guard file.metadata["checksum"] == checksum.text else {
        throw InputError("not what the checksum says: altered or damaged", at: file.path, remedy: remedy)
      }
      for part in parts.parts {
        put(values[0][part.packed..<part.packed + part.range.count], at: parameters.values.base + part.range.lowerBound)
      }
      put(values[1][...], at: optimizer.moments.first.base)
      put(values[2][...], at: optimizer.moments.second.base)
      optimizer.updates = state.step
      return state
    }
  }

  private static func put(_ values: Slice<UnsafeBufferPointer<Float>>, at place: UnsafeMutablePointer<Float>) {
    guard let base = UnsafeBufferPointer(rebasing: values).baseAddress else { return }
    place.update(from: base, count: values.count)
  }

  private static func tensor(
    _ name: String, of file: SafetensorsFile, count: Int
  ) throws -> UnsafeBufferPointer<Float> {
    guard let view = file.view(name), view.shape == [count], view.type == .f32 else {
      throw InputError(
        "the saved run has \(file.view(name)?.count ?? 0) numbers that train, this one \(count)",
        at: "\(file.path): \(name)", remedy: "go on with the model and the recipe that it was begun with")
    }
    return view.bytes.bindMemory(to: Float.self)
  }

  private init(_ file: SafetensorsFile, step: Int, _ remedy: String) throws {
    let json = file.metadata["state"].flatMap { try? JSON(parsing: $0, source: "") }
    guard let json, let object = json.object else {
      throw InputError("no state of a run", at: file.path, remedy: remedy)
    }
    if let key = object.keys.first(where: { !Self.keys.contains($0) }) {
      throw InputError("unknown key \(quoted(key))", at: "\(file.path): state", remedy: remedy)
    }
    let reader = try ConfigurationReader(json, source: "\(file.path): state", remedy: remedy)
    func count(_ key: String) throws -> Int {
      try reader.required(key, reader.integer(key, in: 0...Int.max))
    }
    func counts(_ key: String) throws -> [Int] {
      let value = try reader.required(key, reader.value(key))
      guard let list = value.array else { throw reader.wrong(key, "a list", value) }
      return try list.map { member in
        guard let count = member.integer, count >= 0 else { throw reader.wrong(key, "integers from 0", member) }
        return count
      }
    }
    guard try count("step") == step else {
      throw reader.wrong("step", "\(step), as in the file's name,", json["step"] ?? .null)
    }
    self.step = step
    tokens = try count("tokens")
    seconds = try reader.required("seconds", reader.number("seconds", in: 0...Self.mostSeconds))
    let (items, places) = (try counts("items"), try counts("places"))
    guard items.count == places.count else {
      throw reader.wrong("places", "one for each of the \(items.count) items", json["places"] ?? .null)
    }
    cursor = BatchCursor(
      documents: try count("documents"), sources: zip(items, places).map { BatchCursor.Place(item: $0, document: $1) })
  }

  /// What a run of this recipe over these data can come to. Each sequence has a document, each document a token.
  private func check(_ recipe: Recipe, _ data: TrainingData, at path: String, _ remedy: String) throws {
    func refuse(_ key: String, _ problem: String) -> InputError {
      InputError(problem, at: "\(path): state: \(key)", remedy: remedy)
    }
    guard step <= recipe.steps else { throw refuse("step", "step \(step) of a run of \(recipe.steps) steps") }
    let stages = recipe.stages(until: step)
    let sequences = stages.reduce(0) { $0 + $1.steps * $1.stage.sequences }
    let most = stages.reduce(0) { $0 + $1.steps * $1.stage.sequences * $1.stage.length }
    guard (sequences...most).contains(tokens) else {
      throw refuse("tokens", "\(tokens) after \(step) steps, which have read \(sequences) to \(most)")
    }
    guard (sequences...tokens).contains(cursor.documents) else {
      throw refuse("documents", "\(cursor.documents) in \(sequences) sequences of \(tokens) tokens")
    }
    if let (key, problem) = try data.impossible(cursor, after: stages.map(\.stage)) {
      var error = refuse(key, problem)
      error.remedy = "\(remedy), or go on with the data that it was begun with"
      throw error
    }
  }

  private static func areNumbers(_ values: UnsafeBufferPointer<Float>) -> Bool {
    values.allSatisfy(\.isFinite)
  }

  // MARK: Names

  private static let (prefix, suffix) = ("step-", ".safetensors")

  private static func path(_ folder: String, _ step: Int) -> String { "\(folder)/\(name(step))" }

  private static func name(_ step: Int) -> String {
    let digits = String(step)
    return "\(prefix)\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits)\(suffix)"
  }

  /// The last step with a state.
  static func lastStep(in folder: String) -> Int? { saved(in: folder).last }

  /// Steps with a state, ascending.
  private static func saved(in folder: String) -> [Int] {
    folderEntries(folder).compactMap { entry in
      guard entry.hasPrefix(prefix), entry.hasSuffix(suffix) else { return nil }
      guard let step = Int(entry.dropFirst(prefix.count).dropLast(suffix.count)) else { return nil }
      return step > 0 && entry == name(step) ? step : nil
    }.sorted()
  }
}

/// Finds damage, not forgery.
private struct Checksum {
  private var sum: UInt64 = 0

  init(_ text: String) { for byte in text.utf8 { add(UInt64(byte)) } }

  /// Of each word that is added another sum comes for another word: one that changed always shows.
  private mutating func add(_ word: UInt64) {
    sum = (sum ^ word) &* 0x9E37_79B9_7F4A_7C15
    sum ^= sum >> 32
  }

  mutating func add(_ values: UnsafeBufferPointer<Float>) { for value in values { add(UInt64(value.bitPattern)) } }

  var text: String { String(sum, radix: 16) }
}
