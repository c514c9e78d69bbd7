// What the process holds, by the system's account.

import Glibc

/// What memory the machine has and the process holds, by the system's account.
public enum MemoryAccounting {
  /// Bytes of physical memory that the process occupies now; 0 where /proc is absent.
  public static func residentBytes() -> Int {
    let fields = readSmallFile("/proc/self/statm")?.split(separator: " ") ?? []
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  /// Most bytes of physical memory that the process ever occupied; 0 where /proc is absent.
  public static func peakResidentBytes() -> Int {
    for line in readSmallFile("/proc/self/status")?.split(separator: "\n") ?? [] where line.hasPrefix("VmHWM:") {
      return (Int(line.dropFirst(6).filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }
}
