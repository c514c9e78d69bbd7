// The emulation finds what would hang or be undefined on a device: without that, its agreement with the CPU says little.

import DMSCUDA
import DMSPlatform
import Testing

struct EmulationTests {
  private func run(_ kernel: String, _ turns: EmulatedDevice.Turns = .forward, numbers: Int = 64) throws -> [Float] {
    let device = EmulatedDevice(turns)
    let output = try device.room(numbers)
    try device.launch(
      KernelLaunch(kernel, grid: (1, 1, 1), threads: 64, shared: 64 * 4, [.address(output.address)]))
    return try output.floats()
  }

  private static let divergent = "a barrier at which not all threads arrive that it is for"

  @Test(arguments: [
    ("faulty_barrier", divergent), ("faulty_exchange", divergent), ("faulty_load", "a load that is not aligned"),
    ("faulty_end", "a buffer of 256 bytes was written beyond its end"), ("faulty_name", "there is no such kernel"),
  ])
  func mistakesAreErrors(kernel: String, problem: String) throws {
    for turns in EmulatedDevice.Turns.allCases {
      let error = try #require(throws: InputError.self) { _ = try run(kernel, turns) }
      #expect(error.description == "\(kernel): \(problem)")
    }
    // The next kernel finds a device in order.
    #expect(throws: Never.self) { try run("faulty_race") }
  }

  @Test func aMissingBarrierShowsInTheOrderOfTurns() throws {
    #expect(try run("faulty_race").map(\.bitPattern) != run("faulty_race", .backward).map(\.bitPattern))
  }
}
