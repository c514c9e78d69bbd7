// The ways of splitting that GGUF files only name (`tokenizer.ggml.pre`). Names and patterns are those of llama.cpp's
// vocabularies; where Hugging Face's tokenizer of the same models is known to do otherwise (a normalizer, say), it is
// followed. A name that is not here is refused: a wrong split gives plausible, wrong ids.

import DMSPlatform

struct NamedPreTokenizer {
  var parts: [PreTokenizerPart]
  var normalizers: [Normalizer] = []
  /// Whether a word that is a token is that token.
  var ignoresMerges = false
  /// Whether BOS stands before a text where the file does not say.
  var addsBOS = false

  /// A name of each way that is told apart here, the frequent ones first.
  static let names = [
    "qwen2", "llama-bpe", "smollm", "gpt-2", "tekken", "gpt-4o", "deepseek-llm", "deepseek-coder", "deepseek-v3",
    "qwen35", "command-r", "falcon", "olmo", "stablelm2", "dbrx", "default",
  ]

  init(_ name: String, _ source: String) throws {
    switch name {
    case "qwen2", "deepseek-r1-qwen":
      try self.init([TextSplitter.qwen2Pattern], source)
      normalizers = [.nfc]
    case "qwen35":
      try self.init([Self.qwen35Pattern], source)
      normalizers = [.nfc]
    case "stablelm2": try self.init([TextSplitter.qwen2Pattern], source)
    case "llama-bpe", "llama3", "llama-v3":
      try self.init([TextSplitter.llama3Pattern], source)
      (ignoresMerges, addsBOS) = (true, true)
    case "dbrx", "smaug-bpe": try self.init([TextSplitter.llama3Pattern], source)
    case "gpt-4o", "llama4": try self.init([Self.o200kPattern], source)
    case "tekken":
      try self.init([Self.tekkenPattern], source)
      (ignoresMerges, addsBOS) = (true, true)
    case "gpt-2", "phi-2": self.init(parts: [Self.gpt2Words])
    case "mpt", "olmo":
      self.init(parts: [Self.gpt2Words])
      normalizers = [.nfc]
    case "smollm", "starcoder", "refact", "codeshell": self.init(parts: [Self.digits(.isolated), Self.gpt2Words])
    case "command-r":
      self.init(parts: [Self.digits(.isolated), Self.gpt2Words])
      normalizers = [.nfc]
    case "falcon":
      self.init(parts: [
        .split(.characters(.punctuation), .contiguous, isInverted: false), Self.gpt2Words, Self.digits(.contiguous),
        try Self.split(Self.threeDigits, source),
      ])
    case "deepseek-llm": try self.init(Self.deepSeekLLMPatterns, then: [Self.digits(.isolated)], source)
    case "deepseek-coder": try self.init(Self.deepSeekCoderPatterns, then: [Self.digits(.isolated)], source)
    case "deepseek-v3": try self.init(Self.deepSeekV3Patterns, source)
    case "default":
      // llama.cpp's own, for models whose tokenizer it did not recognise.
      try self.init(
        [#"[\p{P}\$\+<=>\^~\|]+"#, TextSplitter.gpt2Pattern, #"\p{N}+"#, Self.threeDigits], source)
    default:
      throw InputError(
        "the pre-tokenizer \"\(oneLine(name))\" is not supported", at: source,
        remedy: "use the model's tokenizer.json, in a folder with its safetensors")
    }
  }

  private init(parts: [PreTokenizerPart]) { self.parts = parts }

  /// Split by one pattern after the other, then into bytes.
  private init(_ patterns: [String], then more: [PreTokenizerPart] = [], _ source: String) throws {
    parts = try patterns.map { try Self.split($0, source) } + more + [.byteLevel(addsSpace: false, nil)]
  }

  private static func split(_ pattern: String, _ source: String) throws -> PreTokenizerPart {
    .split(try SplitPattern(regex: pattern, source), .isolated, isInverted: false)
  }

  private static func digits(_ behavior: SplitBehavior) -> PreTokenizerPart {
    .split(.characters(.digit), behavior, isInverted: false)
  }

  private static var gpt2Words: PreTokenizerPart { .byteLevel(addsSpace: false, .gpt2) }

  // MARK: - Patterns

  private static let threeDigits = "[0-9][0-9][0-9]"
  private static let qwen35Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"#
    + #"\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
  private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
  private static let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
  private static let o200kPattern =
    #"[^\r\n\p{L}\p{N}]?\#(upper)*\#(lower)+\#(contraction)|[^\r\n\p{L}\p{N}]?\#(upper)+\#(lower)*\#(contraction)|"#
    + #"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let tekkenPattern =
    #"[^\r\n\p{L}\p{N}]?\#(upper)*\#(lower)+|[^\r\n\p{L}\p{N}]?\#(upper)+\#(lower)*|"#
    + #"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  /// DeepSeek's own list of letters with cases.
  private static let letters =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ"
    + "-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌῐ-\\x{1FD3}ῖ-\\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹ"
    + "ℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
  private static let deepSeekLLMPatterns = [
    #"[\r\n]"#, "\\s?[\(letters)]+", #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, #"\s+$"#, "[一-龥ࠀ-一가-퟿]+",
  ]
  private static let deepSeekCoderPatterns = [#"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+"]
  private static let deepSeekV3Patterns = [
    #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##
      + #" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
  ]
}
