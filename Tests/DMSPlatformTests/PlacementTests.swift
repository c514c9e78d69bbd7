import Testing

@testable import DMSPlatform

struct PlacementTests {
  /// Nodes with these numbers of processors, numbered 0, 10, 20…
  private func machine(_ processors: [Int]) -> Topology {
    var next = 0
    return Topology(
      nodes: processors.enumerated().map { place, count in
        defer { next += count }
        return Topology.Node(number: 10 * place, processors: Array(next..<next + count))
      })
  }

  @Test(arguments: [1, 2, 7])
  func oneNodeBindsAndPinsNothing(threads: Int) {
    let placement = Placement(topology: machine([4]), threads: threads, kvHeads: 3)
    #expect(placement.memoryNodes == [nil])
    #expect(placement.nodeOfWorker == Array(repeating: 0, count: threads))
    #expect(placement.processorsOfWorker == Array(repeating: [], count: threads))
    #expect(placement.nodeOfHead == [0, 0, 0])
    #expect(placement.workers(servingHead: 2) == 0..<threads)
  }

  @Test func oneThreadOfTwoNodesIsLeftAlone() {
    let placement = Placement(topology: machine([4, 4]), threads: 1, kvHeads: 2)
    #expect(placement.memoryNodes == [nil] && placement.processorsOfWorker == [[]])
  }

  @Test func twoSocketsShareThreadsAndHeads() {
    let placement = Placement(topology: machine([4, 4]), threads: 8, kvHeads: 4)
    #expect(placement.memoryNodes == [0, 10])
    #expect(placement.nodeOfWorker == [0, 0, 0, 0, 1, 1, 1, 1])
    #expect(placement.nodeOfHead == [0, 0, 1, 1])
    #expect(placement.workers(servingHead: 0) == 0..<4 && placement.workers(servingHead: 3) == 4..<8)
    #expect(placement.processorsOfWorker[4] == [4, 5, 6, 7])
  }

  @Test func aNodeWithoutProcessorsGetsNothing() {
    let placement = Placement(topology: machine([2, 0, 2]), threads: 4, kvHeads: 2)
    #expect(placement.memoryNodes == [0, 20])
    #expect(placement.nodeOfWorker == [0, 0, 1, 1] && placement.nodeOfHead == [0, 1])
    // Memory that stands alone beside one node with processors leaves nothing to choose.
    #expect(Placement(topology: machine([0, 4]), threads: 4, kvHeads: 2).memoryNodes == [nil])
  }

  @Test func aMachineWithoutProcessorsIsOneNode() {
    #expect(Placement(topology: machine([0]), threads: 2, kvHeads: 2).nodeOfWorker == [0, 0])
  }

  @Test func threadsFollowProcessorsAndHeadsFollowThreads() {
    for processors in [[1, 1], [4, 4], [6, 2], [2, 0, 4], [3, 3, 2], [1, 2, 3, 4], [64, 64, 64, 64]] {
      let topology = machine(processors)
      let working = processors.filter { $0 > 0 }
      for threads in [2, 3, 4, 8, 13, 200] {
        for kvHeads in [1, 2, 3, 4, 8, 32] {
          let placement = Placement(topology: topology, threads: threads, kvHeads: kvHeads)
          #expect(placement.nodeOfWorker.count == threads && placement.nodeOfHead.count == kvHeads)
          #expect(placement.memoryNodes.count == working.count)
          let workers = working.indices.map { node in placement.nodeOfWorker.count { $0 == node } }
          let heads = working.indices.map { node in placement.nodeOfHead.count { $0 == node } }
          for node in working.indices {
            // Rounding of both ends of a node's run moves its share by less than one.
            let fair = Double(threads * working[node]) / Double(topology.processors)
            #expect(abs(Double(workers[node]) - fair) <= 1)
            #expect(abs(Double(heads[node]) - Double(kvHeads * workers[node]) / Double(threads)) <= 1)
          }
          for head in 0..<kvHeads {
            let serving = placement.workers(servingHead: head)
            #expect(!serving.isEmpty)
            #expect(serving.allSatisfy { placement.nodeOfWorker[$0] == placement.nodeOfHead[head] })
          }
          for (worker, node) in placement.nodeOfWorker.enumerated() {
            let number = placement.memoryNodes[node]
            #expect(topology.nodes.first { $0.number == number }?.processors == placement.processorsOfWorker[worker])
          }
        }
      }
    }
  }

  @Test func theSameMachineIsDividedInTheSameWay() {
    let topology = machine([3, 5])
    #expect(
      Placement(topology: topology, threads: 6, kvHeads: 5) == Placement(topology: topology, threads: 6, kvHeads: 5))
  }
}
