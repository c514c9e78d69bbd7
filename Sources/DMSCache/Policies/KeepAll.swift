// Vanilla attention (DMS, section 5.1): every token stays.

final class KeepAll: CachePolicy {
  let needs = PolicyNeeds()
  let state: [UInt32] = []

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }
  func settle(_ call: SettledCall) {}
  func fork() -> any CachePolicy { self }
}
