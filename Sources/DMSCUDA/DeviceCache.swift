// The KV cache of several sequences on a device (Kernels/slots.cuh, admission.cu, attention.cu): slot lists, rings and page
// tables are arrays of ids there, so that a decode step goes through all layers without the host. Slots, evictions and
// therefore results are those of DMSCache: a page is taken where it would be taken there, but from one pool for all heads.
// The host reserves: it must know an upper bound of the pages that a call takes, and asks the device how many there are.
// Used by the decoder on a device.
//
// S sequences of a call · T tokens of each · L layers · H query heads · G KV heads · R = H / G · D head dim · w window

import DMSKernels
import DMSPlatform

package final class DeviceCache {
  /// What a cache is made for.
  package struct Shape {
    package var layers, heads, kvHeads, headDim: Int
    /// The most sequences, and positions of each.
    package var sequences, context: Int
    /// How keys and values are stored.
    package var type: KVType
    /// `nil`: nothing is forgotten.
    package var delay: (window: Int, shift: Int)?
    /// Pages of the pool.
    package var pages: Int

    package init(
      layers: Int, heads: Int, kvHeads: Int, headDim: Int, sequences: Int, context: Int, type: KVType,
      delay: (window: Int, shift: Int)?, pages: Int
    ) {
      self.layers = layers
      self.heads = heads
      self.kvHeads = kvHeads
      self.headDim = headDim
      self.sequences = sequences
      self.context = context
      self.type = type
      self.delay = delay
      self.pages = pages
    }

    var headsOfAll: Int { sequences * layers * kvHeads }
    var pagesPerHead: Int { (context + DeviceCache.slotsPerPage - 1) / DeviceCache.slotsPerPage }
    /// Bytes of a page: keys and values of sixteen slots.
    package var pageBytes: Int { DeviceCache.slotsPerPage * 2 * headDim * type.element.size }
    /// Within a context that is shorter than the window nothing leaves, and no more of it is needed.
    var window: Int { delay.map { min($0.window, context) } ?? -1 }
  }

  static let slotsPerPage = 16
  static let piece = 128

  package let shape: Shape
  let device: any Device
  private let counts, rings, pages, pageCounts, freePages, freeCount, pool: DeviceBuffer
  /// The kernels' `SlotLists`.
  private let lists: DeviceBuffer
  private let until: DeviceBuffer  // [G, context]

  /// Memory for all of it.
  ///
  /// - Throws: `InputError` for lack of memory, for a head dim above 256, and for keys and values in 8 bits, for which
  ///   there are no kernels.
  package init(_ shape: Shape, on device: any Device) throws {
    guard shape.type != .q8 else {
      throw InputError("a device's cache has no 8-bit keys and values", remedy: "use f32, bf16 or f16")
    }
    guard shape.headDim <= 256 else {
      throw InputError("heads of \(shape.headDim) channels are too large for a device's attention, which takes 256")
    }
    precondition(shape.headDim % 2 == 0 && shape.heads % shape.kvHeads == 0, "heads in whole groups, channels in pairs")
    self.shape = shape
    self.device = device
    let heads = shape.headsOfAll
    counts = try DeviceBuffer(device, [Int32](repeating: 0, count: heads))
    rings = try DeviceBuffer(device, [UInt32](repeating: 0, count: heads * max(0, shape.window + 1)))
    pages = try DeviceBuffer(device, bytes: 4 * heads * shape.pagesPerHead)
    pageCounts = try DeviceBuffer(device, [Int32](repeating: 0, count: heads))
    freePages = try DeviceBuffer(device, (0..<shape.pages).map { Int32($0) })
    freeCount = try DeviceBuffer(device, [Int32(shape.pages)])
    pool = try DeviceBuffer(device, bytes: shape.pages * shape.pageBytes)
    until = try DeviceBuffer(device, [Int32](repeating: .max, count: shape.kvHeads * shape.context))
    // As Kernels/slots.cuh lays it out: seven addresses, six integers.
    let addresses = [counts, rings, pages, pageCounts, freePages, freeCount, pool].map(\.address)
    let integers = [
      shape.layers, shape.kvHeads, shape.window, shape.delay?.shift ?? 0, shape.pagesPerHead, shape.context,
    ].map { Int32($0) }
    lists = try DeviceBuffer(device, bytes: 8 * addresses.count + 4 * integers.count)
    let words: [UInt32] = addresses.flatMap { [UInt32(truncatingIfNeeded: $0), UInt32($0 >> 32)] }
    try lists.upload(words + integers.map { UInt32(bitPattern: $0) })
  }

  /// Bytes of device memory, the pool's included.
  package var bytes: Int {
    [counts, rings, pages, pageCounts, freePages, freeCount, pool, until].reduce(0) { $0 + $1.bytes }
  }

  /// Pages that nobody has. Waits for the device.
  package func freePagesLeft() throws -> Int { Int(try freeCount.download(Int32.self, 1)[0]) }

  /// Pages that `tokens` more tokens of a sequence can take at most.
  package func pagesNeeded(tokens: Int) -> Int {
    shape.layers * shape.kvHeads * ((tokens + Self.slotsPerPage - 1) / Self.slotsPerPage + (tokens > 1 ? 1 : 0))
  }

  /// Live tokens of each head of a sequence, `[L, G]`. Waits for the device.
  package func liveTokens(sequence: Int) throws -> [Int] {
    let heads = shape.layers * shape.kvHeads
    return try counts.download(Int32.self, from: sequence * heads, heads).map(Int.init)
  }

  /// Empties a sequence, and takes its pages back.
  package func release(sequence: Int) throws {
    try device.launch(
      KernelLaunch("release_sequence", grid: (1, 1, 1), threads: 256, [.address(lists.address), .integer(sequence)]))
  }

  /// A call's buffers.
  package struct Call {
    /// `[S]` Int32: the places of the sequences in this cache, and the positions of their first tokens of this call.
    package let sequences, positions: DeviceAddress
    package let count: Int
    /// Tokens of each sequence.
    package let tokens: Int
    /// `[S, T, G]` Int32, `[S, T, G]` Int32, `[S, G]` Int32: what admission says of the tokens.
    let slots, lasts, before: DeviceAddress

    /// - Parameter scratch: `scratchBytes` bytes.
    package init(
      sequences: DeviceAddress, positions: DeviceAddress, count: Int, tokens: Int, kvHeads: Int, scratch: DeviceBuffer
    ) {
      precondition(Self.scratchBytes(rows: count * tokens, kvHeads: kvHeads) <= scratch.bytes, "scratch for the rows")
      self.sequences = sequences
      self.positions = positions
      self.count = count
      self.tokens = tokens
      let table = UInt64(count * tokens * kvHeads * 4)
      slots = scratch.address
      lasts = slots + table
      before = lasts + table
    }

    package static func scratchBytes(rows: Int, kvHeads: Int) -> Int { 3 * rows * kvHeads * 4 }
  }

  /// Queries, keys, values and attention of a call in one layer: `[S, T, H, D]`, `[S, T, G, D]`, `[S, T, G, D]`,
  /// `[S, T, H, D]`, F32.
  package struct Vectors {
    let queries, keys, values, output: DeviceAddress

    package init(queries: DeviceAddress, keys: DeviceAddress, values: DeviceAddress, output: DeviceAddress) {
      self.queries = queries
      self.keys = keys
      self.values = values
      self.output = output
    }
  }

  /// Gives one token of each sequence its slots, stores it, and attends to all live slots.
  ///
  /// - Parameters:
  ///   - decisions: `[S, G]` logits, or 0.
  ///   - longest: slots that no head of these sequences has more of; the tokens that they have seen will do.
  ///   - partials: `partialBytes` bytes.
  package func decode(
    _ call: Call, layer: Int, _ vectors: Vectors, decisions: DeviceAddress, longest: Int, partials: DeviceBuffer
  ) throws {
    precondition(call.tokens == 1, "one token of each sequence")
    let pieces = Self.pieces(longest)
    precondition(partialBytes(sequences: call.count, longest: longest) <= partials.bytes, "room for the pieces")
    try admit(call, layer, decisions, until: 0)
    try store(call, layer, vectors, until: 0)
    let (group, dim) = (shape.heads / shape.kvHeads, shape.headDim)
    try device.launch(
      KernelLaunch(
        "attend_piece_\(attentionKernel.suffix)", grid: (pieces, shape.kvHeads, call.count), threads: Self.piece,
        shared: sharedBytes,
        [
          .address(lists.address), .integer(layer), .address(call.sequences), .address(vectors.queries),
          .integer(group), .integer(dim), .address(partials.address),
        ]))
    try device.launch(
      KernelLaunch(
        "combine_pieces", grid: (group, shape.kvHeads, call.count), threads: 64,
        [
          .address(lists.address), .integer(layer), .address(call.sequences), .address(partials.address),
          .integer(pieces), .integer(dim), .address(vectors.output),
        ]))
  }

  /// Attends to a sequence's slots and the call's own tokens, each query as far as they are visible, and stores those that
  /// are alive at the call's end.
  ///
  /// - Parameters:
  ///   - sequence, position: what the call's buffers say.
  ///   - decisions: `[T, G]` logits, or 0.
  package func prefill(
    _ call: Call, sequence: Int, position: Int, layer: Int, _ vectors: Vectors, decisions: DeviceAddress
  ) throws {
    precondition(call.count == 1, "tokens of one sequence")
    try admit(call, layer, decisions, until: until.address)
    let (group, dim) = (shape.heads / shape.kvHeads, shape.headDim)
    let queries = attentionKernel.queries
    try device.launch(
      KernelLaunch(
        "attend_call_\(attentionKernel.suffix)",
        grid: ((call.tokens * group + queries - 1) / queries, shape.kvHeads, 1), threads: Self.piece,
        shared: sharedBytes,
        [
          .address(lists.address), .integer(layer), .integer(sequence), .address(call.before),
          .address(vectors.queries), .address(vectors.keys), .address(vectors.values), .address(call.lasts),
          .address(until.address), .integer(position), .integer(call.tokens), .integer(group), .integer(dim),
          .address(vectors.output),
        ]))
    try store(call, layer, vectors, until: until.address)
  }

  /// Bytes that `decode` needs for what the pieces of heads find.
  package func partialBytes(sequences: Int, longest: Int) -> Int {
    sequences * shape.heads * Self.pieces(longest) * (shape.headDim + 2) * 4
  }

  private static func pieces(_ slots: Int) -> Int { max(1, (slots + piece - 1) / piece) }

  /// What the attention kernels of this head dim and type are called by, and the query rows of a block.
  private var attentionKernel: (suffix: String, queries: Int) {
    let channels = shape.headDim <= 64 ? 2 : shape.headDim <= 128 ? 4 : 8
    return ("\(shape.type.rawValue)_\(channels)", channels == 8 ? 4 : 8)
  }

  /// As `Work` in Kernels/attention.cu: queries, scores, outputs of four warps, four numbers of each query row.
  private var sharedBytes: Int {
    let queries = attentionKernel.queries
    return 4 * (queries * shape.headDim + queries * Self.piece + 4 * queries * shape.headDim + 4 * queries)
  }

  private func admit(_ call: Call, _ layer: Int, _ decisions: DeviceAddress, until: DeviceAddress) throws {
    try device.launch(
      KernelLaunch(
        "admit_tokens", grid: (shape.kvHeads, call.count, 1), threads: 128, shared: 16,
        [
          .address(lists.address), .integer(layer), .address(call.sequences), .address(call.positions),
          .integer(call.tokens), .address(decisions), .address(call.slots), .address(call.lasts),
          .address(call.before), .address(until),
        ]))
  }

  private func store(_ call: Call, _ layer: Int, _ vectors: Vectors, until: DeviceAddress) throws {
    try device.launch(
      KernelLaunch(
        "store_slots_\(shape.type.rawValue)", grid: (call.count * call.tokens, shape.kvHeads, 1), threads: 64,
        [
          .address(lists.address), .integer(layer), .address(call.sequences), .integer(call.tokens),
          .address(call.slots), .address(call.lasts), .address(vectors.keys), .address(vectors.values),
          .integer(shape.headDim), .address(until),
        ]))
  }
}
