// Server-sent events: an object a line, a comment where nothing was said for a while, `[DONE]` at the end.

import DMSText
import Hummingbird
import NIOCore
import Synchronization

/// Writes events into a response. Of one task.
final class EventWriter {
  private var writer: any ResponseBodyWriter
  private var last = ContinuousClock.now
  /// After so long without a word a comment keeps the connection alive.
  static let beat = Duration.seconds(3)

  init(_ writer: any ResponseBodyWriter) { self.writer = writer }

  /// An event without a name, as OpenAI's.
  func send(_ json: JSON) async throws { try await write("data: \(json.line)\n\n") }

  /// An event with a name, as Anthropic's.
  func send(_ json: JSON, name: String) async throws { try await write("event: \(name)\ndata: \(json.line)\n\n") }

  /// What clients pass over, unless the last word was a moment ago.
  func comment(_ text: String) async throws {
    if ContinuousClock.now - last >= Self.beat { try await write(": \(text)\n\n") }
  }

  /// Nothing happened.
  func beat() async throws { try await comment("working") }

  /// The end that OpenAI's clients wait for.
  func done() async throws { try await write("data: [DONE]\n\n") }

  /// The end of the response.
  func finish() async throws { try await writer.finish(nil) }

  private func write(_ text: String) async throws {
    last = .now
    try await writer.write(ByteBuffer(string: text))
  }
}
