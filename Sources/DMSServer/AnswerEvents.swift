// The events of one or several answers in the order in which they happen, and a beat where for a while nothing does.

import DMSGeneration

/// What happens to the choices of a request.
enum Happening {
  case event(choice: Int, ScheduledAnswer.Event)
  /// Nothing happened for a while.
  case beat
}

/// Calls `body` with all events until the last answer ends. A reader that is slow holds the answers back.
///
/// - Parameter beat: how often it is called where nothing happens; `nil`: never.
/// - Throws: what the answers and `body` throw; all answers are given up then.
func forEachEvent(
  of answers: [ScheduledAnswer], beat: Duration?, _ body: (Happening) async throws -> Void
) async throws {
  enum Step: Sendable {
    case event(Int, ScheduledAnswer.Event?, ScheduledAnswer.AsyncIterator)
    case beat
  }
  try await withThrowingTaskGroup(of: Step.self) { group in
    func listen(_ choice: Int, _ iterator: ScheduledAnswer.AsyncIterator) {
      group.addTask {
        var iterator = iterator
        return .event(choice, try await iterator.next(), iterator)
      }
    }
    func wait() {
      guard let beat else { return }
      group.addTask {
        try await Task.sleep(for: beat)
        return .beat
      }
    }
    for (choice, answer) in answers.enumerated() { listen(choice, answer.makeAsyncIterator()) }
    wait()
    var open = answers.count
    while open > 0, let step = try await group.next() {
      switch step {
      case .beat:
        try await body(.beat)
        wait()
      case .event(_, nil, _): open -= 1
      case .event(let choice, let event?, let iterator):
        try await body(.event(choice: choice, event))
        listen(choice, iterator)
      }
    }
    group.cancelAll()
  }
}
