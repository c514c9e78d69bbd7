// What can be done to a file: one change, and what the program must make of it.

/// What is known about a file by the way it was changed.
enum Damage {
  /// It may still be right.
  case possible
  /// Every command that reads the file must refuse it.
  case certain
  /// Every command that computes with its numbers must refuse it; one that only looks at their shapes need not.
  case certainInNumbers
}

struct Mutation {
  var bytes: [UInt8]
  /// For people.
  var what: String
  var damage = Damage.possible
}

/// Changes a file's bytes; `nil` where the change does not apply to this file.
typealias Mutator = @Sendable (_ bytes: [UInt8], _ random: inout Random) -> Mutation?

/// Changes of one kind of file, each as often as its share says.
struct Mutators: Sendable {
  var shares: [(share: Int, change: Mutator)]

  init(_ shares: [(Int, Mutator)]) { self.shares = shares.map { (share: $0.0, change: $0.1) } }

  /// The first of several draws that changes something.
  func mutate(_ bytes: [UInt8], _ random: inout Random) -> Mutation {
    for _ in 0..<20 {
      var draw = random.below(shares.reduce(0) { $0 + $1.share })
      for (share, change) in shares {
        draw -= share
        guard draw < 0 else { continue }
        if let mutation = change(bytes, &random), mutation.bytes != bytes { return mutation }
        break
      }
    }
    return Mutation(bytes: bytes, what: "nothing")
  }
}
