// Who works where: a pure function from the machine's shape to the places of threads and of the cache's heads. The pages of
// a head lie on one node, and the threads of that node serve it first.

/// Threads and KV heads over the nodes that have processors, each node its share.
public struct Placement: Sendable, Equatable {
  /// The memory node behind each arena; one `nil` on a machine with a single node, where there is nothing to choose.
  public var memoryNodes: [Int?]
  /// For each worker an index into `memoryNodes`.
  public var nodeOfWorker: [Int]
  /// For each worker the processors it may run on; empty lists on a machine with a single node: threads are not pinned.
  public var processorsOfWorker: [[Int]]
  /// For each KV head, in every layer, an index into `memoryNodes`.
  public var nodeOfHead: [Int]

  /// Divides threads by the nodes' processors, and KV heads by the nodes' threads.
  ///
  /// - Parameters:
  ///   - threads: at least 1.
  ///   - kvHeads: of one layer; all layers are placed alike.
  public init(topology: Topology, threads: Int, kvHeads: Int) {
    let working = topology.nodes.filter { !$0.processors.isEmpty }
    guard working.count > 1, threads > 1 else {
      memoryNodes = [nil]
      nodeOfWorker = Array(repeating: 0, count: max(1, threads))
      processorsOfWorker = Array(repeating: [], count: max(1, threads))
      nodeOfHead = Array(repeating: 0, count: kvHeads)
      return
    }
    memoryNodes = working.map(\.number)
    let nodes = Self.share(threads, by: working.map(\.processors.count))
    let workers = working.indices.map { node in nodes.count { $0 == node } }
    nodeOfWorker = nodes
    processorsOfWorker = nodes.map { working[$0].processors }
    nodeOfHead = Self.share(kvHeads, by: workers)
  }

  /// The workers on the node of a KV head; at least one.
  public func workers(servingHead head: Int) -> Range<Int> {
    let node = nodeOfHead[head]
    let first = nodeOfWorker.firstIndex(of: node) ?? 0
    // Workers of a node are neighbours: they were dealt out in runs.
    return first..<first + nodeOfWorker.count { $0 == node }
  }

  /// Divides `count` things among places in proportion to `weights`, in runs: thing i goes where (i + ½) / count falls in
  /// the cumulated weights.
  static func share(_ count: Int, by weights: [Int]) -> [Int] {
    let total = weights.reduce(0, +)
    guard total > 0 else { return Array(repeating: 0, count: count) }
    return (0..<count).map { thing in
      var reached = 0
      for place in weights.indices {
        reached += weights[place]
        if (2 * thing + 1) * total < 2 * count * reached { return place }
      }
      return weights.count - 1
    }
  }
}
