// Reading safetensors: the official library's verdicts, alignment, and damage that must not trap.

import DMSCheckpoint
import DMSTensor
import DMSText
import Testing

@Suite struct SafetensorsFileTests {
  @Test(.enabled(if: hasSharedData, "needs ../shared/data/safetensors-cases"))
  func everyCaseGetsTheOfficialVerdict() throws {
    let folder = sharedData + "/safetensors-cases"
    let cases = try #require(try JSON(file: folder + "/manifest.json")["cases"]?.object)
    #expect(!cases.keys.isEmpty)
    for (name, verdict) in cases.members {
      let path = "\(folder)/\(name).safetensors"
      let complaint = complaint { try SafetensorsFile(path: path) }
      #expect((complaint == nil) == verdict["accept"]?.bool, "\(name): \(complaint ?? "accepted")")
      #expect(complaint?.hasPrefix("\(path): ") ?? true)
      guard complaint == nil, let tensors = verdict["tensors"]?.object else { continue }
      let file = try SafetensorsFile(path: path)
      #expect(Set(file.names) == Set(tensors.keys))
      for (tensor, expected) in tensors.members {
        let view = try #require(file.view(tensor))
        #expect(view.shape == expected["shape"]?.array?.compactMap(\.integer))
        let found = withExtendedLifetime(file) { values(view) }
        #expect(found == expected["values"]?.array?.compactMap(\.double), "\(name)")
      }
    }
  }

  /// The types of the cases that are accepted.
  private func values(_ view: TensorView) -> [Double] {
    switch view.type {
    case .f64: view.bytes.bindMemory(to: Double.self).map { $0 }
    case .f32: view.bytes.bindMemory(to: Float.self).map(Double.init)
    case .f16, .bf16:
      view.bytes.bindMemory(to: UInt16.self).map {
        view.type == .f16 ? Double($0 == 0x3C00 ? 1 : 2) : Double(Float(bitPattern: UInt32($0) << 16))
      }
    case .i64: view.bytes.bindMemory(to: Int64.self).map(Double.init)
    case .i32: view.bytes.bindMemory(to: Int32.self).map(Double.init)
    case .u16: view.bytes.bindMemory(to: UInt16.self).map(Double.init)
    case .i8: view.bytes.bindMemory(to: Int8.self).map(Double.init)
    default: view.bytes.map(Double.init)
    }
  }

  @Test(arguments: [
    ("a repeated field", #"{"t":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#),
    (
      "an overlap",
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    ),
    ("data left over", "{}"),
    ("offsets backwards", #"{"t":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#),
    (
      "an offset near 2^63",
      #"{"t":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}}"#
    ),
    ("three offsets", #"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}"#),
    ("a size beyond 64 bits of bits", #"{"t":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,1]}}"#),
    ("half a byte", #"{"t":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}"#),
    ("a fraction", #"{"t":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#),
    ("an unknown type", #"{"t":{"dtype":"Q4_0","shape":[1],"data_offsets":[0,1]}}"#),
    ("a tensor that is a list", #"{"t":["U8",[1],[0,1]]}"#),
    ("metadata that is not text", #"{"__metadata__":{"a":1},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#),
    ("a name of two lines", #"{"a\nb":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}"#),
  ])
  func aBrokenHeaderIsRefusedInOneLine(_ what: String, _ header: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("broken.safetensors", safetensors(header, [0]))
    let complaint = try #require(complaint { try SafetensorsFile(path: path) }, "\(what) was accepted")
    #expect(complaint.hasPrefix("\(path): not a valid safetensors file: "), "\(complaint)")
  }

  @Test func everyTypeOfTheFormatIsRead() throws {
    let folder = try TemporaryFolder()
    for type in ElementType.allCases {
      let size = try #require(type.bytes(of: 8))
      let header = #"{"t":{"dtype":"\#(type.rawValue)","shape":[2,4],"data_offsets":[0,\#(size)]}}"#
      let path = try folder.write("t.safetensors", safetensors(header, Array(repeating: 1, count: size)))
      let view = try #require(try SafetensorsFile(path: path).view("t"))
      #expect(view.type == type && view.shape == [2, 4])
    }
  }

  /// The header's length shifts every address by 0…7 bytes, and an odd tensor before it by one more.
  @Test(arguments: 0..<8)
  func everyViewIsAlignedToItsElement(_ padding: Int) throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]},"#
      + #""c":{"dtype":"I64","shape":[1],"data_offsets":[11,19]}}"# + String(repeating: " ", count: padding)
    let data = bytes([UInt8(7), 8, 9]) + bytes([Float(1.5), -2]) + bytes([Int64(-5)])
    let file = try SafetensorsFile(path: folder.write("odd.safetensors", safetensors(header, data)))
    for name in file.names {
      let view = try #require(file.view(name))
      #expect(Int(bitPattern: view.bytes.baseAddress) % view.type.size == 0)
    }
    #expect(numbers(file, "b", as: Float.self) == [1.5, -2])
    #expect(numbers(file, "c", as: Int64.self) == [-5])
  }

  /// Whatever a byte of the file becomes, and wherever the file ends: a value or an error, never a trap.
  @Test func damageIsAnErrorAndNoTrap() throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"#
      + #""y":{"dtype":"BF16","shape":[0,7],"data_offsets":[16,16]},"z":{"dtype":"I8","shape":[3],"data_offsets":[16,19]}}"#
    let whole = safetensors(header, Array(repeating: 3, count: 19))
    var numbers = SeededNumbers(state: 1)
    for round in 0..<3_000 {
      var damaged = whole
      if round % 3 == 0 { damaged.removeLast(Int.random(in: 0...whole.count, using: &numbers)) }
      for _ in 0..<(damaged.isEmpty ? 0 : Int.random(in: 1...3, using: &numbers)) {
        let place = Int.random(in: damaged.indices, using: &numbers)
        damaged[place] =
          round % 2 == 0
          ? UInt8.random(in: 0...255, using: &numbers)
          : Array("0123456789{}[],:\"-e.".utf8).randomElement(using: &numbers) ?? 0
      }
      let path = try folder.write("damaged.safetensors", damaged)
      if let complaint = complaint({ try SafetensorsFile(path: path) }) {
        #expect(complaint.hasPrefix(path), "\(complaint)")
      }
    }
  }

  @Test func aMissingFileAndAFolderAreErrors() throws {
    let folder = try TemporaryFolder()
    #expect(complaint { try SafetensorsFile(path: folder.path + "/none.safetensors") } != nil)
    #expect(complaint { try SafetensorsFile(path: folder.path) } != nil)
  }
}
