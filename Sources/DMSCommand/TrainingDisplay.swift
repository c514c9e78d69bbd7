// How far a training run is: a bar on a terminal, now and then a line elsewhere.

import DMSPlatform
import DMSRetrofit
import Glibc

final class TrainingDisplay {
  private let recipe: Recipe
  private let isTerminal = isatty(STDERR_FILENO) != 0
  private let clock = ContinuousClock()
  private var lastLine: ContinuousClock.Instant?
  private static let pause = Duration.seconds(10)

  init(_ recipe: Recipe) { self.recipe = recipe }

  func show(_ event: TrainingRun.Event) {
    switch event {
    case .step(let progress): show(progress)
    case .evaluation(let step, let found): line(evaluation(step, found))
    case .model(let path): line("wrote \(path)")
    }
  }

  func finish() { if isTerminal { showProgress("\r\u{1B}[K") } }

  private func show(_ progress: TrainingRun.Progress) {
    let text = describe(progress)
    if isTerminal {
      let filled = progress.step * 20 / max(1, progress.steps)
      let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 20 - filled)
      return showProgress("\r\u{1B}[K[\(bar)] \(text)")
    }
    if let lastLine, clock.now - lastLine < Self.pause, progress.step < progress.steps { return }
    lastLine = clock.now
    printError(text)
  }

  private func line(_ text: String) { showProgress((isTerminal ? "\r\u{1B}[K" : "") + text + "\n") }

  private func describe(_ progress: TrainingRun.Progress) -> String {
    let loss = progress.loss
    var text = "step \(progress.step)/\(progress.steps)  loss \(decimals(loss.loss, 4))"
    if recipe.eviction != nil {
      text +=
        " (tokens \(decimals(loss.tokenLoss, 4)), ratio \(decimals(loss.ratioLoss, 4)))  ratio "
        + "\(decimals(loss.ratio, 2)) of \(decimals(progress.targetRatio, 2))"
    }
    return text + "  right \(decimals(100 * loss.hitShare, 1)) %  \(decimals(progress.tokensPerSecond, 0)) tokens/s  "
      + "\(time(progress.secondsLeft)) left"
  }

  private func evaluation(_ step: Int, _ found: HeldOutEvaluation) -> String {
    "step \(step), held out: loss \(decimals(found.loss, 4)), right \(decimals(100 * found.hitShare, 1)) % of tokens, "
      + "\(decimals(100 * found.exactShare, 1)) % of \(found.documents) documents, ratio \(decimals(found.ratio, 2))"
  }
}

/// Seconds as "2:03:04" or "3:04".
func time(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds < 1e9 else { return "?" }
  let whole = Int(seconds.rounded())
  func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let minutes = whole / 60 % 60
  return whole >= 3600 ? "\(whole / 3600):\(two(minutes)):\(two(whole % 60))" : "\(minutes):\(two(whole % 60))"
}

extension TrainingEstimate {
  /// For people. Measures the machine.
  func text() -> String {
    let rate = measureRate()
    let seconds = seconds(atRate: rate)
    return """
      memory      \(byteCount(bytes)): parameters \(byteCount(parameters)), teacher \(byteCount(teacher)), gradients \
      \(byteCount(gradients)), optimiser \(byteCount(moments)), activations \(byteCount(activations))
      time        \(time(seconds)) for \(tokens) tokens, if every sequence is full: \
      \(decimals(Double(tokens) / max(1e-9, seconds), 0)) tokens/s, at \
      \(decimals(rate / 1e9, 0)) GFLOPS
      """
  }
}
