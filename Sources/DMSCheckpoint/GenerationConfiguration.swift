// generation_config.json: how the makers of a checkpoint want it sampled. Flags override it.

import DMSPlatform
import Glibc

public struct GenerationConfiguration: Sendable, Equatable {
  public var doSample: Bool?
  public var temperature: Double?
  public var topK: Int?
  public var topP: Double?
  public var minP: Double?
  public var repetitionPenalty: Double?
  public var maxNewTokens: Int?
  public var eosIDs: [Int] = []

  public init() {}

  /// An absent file gives an empty configuration.
  public init(folder: String) throws {
    let path = folder + "/generation_config.json"
    guard access(path, F_OK) == 0 else { return }
    let config = try ConfigurationReader(file: path)
    doSample = try config.bool("do_sample")
    temperature = try config.number("temperature", in: 0...1e6)
    topK = try config.integer("top_k", in: 0...(1 << 30))
    topP = try config.number("top_p", in: 0...1)
    minP = try config.number("min_p", in: 0...1)
    repetitionPenalty = try config.number("repetition_penalty", in: 1e-3...1e3)
    maxNewTokens = try config.integer("max_new_tokens", in: 1...(1 << 30))
    eosIDs = try config.ids("eos_token_id", below: 1 << 24)
  }
}
