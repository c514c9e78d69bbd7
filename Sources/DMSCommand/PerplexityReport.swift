// The result of `dms perplexity` as lines or JSON, with what produced it.

import DMSCache
import DMSCheckpoint
import DMSEvaluation
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct PerplexityReport {
  let model: String
  let engine: Engine
  let against: String?
  let reference: Engine?
  let result: Perplexity
  /// What did the work.
  let work: JSON

  var text: String {
    var lines = [
      "perplexity  \(decimals(result.value, 4)), \(decimals(result.natsPerToken, 6)) nats/token",
      "tokens      \(result.tokens) scored, in windows of \(engine.context); arithmetic \(engine.decoder.arithmetic.rawValue)",
    ]
    if let difference = result.difference {
      lines += [
        "reference   \(decimals(difference.referenceValue, 4)), "
          + "\(decimals(difference.referenceNatsPerToken, 6)) nats/token; ratio "
          + decimals(result.value / difference.referenceValue, 5),
        "KL          mean \(scientific(difference.meanDivergence)) nats, 99 % up to "
          + "\(scientific(difference.divergence(quantile: 0.99))), largest \(scientific(difference.largestDivergence))",
        "top token   \(decimals(100 * difference.sameTopShare, 3)) % the same",
        "logits      differ by \(scientific(Double(difference.largestLogitDifference))) at most, where the largest is "
          + decimals(Double(difference.largestLogit), 2),
      ]
      if let decisions = difference.decisions {
        lines.append(
          "decisions   \(decimals(decisions.flipsPerThousand, 3)) of 1000 differ (\(decisions.flips) of "
            + "\(decisions.count)); the reference evicts \(decimals(100 * decisions.referenceEvictionShare, 1)) %")
      }
    }
    return lines.joined(separator: "\n")
  }

  func json() throws -> String {
    var object = try Provenance.model(model, engine)
    object["context"] = .integer(engine.context)
    object["threads"] = .integer(engine.machine.threads)
    object["instructions"] = .string(engine.machine.instructions.rawValue)
    object["complete"] = .bool(result.isComplete)
    object["tokens"] = .integer(result.tokens)
    object["perplexity"] = .number(result.value)
    object["nats_per_token"] = .number(result.natsPerToken)
    if let difference = result.difference, let reference {
      object["against"] = .object(try compared(difference, with: reference))
    }
    object["produced_by"] = work
    return JSON.object(object).line
  }

  private func compared(_ difference: Perplexity.Difference, with reference: Engine) throws -> JSONObject {
    var object = try Provenance.model(against ?? "", reference)
    object["perplexity"] = .number(difference.referenceValue)
    object["nats_per_token"] = .number(difference.referenceNatsPerToken)
    object["perplexity_ratio"] = .number(result.value / difference.referenceValue)
    object["mean_kl"] = .number(difference.meanDivergence)
    object["quantile_99_kl"] = .number(difference.divergence(quantile: 0.99))
    object["largest_kl"] = .number(difference.largestDivergence)
    object["same_top_share"] = .number(difference.sameTopShare)
    object["largest_logit_difference"] = .number(Double(difference.largestLogitDifference))
    object["largest_logit"] = .number(Double(difference.largestLogit))
    if let decisions = difference.decisions {
      object["decisions"] = .integer(decisions.count)
      object["flips"] = .integer(decisions.flips)
      object["flips_per_thousand"] = .number(decisions.flipsPerThousand)
      object["eviction_share"] = .number(decisions.referenceEvictionShare)
    }
    return object
  }
}
