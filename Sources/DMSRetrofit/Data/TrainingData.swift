// The data of a recipe: what is learnt from, and what is held out.

import DMSPlatform
import DMSText

final class TrainingData {
  private let training: BatchStream
  /// Sequences of the last stage's kind.
  let heldOut: TokenBatch
  /// A token after which nothing is predicted: a teacher knows nothing of what follows the end of a text.
  private let ignored: Int?

  /// Held-out problems come from another seed.
  private static let heldOutSeed: UInt64 = 0x5EED_0000_0000

  /// Reads what is held out, so that data of which nothing can be learnt are found before the work begins.
  /// - Throws: `InputError` for data that cannot be read, a broken line, no document that fits, or a tokenizer that does not fit the model.
  init(_ recipe: Recipe, model: String, vocabulary: Int) throws {
    let tokenizer = try Tokenizer(folder: model)
    guard tokenizer.vocabularySize <= vocabulary else {
      throw InputError(
        "the tokenizer has \(tokenizer.vocabularySize) tokens, the model's vocabulary \(vocabulary)", at: model,
        remedy: "set vocab_size in config.json, or train a smaller tokenizer")
    }
    let template = try ChatTemplate(folder: model)
    func stream(seed: UInt64, isHeldOut: Bool) throws -> BatchStream {
      let sources = try recipe.data.map { entry -> (source: any DataSource, weight: Double) in
        switch entry.origin {
        case .text(let path): (try TextSource(path: path, tokenizer), entry.weight)
        case .lines(let path, let scored): (try LinesSource(path: path, tokenizer, template, scored), entry.weight)
        case .task(let task, let questions, let scored):
          (
            TaskSource(
              task, questions: questions, seed: seed, tokenizer,
              try template.orThrow(
                InputError("no chat template for problems", at: model, remedy: "add a chat_template")), scored),
            entry.weight
          )
        }
      }
      return BatchStream(sources, seed: recipe.seed, isHeldOut: isHeldOut)
    }
    ignored = recipe.divergence == nil ? nil : tokenizer.eosID
    training = try stream(seed: recipe.seed, isHeldOut: false)
    let stage = recipe.stages[recipe.stages.count - 1]
    heldOut = try stream(seed: recipe.seed ^ Self.heldOutSeed, isHeldOut: true).next(
      sequences: recipe.evaluationSequences, length: stage.length, size: stage.size, weights: stage.weights
    ).ignoring(ignored)
  }

  /// Of what is held out one can see what documents are like. In one no longer than the window and a token nothing that is
  /// evicted is ever missed.
  func warning(_ recipe: Recipe) -> String? {
    guard let window = recipe.eviction?.settings.window, heldOut.longestDocument <= window + 1 else { return nil }
    return "none of \(heldOut.documents.count) held-out documents is longer than the window of \(window) tokens: "
      + "nothing can be learnt; give longer documents, or lower eviction.window"
  }

  /// Where the next step's sequences stand.
  var cursor: BatchCursor {
    get { training.cursor }
    set { training.cursor = newValue }
  }

  /// What of a cursor cannot be after these stages.
  func impossible(_ cursor: BatchCursor, after stages: [Recipe.Stage]) throws -> (key: String, problem: String)? {
    try training.impossible(cursor, after: stages)
  }

  /// The sequences of the next step.
  func next(_ stage: Recipe.Stage) throws -> TokenBatch {
    try training.next(
      sequences: stage.sequences, length: stage.length, size: stage.size, weights: stage.weights
    ).ignoring(ignored)
  }
}

extension Optional {
  fileprivate func orThrow(_ error: some Error) throws -> Wrapped {
    guard let self else { throw error }
    return self
  }
}
