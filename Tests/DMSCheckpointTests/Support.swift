// Where the tests' files come from and go to.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import DMSText
import Foundation

/// The repository's root, three levels above this file.
private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// Third-party files that lie beside the repository and are not part of it.
let sharedData = root.deletingLastPathComponent().path + "/shared/data"
let hasSharedData = FileManager.default.fileExists(atPath: sharedData)

/// Small checkpoints: those of `DMS_FIXTURES`, or of this repository.
let fixtures = ProcessInfo.processInfo.environment["DMS_FIXTURES"] ?? root.path + "/Tests/Fixtures"

func contents(of folder: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

/// The folders of the fixtures.
func fixtureFolders() -> [String] {
  contents(of: fixtures).map { "\(fixtures)/\($0)" }
    .filter { FileManager.default.fileExists(atPath: $0 + "/config.json") }
}

/// A folder that disappears with the value.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "dms-checkpoint-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }
}

/// A safetensors file as bytes: header as given, then the data.
func safetensors(_ header: String, _ data: [UInt8]) -> [UInt8] {
  let header = Array(header.utf8)
  return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
}

func bytes<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }
func bytes(_ numbers: [Float]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }

/// A file of whole tensors.
@discardableResult
func writeTensors(_ path: String, _ tensors: [(String, ElementType, [Int], [UInt8])]) throws -> String {
  let writer = try SafetensorsWriter(path: path, tensors: tensors.map { .init($0.0, $0.1, $0.2) })
  for (name, _, _, data) in tensors { try data.withUnsafeBytes { try writer.write($0, to: name) } }
  try writer.finish()
  return path
}

/// The error's text, or `nil` if there is none. Anything but an `InputError` of one line is told as such.
func complaint<Result>(_ body: () throws -> Result) -> String? {
  do {
    _ = try body()
    return nil
  } catch let error as InputError {
    return error.description.contains("\n") ? "more than one line: \(error)" : error.description
  } catch {
    return "not an InputError: \(error)"
  }
}

/// SplitMix64: seeded, the same on every machine.
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func fileBytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

/// A tensor's numbers. A view does not keep its file, so they are copied while the file certainly lives.
func numbers<Number>(_ file: SafetensorsFile, _ name: String, as type: Number.Type = Number.self) -> [Number]? {
  withExtendedLifetime(file) { file.view(name).map { Array($0.bytes.bindMemory(to: type)) } }
}
