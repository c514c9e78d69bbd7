// Documents from files, and how they are packed.

import DMSPlatform
import DMSText
import Testing

@testable import DMSRetrofit

/// Items of one document each, as long as their number's last digit and one more, and made of that number.
private final class Counting: DataSource {
  let items: Int?
  init(_ items: Int?) { self.items = items }

  func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document] {
    [Document(Array(repeating: item, count: min(longest, item % 10 + 1)))]
  }
}

struct DataTests {
  @Test func everyItemComesOnceARoundAndNoneIsHeldOut() throws {
    let stream = BatchStream([(Counting(100), 1)], seed: 3)
    var seen: [Int32] = []
    while seen.count < 196 {
      for document in try stream.next(sequences: 1, length: 20, size: nil).documentIDs { seen.append(document) }
    }
    #expect(Set(seen[..<98]) == Set(0..<98))
    #expect(Set(seen[98..<196]) == Set(0..<98))
    #expect(seen[..<98] != seen[98..<196])
    let heldOut = BatchStream([(Counting(100), 1)], seed: 3, isHeldOut: true)
    #expect(Set(try heldOut.next(sequences: 5, length: 20, size: nil).documentIDs) == [98, 99])
  }

  @Test func sequencesAreFilledAndNeverLonger() throws {
    let stream = BatchStream([(Counting(nil), 1)], seed: 3)
    let batch = try stream.next(sequences: 50, length: 20, size: nil)
    #expect(batch.sequences.allSatisfy { (11...20).contains($0.count) })
    #expect(batch.documents.reduce(0) { $0 + $1.count } == batch.rows)
    #expect(
      batch.positions.enumerated().allSatisfy { row, position in
        batch.documents.contains { $0.contains(row) && row - $0.lowerBound == Int(position) }
      })
  }

  @Test func aStreamGoesOnFromItsCursor() throws {
    func stream() -> BatchStream { BatchStream([(Counting(60), 1), (Counting(nil), 2)], seed: 9) }
    let whole = stream()
    _ = try whole.next(sequences: 7, length: 25, size: nil)
    let cursor = whole.cursor
    let expected = try whole.next(sequences: 9, length: 25, size: nil)
    let other = stream()
    other.cursor = cursor
    #expect(try other.next(sequences: 9, length: 25, size: nil) == expected)
  }

  @Test func aSourceWithoutWeightGivesNothing() throws {
    let stream = BatchStream([(Counting(10), 1), (Counting(nil), 1)], seed: 9)
    let batch = try stream.next(sequences: 20, length: 25, size: nil, weights: [1, 0])
    #expect(stream.cursor.sources[1].item == 0)
    #expect(batch.documentIDs.allSatisfy { $0 < 10 })
    _ = try stream.next(sequences: 20, length: 25, size: nil)
    #expect(stream.cursor.sources[1].item > 0)
  }

  @Test func piecesPredictAcrossTheirEnds() {
    let pieces = Document.pieces(of: [1, 2, 3, 4, 5], longest: 2, end: 9)
    #expect(pieces.map(\.ids) == [[1, 2], [3, 4], [5]])
    #expect(pieces.map(\.targets) == [[2, 3], [4, 5], [9]])
  }

  @Test func onlyAnswersAreScored() throws {
    var options = TokenizerTraining.Options()
    options.vocabulary = 260
    options.special = ["<|user|>", "<|assistant|>", "<|end|>"]
    options.eosToken = "<|end|>"
    var training = try TokenizerTraining(options)
    training.read("a")
    let folder = try temporaryTokenizer(training)
    let tokenizer = try Tokenizer(folder: folder)
    let template = try ChatTemplate(
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        + "{% if add_generation_prompt %}<|assistant|>{% endif %}")
    let conversation = Conversation(tokenizer: tokenizer, template: template, scored: .answers)
    let messages = ["ab", "xy", "c", "z"].enumerated().map {
      ChatMessage(role: $0.offset % 2 == 0 ? "user" : "assistant", content: $0.element)
    }
    let document = try #require(try conversation.document(messages, longest: 100).first)
    let predicted = document.targets.filter { $0 >= 0 }.map { tokenizer.decode([Int($0)], skippingSpecial: false) }
    #expect(predicted == ["x", "y", "<|end|>", "z", "<|end|>"])
    #expect(try conversation.document(messages, longest: 5).isEmpty)
    // Nothing to predict is nothing to learn.
    #expect(try conversation.document([messages[0]], longest: 100).isEmpty)
    // A prompt that opens the reasoning, which the past does not show.
    let reasoning = try ChatTemplate(
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}"
        + "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}")
    let past = Conversation(tokenizer: tokenizer, template: reasoning, scored: .answers)
    #expect(try past.document(messages, longest: 100) == [document])
  }

  @Test func nothingIsPredictedAfterTheEndOfAText() {
    var batch = TokenBatch()
    batch.append([Document([1, 9, 2, 3], last: 9), Document([9, 4])])
    #expect(batch.ignoring(9).targets == [9, -1, 3, 9, -1, -1])
    #expect(batch.ignoring(nil) == batch)
  }
}

extension TokenBatch {
  /// The first id of each document.
  fileprivate var documentIDs: [Int32] { documents.map { ids[$0.lowerBound] } }
}
