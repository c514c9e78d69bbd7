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
        case .lines(let path): (try LinesSource(path: path, tokenizer, template, entry.scored), entry.weight)
        case .task(let task, let questions):
          (
            TaskSource(
              task, questions: questions, seed: seed, tokenizer,
              try template.orThrow(
                InputError("no chat template for problems", at: model, remedy: "add a chat_template")), entry.scored),
            entry.weight
          )
        }
      }
      return BatchStream(sources, seed: recipe.seed, isHeldOut: isHeldOut)
    }
    ignored = recipe.kind == .pretrain ? nil : tokenizer.eosID
    training = try stream(seed: recipe.seed, isHeldOut: false)
    let stage = recipe.stages[recipe.stages.count - 1]
    heldOut = try stream(seed: recipe.seed ^ Self.heldOutSeed, isHeldOut: true).next(
      sequences: recipe.evaluationSequences, length: stage.length, size: stage.size, weights: stage.weights
    ).ignoring(ignored)
  }

  /// Where the next step's sequences stand.
  var cursor: BatchCursor {
    get { training.cursor }
    set { training.cursor = newValue }
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
