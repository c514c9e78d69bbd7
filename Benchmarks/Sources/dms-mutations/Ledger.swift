// What was tried and found, for all workers.

import Glibc
import Synchronization

final class Ledger: Sendable {
  private struct Account {
    var (cases, refused, accepted, findings) = (0, 0, 0, 0)
    var seconds = 0.0
  }

  private struct State {
    var accounts: [String: Account] = [:]
    /// How often each kind of finding came, by what tells kinds apart.
    var kinds: [String: Int] = [:]
    var isClean = true
    var done = 0
  }

  private let state = Mutex(State())
  private let show: Int

  init(show: Int) { self.show = show }

  var isClean: Bool { state.withLock { $0.isClean } }

  func note(_ problem: String) {
    print("FOUND \(problem)")
    state.withLock { $0.isClean = false }
  }

  func note(_ result: Trial.Result, seed: UInt64) {
    state.withLock { state in
      var account = state.accounts[result.format] ?? Account()
      account.cases += 1
      account.seconds += result.end.seconds
      if result.finding != nil {
        account.findings += 1
      } else if result.wasRefused {
        account.refused += 1
      } else {
        account.accepted += 1
      }
      state.accounts[result.format] = account
      state.done += 1
      if state.done % 2000 == 0 { progress("\(state.done) cases\n") }
      guard let finding = result.finding else { return }
      state.isClean = false
      let kind =
        "\(signature(finding)) | \(result.format) | \(result.end.code == 0 ? result.command : signature(result.words))"
      state.kinds[kind, default: 0] += 1
      guard let count = state.kinds[kind], count <= show else { return }
      let kept = "\(result.folder)-\(result.number)"
      if count == 1 { rename(result.folder, kept) }
      print(
        """
        FOUND \(finding): --seed \(seed) --case \(result.number)
          \(result.format), \(result.command), \(result.end)\(count == 1 ? ", kept in \(kept)" : "")
          \(result.what)
          \(result.words.split(separator: "\\n").prefix(6).map { $0.prefix(300) }.joined(separator: "\\n  "))
        """)
      fflush(nil)
    }
  }

  /// The first line without its numbers and names, so that one fault is one kind.
  private func signature(_ words: String) -> String {
    let line = words.split(separator: "\n").first.map { String($0.prefix(120)) } ?? ""
    return String(line.map { $0.isNumber ? "0" : $0 }.prefix(80))
  }

  func table(_ formats: [Format]) -> String {
    state.withLock { state in
      func row(_ name: String, _ account: Account) -> String {
        "| \(name) | \(account.cases) | \(account.refused) | \(account.accepted) | \(account.findings) |"
      }
      var lines = ["| format | cases | refused | accepted | findings |", "|---|---|---|---|---|"]
      var total = Account()
      for (name, account) in state.accounts.sorted(by: { $0.key < $1.key }) {
        lines.append(row(name, account))
        total.cases += account.cases
        total.refused += account.refused
        total.accepted += account.accepted
        total.findings += account.findings
      }
      lines.append(row("all", total))
      for (kind, count) in state.kinds.sorted(by: { $0.value > $1.value }) { lines.append("\(count) × \(kind)") }
      return lines.joined(separator: "\n")
    }
  }
}

private func progress(_ text: String) { _ = write(STDERR_FILENO, text, text.utf8.count) }
