// Shares and differences with what chance leaves open. A problem counts once, however often it was answered.

/// A share of n, with its 95 % interval.
public struct Proportion: Sendable, Equatable {
  /// Share of hits.
  public let value: Double
  /// Lower end of the interval.
  public let low: Double
  /// Upper end of the interval.
  public let high: Double

  /// The share of hits with Wilson's interval (1927).
  public init(_ hits: Int, of count: Int) { self.init(Array(repeating: 1, count: hits), of: count) }

  /// The mean of shares, each 0 to 1, of so many; those that are not given are 0. No distribution on [0, 1] with this mean
  /// scatters more than hits and misses do, so that Wilson's interval is wide enough.
  init(_ shares: [Double], of count: Int) {
    let (n, z) = (Double(max(1, count)), 1.96)
    value = shares.reduce(0, +) / n
    let middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    let half = z * (value * (1 - value) / n + z * z / (4 * n * n)).squareRoot() / (1 + z * z / n)
    (low, high) = (max(0, middle - half), min(1, middle + half))
  }
}

/// How much more of the same problems one model gets right than another, with the 95 % interval.
public struct PairedDifference: Sendable, Equatable {
  /// Difference of the shares that are right.
  public let value: Double
  /// Lower end of the interval.
  public let low: Double
  /// Upper end of the interval.
  public let high: Double

  /// The difference between two models' shares of the same problems, with the deviation of the mean of the pairs'
  /// differences.
  public init(_ shares: [Double], against others: [Double]) {
    let differences = zip(shares, others).map { $0 - $1 }
    let n = Double(max(1, differences.count))
    let mean = differences.reduce(0, +) / n
    let variance = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(1, n - 1)
    let half = 1.96 * (variance / n).squareRoot()
    (value, low, high) = (mean, mean - half, mean + half)
  }
}
