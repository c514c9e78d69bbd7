// What is left under the limits of control groups, from recorded trees, and what is said when something large does not fit.

import Testing

@testable import DMSPlatform

struct MemoryLimitTests {
  private func free(_ files: [String: String], _ groups: String) throws -> [Int] {
    let tree = try RecordedTree(files)
    return MemoryLimits.controlGroups(root: tree.root, groups: groups).map(\.free).sorted()
  }

  @Test func everyGroupOnTheWayUpLimits() throws {
    let second = [
      "a/b/memory.max": "max\n", "a/b/memory.current": "5\n",
      "a/memory.max": "1000\n", "a/memory.current": "900\n", "a/memory.stat": "anon 500\ninactive_file 300\n",
      "memory.max": "5000\n", "memory.current": "1000\n",
    ]
    #expect(try free(second, "0::/a/b\n") == [400, 4000])
    // Seen from inside a container, the way is the host's and only the top is there.
    #expect(try free(second, "0::/pod/42\n") == [4000])
    let first = [
      "memory/x/memory.limit_in_bytes": "2000\n", "memory/x/memory.usage_in_bytes": "1500\n",
      "memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
      "memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "1\n",
    ]
    #expect(try free(first, "5:cpu:/x\n4:memory:/x\n") == [600])
  }

  @Test(arguments: ["max\n", "", "none\n", "-1\n", "99999999999999999999\n", "0x10\n"])
  func whatIsNoLimitLimitsNothing(text: String) throws {
    let found = try free(["memory.max": text, "memory.current": "1\n"], "0::/\n")
    #expect(found.isEmpty || found == [-2], "a negative number is taken as it stands")
    #expect(try free(["memory.max": "100\n"], "0::/\n").isEmpty, "without the use there is no rest")
    #expect(try free(["memory.max": "100\n", "memory.current": "1\n"], "no group\n:\n").isEmpty)
  }

  @Test func whatDoesNotFitIsSaidWithBothSizes() throws {
    try MemoryLimits.require(1 << 20, for: "the test", remedy: "do less")
    #expect {
      try MemoryLimits.require(1 << 60, for: "the test", remedy: "do less")
    } throws: {
      let text = "\($0)"
      return text.hasPrefix("the test of 1048576.0 TiB does not fit: ") && text.contains(" are left of ")
        && text.hasSuffix("; do less, or raise the limit") && !text.contains("\n")
    }
  }

  @Test func reservedPagesNeedNoMoreOfTheSystem() throws {
    for bytes in [64, 5000, 600_000, 4 << 20] {
      let arena = try PageArena(pageBytes: bytes, node: nil)
      let first = try arena.allocate()
      for count in [0, 1, 7, 40] {
        try arena.reserve(count)
        let reserved = arena.bytesReserved
        let pages = try (0..<count).map { _ in try arena.allocate() }
        #expect(arena.bytesReserved == reserved)
        #expect(Set(pages + [first]).count == count + 1)
        for page in pages { arena.release(page) }
      }
    }
  }
}
