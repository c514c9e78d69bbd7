// Reading GGUF: what a file says, split models, and damage that must be told in one line.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import Testing

/// A GGUF file part by part, so that each may be wrong.
struct GGUFBytes {
  var version: UInt32 = 3
  var keys: [(String, UInt32, [UInt8])] = [("general.architecture", 8, text("llama")), ("n", 4, bytes([UInt32(7)]))]
  var tensors: [(name: String, shape: [UInt64], type: UInt32, offset: UInt64)] = [
    ("a", [32, 2], 8, 0), ("b", [4], 0, 96),
  ]
  var tensorCount: UInt64?
  var keyCount: UInt64?
  var data = [UInt8](repeating: 1, count: 112)

  static func text(_ text: String) -> [UInt8] { bytes([UInt64(text.utf8.count)]) + Array(text.utf8) }

  static func list(_ kind: UInt32, _ count: UInt64, _ elements: [UInt8]) -> [UInt8] {
    bytes([kind]) + bytes([count]) + elements
  }

  var all: [UInt8] {
    var all = Array("GGUF".utf8) + bytes([version])
    all += bytes([tensorCount ?? UInt64(tensors.count), keyCount ?? UInt64(keys.count)])
    for (key, kind, value) in keys { all += Self.text(key) + bytes([kind]) + value }
    for tensor in tensors {
      all += Self.text(tensor.name) + bytes([UInt32(tensor.shape.count)]) + bytes(tensor.shape)
      all += bytes([tensor.type]) + bytes([tensor.offset])
    }
    all += [UInt8](repeating: 0, count: (32 - all.count % 32) % 32)
    return all + data
  }

  func changed(_ change: (inout GGUFBytes) -> Void) -> GGUFBytes {
    var copy = self
    change(&copy)
    return copy
  }
}

@Suite struct GGUFFileTests {
  private func verdict(_ bytes: [UInt8]) throws -> String? {
    let folder = try TemporaryFolder()
    let path = try folder.write("m.gguf", bytes)
    return complaint { try GGUFFile(path: path) }
  }

  @Test func aFileSaysWhatWasWritten() throws {
    let folder = try TemporaryFolder()
    let file = try GGUFFile(path: folder.write("m.gguf", GGUFBytes().all))
    #expect(file.names == ["a", "b"] && file.keys == ["general.architecture", "n"] && file.hasData)
    let (type, shape, bytes) = try file.tensor(named: "a")
    #expect(type == .q8_0 && shape == [2, 32] && bytes.count == 68 && bytes.first == 1)
    #expect(file.value("n")?.integer == 7 && file.value("general.architecture")?.string == "llama")
    #expect(file.types.map(\.bytes) == [68, 16])
  }

  @Test func aFileCutAnywhereIsRefused() throws {
    let tokens = (0..<600).flatMap { GGUFBytes.text("token\($0)") }
    let whole = GGUFBytes().changed { $0.keys.append(("tokens", 9, GGUFBytes.list(8, 600, tokens))) }.all
    #expect(try verdict(whole) == nil)
    for length in Array(stride(from: 0, to: min(8192, whole.count), by: 64)) + [whole.count - 1] {
      let complaint = try verdict(Array(whole[..<length]))
      #expect(complaint?.contains("m.gguf: ") == true, "\(length): \(complaint ?? "accepted")")
    }
  }

  @Test func aHeadIsForLookingOnly() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("m.gguf", GGUFBytes().changed { $0.data = [] }.all)
    #expect(complaint { try GGUFFile(path: path) }?.contains("data are missing") == true)
    let file = try GGUFFile(inspecting: path)
    #expect(!file.hasData && file.types.map(\.bytes) == [68, 16])
    #expect(try file.tensor(named: "a").bytes.isEmpty)
  }

  @Test func hugeAndCrookedNumbersAreRefused() throws {
    let huge: [UInt64] = [1 << 31, 1 << 40, 1 << 62, 1 << 63, .max]
    for number in huge {
      for (name, file) in [
        ("tensors", GGUFBytes().changed { $0.tensorCount = number }),
        ("keys", GGUFBytes().changed { $0.keyCount = number }),
        ("a text", GGUFBytes().changed { $0.keys[0].2 = bytes([number]) }),
        ("texts", GGUFBytes().changed { $0.keys[0] = ("k", 9, GGUFBytes.list(8, number, [])) }),
        ("numbers", GGUFBytes().changed { $0.keys[0] = ("k", 9, GGUFBytes.list(10, number, [])) }),
        ("columns", GGUFBytes().changed { $0.tensors[0].shape = [number, 2] }),
        ("product", GGUFBytes().changed { $0.tensors[0].shape = [32, number, number] }),
        ("offset", GGUFBytes().changed { $0.tensors[0].offset = number & ~31 }),
      ] { #expect(try verdict(file.all) != nil, "\(name) \(number)") }
    }
  }

  @Test(
    arguments: [
      ("alignment", GGUFBytes().changed { $0.keys[1] = ("general.alignment", 4, bytes([UInt32(0)])) }),
      ("alignment", GGUFBytes().changed { $0.keys[1] = ("general.alignment", 4, bytes([UInt32(24)])) }),
      ("list of lists", GGUFBytes().changed { $0.keys[1] = ("k", 9, GGUFBytes.list(9, 1, [])) }),
      ("truth value", GGUFBytes().changed { $0.keys[1] = ("k", 9, GGUFBytes.list(7, 2, [1, 7])) }),
      ("unknown type", GGUFBytes().changed { $0.keys[1].1 = 99 }),
      ("unknown type 77", GGUFBytes().changed { $0.tensors[1].type = 77 }),
      ("stored as IQ2_XXS", GGUFBytes().changed { $0.tensors[0] = ("a", [256], 16, 0) }),
      ("whole blocks", GGUFBytes().changed { $0.tensors[0].shape = [48, 2] }),
      ("whole blocks", GGUFBytes().changed { $0.tensors[0].shape = [16, 4] }),
      ("no multiple", GGUFBytes().changed { $0.tensors[1].offset = 68 }),
      ("ends after", GGUFBytes().changed { $0.tensors[1].offset = 128 }),
      ("stands twice", GGUFBytes().changed { $0.tensors[1].name = "a" }),
      ("stands twice", GGUFBytes().changed { $0.keys[1].0 = "general.architecture" }),
      ("dimensions", GGUFBytes().changed { $0.tensors[0].shape = [] }),
      ("dimensions", GGUFBytes().changed { $0.tensors[0].shape = [32, 1, 1, 1, 2] }),
      ("zero", GGUFBytes().changed { $0.tensors[0].shape = [32, 0] }),
      ("big-endian", GGUFBytes().changed { $0.version = 0x0300_0000 }),
      ("version 1", GGUFBytes().changed { $0.version = 1 }),
    ] as [(String, GGUFBytes)])
  func everyKindOfDamageIsNamed(word: String, file: GGUFBytes) throws {
    let verdict = try verdict(file.all)
    #expect(verdict?.contains(word) == true, "\(verdict ?? "accepted")")
  }

  @Test func aSplitModelOpensByAnyOfItsFiles() throws {
    func shard(_ number: UInt16, _ name: String) -> [UInt8] {
      GGUFBytes().changed {
        $0.keys.append(("split.no", 2, bytes([number])))
        $0.keys.append(("split.count", 2, bytes([UInt16(2)])))
        $0.tensors = [(name, [4], 0, 0)]
      }.all
    }
    let folder = try TemporaryFolder()
    let first = try folder.write("m-00001-of-00002.gguf", shard(0, "a"))
    #expect(complaint { try GGUFFile(path: first) }?.contains("m-00002-of-00002.gguf: this file") == true)
    let second = try folder.write("m-00002-of-00002.gguf", shard(1, "b"))
    for path in [first, second] { #expect(try GGUFFile(path: path).names == ["a", "b"]) }
    try folder.write("m-00002-of-00002.gguf", shard(1, "a"))
    #expect(complaint { try GGUFFile(path: first) }?.contains("two files") == true)
    let renamed = try folder.write("m.gguf", shard(0, "a"))
    #expect(complaint { try GGUFFile(path: renamed) }?.contains("split in 2") == true)
  }

  @Test func tensorsThatShareBytesAreRefused() throws {
    for offset in [0, 32, 64] as [UInt64] {
      let verdict = try verdict(GGUFBytes().changed { $0.tensors[1].offset = offset }.all)
      #expect(verdict?.contains("\"a\" and \"b\" share bytes") == true, "\(offset): \(verdict ?? "accepted")")
    }
  }

  /// What an error would say of a value is not said while there is none.
  @Test(.timeLimit(.minutes(1))) func aLongKeyOfAMillionTextsIsRead() throws {
    let key = String(repeating: "k", count: 60_000)
    let texts = [UInt8](repeating: 0, count: 8 << 20)
    let file = GGUFBytes().changed { $0.keys.append((key, 9, GGUFBytes.list(8, 1 << 20, texts))) }
    #expect(try verdict(file.all) == nil)
  }
}
