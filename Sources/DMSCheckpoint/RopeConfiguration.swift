// Rotary position embeddings as checkpoints describe them: base frequency and how it is stretched.

import DMSPlatform
import Glibc

public struct RopeConfiguration: Sendable, Equatable {
  public enum Scaling: Sendable, Equatable {
    case none
    /// All frequencies divided by `factor`.
    case linear(factor: Double)
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth passage between.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
    /// YaRN (Peng et al., 2023): a ramp over channels between kept and divided; `attentionFactor` scales cosine and sine.
    case yarn(
      factor: Double, originalContext: Int, betaFast: Double, betaSlow: Double, attentionFactor: Double, truncate: Bool)
  }

  public let theta: Double
  public let scaling: Scaling

  /// Reads `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling`.
  init(_ config: ConfigurationReader, context: Int) throws {
    let scaled = try config.object("rope_parameters") ?? config.object("rope_scaling")
    let positive = 1e-6...1e12
    theta = try scaled?.number("rope_theta", in: positive) ?? config.number("rope_theta", in: positive) ?? 10_000
    guard let scaled else {
      scaling = .none
      return
    }
    let kind = try scaled.string("rope_type") ?? scaled.string("type") ?? "default"
    func number(_ key: String, _ range: ClosedRange<Double> = 1e-6...1e6) throws -> Double {
      try scaled.required(key, scaled.number(key, in: range))
    }
    let contexts = 1...ModelConfiguration.largestContext
    switch kind {
    case "default": scaling = .none
    case "linear": scaling = .linear(factor: try number("factor"))
    case "llama3":
      let low = try number("low_freq_factor")
      let high = try number("high_freq_factor")
      guard high > low else {
        throw InputError("high_freq_factor must be larger than low_freq_factor", at: scaled.source)
      }
      let key = "original_max_position_embeddings"
      scaling = .llama3(
        factor: try number("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
        originalContext: try scaled.required(key, scaled.integer(key, in: contexts)))
    case "yarn":
      // Without the original context the factor is that of the configured one, as in transformers.
      let original = try scaled.integer("original_max_position_embeddings", in: contexts) ?? context
      let factor = try scaled.number("factor", in: 1e-6...1e6) ?? Double(context) / Double(original)
      scaling = .yarn(
        factor: factor, originalContext: original,
        betaFast: try scaled.number("beta_fast", in: 1e-6...1e6) ?? 32,
        betaSlow: try scaled.number("beta_slow", in: 1e-6...1e6) ?? 1,
        attentionFactor: try Self.attentionFactor(scaled, factor: factor),
        truncate: try scaled.bool("truncate") ?? true)
    default:
      throw InputError(
        "unknown RoPE type \"\(kind)\"", at: scaled.source, remedy: "supported are default, linear, llama3 and yarn")
    }
  }

  private static func attentionFactor(_ scaled: ConfigurationReader, factor: Double) throws -> Double {
    if let given = try scaled.number("attention_factor", in: 1e-6...1e6) { return given }
    func mscale(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
    let all = try scaled.number("mscale_all_dim", in: 0...1e6) ?? 0
    let own = try scaled.number("mscale", in: 0...1e6) ?? 0
    return all != 0 && own != 0 ? mscale(own) / mscale(all) : mscale(1)
  }

  /// Angular frequency of each channel pair, `[headDim / 2]`, in radians per position, rounded as the models' code does.
  public func frequencies(headDim: Int) -> [Float] {
    let half = headDim / 2
    // Powers in fp32, as transformers computes them: a trained model has seen these, not the exact ones.
    let base = (0..<half).map { 1 / powf(Float(theta), Float(2 * $0) / Float(headDim)) }
    switch scaling {
    case .none: return base
    case .linear(let factor): return base.map { $0 / Float(factor) }
    case .llama3(let factor, let low, let high, let original):
      return base.map { frequency in
        let wavelength = 2 * Double.pi / Double(frequency)
        if wavelength > Double(original) / low { return frequency / Float(factor) }
        if wavelength < Double(original) / high { return frequency }
        let smooth = Float((Double(original) / wavelength - low) / (high - low))
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
      }
    case .yarn(let factor, let original, let betaFast, let betaSlow, _, let truncate):
      func channel(turns: Double) -> Double {
        Double(headDim) * log(Double(original) / (turns * 2 * Double.pi)) / (2 * log(theta))
      }
      var (low, high) = (channel(turns: betaFast), channel(turns: betaSlow))
      if truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      low = max(low, 0)
      high = min(high, Double(headDim - 1))
      if low == high { high += 0.001 }
      return base.indices.map { index in
        let ramp = Float(min(max((Double(index) - low) / (high - low), 0), 1))
        return base[index] / Float(factor) * ramp + base[index] * (1 - ramp)
      }
    }
  }

  /// What cosine and sine are multiplied with.
  public var attentionFactor: Float {
    if case .yarn(_, _, _, _, let attentionFactor, _) = scaling { Float(attentionFactor) } else { 1 }
  }
}
