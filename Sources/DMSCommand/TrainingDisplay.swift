// How far a training run is: one line that changes on a terminal, now and then a line elsewhere.

import DMSPlatform
import DMSRetrofit
import Glibc

final class TrainingDisplay {
  private let clock = ContinuousClock()
  private var lastLine: ContinuousClock.Instant?
  private static let pause = Duration.seconds(10)

  func show(_ event: TrainingRun.Event) {
    switch event {
    case .step(let progress): show(progress)
    case .evaluation(let step, let found): printError(Self.evaluation(step, found))
    case .model(let path): printError("wrote \(path)")
    case .warning(let text): printError("dms: warning: \(text)")
    }
  }

  func finish() { ProgressLine.clear() }

  private func show(_ progress: TrainingRun.Progress) {
    if let width = Terminal.width(of: STDERR_FILENO) {
      return ProgressLine.show(Self.line(progress, width: width))
    }
    if let lastLine, clock.now - lastLine < Self.pause, progress.step < progress.steps { return }
    lastLine = clock.now
    printError(Self.line(progress))
  }

  /// Speed and time first, then what the step came to, by what is asked for most; what does not fit is left out.
  ///
  /// - Parameter width: columns; `nil` for a log, which has room for everything.
  static func line(_ progress: TrainingRun.Progress, width: Int? = nil) -> String {
    let loss = progress.loss
    var parts = [
      "\(decimals(progress.tokensPerSecond, 0)) tokens/s", "\(time(progress.secondsLeft)) left",
      "step \(progress.step)/\(progress.steps)", "loss \(decimals(loss.loss, 4))",
    ]
    if let target = progress.targetRatio { parts.append("ratio \(decimals(loss.ratio, 2)) of \(decimals(target, 2))") }
    parts.append("right \(decimals(100 * loss.hitShare, 1)) %")
    if progress.targetRatio != nil {
      parts.append("(tokens \(decimals(loss.tokenLoss, 4)), ratio \(decimals(loss.ratioLoss, 4)))")
    }
    guard let width else { return parts.joined(separator: "  ") }
    // One column less than there are: some terminals begin a new line after the last.
    return fitting(parts, columns: max(1, width - 1), share: Double(progress.step) / Double(max(1, progress.steps)))
  }

  /// Whole parts as long as they fit, the first one cut if it must be, and a bar where there is room for one. Every character
  /// here takes one column.
  private static func fitting(_ parts: [String], columns: Int, share: Double) -> String {
    var text = String((parts.first ?? "").prefix(columns))
    for part in parts.dropFirst() {
      guard text.count + 2 + part.count <= columns else { return text }
      text += "  " + part
    }
    let room = min(20, columns - text.count - 4)
    guard room >= 8 else { return text }
    let filled = Int(max(0, min(1, share)) * Double(room))
    return text + "  [" + String(repeating: "#", count: filled) + String(repeating: ".", count: room - filled) + "]"
  }

  private static func evaluation(_ step: Int, _ found: HeldOutEvaluation) -> String {
    "step \(step), held out: loss \(decimals(found.loss, 4)), right \(decimals(100 * found.hitShare, 1)) % of tokens, "
      + "\(decimals(100 * found.exactShare, 1)) % of \(found.documents) documents, ratio \(decimals(found.ratio, 2))"
  }
}

/// Seconds as "2:03:04" or "3:04".
func time(_ seconds: Double) -> String {
  guard seconds.isFinite, (0..<1e9).contains(seconds) else { return "?" }
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
