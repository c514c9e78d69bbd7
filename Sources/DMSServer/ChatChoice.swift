// One choice of a chat while it grows: its text parted into thinking, answer and calls, and the tokens that it was.

import DMSGeneration
import DMSText

/// What one choice has come to.
struct ChatChoice: Sendable {
  /// A piece, by what it is.
  enum Part {
    case thinking(String)
    case text(String)
    /// A call, and its place among the choice's.
    case call(Int, ToolCall)
  }

  private(set) var content = ""
  private(set) var thinking = ""
  private(set) var calls: [ToolCall] = []
  private(set) var scores: [TokenScore] = []
  private(set) var reason: FinishReason?
  private var splitter: ThinkingSplitter
  /// `nil` where there is nothing to call.
  private var callSplitter: ToolCallSplitter?
  private let callsMany: Bool
  /// The text as it was said, and its tokens.
  private var said = ""
  private var ids: [Int] = []
  /// Whether the tokens say no more than the text does.
  private(set) var endsWithItsText = false

  /// - Parameters:
  ///   - offersTools: whether text may be a call.
  ///   - callsMany: whether calls after the first one count.
  init(_ prompt: ChatPrompt, offersTools: Bool, callsMany: Bool) {
    splitter = ThinkingSplitter(insideThinking: prompt.prompt.insideThinking)
    callSplitter = offersTools ? ToolCallSplitter() : nil
    self.callsMany = callsMany
  }

  /// The pieces that are certain after an event.
  mutating func take(_ event: ScheduledAnswer.Event) -> [Part] {
    switch event {
    case .reading, .prompt: return []
    case .token(let token):
      ids.append(token.id)
      if let score = token.score { scores.append(score) }
      return take(token.text)
    case .end(let end):
      reason = end.reason
      // A stop string is among the tokens and not in the text.
      endsWithItsText = end.endID != nil || end.reason != .stop
      var parts = take(end.text)
      for part in splitter.finish() { parts += take(part) }
      if var splitter = callSplitter {
        for part in splitter.finish() { parts += take(part) }
        callSplitter = splitter
      }
      return parts
    }
  }

  /// The conversation with this choice at its end.
  func conversation(after prompt: ChatPrompt) -> (text: String, ids: [Int]) {
    (prompt.text + said, prompt.prompt.ids + ids)
  }

  /// OpenAI's reason.
  var finish: String? { reason.map { calls.isEmpty ? $0.openAI : "tool_calls" } }

  private mutating func take(_ text: String) -> [Part] {
    said += text
    return splitter.append(text).flatMap { take($0) }
  }

  private mutating func take(_ part: ThinkingSplitter.Part) -> [Part] {
    switch part {
    case .thinking(let text):
      thinking += text
      return [.thinking(text)]
    case .answer(let text):
      guard var splitter = callSplitter else { return take(.text(text)) }
      defer { callSplitter = splitter }
      return splitter.append(text).flatMap { take($0) }
    }
  }

  private mutating func take(_ part: ToolCallSplitter.Part) -> [Part] {
    switch part {
    case .text(let text):
      content += text
      return [.text(text)]
    case .call(let call):
      guard callsMany || calls.isEmpty else { return [] }
      calls.append(call)
      return [.call(calls.count - 1, call)]
    }
  }
}
