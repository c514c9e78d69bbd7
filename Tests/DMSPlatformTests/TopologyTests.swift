import Glibc
import Testing

@testable import DMSPlatform

/// A folder of recorded files, gone with the value. Keys are paths below it.
final class RecordedTree {
  let root: String
  private var made: [String] = []

  init(_ files: [String: String]) throws {
    var template = Array("/tmp/dms-tree-XXXXXX".utf8CString)
    root = try template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let path = mkdtemp(base) else { throw InputError("no temporary folder") }
      return String(cString: path)
    }
    made.append(root)
    for (path, text) in files {
      var folder = root
      for name in path.split(separator: "/").dropLast() {
        folder += "/" + name
        if mkdir(folder, 0o755) == 0 { made.append(folder) }
      }
      guard let file = fopen(root + "/" + path, "w") else { throw InputError("cannot write", at: path) }
      fputs(text, file)
      fclose(file)
      made.append(root + "/" + path)
    }
  }

  deinit {
    for path in made.reversed() { remove(path) }
  }
}

struct TopologyTests {
  private func topology(_ files: [String: String], allowed: [Int]) throws -> Topology {
    let tree = try RecordedTree(files)
    return withExtendedLifetime(tree) { Topology(root: tree.root, allowed: allowed) }
  }

  private func nodes(_ nodes: [(Int, [Int])]) -> [Topology.Node] {
    nodes.map { Topology.Node(number: $0.0, processors: $0.1) }
  }

  @Test func twoSocketsAreTwoNodes() throws {
    let found = try topology(
      ["node/online": "0-1\n", "node/node0/cpulist": "0-3,8-11\n", "node/node1/cpulist": "4-7,12-15\n"],
      allowed: Array(0..<16))
    #expect(found.nodes == nodes([(0, [0, 1, 2, 3, 8, 9, 10, 11]), (1, [4, 5, 6, 7, 12, 13, 14, 15])]))
    #expect(found.note == nil && found.processors == 16)
  }

  @Test func aNodeWithoutProcessorsStaysWithoutProcessors() throws {
    let found = try topology(
      [
        "node/online": "0-2\n", "node/node0/cpulist": "0-1\n", "node/node1/cpulist": "2-3\n",
        "node/node2/cpulist": "\n",
      ],
      allowed: [0, 1, 2, 3])
    #expect(found == Topology(nodes: nodes([(0, [0, 1]), (1, [2, 3]), (2, [])])))
  }

  @Test func numbersMayHaveGaps() throws {
    let found = try topology(
      ["node/online": "0,8\n", "node/node0/cpulist": "0,2,4-6\n", "node/node8/cpulist": "64,128-129\n"],
      allowed: [0, 2, 4, 5, 6, 64, 128, 129])
    #expect(found == Topology(nodes: nodes([(0, [0, 2, 4, 5, 6]), (8, [64, 128, 129])])))
  }

  @Test func onlyAllowedProcessorsCount() throws {
    let files = ["node/online": "0-1\n", "node/node0/cpulist": "0-3\n", "node/node1/cpulist": "4-7\n"]
    #expect(try topology(files, allowed: [5, 1, 2]) == Topology(nodes: nodes([(0, [1, 2]), (1, [5])])))
    #expect(try topology(files, allowed: [6]) == Topology(nodes: nodes([(0, []), (1, [6])])))
  }

  @Test func offlineProcessorsAndNodesAreAbsent() throws {
    // Processors 2 and 3 are offline: in no list and in no mask. Node 1 is possible, not online.
    let found = try topology(
      [
        "node/possible": "0-1\n", "node/online": "0\n", "node/node0/cpulist": "0-1\n", "cpu/online": "0-1\n",
        "cpu/offline": "2-3\n",
      ], allowed: [0, 1])
    #expect(found == Topology(nodes: nodes([(0, [0, 1])])))
  }

  @Test func withoutNUMAThereIsOneNode() throws {
    let whole = Topology(nodes: nodes([(0, [0, 1, 5])]))
    #expect(try topology(["cpu/online": "0-1,5\n"], allowed: [5, 0, 1]) == whole)
    #expect(Topology(root: "/nowhere/at/all", allowed: [0, 1, 5]) == whole)
  }

  @Test(arguments: [
    ["node/online": "zero\n"],
    ["node/online": "\n"],
    ["node/online": "0-1\n", "node/node0/cpulist": "0-3\n"],
    ["node/online": "0\n", "node/node0/cpulist": "0-\n"],
    ["node/online": "0\n", "node/node0/cpulist": "3-0\n"],
    ["node/online": "0\n", "node/node0/cpulist": "0-3,,\n"],
    ["node/online": "0\n", "node/node0/cpulist": "-1\n"],
    ["node/online": "0\n", "node/node0/cpulist": "0-99999999999999999999\n"],
    ["node/online": "0\n", "node/node0/cpulist": "0-65535,0-65535,0-65535\n"],
    ["node/online": "0\n", "node/node0/cpulist": "\u{0}\u{1}\u{fffd}"],
    ["node/online": "0-1\n", "node/node0/cpulist": "0-3\n", "node/node1/cpulist": "3-7\n"],
    ["node/online": "0,0\n", "node/node0/cpulist": "0-3\n"],
    ["node/online": "0\n", "node/node0/cpulist": "0-2\n"],
    ["node/online": "0\n", "node/node0/cpulist": "\n"],
    ["node/online": "0\n", "node/node0/cpulist/is-a-folder": ""],
  ])
  func whatMakesNoSenseIsOneNodeWithANote(files: [String: String]) throws {
    let found = try topology(files, allowed: [0, 1, 2, 3])
    #expect(found.nodes == nodes([(0, [0, 1, 2, 3])]))
    #expect(found.note != nil)
  }

  @Test func aProcessWithoutProcessorsIsStillOneNode() throws {
    let found = try topology(["node/online": "0\n", "node/node0/cpulist": "0-3\n"], allowed: [])
    #expect(found.nodes.count == 1 && found.processors == 0)
  }

  @Test func listsOfNumbersAreReadStrictly() {
    #expect(Topology.parse(list: "0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11])
    #expect(Topology.parse(list: "8,0-1") == [0, 1, 8])
    #expect(Topology.parse(list: "") == [] && Topology.parse(list: "\n") == [])
    for text in ["1 2", "1,", ",1", "1-2-3", "a", "1-", "-", "0x1", "65536", "0-7:2/4"] {
      #expect(Topology.parse(list: text) == nil, "\(text)")
    }
  }

  @Test func thisMachineIsRead() {
    let topology = Topology()
    #expect(topology.processors == Topology.allowedProcessors().count)
    #expect(topology.processors > 0)
  }

  @Test func theTightestQuotaOnTheWayUpHolds() throws {
    let second = try RecordedTree([
      "a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "cpu.max": "400000 100000\n",
    ])
    #expect(Topology.processorQuota(root: second.root, groups: "0::/a/b\n") == 2)
    #expect(Topology.processorQuota(root: second.root, groups: "0::/\n") == 4)
    // Seen from inside a container, the way is the host's and only the top is there.
    #expect(Topology.processorQuota(root: second.root, groups: "0::/host/pod/42\n") == 4)
    let first = try RecordedTree(["cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"])
    #expect(Topology.processorQuota(root: first.root, groups: "5:memory:/\n4:cpuacct,cpu:/x\n") == 3)
  }

  @Test(arguments: ["max 100000\n", "-1 100000\n", "100000 0\n", "", "100000\n", "a b\n", "99999999999999999999 1\n"])
  func whatIsNoLimitLimitsNothing(text: String) throws {
    let tree = try RecordedTree(["cpu.max": text])
    #expect(Topology.processorQuota(root: tree.root, groups: "0::/\n") == nil)
    #expect(Topology.processorQuota(root: tree.root, groups: "no group\n::\n") == nil)
  }
}
