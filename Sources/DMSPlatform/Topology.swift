// Which processors are near which memory. Read from the tree that Linux keeps under /sys/devices/system, given as a path so
// that recorded trees of other machines can be read as well.

import CKernels
import Glibc

/// The machine's memory nodes and the processors that this process may use.
public struct Topology: Sendable, Equatable {
  /// A memory node, and the processors near it.
  public struct Node: Sendable, Equatable {
    /// The system's number of the node.
    public var number: Int
    /// Usable processors near it, ascending. Empty for a node that has only memory.
    public var processors: [Int]

    /// A node of a machine that is described by hand.
    public init(number: Int, processors: [Int]) {
      self.number = number
      self.processors = processors
    }
  }

  /// The memory nodes by number, at least one.
  public var nodes: [Node]
  /// Why the system's description was not believed, if it was not.
  public var note: String?

  /// A machine as described, without a look at this one.
  public init(nodes: [Node], note: String? = nil) {
    self.nodes = nodes
    self.note = note
  }

  /// Reads `root/node/nodeN/cpulist` for every node in `root/node/online`. A machine without that file is one node with
  /// all of `allowed`; so is one whose files make no sense, with a `note`. A pure function of the tree and `allowed`.
  ///
  /// - Parameter allowed: the processors that the process may run on; the others of the tree are left out.
  public init(root: String = "/sys/devices/system", allowed: [Int] = Topology.allowedProcessors()) {
    let everything = [Node(number: 0, processors: allowed.sorted())]
    guard let online = readSmallFile(root + "/node/online") else {
      self.init(nodes: everything)
      return
    }
    guard let numbers = Topology.parse(list: online), !numbers.isEmpty else {
      self.init(nodes: everything, note: "\(root)/node/online is not a list of numbers")
      return
    }
    let usable = Set(allowed)
    var nodes: [Node] = []
    for number in numbers {
      let path = "\(root)/node/node\(number)/cpulist"
      guard let text = readSmallFile(path), let processors = Topology.parse(list: text) else {
        self.init(nodes: everything, note: "\(path) is missing or not a list of numbers")
        return
      }
      nodes.append(Node(number: number, processors: processors.filter(usable.contains)))
    }
    // Every usable processor in one node: one that were in none would be idle, one in two would work twice.
    guard !usable.isEmpty, nodes.flatMap(\.processors).sorted() == usable.sorted() else {
      self.init(nodes: everything, note: "\(root)/node does not divide the usable processors among nodes")
      return
    }
    self.init(nodes: nodes)
  }

  /// Usable processors of all nodes.
  public var processors: Int { nodes.reduce(0) { $0 + $1.processors.count } }

  /// Threads worth having: one per usable processor, as far as a container's quota gives time for them.
  public var usefulThreads: Int { max(1, min(processors, Self.processorQuota() ?? .max)) }

  /// The processors of this process' affinity mask, ascending.
  public static func allowedProcessors() -> [Int] {
    var mask = [UInt64](repeating: 0, count: mostProcessors / 64)
    guard dms_get_affinity(&mask, Int32(mask.count)) == 0 else {
      return Array(0..<max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }
    return (0..<mask.count * 64).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  /// Processors' worth of time that the control groups of this process grant it, rounded up; `nil` without a limit. A
  /// container with a quota sees all processors of its host, and more threads than its quota only wait for each other.
  ///
  /// - Parameter root: where the groups are mounted, version 1 or 2.
  /// - Parameter groups: the contents of `/proc/self/cgroup`.
  public static func processorQuota(root: String = "/sys/fs/cgroup", groups: String? = nil) -> Int? {
    var quota: Int?
    for line in (groups ?? readSmallFile("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains("cpu") else { continue }
      // A limit of any group on the way up holds. Inside a container the way may be the host's; its top is always there.
      var names = fields[2].split(separator: "/")
      while true {
        let folder = names.reduce(isUnified ? root : root + "/cpu") { $0 + "/" + $1 }
        let limit =
          isUnified
          ? readSmallFile(folder + "/cpu.max")
          : readSmallFile(folder + "/cpu.cfs_quota_us").flatMap { time in
            readSmallFile(folder + "/cpu.cfs_period_us").map { time + " " + $0 }
          }
        if let granted = limit.flatMap(processors(limit:)) { quota = min(quota ?? granted, granted) }
        if names.popLast() == nil { break }
      }
    }
    return quota
  }

  /// `"150000 100000"`, microseconds of each period, as processors: 2. `nil` for `"max 100000"`, -1 and what is no limit.
  private static func processors(limit: String) -> Int? {
    let numbers = limit.split(whereSeparator: \.isWhitespace).map { Int($0) ?? 0 }
    guard numbers.count == 2, numbers[0] > 0, numbers[1] > 0 else { return nil }
    return (numbers[0] - 1) / numbers[1] + 1
  }

  /// `"0-3,8,10-11"` as ascending numbers; `nil` if it is not such a list. An empty text is an empty list.
  static func parse(list text: String) -> [Int]? {
    let trimmed = text.drop(while: \.isWhitespace).prefix { !$0.isWhitespace }
    guard text[trimmed.endIndex...].allSatisfy(\.isWhitespace) else { return nil }
    guard !trimmed.isEmpty else { return [] }
    var numbers: [Int] = []
    for part in trimmed.split(separator: ",", omittingEmptySubsequences: false) {
      let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2,
        first >= 0, last >= first, last < mostProcessors, numbers.count <= mostProcessors
      else { return nil }
      numbers.append(contentsOf: first...last)
    }
    return numbers.sorted()
  }

  /// More than any Linux has; a damaged list must not fill the memory.
  private static let mostProcessors = 65_536
}

/// The text of a file of at most 64 KiB; `nil` if it cannot be read.
package func readSmallFile(_ path: String) -> String? {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 65_536)
  var filled = 0
  while filled < bytes.count {
    let count = bytes.withUnsafeMutableBytes { buffer in
      buffer.baseAddress.map { read(descriptor, $0 + filled, buffer.count - filled) } ?? 0
    }
    if count < 0 { return nil }
    if count == 0 { break }
    filled += count
  }
  return String(decoding: bytes[..<filled], as: UTF8.self)
}
