// The threads of this machine, for an engine or for loading: how many, and where.

import DMSPlatform

package struct Workers {
  let topology: Topology
  package let count: Int
  let placement: Placement

  /// - Parameter asked: worker threads; 0 means one per usable processor.
  /// - Throws: `InputError` for more than 1024.
  package init(asked: Int, kvHeads: Int) throws {
    topology = Topology()
    count = asked > 0 ? asked : topology.usefulThreads
    guard count <= 1024 else { throw InputError("\(count) threads are too many", remedy: "use at most 1024") }
    placement = Placement(topology: topology, threads: count, kvHeads: kvHeads)
  }

  /// A pool for work that has no heads to place.
  /// - Parameter threads: worker threads; 0 means one per usable processor.
  package static func pool(threads: Int) throws -> ThreadPool { try Workers(asked: threads, kvHeads: 1).pool() }

  func pool() throws -> ThreadPool {
    try ThreadPool(threads: count, nodes: placement.nodeOfWorker, processors: placement.processorsOfWorker)
  }
}
