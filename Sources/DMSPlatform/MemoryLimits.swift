// What memory the process may still take, and what keeps it from more: the limits of the shell, of control groups, of the
// machine. Asked before large things are allocated, because nothing can be said afterwards: the system kills who takes too
// much, and an allocation that fails ends the program.

import Glibc

/// What keeps the process from more memory: the limits of the shell, of its control groups, of the machine.
public enum MemoryLimits {
  /// A limit, and what is left under it.
  public struct Limit: Sendable, Equatable {
    /// The limit's name for people, as "the data segment (ulimit -d)".
    public var name: String
    /// Bytes that are left under it; none or less where it is exceeded.
    public var free: Int
    /// Whether address space counts, touched or not; else memory that is touched.
    public var countsAddresses: Bool
  }

  /// What a process needs for strings, stacks and lists beside what is asked for here.
  package static let reserve = 24 << 20

  /// Checks that something large fits, before it is allocated.
  ///
  /// - Parameters:
  ///   - bytes: that will be touched, unless `onlyAddresses`.
  ///   - what: with an article: "the workspace".
  /// - Throws: `InputError` that says what does not fit, and under which limit.
  package static func require(_ bytes: Int, for what: String, onlyAddresses: Bool = false, remedy: String) throws {
    let limits = current().filter { !onlyAddresses || $0.countsAddresses }
    guard let least = limits.min(by: { $0.free < $1.free }), bytes > least.free - reserve else { return }
    throw InputError(
      "\(what) of \(byteCount(bytes)) does not fit: \(byteCount(max(0, least.free))) are left of \(least.name), and the "
        + "program needs \(byteCount(reserve)) beside", remedy: "\(remedy), or raise the limit")
  }

  /// Whether the shell limits the address space, which mappings that nobody touches take, too.
  package static var limitsAddresses: Bool { limit(RLIMIT_AS) != nil || limit(RLIMIT_DATA) != nil }

  /// All limits that hold now. Cost: reads a few small files of the system.
  public static func current() -> [Limit] {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let pages = readSmallFile("/proc/self/statm")?.split(separator: " ").map { Int($0) ?? 0 } ?? []
    var limits: [Limit] = []
    if let most = limit(RLIMIT_AS), pages.count > 0 {
      limits.append(
        Limit(name: "the address space (ulimit -v)", free: most - pages[0] * page, countsAddresses: true))
    }
    if let most = limit(RLIMIT_DATA), pages.count > 5 {
      limits.append(Limit(name: "the data segment (ulimit -d)", free: most - pages[5] * page, countsAddresses: true))
    }
    limits += controlGroups()
    if let free = number(after: "MemAvailable:", in: readSmallFile("/proc/meminfo")) {
      limits.append(Limit(name: "the machine's memory", free: free * 1024, countsAddresses: false))
    }
    return limits
  }

  private static func limit(_ resource: __rlimit_resource) -> Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < rlim_t(Int.max) else {
      return nil
    }
    return Int(limit.rlim_cur)
  }

  /// The limits of this process' control groups and of those above them. Page cache that can be dropped does not count.
  ///
  /// - Parameters:
  ///   - root: where the groups are mounted, version 1 or 2.
  ///   - groups: the contents of `/proc/self/cgroup`.
  static func controlGroups(root: String = "/sys/fs/cgroup", groups: String? = nil) -> [Limit] {
    var limits: [Limit] = []
    for line in (groups ?? readSmallFile("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
      let (most, used, cache) =
        isUnified
        ? ("memory.max", "memory.current", "inactive_file ")
        : ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
      // A limit of any group on the way up holds. Inside a container the way may be the host's; its top is always there.
      var names = fields[2].split(separator: "/")
      while true {
        let folder = names.reduce(isUnified ? root : root + "/memory") { $0 + "/" + $1 }
        // What stands for "none" in version 1 is larger than any machine.
        if let limit = number(in: readSmallFile("\(folder)/\(most)")), limit < 1 << 60,
          let current = number(in: readSmallFile("\(folder)/\(used)"))
        {
          let droppable = number(after: cache, in: readSmallFile("\(folder)/memory.stat")) ?? 0
          limits.append(
            Limit(
              name: "the control group's memory (\(folder)/\(most))", free: limit - max(0, current - droppable),
              countsAddresses: false))
        }
        if names.popLast() == nil { break }
      }
    }
    return limits
  }

  private static func number(in text: String?) -> Int? {
    text.flatMap { Int($0.prefix { !$0.isWhitespace }) }
  }

  /// The number in the line that begins with a key.
  private static func number(after key: String, in text: String?) -> Int? {
    for line in text?.split(separator: "\n") ?? [] where line.hasPrefix(key) {
      return Int(line.dropFirst(key.count).drop(while: \.isWhitespace).prefix(while: \.isNumber))
    }
    return nil
  }
}
