// Writing safetensors: what is written is read back, and what fails leaves nothing behind.

import DMSCheckpoint
import DMSPlatform
import DMSTensor
import Foundation
import Testing

@Suite struct SafetensorsWriterTests {
  @Test func whatIsWrittenInAnyOrderIsReadBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/out.safetensors"
    let writer = try SafetensorsWriter(
      path: path,
      tensors: [
        .init("odd", .u8, [3]), .init("层\n\"", .f32, [2, 2]), .init("ids", .i64, [1]), .init("none", .bf16, [0]),
      ],
      metadata: ["format": "pt", "note": "a\t\u{1}b"])
    try bytes([Float(3), 4]).withUnsafeBytes { try writer.write($0, to: "层\n\"", atByte: 8) }
    try bytes([Int64(-9)]).withUnsafeBytes { try writer.write($0, to: "ids") }
    try bytes([UInt8(1), 2, 3]).withUnsafeBytes { try writer.write($0, to: "odd") }
    try bytes([Float(1), 2]).withUnsafeBytes { try writer.write($0, to: "层\n\"") }
    #expect(!contents(of: folder.path).contains("out.safetensors"))
    try writer.finish()
    #expect(contents(of: folder.path) == ["out.safetensors"])

    let file = try SafetensorsFile(path: path)
    #expect(file.names == ["ids", "层\n\"", "none", "odd"], "wide types come first, so that all are aligned")
    #expect(file.metadata == ["format": "pt", "note": "a\t\u{1}b"])
    #expect(numbers(file, "层\n\"", as: Float.self) == [1, 2, 3, 4])
    #expect(numbers(file, "ids", as: Int64.self) == [-9])
    #expect(numbers(file, "odd", as: UInt8.self) == [1, 2, 3])
    #expect(file.view("none")?.shape == [0])
  }

  /// What the official library writes for these tensors, byte for byte.
  @Test func theHeaderHasTheOfficialForm() throws {
    let folder = try TemporaryFolder()
    let path = try writeTensors(folder.path + "/a.safetensors", [("t", .f32, [2], bytes([Float(1), 2]))])
    let expected = safetensors(
      #"{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"# + "  ", bytes([Float(1), 2]))
    #expect(try SafetensorsFile(path: path).names == ["t"])
    #expect(try fileBytes(path) == expected)
  }

  @Test func whatIsNotWrittenIsZero() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/zero.safetensors"
    try SafetensorsWriter(path: path, tensors: [.init("t", .f32, [1000])]).finish()
    #expect(numbers(try SafetensorsFile(path: path), "t") == [Float](repeating: 0, count: 1000))
  }

  @Test func anUnfinishedFileLeavesNothingAndHarmsNothing() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("a.safetensors", "what was there")
    do {
      let writer = try SafetensorsWriter(path: path, tensors: [.init("t", .u8, [4])])
      try bytes([UInt8(1)]).withUnsafeBytes { try writer.write($0, to: "t") }
    }
    #expect(contents(of: folder.path) == ["a.safetensors"])
    #expect(try fileBytes(path) == Array("what was there".utf8))
  }

  /// 2^50 bytes are more than a disk has; beyond 2^62 no file can be.
  @Test(arguments: [[1 << 50], [1 << 62], [1 << 40, 1 << 40], [-1]])
  func aFileTooLargeForTheDiskIsAnErrorAndLeavesNothing(_ shape: [Int]) throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/big.safetensors"
    let complaint = try #require(complaint { try SafetensorsWriter(path: path, tensors: [.init("t", .u8, shape)]) })
    #expect(complaint.hasPrefix(path))
    #expect(contents(of: folder.path).isEmpty)
  }

  @Test func aFolderThatIsMissingIsAnError() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/none/a.safetensors"
    #expect(complaint { try SafetensorsWriter(path: path, tensors: []) }?.hasPrefix(path) == true)
  }

  /// A folder stands where the file should go: the rename fails after everything was written.
  @Test func aNameThatCannotBeTakenIsAnErrorAndLeavesNothing() throws {
    let inner = try TemporaryFolder()
    try inner.write("kept", "x")
    let complaints = [
      complaint {
        try SafetensorsWriter(path: inner.path, tensors: [.init("t", .u8, [4])]).finish()
      },
      complaint { try writeAtomically([1, 2], to: inner.path) },
    ]
    for complaint in complaints {
      #expect(complaint?.hasPrefix("\(inner.path): cannot be written") == true, "\(complaint ?? "no error")")
    }
    #expect(contents(of: inner.path) == ["kept"])
    #expect(try fileBytes(inner.path + "/kept") == Array("x".utf8))
    #expect(complaint { try fileBytes(inner.path + ".partial") } != nil, "a partial file is left")
  }

  @Test func aSmallFileIsReplacedWhole() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/small.json"
    for content in [[], Array("first".utf8), [UInt8](repeating: 7, count: 1 << 20), [0]] {
      try writeAtomically(content, to: path)
      #expect(try fileBytes(path) == content)
      #expect(contents(of: folder.path) == ["small.json"])
    }
    let none = folder.path + "/none/small.json"
    #expect(complaint { try writeAtomically([1], to: none) }?.hasPrefix(none) == true)
  }

  @Test func aLinkStaysALinkAndWhatItLeadsToIsReplaced() throws {
    let folder = try TemporaryFolder()
    try folder.write("real.safetensors", "what was there")
    // One beside it, one through another link, one that leads to nothing yet.
    for (link, target) in [
      ("near", "real.safetensors"), ("far", folder.path + "/near"), ("dangling", "new.safetensors"),
    ] {
      try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/\(link)", withDestinationPath: target)
      try writeTensors("\(folder.path)/\(link)", [("t", .u8, [1], [UInt8(link.utf8.count)])])
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder.path)/\(link)") == target)
      let end = link == "dangling" ? "new" : "real"
      let file = try SafetensorsFile(path: "\(folder.path)/\(end).safetensors")
      #expect(numbers(file, "t") == [UInt8(link.utf8.count)])
    }
    #expect(contents(of: folder.path) == ["dangling", "far", "near", "new.safetensors", "real.safetensors"])
  }
}
