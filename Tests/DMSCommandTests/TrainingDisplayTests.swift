// A line of progress fits its terminal, and begins with what is asked for most.

import DMSRetrofit
import Testing

@testable import DMSCommand
@testable import DMSRetrofit

struct TrainingDisplayTests {
  private func progress(_ step: Int, ratio: Double?, seconds: Double = 3725) -> TrainingRun.Progress {
    var loss = StepLoss()
    (loss.loss, loss.tokenLoss, loss.ratioLoss, loss.evictedShare, loss.hitShare) = (1.25, 1.125, 0.125, 0.5, 0.75)
    return TrainingRun.Progress(
      step: step, steps: 1000, loss: loss, targetRatio: ratio, rate: 1e-4, tokensPerSecond: 4321.4, secondsLeft: seconds
    )
  }

  @Test(arguments: [nil, 8.0], [1, 999, 1000])
  func noLineIsWiderThanItsTerminal(ratio: Double?, step: Int) {
    for width in 1...300 {
      let line = TrainingDisplay.line(progress(step, ratio: ratio), width: width)
      #expect(!line.isEmpty && line.count <= width)
      #expect(line.unicodeScalars.allSatisfy { $0.isASCII && $0.value >= 0x20 })
    }
  }

  @Test func speedAndTimeComeFirstAndTheRestIsLeftOut() {
    func line(_ width: Int?) -> String { TrainingDisplay.line(progress(40, ratio: 8), width: width) }
    #expect(line(8) == "4321 to")
    #expect(line(20) == "4321 tokens/s")
    #expect(line(30) == "4321 tokens/s  1:02:05 left")
    #expect(line(60) == "4321 tokens/s  1:02:05 left  step 40/1000  loss 1.2500")
    #expect(line(80) == "4321 tokens/s  1:02:05 left  step 40/1000  loss 1.2500  ratio 2.00 of 8.00")
    let whole =
      "4321 tokens/s  1:02:05 left  step 40/1000  loss 1.2500  ratio 2.00 of 8.00  right 75.0 %  (tokens 1.1250, ratio 0.1250)"
    #expect(line(nil) == whole)
    #expect(line(whole.count + 1) == whole)
    #expect(line(200) == whole + "  [" + String(repeating: ".", count: 20) + "]")
  }

  @Test func aTimeThatIsNoneIsAQuestionMark() {
    for seconds in [Double.nan, .infinity, -1, 1e12] {
      #expect(TrainingDisplay.line(progress(1, ratio: nil, seconds: seconds)).contains("  ? left  "))
    }
  }
}
