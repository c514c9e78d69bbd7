// A model folder in the making: its files lie in a folder of another name beside it, which gets the final name when
// everything is there. Which weights are written, and how, is not known here.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// Dropped before `finish`, it leaves nothing behind. A process that is killed leaves `NAME.partial-XXXXXX`, never NAME; the next
/// one that makes NAME removes it.
public final class CheckpointFolder {
  private let path: String
  /// Where files are written until the folder is finished.
  public let partial: String
  private let replaces: Bool
  private var isFinished = false
  /// Tells a folder in the making from what a killed process left.
  private var lock: FileLock?
  private static let mark = ".partial-"

  /// - Parameter replaces: a folder of that name gives way when this one is finished.
  /// - Throws: `InputError` if `path` exists and is not replaced, or cannot be created.
  public init(_ path: String, replaces: Bool = false) throws {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    var status = stat()
    guard replaces || lstat(path, &status) != 0 else { throw Self.exists(path) }
    self.replaces = replaces
    self.path = path
    Self.removeLeftovers(of: path)
    var template = Array((path + Self.mark + "XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw cannotWrite(path, errno) }
    partial = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    lock = try? FileLock(folder: partial)
    // mkdtemp makes it for its owner alone; a model is as public as files are by default.
    let mask = umask(0)
    umask(mask)
    chmod(partial, 0o777 & ~mask)
  }

  deinit {
    if !isFinished { Self.remove(partial) }
  }

  /// Removes what killed processes left in a folder.
  public static func removeLeftovers(in folder: String) { removeLeftovers(in: folder) { $0.contains(mark) } }

  private static func removeLeftovers(of path: String) {
    let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
    removeLeftovers(in: DMSPlatform.folder(of: path)) { $0.hasPrefix(name + mark) }
  }

  private static func removeLeftovers(in folder: String, where belongs: (String) -> Bool) {
    for name in folderEntries(folder) where belongs(name) {
      // Locked by a process that is still at work: it is no leftover.
      guard let lock = try? FileLock(folder: "\(folder)/\(name)") else { continue }
      withExtendedLifetime(lock) { remove("\(folder)/\(name)") }
    }
  }

  private static func remove(_ folder: String) {
    for name in fileNames(in: folder) { unlink("\(folder)/\(name)") }
    rmdir(folder)
  }

  private static func exists(_ path: String) -> InputError {
    InputError("exists already", at: path, remedy: "give a new name, or remove it first")
  }

  /// Copies what belongs to a model beside its weights and its configuration: tokenizer, chat template, sampling wishes,
  /// DMS metadata, licence.
  ///
  /// - Parameter except: a file that does not fit any more.
  public func copyCompanions(of source: String, except: String? = nil) throws {
    for name in fileNames(in: source).sorted() where Self.isCompanion(name) && name != except {
      let file = try MappedFile(path: "\(source)/\(name)")
      try withExtendedLifetime(file) { try writeAtomically(Array(file.bytes), to: "\(partial)/\(name)") }
    }
  }

  private static func isCompanion(_ name: String) -> Bool {
    if name.hasPrefix(".") || name == "config.json" || name.hasSuffix(".index.json") { return false }
    return [".json", ".jinja", ".txt", ".model", ".tiktoken"].contains { name.hasSuffix($0) }
      || ["LICENSE", "NOTICE", "README"].contains { name.hasPrefix($0) }
  }

  /// Writes the configuration of a checkpoint with what is new about the weights; the other keys, and their order, are kept.
  ///
  /// - Parameters:
  ///   - type: the type that the matrices have from now on; `nil` leaves what is announced.
  ///   - blocks: the blocks that they are in.
  ///   - dms: what the checkpoint was taught; `nil` leaves what is there.
  package func writeConfiguration(
    of source: String, type: ElementType?, blocks: StoredBlocks? = nil, dms: DMSSettings? = nil
  ) throws {
    try writeConfiguration(Self.configuration(of: source), type: type, blocks: blocks, dms: dms)
  }

  static func configuration(of folder: String) throws -> JSONObject {
    let path = "\(folder)/config.json"
    guard let object = try JSON(file: path).object else {
      throw InputError("a JSON object expected", at: path, remedy: ConfigurationReader.remedy)
    }
    return object
  }

  /// - Parameter keys: of the configuration that the model has so far.
  package func writeConfiguration(
    _ keys: JSONObject, type: ElementType?, blocks: StoredBlocks? = nil, dms: DMSSettings? = nil
  ) throws {
    var object = keys
    let names: [ElementType: String] = [.f32: "float32", .bf16: "bfloat16", .f16: "float16"]
    if let name = type.flatMap({ names[$0] }) {
      object[object["dtype"] == nil ? "torch_dtype" : "dtype"] = .string(name)
    }
    // What is written is numbers or blocks of this program, whatever a shape's source has announced.
    for key in ForeignQuantization.keys { object[key] = nil }
    if let blocks { object[StoredBlocks.key] = blocks.announcement }
    for (key, value) in dms?.keys ?? [] { object[key] = value }
    try writeAtomically(Array((JSON.object(object).text + "\n").utf8), to: "\(partial)/config.json")
  }

  /// Gives the folder its name. Nothing can be written afterwards.
  /// - Throws: `InputError` if something of that name has appeared meanwhile.
  public func finish() throws {
    syncFolder(of: partial + "/")
    let old = partial + "-replaced"
    let hasOld = replaces && rename(path, old) == 0
    // Of what has appeared under the name meanwhile, only an empty folder is replaced.
    guard rename(partial, path) == 0 else {
      let error = errno
      if hasOld { rename(old, path) }
      guard [EEXIST, ENOTEMPTY, ENOTDIR].contains(error) else { throw cannotWrite(path, error) }
      throw Self.exists(path)
    }
    isFinished = true
    syncFolder(of: path)
    if hasOld { Self.remove(old) }
  }
}

/// Regular files and links to them in a folder; none if it cannot be read.
func fileNames(in folder: String) -> [String] {
  folderEntries(folder).filter { name in
    var status = stat()
    return stat("\(folder)/\(name)", &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}
