// What is no regular file is refused at once, whatever it is; a file is mapped whole.

import Glibc
import Testing

@testable import DMSPlatform

struct MappedFileTests {
  private func temporary() throws -> String {
    var template = Array("/tmp/dms-mapped-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw InputError("no folder") }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  @Test(.timeLimit(.minutes(1)))
  func aPipeThatNobodyWritesToIsRefusedWithoutWaiting() throws {
    let folder = try temporary()
    let pipe = folder + "/pipe"
    defer {
      unlink(pipe)
      rmdir(folder)
    }
    #expect(mkfifo(pipe, 0o600) == 0)
    #expect(throws: InputError("not a regular file", at: pipe)) { try MappedFile(path: pipe) }
  }

  @Test func foldersDevicesAndWhatIsNotThereAreRefused() {
    #expect(throws: InputError("not a regular file", at: "/tmp")) { try MappedFile(path: "/tmp") }
    #expect(throws: InputError("not a regular file", at: "/dev/zero")) { try MappedFile(path: "/dev/zero") }
    #expect(throws: InputError.self) { try MappedFile(path: "/tmp/dms-mapped-nothing") }
  }

  @Test func aFileIsMappedWhole() throws {
    let folder = try temporary()
    let path = folder + "/file"
    defer {
      unlink(path)
      rmdir(folder)
    }
    try writeAtomically(Array("bytes".utf8), to: path)
    let file = try MappedFile(path: path)
    #expect(Array(file.bytes) == Array("bytes".utf8))
    try writeAtomically([], to: path)
    #expect(try MappedFile(path: path).bytes.isEmpty)
  }
}
