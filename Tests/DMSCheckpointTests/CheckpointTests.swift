// Folders of checkpoints, whole and broken: which file a tensor comes from, and what an error names.

import DMSCheckpoint
import DMSTensor
import Testing

@Suite struct CheckpointTests {
  static let config = """
    {"model_type": "llama", "hidden_size": 4, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 3,
     "intermediate_size": 8}
    """

  /// A folder with config.json and the files given, each of one F32 tensor `[2]` per name, filled with the file's number.
  private func folder(_ files: [(String, [String])], index: String? = nil) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("config.json", Self.config)
    for (number, (name, tensors)) in files.enumerated() {
      try writeTensors(
        "\(folder.path)/\(name)", tensors.map { ($0, .f32, [2], bytes([Float(number), Float(number)])) })
    }
    if let index { try folder.write("model.safetensors.index.json", index) }
    return folder
  }

  /// The number of the file that a tensor comes from.
  private func source(_ checkpoint: Checkpoint, _ name: String) throws -> Float {
    try withExtendedLifetime(checkpoint) { try checkpoint.tensor(name, shape: [2]).bytes.load(as: Float.self) }
  }

  @Test func everyFixtureOpensAndHasItsWeights() throws {
    let folders = fixtureFolders()
    try #require(!folders.isEmpty)
    for folder in folders {
      let checkpoint = try Checkpoint(folder: folder)
      let shape = checkpoint.configuration
      _ = try checkpoint.tensor("model.embed_tokens.weight", shape: [shape.vocabulary, shape.hidden])
      #expect(checkpoint.hasTensor("lm_head.weight") || shape.tiedEmbeddings)
      #expect(checkpoint.hasTensor("model.layers.0.self_attn.q_norm.weight") == shape.queryKeyNorm)
      #expect(!checkpoint.hasTensor("logits"), "reference values are not weights")
    }
  }

  @Test func theSingleFileWinsOverShardsAndOthers() throws {
    let folder = try folder([
      ("model.safetensors", ["a"]), ("golden.safetensors", ["a", "b"]), ("x.safetensors", ["a"]),
    ])
    let checkpoint = try Checkpoint(folder: folder.path)
    #expect(try source(checkpoint, "a") == 0)
    #expect(!checkpoint.hasTensor("b"))
  }

  @Test func theOnlyOtherFileIsTheWeights() throws {
    let one = try folder([("x.safetensors", ["a"]), ("golden.safetensors", [])])
    #expect(try source(Checkpoint(folder: one.path), "a") == 0)
    let two = try folder([("x.safetensors", ["a"]), ("y.safetensors", ["b"])])
    #expect(complaint { try Checkpoint(folder: two.path) }?.contains("2 safetensors files") == true)
    let none = try folder([("golden.safetensors", ["a"])])
    #expect(complaint { try Checkpoint(folder: none.path) }?.contains("download the checkpoint's weights") == true)
  }

  @Test func shardsAreFoundByTheIndex() throws {
    let index = #"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#
    let folder = try folder([("1.safetensors", ["a", "b"]), ("2.safetensors", ["a", "b"])], index: index)
    let checkpoint = try Checkpoint(folder: folder.path)
    #expect(try source(checkpoint, "a") == 0)
    #expect(try source(checkpoint, "b") == 1)
    #expect(checkpoint.parameters == 4 && checkpoint.weightBytes == 16)
  }

  @Test(arguments: [
    (#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#, "2.safetensors: the index names this file"),
    (
      #"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "3.safetensors"}}"#,
      "index.json: 2 of 3 files that the index names are missing: 2.safetensors, 3.safetensors;"
    ),
    (#"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors"}}"#, "1.safetensors: tensor \"b\" is missing"),
    (#"{"weight_map": {"a": "../1.safetensors"}}"#, "index.json: tensor \"a\" has no file name"),
    (#"{"weight_map": {"a": 1}}"#, "index.json: tensor \"a\" has no file name"),
    (#"{"weight_map": {"a": "1\n.safetensors"}}"#, "index.json: tensor \"a\" has no file name"),
    (#"{"weight_map": {"a": "1.safetensors\u0000"}}"#, "index.json: tensor \"a\" has no file name"),
    (#"{"weight_map": {}}"#, "index.json: no weight_map"),
    (#"[]"#, "index.json: no weight_map"),
    (#"{"weight_map":"#, "index.json, line 1: not valid JSON"),
  ])
  func aBrokenIndexNamesWhatIsMissing(_ index: String, _ expected: String) throws {
    let folder = try folder([("1.safetensors", ["a"])], index: index)
    let complaint = try #require(complaint { try Checkpoint(folder: folder.path) })
    #expect(complaint.contains(expected), "\(complaint)")
  }

  @Test func aMissingTensorAWrongShapeAndAWrongTypeNameFileAndTensor() throws {
    let folder = try folder([])
    let path = try writeTensors(
      folder.path + "/model.safetensors", [("a", .f32, [2], bytes([Float(1), 2])), ("q", .f8e4m3, [2], [0, 0])])
    let checkpoint = try Checkpoint(folder: folder.path)
    for (name, shape, expected) in [
      ("b", [2], "tensor \"b\" is missing"), ("a", [1, 2], "tensor \"a\" has the shape [2], expected [1, 2]"),
      ("q", [2], "tensor \"q\" is stored as F8_E4M3"),
    ] {
      let complaint = try #require(complaint { try checkpoint.tensor(name, shape: shape) })
      #expect(complaint.hasPrefix("\(path): \(expected)"), "\(complaint)")
    }
  }

  @Test func theModelPrefixMayBeLeftOut() throws {
    let folder = try folder([("model.safetensors", ["norm.weight"])])
    let checkpoint = try Checkpoint(folder: folder.path)
    #expect(checkpoint.hasTensor("model.norm.weight") && checkpoint.hasTensor("norm.weight"))
    #expect(!checkpoint.hasTensor("model.weight") && !checkpoint.hasTensor("model."))
    #expect(try source(checkpoint, "model.norm.weight") == 0)
  }

  @Test func aTruncatedWeightsFileIsRefusedAtOpening() throws {
    let folder = try folder([("model.safetensors", ["a"])])
    let path = folder.path + "/model.safetensors"
    try folder.write("model.safetensors", Array(fileBytes(path).dropLast()))
    #expect(complaint { try Checkpoint(folder: folder.path) }?.hasPrefix("\(path): not a valid") == true)
  }

  @Test func aFolderWithoutConfigurationIsAnError() throws {
    let folder = try TemporaryFolder()
    #expect(complaint { try Checkpoint(folder: folder.path) }?.contains("no config.json") == true)
    #expect(complaint { try Checkpoint(folder: folder.path + "/none") }?.contains("no config.json") == true)
  }
}
