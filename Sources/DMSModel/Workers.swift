// The threads of this machine, for an engine or for loading: how many, and where.

import DMSPlatform

struct Workers {
  let topology: Topology
  let count: Int
  let placement: Placement

  /// - Parameter asked: worker threads; 0 means one per usable processor.
  /// - Throws: `InputError` for more than 1024.
  init(asked: Int, kvHeads: Int) throws {
    topology = Topology()
    count = asked > 0 ? asked : topology.usefulThreads
    guard count <= 1024 else { throw InputError("\(count) threads are too many", remedy: "use at most 1024") }
    placement = Placement(topology: topology, threads: count, kvHeads: kvHeads)
  }

  func pool() throws -> ThreadPool {
    try ThreadPool(threads: count, nodes: placement.nodeOfWorker, processors: placement.processorsOfWorker)
  }
}
