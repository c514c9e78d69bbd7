// Policies and budgets as they are written on a command line.

import ArgumentParser
import DMSCache

/// One policy, or several with commas between them.
struct PolicyNames: ExpressibleByArgument {
  let names: [PolicyName]

  init?(argument: String) {
    let names = argument.split(separator: ",", omittingEmptySubsequences: false).map {
      PolicyName(rawValue: String($0))
    }
    guard !names.contains(nil) else { return nil }
    self.names = names.compactMap { $0 }
  }

  init(_ name: PolicyName) { names = [name] }

  static var allValueStrings: [String] { PolicyName.allCases.map(\.rawValue) }
}

extension CacheBudget: ExpressibleByArgument {
  /// A budget as it is written: 8x, 1024 or 64MB.
  public init?(argument: String) { self.init(argument) }
}
