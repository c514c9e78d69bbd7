// What is there and cannot be used, gathered while `dms inspect` describes a model's parts.

import DMSPlatform

struct PartProblems {
  private(set) var all: [InputError] = []

  /// What a part says, or that it is damaged; then the problem is kept.
  mutating func describe(_ source: String, _ body: () throws -> String) -> String {
    do { return try body() } catch let error as InputError {
      all.append(error)
    } catch {
      all.append(InputError("\(error)", at: source))
    }
    return "cannot be read"
  }
}
