// Where a run stands, in one file: what trains, the optimiser's moments, the position in the data. A run that goes on from
// it is, bit for bit, the run that was never interrupted.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import DMSText
import Glibc

struct RunState {
  /// Steps that are done.
  var step = 0
  var cursor: BatchCursor
  /// Tokens read so far, and seconds spent.
  var tokens = 0
  var seconds = 0.0

  private static let names = ["trained", "first", "second"]

  /// Writes the state beside the last one, then removes all but these two.
  func save(_ parameters: Parameters, _ optimizer: AdamW, _ parts: TrainableParts, in folder: String) throws {
    let count = parts.count
    let writer = try SafetensorsWriter(
      path: Self.path(folder, step), tensors: Self.names.map { .init($0, .f32, [count]) },
      metadata: ["state": text(updates: optimizer.updates)])
    for part in parts.parts {
      let values = UnsafeBufferPointer(start: parameters.values.base + part.range.lowerBound, count: part.range.count)
      try writer.write(UnsafeRawBufferPointer(values), to: "trained", atByte: 4 * part.packed)
    }
    for (name, buffer) in [("first", optimizer.first), ("second", optimizer.second)] {
      try writer.write(
        UnsafeRawBufferPointer(UnsafeBufferPointer(start: buffer.base, count: buffer.count)), to: name)
    }
    try writer.finish()
    for old in Self.saved(in: folder).dropLast(2) { unlink(Self.path(folder, old)) }
  }

  /// The last state of a folder, its numbers put in their places; `nil` if there is none.
  /// - Throws: `InputError` for a state of another shape.
  static func loadLast(
    in folder: String, _ parameters: Parameters, _ optimizer: AdamW, _ parts: TrainableParts
  ) throws -> RunState? {
    guard let last = saved(in: folder).last else { return nil }
    let file = try SafetensorsFile(path: path(folder, last))
    let views = try names.map { name in
      guard let view = file.view(name), view.shape == [parts.count], view.type == .f32,
        let base = view.bytes.baseAddress
      else {
        throw InputError(
          "the saved run has \(file.view(name)?.count ?? 0) numbers that train, this one \(parts.count)", at: file.path,
          remedy: "go on with the model and the recipe that it was begun with")
      }
      return base.assumingMemoryBound(to: Float.self)
    }
    let (state, updates) = try parse(file.metadata["state"], source: file.path)
    for part in parts.parts {
      (parameters.values.base + part.range.lowerBound).update(from: views[0] + part.packed, count: part.range.count)
    }
    optimizer.first.base.update(from: views[1], count: parts.count)
    optimizer.second.base.update(from: views[2], count: parts.count)
    optimizer.updates = updates
    return withExtendedLifetime(file) { state }
  }

  private static let (prefix, suffix) = ("step-", ".safetensors")

  private static func path(_ folder: String, _ step: Int) -> String {
    let digits = String(step)
    return "\(folder)/\(prefix)\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits)\(suffix)"
  }

  /// Steps with a state, ascending.
  private static func saved(in folder: String) -> [Int] {
    folderEntries(folder).compactMap { name in
      name.hasPrefix(prefix) && name.hasSuffix(suffix) ? Int(name.dropFirst(prefix.count).dropLast(suffix.count)) : nil
    }.sorted()
  }

  private func text(updates: Int) -> String {
    JSON.members([
      "step": .integer(step), "updates": .integer(updates), "tokens": .integer(tokens), "seconds": .number(seconds),
      "documents": .integer(cursor.documents), "items": .array(cursor.sources.map { .integer($0.item) }),
      "places": .array(cursor.sources.map { .integer($0.document) }),
    ]).text
  }

  private static func parse(_ text: String?, source: String) throws -> (state: RunState, updates: Int) {
    let json = try text.map { try JSON(parsing: $0, source: source) }
    func list(_ key: String) -> [Int]? { json?[key]?.array?.compactMap(\.integer) }
    guard let step = json?["step"]?.integer, let updates = json?["updates"]?.integer,
      let tokens = json?["tokens"]?.integer, let seconds = json?["seconds"]?.double,
      let documents = json?["documents"]?.integer, let items = list("items"), let places = list("places"),
      items.count == places.count
    else {
      throw InputError("no state of a run", at: source, remedy: "remove the file to go on from the one before")
    }
    let cursor = BatchCursor(
      documents: documents, sources: zip(items, places).map { BatchCursor.Place(item: $0, document: $1) })
    return (RunState(step: step, cursor: cursor, tokens: tokens, seconds: seconds), updates)
  }
}
