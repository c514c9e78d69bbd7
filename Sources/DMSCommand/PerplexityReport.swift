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

  var text: String {
    var lines = [
      "perplexity  \(decimals(result.value, 4)), \(decimals(result.natsPerToken, 6)) nats/token",
      "tokens      \(result.tokens) scored, in windows of \(engine.context)",
    ]
    if let difference = result.difference {
      lines += [
        "reference   \(decimals(difference.referenceValue, 4)), "
          + "\(decimals(difference.referenceNatsPerToken, 6)) nats/token; ratio "
          + decimals(result.value / difference.referenceValue, 5),
        "KL          mean \(scientific(difference.meanDivergence)) nats, 99 % up to "
          + "\(scientific(difference.divergence(quantile: 0.99))), largest \(scientific(difference.largestDivergence))",
        "top token   \(decimals(100 * difference.sameTopShare, 3)) % the same",
      ]
      if let decisions = difference.decisions {
        lines.append(
          "decisions   \(decimals(decisions.flipsPerThousand, 3)) of 1000 differ (\(decisions.flips) of "
            + "\(decisions.count)); the reference evicts \(decimals(100 * decisions.referenceEvictionShare, 1)) %")
      }
    }
    return lines.joined(separator: "\n")
  }

  var json: String {
    var members = produced(model, engine)
    members += [
      ("context", "\(engine.context)"), ("threads", "\(engine.machine.threads)"),
      ("instructions", quoted(engine.machine.instructions.rawValue)), ("complete", "\(result.isComplete)"),
      ("tokens", "\(result.tokens)"), ("perplexity", number(result.value)),
      ("natsPerToken", number(result.natsPerToken)),
    ]
    if let difference = result.difference, let reference {
      var inner = produced(against ?? "", reference)
      inner += [
        ("perplexity", number(difference.referenceValue)),
        ("natsPerToken", number(difference.referenceNatsPerToken)),
        ("perplexityRatio", number(result.value / difference.referenceValue)),
        ("meanKL", number(difference.meanDivergence)),
        ("quantile99KL", number(difference.divergence(quantile: 0.99))),
        ("largestKL", number(difference.largestDivergence)), ("sameTopShare", number(difference.sameTopShare)),
      ]
      if let decisions = difference.decisions {
        inner += [
          ("decisions", "\(decisions.count)"), ("flips", "\(decisions.flips)"),
          ("flipsPerThousand", number(decisions.flipsPerThousand)),
          ("evictionShare", number(decisions.referenceEvictionShare)),
        ]
      }
      members.append(("against", object(inner)))
    }
    return object(members)
  }

  private func produced(_ folder: String, _ engine: Engine) -> [(String, String)] {
    [
      ("model", quoted(folder)), ("weights", quoted(engine.decoder.weightFormat.rawValue)),
      ("kvType", quoted(engine.kvType.rawValue)), ("policy", quoted(engine.policy == .keepAll ? "dense" : "dms")),
    ]
  }

  /// JSON has no infinity.
  private func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }

  private func object(_ members: [(String, String)]) -> String {
    "{" + members.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
  }
}
