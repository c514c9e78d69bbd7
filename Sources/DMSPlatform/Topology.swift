// Which processors are near which memory. Read from the tree that Linux keeps under /sys/devices/system, given as a path so
// that recorded trees of other machines can be read as well.

import CKernels
import Glibc

/// The machine's memory nodes and the processors that this process may use.
public struct Topology: Sendable, Equatable {
  public struct Node: Sendable, Equatable {
    /// The system's number of the node.
    public var number: Int
    /// Usable processors near it, ascending. Empty for a node that has only memory.
    public var processors: [Int]

    public init(number: Int, processors: [Int]) {
      self.number = number
      self.processors = processors
    }
  }

  /// By number, at least one.
  public var nodes: [Node]
  /// Why the tree was not believed, if it was not.
  public var note: String?

  public init(nodes: [Node], note: String? = nil) {
    self.nodes = nodes
    self.note = note
  }

  /// Reads `root/node/nodeN/cpulist` for every online node. A machine without that directory is one node with all of
  /// `allowed`; so is one whose files make no sense, with a `note`.
  ///
  /// - Parameter allowed: the processors that the process may run on.
  public init(root: String = "/sys/devices/system", allowed: [Int] = Topology.allowedProcessors()) {
    let everything = [Node(number: 0, processors: allowed.sorted())]
    let numbers: [Int]
    if let online = readSmallFile(root + "/node/online") {
      guard let list = Topology.parse(list: online), !list.isEmpty else {
        self.init(nodes: everything, note: "\(root)/node/online is not a list of numbers")
        return
      }
      numbers = list
    } else {
      self.init(nodes: everything)
      return
    }
    var nodes: [Node] = []
    for number in numbers {
      let path = "\(root)/node/node\(number)/cpulist"
      guard let text = readSmallFile(path), let processors = Topology.parse(list: text) else {
        self.init(nodes: everything, note: "\(path) is missing or not a list of numbers")
        return
      }
      nodes.append(Node(number: number, processors: processors.filter(Set(allowed).contains)))
    }
    let found = nodes.flatMap(\.processors)
    guard !found.isEmpty, Set(found).count == found.count else {
      self.init(nodes: everything, note: "\(root)/node does not divide the usable processors among nodes")
      return
    }
    self.init(nodes: nodes)
  }

  public var processors: Int { nodes.reduce(0) { $0 + $1.processors.count } }

  /// The processors of this process' affinity mask, ascending.
  public static func allowedProcessors() -> [Int] {
    var mask = [UInt64](repeating: 0, count: 1024)
    guard dms_get_affinity(&mask, Int32(mask.count)) == 0 else {
      return Array(0..<max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }
    return (0..<mask.count * 64).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  /// `"0-3,8,10-11"` as numbers; `nil` if it is not such a list. An empty text is an empty list.
  static func parse(list text: String) -> [Int]? {
    let trimmed = text.filter { !$0.isWhitespace }
    guard !trimmed.isEmpty else { return [] }
    var numbers: [Int] = []
    for part in trimmed.split(separator: ",", omittingEmptySubsequences: false) {
      let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2,
        first >= 0, last >= first, last < 65_536
      else { return nil }
      numbers.append(contentsOf: first...last)
    }
    return numbers
  }
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
