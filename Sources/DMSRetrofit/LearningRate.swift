// The learning rate over a run: linear warm-up, then constant, or down to a floor along a line or half a cosine.
//
//   s = (step − warm-up) / (steps − warm-up)
//   linear: peak (1 − s (1 − floor))        cosine: peak (floor + (1 − floor) (1 + cos π s) / 2)

import DMSCheckpoint
import Glibc

/// A learning rate over the steps of a run.
public struct LearningRate: Sendable, Equatable {
  /// What becomes of the rate after the warm-up.
  public enum Schedule: String, Sendable, CaseIterable { case constant, linear, cosine }

  /// The largest rate.
  public var peak = 3e-5
  /// What becomes of it.
  public var schedule = Schedule.constant
  /// Steps in which the rate grows from nothing.
  public var warmUp = 0
  /// The share of the peak that is left in the end.
  public var floor = 0.0
  /// Of the run.
  public var steps: Int

  init(_ reader: ConfigurationReader?, steps: Int) throws {
    self.steps = steps
    guard let reader else { return }
    try reader.refuseUnknownKeys(["peak", "schedule", "warm_up", "floor"])
    peak = try reader.number("peak", in: 0...100) ?? peak
    schedule = try reader.choice("schedule") ?? schedule
    warmUp = try reader.integer("warm_up", in: 0...(1 << 30)) ?? warmUp
    floor = try reader.number("floor", in: 0...1) ?? floor
  }

  /// - Parameter step: from 0.
  public func value(at step: Int) -> Double {
    if step < warmUp { return peak * Double(step + 1) / Double(warmUp) }
    let share = min(1, Double(step - warmUp) / Double(max(1, steps - warmUp)))
    switch schedule {
    case .constant: return peak
    case .linear: return peak * (1 - share * (1 - floor))
    case .cosine: return peak * (floor + (1 - floor) * (1 + cos(.pi * share)) / 2)
    }
  }
}
