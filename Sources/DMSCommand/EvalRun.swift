// A run of `dms eval`: models are loaded one after another, and every answer goes to the folder and into the report.

import DMSCheckpoint
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct EvalRun {
  /// A model that is given the problems.
  struct Subject {
    /// What records call it.
    var name: String
    let path: String
    var adapter: String?
  }

  let tasks: [TaskName]
  let choice: TaskChoice
  var options: Evaluation.Options
  let batch: Int
  var engineOptions: EngineOptions
  /// W of the points of a sweep that this is a part of.
  var chains: [Int]?

  /// Runs all models.
  /// - Parameters:
  ///   - output: the folder of the records; `nil` keeps none.
  ///   - resumes: whether the run in it goes on.
  func report(on subjects: [Subject], output: String?, resumes: Bool) throws -> TaskReport {
    // What cannot work is said before anything long begins.
    for subject in subjects { _ = try ModelSource(path: subject.path, adapter: subject.adapter).tokenizer() }
    let machine = try engineOptions.machine()
    var model = try load(subjects[0], machine)
    // All models are given the problems that the first one's tokens were counted for.
    let evaluation = try evaluation(TaskReader(model))
    var models: [JSON] = []
    for (index, subject) in subjects.enumerated() {
      if index > 0 { model = try load(subject, machine) }
      let engine = try engine(model, evaluation, isBase: isBase(subject), machine)
      models.append(try modelEntry(subject, engine))
    }
    let settings = try settings(evaluation, models)
    let work = Provenance.work(machine, ["batch": .integer(batch), "started": .string(Provenance.now)])
    let folder = try output.map {
      try EvaluationFolder(writing: $0, settings, shard: options.shard, work: work, resumes: resumes)
    }
    var records = folder?.records ?? []
    for (index, subject) in subjects.enumerated() {
      if subjects.count > 1 { model = try load(subject, machine) }
      let engine = try engine(model, evaluation, isBase: isBase(subject), machine)
      try run(evaluation, subject, model, engine, folder, &records, title: subject.name)
      if index == subjects.count - 1 { try folder?.finish(subjects.flatMap { evaluation.keys($0.name) }) }
    }
    return TaskReport(folder?.records ?? records, settings: settings, work: folder?.work ?? [work])
  }

  /// The problems, as a reader counts tokens.
  func evaluation(_ reader: TaskReader) throws -> Evaluation {
    var choice = choice
    choice.reader = reader
    return try Evaluation(tasks.map { try $0.task() }, choice, options)
  }

  /// What settings say of a model.
  func modelEntry(_ subject: Subject, _ engine: Engine) throws -> JSON {
    var entry = try Provenance.model(subject.name, engine)
    if let context = engineOptions.context { entry["context"] = .integer(context) }
    return .object(entry)
  }

  func load(_ subject: Subject, _ machine: Machine) throws -> LanguageModel {
    let source = try ModelSource(path: subject.path, adapter: subject.adapter)
    return try LanguageModel(source, on: machine, engineOptions.loading())
  }

  /// Whether adapters are compared with this model: it does not forget by itself, and no budget
  /// holds for it but that of a policy which needs no training.
  func isBase(_ subject: Subject) -> Bool { subject.adapter == nil && !engineOptions.adapters.isEmpty }

  func engine(
    _ model: LanguageModel, _ evaluation: Evaluation, isBase: Bool, _ machine: Machine
  ) throws -> Engine {
    var options = try engineOptions.options(model.decoder)
    options.batch = batch
    if isBase, options.policy == nil || options.policy == .dms { (options.policy, options.budget) = (nil, nil) }
    let needed = try evaluation.tokensNeeded(
      by: model, context: options.context ?? model.decoder.configuration.context)
    options.context = options.context ?? needed
    return try Engine(model.decoder, on: machine, options)
  }

  /// What the records depend on.
  func settings(_ evaluation: Evaluation, _ models: [JSON]) throws -> JSONObject {
    var object = JSONObject(["models": .array(models)])
    object["tasks"] = .array(
      try zip(tasks, evaluation.parts).map { task, part in
        var entry = JSONObject(["task": .string(task.name), "problems": .integer(part.problems.count)])
        for (key, file) in [("file", task.file), ("examples", task.examples)] {
          guard let file else { continue }
          entry[key] = .string(file)
          entry["\(key)_hash"] = .string(try fileHash(file))
        }
        return .object(entry)
      })
    object["seed"] = .exact(choice.seed)
    object["limit"] = choice.limit.map(JSON.integer) ?? .null
    if tasks.contains(where: \.isMadeUp) {
      object["problems"] = .integer(choice.problems)
      object["size"] = .array([.integer(choice.size.lowerBound), .integer(choice.size.upperBound)])
    }
    object["samples"] = .integer(options.samples)
    object["chains"] = chains.map { .array($0.map(JSON.integer)) }
    object["temperature"] = .number(options.sampling.temperature)
    object["top_k"] = .integer(options.sampling.topK)
    object["top_p"] = .number(options.sampling.topP)
    object["min_p"] = .number(options.sampling.minP)
    object["max_tokens"] = options.maxTokens.map(JSON.integer) ?? .null
    object["longest_answer"] = .integer(evaluation.longestAnswer)
    object["records"] = .integer(models.count * evaluation.count)
    return object
  }

  func run(
    _ evaluation: Evaluation, _ subject: Subject, _ model: LanguageModel, _ engine: Engine, _ folder: EvaluationFolder?,
    _ records: inout [EvaluationRecord], title: String
  ) throws {
    let wanted = evaluation.keys(subject.name)
    let done = Set(records.map(\.key)).intersection(wanted)
    let bar = progressBar(title)
    var count = done.count
    do {
      try evaluation.run(
        model, named: subject.name, on: engine, done: done, isCancelled: { Interrupt.isRequested }
      ) { record in
        try folder?.append(record)
        records.append(record)
        count += 1
        bar?(Double(count) / Double(max(1, wanted.count)))
      }
    } catch is CancellationError {
      let kept = folder.map { " after \($0.records.count) answers; go on with --resume" } ?? ""
      printError("dms: interrupted\(kept)")
      throw Interrupt.exitCode
    }
  }
}
