import Glibc
import Testing

@testable import DMSPlatform

/// A folder of its own that goes with the test.
private final class Scratch {
  let path: String
  init() throws {
    var template = Array("/tmp/dms-files-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw InputError("no folder") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
  deinit {
    for name in folderEntries(path) where !name.hasPrefix("..") { unlink("\(path)/\(name)") }
    rmdir(path)
  }
  func text(_ name: String) -> String? { readSmallFile("\(path)/\(name)") }
  var names: [String] { folderEntries(path).filter { $0 != "." && $0 != ".." }.sorted() }
}

struct FileTests {
  @Test func aLinkStaysALinkAndWhatItLeadsToIsReplaced() throws {
    let scratch = try Scratch()
    try writeAtomically(Array("old".utf8), to: scratch.path + "/real")
    symlink("real", scratch.path + "/link")
    symlink("link", scratch.path + "/second")
    try writeAtomically(Array("new".utf8), to: scratch.path + "/second")
    #expect(scratch.text("real") == "new")
    #expect(try followingLinks(scratch.path + "/link") == scratch.path + "/real")
    // A link to what is not there yet makes it there.
    symlink("later", scratch.path + "/dangling")
    try writeAtomically(Array("made".utf8), to: scratch.path + "/dangling")
    #expect(scratch.text("later") == "made")
    #expect(scratch.names == ["dangling", "later", "link", "real", "second"])
  }

  @Test func linksInACircleAreAnErrorAndNothingIsLeft() throws {
    let scratch = try Scratch()
    symlink("b", scratch.path + "/a")
    symlink("a", scratch.path + "/b")
    #expect(throws: InputError.self) { try writeAtomically([1], to: scratch.path + "/a") }
    #expect(scratch.names == ["a", "b"])
  }

  @Test func aDeviceIsWrittenToAndNotReplaced() throws {
    try writeAtomically([1, 2, 3], to: "/dev/null")
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    #expect(throws: InputError.self) { try writeAtomically([1], to: "/dev/full") }
  }

  @Test func aLockHasOneHolderAndGoesWithIt() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/talk"
    var first: FileLock? = try FileLock(file: path)
    #expect(scratch.names == [".talk.lock"])
    symlink("talk", scratch.path + "/link")
    for other in [path, scratch.path + "/link"] {
      #expect { try FileLock(file: other) } throws: { "\($0)".contains("in use by another process") }
    }
    withExtendedLifetime(first) {}
    first = nil
    #expect(scratch.names == ["link"])
    let again = try FileLock(file: path)
    withExtendedLifetime(again) { #expect(scratch.names == [".talk.lock", "link"]) }
  }

  @Test func aFolderIsLockedWithoutAFile() throws {
    let scratch = try Scratch()
    let lock = try FileLock(folder: scratch.path)
    withExtendedLifetime(lock) {
      #expect(throws: InputError.self) { try FileLock(folder: scratch.path) }
      #expect(scratch.names.isEmpty)
    }
    #expect(throws: InputError.self) { try FileLock(folder: scratch.path + "/none") }
  }

  /// A process that is killed cannot unlock: its lock must go with it, and its lock file must not stand in the way.
  @Test func aKilledProcessLeavesNoLock() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/talk"
    // What it leaves: a lock file that nobody holds.
    try writeAtomically([], to: scratch.path + "/.talk.lock")
    let lock = try FileLock(file: path)
    withExtendedLifetime(lock) { _ = #expect(throws: InputError.self) { try FileLock(file: path) } }
  }

  @Test func whatCanBeWrittenIsKnownBeforeItIs() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/file"
    try checkCanBeWritten(path)
    #expect(scratch.names.isEmpty)
    try writeAtomically(Array("kept".utf8), to: path)
    try checkCanBeWritten(path)
    symlink("far/file", scratch.path + "/link")
    for wrong in [
      scratch.path, scratch.path + "/", "", scratch.path + "/none/file", path + "/file", scratch.path + "/link",
    ] {
      #expect(throws: InputError.self) { try checkCanBeWritten(wrong) }
    }
    try checkCanBeWritten("/dev/null")
    #expect(scratch.text("file") == "kept" && scratch.names == ["file", "link"])
  }
}
