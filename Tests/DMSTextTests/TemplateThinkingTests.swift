// Thinking and answer, told apart while the text streams.

import DMSText
import Testing

@Suite struct TemplateThinkingTests {
  private typealias Part = ThinkingSplitter.Part

  /// All parts of a text given in pieces, neighbours of one kind joined.
  private func parts(of pieces: [String], insideThinking: Bool = false) -> [Part] {
    var splitter = ThinkingSplitter(insideThinking: insideThinking)
    var parts = pieces.flatMap { splitter.append($0) }
    parts += splitter.finish()
    #expect(splitter.finish().isEmpty)
    return parts.reduce(into: []) { joined, part in
      switch (joined.last, part) {
      case (.thinking(let text), .thinking(let more)): joined[joined.count - 1] = .thinking(text + more)
      case (.answer(let text), .answer(let more)): joined[joined.count - 1] = .answer(text + more)
      default: joined.append(part)
      }
    }
  }

  @Test func tagsSeparateThinkingFromAnswer() {
    #expect(parts(of: ["<think>\nhm\n</think>\n\n4"]) == [.thinking("\nhm\n"), .answer("\n\n4")])
    #expect(parts(of: ["hm</think>4"], insideThinking: true) == [.thinking("hm"), .answer("4")])
    #expect(parts(of: ["a<think>b</think>c"]) == [.answer("a"), .thinking("b"), .answer("c")])
    #expect(parts(of: ["<think></think>4"]) == [.answer("4")])
    #expect(parts(of: []) == [])
  }

  @Test func whatIsNoTagIsText() {
    #expect(parts(of: ["a</think>b"]) == [.answer("a</think>b")])
    #expect(parts(of: ["x<think>y"], insideThinking: true) == [.thinking("x<think>y")])
    #expect(parts(of: ["<<think>a<</think>b"]) == [.answer("<"), .thinking("a<"), .answer("b")])
    #expect(parts(of: ["1 < 2 <thin"]) == [.answer("1 < 2 <thin")])
    #expect(parts(of: ["never ends</thi"], insideThinking: true) == [.thinking("never ends</thi")])
  }

  @Test func textComesOutAsSoonAsItIsCertain() {
    var splitter = ThinkingSplitter()
    #expect(splitter.append("ab<th") == [.answer("ab")])
    #expect(splitter.append("i") == [])
    #expect(splitter.append("x") == [.answer("<thix")])
    #expect(splitter.append("<think>c") == [.thinking("c")])
    #expect(splitter.isThinking)
  }

  @Test func piecesDoNotMatter() {
    let texts = [
      "<think>\u{301}é😀\r\n</think>\r\n<b>e\u{301}</b>", "a<thi<think>b</thi</think></think>c<",
      "<think><think></think>",
    ]
    var random = SplitMix(state: 3)
    for text in texts {
      for inside in [false, true] {
        let whole = parts(of: [text], insideThinking: inside)
        #expect(parts(of: text.unicodeScalars.map { String($0) }, insideThinking: inside) == whole)
        for _ in 0..<50 {
          var pieces = [String.UnicodeScalarView()]
          for scalar in text.unicodeScalars {
            if Int.random(in: 0..<3, using: &random) == 0 { pieces.append(String.UnicodeScalarView()) }
            pieces[pieces.count - 1].append(scalar)
          }
          #expect(parts(of: pieces.map { String($0) }, insideThinking: inside) == whole)
        }
      }
    }
  }

  @Test func nothingButTheTagsIsLost() {
    var random = SplitMix(state: 5)
    let pieces = ["<think>", "</think>", "<", "think>", "</", "a", "é", ">"]
    for _ in 0..<500 {
      let text = (0..<12).map { _ in pieces[Int.random(in: 0..<pieces.count, using: &random)] }.joined()
      // One code point at a time shows where each tag was: with the tags put back there, the text is whole.
      var restored = ""
      var splitter = ThinkingSplitter()
      var isThinking = false
      for scalar in text.unicodeScalars {
        let was = splitter.isThinking
        for part in splitter.append(String(scalar)) {
          switch part {
          case .thinking(let text), .answer(let text): restored += text
          }
        }
        if splitter.isThinking != was { restored += was ? "</think>" : "<think>" }
        isThinking = splitter.isThinking
      }
      for part in splitter.finish() {
        switch part {
        case .thinking(let rest):
          #expect(isThinking)
          restored += rest
        case .answer(let rest):
          #expect(!isThinking)
          restored += rest
        }
      }
      #expect(restored.unicodeScalars.elementsEqual(text.unicodeScalars))
    }
  }
}
