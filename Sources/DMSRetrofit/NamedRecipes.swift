// The recipes that come with the program, by name. They are the files of Models/recipes, compiled in, so that they are found
// wherever it runs.

import DMSPlatform
import DMSText

extension Recipe {
  private static let files = [
    "fade": PackageResources.fade_json, "nvidia-adapter": PackageResources.nvidia_adapter_json,
    "paper-cr8": PackageResources.paper_cr8_json, "smollm2-cr4": PackageResources.smollm2_cr4_json,
    "smollm2-cr8": PackageResources.smollm2_cr8_json, "tiny": PackageResources.tiny_json,
    "tiny-facts": PackageResources.tiny_facts_json, "tiny-fade": PackageResources.tiny_fade_json,
    "tiny-pretrain": PackageResources.tiny_pretrain_json,
  ]

  /// What `init(named:)` knows.
  public static var names: [String] { files.keys.sorted() }

  /// The bytes of a recipe's file.
  static func file(named name: String) -> [UInt8]? { files[name] }

  /// A recipe that comes with the program, with other values for some of its keys.
  /// - Throws: `InputError` that lists the names, for a name that is none of them.
  public init(named name: String, overrides: [String] = []) throws {
    guard let bytes = Self.file(named: name) else {
      throw InputError(
        "\(quoted(name)) is neither a file nor the name of a recipe",
        remedy: "known are \(Self.names.joined(separator: ", "))")
    }
    let source = "recipe \(name)"
    let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, source: source) }
    try self.init(json, source: source, overrides: overrides)
  }
}
