// The kernels by themselves, each on every instruction set: products with weights in blocks, and decoding's attention, both
// on more memory than the caches hold and beside what the memory delivers in the same run.

import ArgumentParser
import DMS
import DMSKernels
import DMSPlatform
import DMSTensor

struct KernelBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels", abstract: "Products in blocks and decoding's attention, per instruction set.")

  @Option(help: "Worker threads; 0: one per usable processor.") var threads = 0
  @Option(help: "Repetitions of each measurement.") var repetitions = 7

  func run() throws {
    let threads = threads > 0 ? threads : Topology.allowedProcessors().count
    printProvenance(threads: threads)
    let pool = try ThreadPool(threads: threads)
    let memory = try MemoryBandwidth(on: pool)
    for instructions in InstructionSet.available {
      for format in BlockFormat.own {
        let product = BlockProducts(format, pool)
        for vectors in [1, 256] { measure(product, vectors, instructions, pool, memory) }
      }
      for type in KVType.allCases {
        let heads = ArbitraryHeads(KVLayout(headDim: 128, type: type), count: 2 * Self.layers, slots: 16_384)
        measure(heads, instructions, pool, memory)
      }
    }
  }

  /// KV heads of two in a layer, as in the 1.5B.
  private static let layers = 6
  private static let group = 6

  private func measure(
    _ product: BlockProducts, _ vectors: Int, _ instructions: InstructionSet, _ pool: ThreadPool,
    _ memory: MemoryBandwidth
  ) {
    var (rates, shares): ([Double], [Double]) = ([], [])
    for _ in 0..<repetitions {
      let time = seconds { product.run(vectors, instructions, pool) }
      let rate = Double(vectors == 1 ? product.bytes : 2 * product.numbers * vectors) / time / 1e9
      rates.append(rate)
      if vectors == 1 { shares.append(100e9 * rate / memory.measure()) }
    }
    let what = "product \(product.format.rawValue), \(vectors) vectors, \(instructions.rawValue): "
    print(
      what + Measurement(rates).text
        + (vectors == 1 ? " GB/s · share of memory \(Measurement(shares).text) %" : " GOPS"))
  }

  private func measure(
    _ heads: ArbitraryHeads, _ instructions: InstructionSet, _ pool: ThreadPool, _ memory: MemoryBandwidth
  ) {
    let (group, dim) = (Self.group, heads.layout.headDim)
    let stride = DecodeAttention.scratchCount(group: group, headDim: dim)
    let (queries, output) = (FloatBuffer(2 * group * dim), FloatBuffer(2 * group * dim))
    for index in 0..<queries.count { queries.base[index] = Float(index % 7) - 3 }
    let scratch = FloatBuffer(pool.count * stride)
    let partials = FloatBuffer(2 * DecodeAttention.partialCount(slots: heads.slots, group: group, headDim: dim))
    var (rates, shares): ([Double], [Double]) = ([], [])
    for _ in 0..<repetitions {
      let time = seconds {
        for layer in 0..<Self.layers {
          let work = DecodeAttention(
            spans: heads.spans + 2 * layer, queries: queries.base, output: output.base, sequences: 1, kvHeads: 2,
            group: group, scratch: scratch.base, scratchStride: stride, partials: partials.base,
            instructions: instructions)
          pool.run(tasks: work.tasks, work)
          if let combination = work.combination { pool.run(tasks: combination.tasks, combination) }
        }
      }
      let rate = Double(heads.bytes) / time / 1e9
      rates.append(rate)
      shares.append(100e9 * rate / memory.measure())
    }
    print(
      "attention of one token, \(heads.layout.type.rawValue) cache, \(instructions.rawValue): \(Measurement(rates).text)"
        + " GB/s · share of memory \(Measurement(shares).text) %")
  }
}

/// Several matrices of the 1.5B's largest shape, 256 million weights in all, and vectors for them.
private final class BlockProducts {
  static let (rows, columns, matrices) = (8960, 1536, 18)
  let format: BlockFormat
  private let weights: [OwnedBytes]
  private let vectors = BlockVectors(vectors: 256, columns: columns)
  private let output = FloatBuffer(256 * rows)

  var numbers: Int { Self.rows * Self.columns * Self.matrices }
  var bytes: Int { BlockMatrix.bytes(format, rows: Self.rows, columns: Self.columns) * Self.matrices }

  init(_ format: BlockFormat, _ pool: ThreadPool) {
    self.format = format
    let source = FloatBuffer(Self.rows * Self.columns)
    for index in 0..<source.count { source.base[index] = Float(index &* 7919 % 2003) / 1001.5 - 1 }
    let bytes = UnsafeRawBufferPointer(start: source.base, count: source.count * 4)
    let matrix = Matrix(TensorView(type: .f32, shape: [Self.rows, Self.columns], bytes: bytes))
    weights = (0..<Self.matrices).map { _ in
      OwnedBytes(BlockMatrix.bytes(format, rows: Self.rows, columns: Self.columns))
    }
    for owned in weights {
      let work = BlockQuantization(.stored(matrix), format, to: owned.buffer)
      pool.run(tasks: work.tasks, work)
    }
    let rounding = VectorQuantization(source.base, columns: Self.columns, to: vectors, instructions: .best)
    pool.run(tasks: 256, rounding)
  }

  func run(_ count: Int, _ instructions: InstructionSet, _ pool: ThreadPool) {
    for owned in weights {
      let matrix = BlockMatrix(
        format, rows: Self.rows, columns: Self.columns, bytes: UnsafeRawBufferPointer(owned.buffer))
      let work = BlockProduct(
        matrix, vectors: vectors, count: count, bias: nil, output: output.base, outputStride: Self.rows,
        workers: pool.count, instructions: instructions)
      pool.run(tasks: work.tasks, work)
    }
  }
}

/// Heads with arbitrary keys and values in pages of their own.
private final class ArbitraryHeads {
  let layout: KVLayout
  let slots: Int
  let spans: UnsafeMutablePointer<KVSpan>
  let bytes: Int
  private let count: Int
  private let memory: OwnedBytes
  private let pages: UnsafeMutablePointer<KVPage>
  private let redirects: UnsafeMutablePointer<KVSlot>

  init(_ layout: KVLayout, count: Int, slots: Int) {
    self.layout = layout
    self.slots = slots
    self.count = count
    let perHead = (slots + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    bytes = count * perHead * layout.pageBytes
    memory = OwnedBytes(bytes)
    pages = .allocate(capacity: count * perHead)
    redirects = .allocate(capacity: 1)
    spans = .allocate(capacity: count)
    let vector = (0..<layout.headDim).map { Float($0 % 5) - 2 }
    for index in 0..<count * perHead {
      let base = memory.buffer.baseAddress.unsafelyUnwrapped + index * layout.pageBytes
      (pages + index).initialize(to: KVPage(base: base, id: UInt32(index)))
      for slot in 0..<KVLayout.slotsPerPage { layout.store(key: vector, value: vector, page: base, index: slot) }
    }
    for head in 0..<count {
      (spans + head).initialize(
        to: KVSpan(layout: layout, pages: pages + head * perHead, redirects: redirects, slots: slots))
    }
  }

  deinit {
    pages.deallocate()
    redirects.deallocate()
    spans.deallocate()
  }
}
