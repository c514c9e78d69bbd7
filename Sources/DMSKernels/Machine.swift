// What there is to compute with: processors and the memory near them, threads, instructions, OpenBLAS. Made once and passed to
// whoever computes. What is computed is not known here.

import COpenBLAS
import DMSPlatform

/// Threads of a program on this machine, with the instructions that they use: what engines, conversions and trainings
/// compute with.
///
/// Those that take turns can share one; what runs at the same time needs a machine each, for a machine's threads work
/// for one caller at a time. The threads end with the last reference to it.
public final class Machine: @unchecked Sendable {
  /// The memory nodes, and the processors that the process may use.
  public let topology: Topology
  /// Instructions of the inner loops.
  public let instructions: InstructionSet
  /// What is odd about the machine, in sentences for people; empty on most.
  public let notes: [String]
  package let pool: ThreadPool

  /// Starts the threads, near their memory. Keeps OpenBLAS to the calling thread, in the whole process.
  ///
  /// - Parameters:
  ///   - threads: worker threads, the calling one included; 0 means one per usable processor.
  ///   - instructions: `nil` chooses the best that the processor has.
  /// - Throws: `InputError` for more than 1024 threads, instructions that the processor lacks, threads that cannot be
  ///   started, and a limit of memory that leaves no room for them.
  public init(threads: Int = 0, instructions: InstructionSet? = nil, topology: Topology = Topology()) throws {
    let count = threads > 0 ? threads : topology.usefulThreads
    guard count <= 1024 else { throw InputError("\(count) threads are too many", remedy: "use at most 1024") }
    self.topology = topology
    self.instructions = instructions ?? .best
    guard self.instructions.isAvailable else {
      throw InputError(
        "this processor has no \(self.instructions.rawValue)",
        remedy: "use one of \(InstructionSet.available.map(\.rawValue).joined(separator: ", "))")
    }
    var notes: [String] = []
    if let note = topology.note { notes.append("\(note); taking the machine for one memory node") }
    if let better = BLASProcessor.better {
      notes.append(
        "OpenBLAS does not know this processor and uses its kernels for \(BLASProcessor.chosen): start the program with "
          + "\(BLASProcessor.variable)=\(better)")
    }
    self.notes = notes
    // The parallelism is ours. The setting is the process's.
    useOneBLASThread()
    if MemoryLimits.limitsAddresses {
      try MemoryLimits.require(
        count * Int(dms_blas_buffer_bytes), for: "OpenBLAS' address space for \(count) threads", onlyAddresses: true,
        remedy: "use fewer --threads")
      dms_reserve_blas_buffers(Int32(count))
    }
    let placement = Placement(topology: topology, threads: count, kvHeads: 1)
    pool = try ThreadPool(threads: count, nodes: placement.nodeOfWorker, processors: placement.processorsOfWorker)
  }

  /// Worker threads, the calling one included.
  public var threads: Int { pool.count }

  /// Where the heads of a cache live among these threads.
  package func placement(kvHeads: Int) -> Placement {
    Placement(topology: topology, threads: threads, kvHeads: kvHeads)
  }
}

extension MemoryBandwidth {
  /// What the memory delivers to the threads of a machine. Allocates the buffer and writes it once.
  ///
  /// - Parameter bytes: size of the buffer, rounded down to whole slices of 64 KiB.
  /// - Throws: `InputError` if there is no memory for it.
  public convenience init(bytes: Int = 512 << 20, on machine: Machine) throws {
    try self.init(bytes: bytes, on: machine.pool)
  }
}
