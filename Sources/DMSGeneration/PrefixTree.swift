// What sequences had in common, kept for those that come: a radix tree of tokens with caches at some of its nodes. Whoever begins
// with the tokens up to such a node goes on from a fork of its cache. What was not used for longest goes first.
//
// A cache is the outcome of calls, and a decode step rounds otherwise than a chunk: each fork point knows which of its tokens came
// one by one, so that what was built on it can be built again, bit for bit, when the point is gone.

import DMSCache

/// Caches by the tokens that they hold, for one policy each.
struct PrefixTree {
  /// A cache to go on from.
  final class Point {
    /// Tokens that the cache holds.
    let count: Int
    let cache: SequenceCache
    /// Which of them were read one by one; an empty range is a place where one chunk ended and another began.
    let decoded: [Range<Int>]
    fileprivate var lastUse = 0
    /// `nil` once it is out of the tree.
    fileprivate weak var node: Node?

    fileprivate init(_ count: Int, _ cache: SequenceCache, _ decoded: [Range<Int>]) {
      self.count = count
      self.cache = cache
      self.decoded = decoded
    }
  }

  /// The end of an edge.
  fileprivate final class Node {
    /// The tokens from the parent to here.
    var edge: ArraySlice<Int>
    weak var parent: Node?
    var children: [Int: Node] = [:]
    var point: Point?

    init(_ edge: ArraySlice<Int>, _ parent: Node?) {
      self.edge = edge
      self.parent = parent
    }
  }

  private var roots: [(policy: EvictionPolicy, node: Node)] = []
  private var points: [Point] = []
  private var clock = 0

  var count: Int { points.count }

  /// What is known of some tokens: how many of them are on a path of the tree, and the points on it, the longest first.
  func walk(_ ids: [Int], _ policy: EvictionPolicy) -> (common: Int, points: [Point]) {
    guard var node = roots.first(where: { $0.policy == policy })?.node else { return (0, []) }
    var (common, found): (Int, [Point]) = (0, [])
    while common < ids.count, let child = node.children[ids[common]] {
      let shared = zip(child.edge, ids[common...]).prefix { $0 == $1 }.count
      common += shared
      guard shared == child.edge.count else { break }
      node = child
      if let point = node.point { found.append(point) }
    }
    return (common, found.reversed())
  }

  /// Says that a point was of use.
  mutating func use(_ point: Point) {
    clock += 1
    point.lastUse = clock
  }

  /// Keeps a cache that holds `ids`. One that is there already stays.
  mutating func insert(_ ids: ArraySlice<Int>, _ policy: EvictionPolicy, _ cache: SequenceCache, decoded: [Range<Int>])
  {
    guard !ids.isEmpty else { return }
    let node = node(at: ids, policy)
    guard node.point == nil else {
      if let point = node.point { use(point) }
      return
    }
    let point = Point(ids.count, cache, decoded)
    point.node = node
    node.point = point
    points.append(point)
    use(point)
  }

  /// Gives up the point that was not used for longest.
  ///
  /// - Returns: whether there was one.
  mutating func removeOldest() -> Bool {
    guard let oldest = points.indices.min(by: { points[$0].lastUse < points[$1].lastUse }) else { return false }
    let point = points.remove(at: oldest)
    guard var node = point.node else { return true }
    node.point = nil
    // What leads nowhere any more goes as well; a policy's root goes with its last point.
    while node.point == nil, node.children.isEmpty {
      guard let parent = node.parent, let first = node.edge.first else {
        roots.removeAll { $0.node === node }
        break
      }
      parent.children[first] = nil
      node = parent
    }
    return true
  }

  mutating func removeAll() { (roots, points) = ([], []) }

  /// The node where a path of tokens ends; made where it is not there.
  private mutating func node(at ids: ArraySlice<Int>, _ policy: EvictionPolicy) -> Node {
    var node: Node
    if let root = roots.first(where: { $0.policy == policy })?.node {
      node = root
    } else {
      node = Node([], nil)
      roots.append((policy, node))
    }
    var rest = ids
    while let first = rest.first {
      guard let child = node.children[first] else {
        let leaf = Node(rest, node)
        node.children[first] = leaf
        return leaf
      }
      let shared = zip(child.edge, rest).prefix { $0 == $1 }.count
      rest = rest.dropFirst(shared)
      node = shared == child.edge.count ? child : split(child, at: shared, under: node)
    }
    return node
  }

  /// Puts a node into an edge.
  private func split(_ child: Node, at count: Int, under parent: Node) -> Node {
    let middle = Node(child.edge.prefix(count), parent)
    child.edge = child.edge.dropFirst(count)
    child.parent = middle
    if let first = child.edge.first { middle.children[first] = child }
    if let first = middle.edge.first { parent.children[first] = middle }
    return middle
  }
}
