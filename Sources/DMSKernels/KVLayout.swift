// How keys and values lie in a page, and how they are read: the one place that knows. A page belongs to one head and has 16
// slots. Keys lie transposed, so that sixteen scores come from one pass over the channels without horizontal sums; values
// lie in rows.
//
//   page = keys [D, 16] · values [16, D], both in the stored type
//
// In 8 bits each half is followed by its scales, one per 32 channels: keys [D, 16] · scales [B, 16] · values [16, D] ·
// scales [16, B].
//
// A slot has a number in its head, and attention sums in the order of the numbers, wherever the bytes are. So a forked
// sequence can keep a slot's number and move its bytes to a page of its own, and still compute what an unforked one does.

import DMSPlatform
import DMSTensor

/// How keys and values of one head lie in a page: sixteen slots, a token's key and value in each.
@frozen
public struct KVLayout: Sendable, Equatable {
  /// Slots of a page.
  public static let slotsPerPage = 16

  /// Channels of a key or value, D.
  public let headDim: Int
  /// Form in which keys and values are stored.
  public let type: KVType

  /// The layout of keys and values of `headDim` channels.
  public init(headDim: Int, type: KVType) {
    self.headDim = headDim
    self.type = type
  }

  /// Bytes of one token's key, or value, in one head: the numbers, then their scales.
  public var vectorBytes: Int { numberBytes + 2 * scales }
  /// Bytes of one token's key and value in one head.
  public var slotBytes: Int { 2 * vectorBytes }
  /// Bytes of a page.
  public var pageBytes: Int { Self.slotsPerPage * slotBytes }
  var valueOffset: Int { Self.slotsPerPage * vectorBytes }
  /// From a half's numbers to its scales.
  var scaleOffset: Int { Self.slotsPerPage * numberBytes }
  /// Scales of a key or value.
  var scales: Int { type == .q8 ? (headDim + 31) / 32 : 0 }
  private var size: Int { type.element.size }
  private var numberBytes: Int { headDim * size }

  /// Stores a key and a value, `[D]` each, rounding to the stored type.
  public func store(key: UnsafePointer<Float>, value: UnsafePointer<Float>, page: UnsafeMutableRawPointer, index: Int) {
    let (width, values) = (Self.slotsPerPage, page + valueOffset)
    guard type == .q8 else {
      narrow(key, headDim, to: page + index * size, type.element, stride: width)
      narrow(value, headDim, to: values + index * numberBytes, type.element)
      return
    }
    eightBits(
      key, headDim, to: page + index, stride: width, scales: page + scaleOffset + 2 * index, scaleStride: width)
    eightBits(
      value, headDim, to: values + index * headDim, stride: 1, scales: values + scaleOffset + 2 * index * scales,
      scaleStride: 1)
  }

  /// Rounds vectors `[count, D]` in place to what a slot can hold, so that a chunk attends to its own keys as later ones
  /// will. Storing the result changes nothing more.
  public func round(_ vectors: UnsafeMutablePointer<Float>, _ count: Int) {
    guard type == .q8 else { return DMSKernels.round(vectors, count * headDim, to: type.element) }
    for index in 0..<count { roundToEightBits(vectors + index * headDim, headDim) }
  }

  /// Copies a slot's stored bytes out: `vectorBytes` of the key and as many of the value.
  public func load(
    page: UnsafeRawPointer, index: Int, key: UnsafeMutableRawPointer, value: UnsafeMutableRawPointer
  ) {
    let (width, values) = (Self.slotsPerPage, page + valueOffset)
    copy(page + index * size, every: width * size, to: key, every: size, headDim, size)
    copy(page + scaleOffset + 2 * index, every: 2 * width, to: key + numberBytes, every: 2, scales, 2)
    value.copyMemory(from: values + index * numberBytes, byteCount: numberBytes)
    (value + numberBytes).copyMemory(from: values + scaleOffset + 2 * index * scales, byteCount: 2 * scales)
  }

  /// Copies stored bytes into a slot: the inverse of `load`.
  public func restore(key: UnsafeRawPointer, value: UnsafeRawPointer, page: UnsafeMutableRawPointer, index: Int) {
    let (width, values) = (Self.slotsPerPage, page + valueOffset)
    copy(key, every: size, to: page + index * size, every: width * size, headDim, size)
    copy(key + numberBytes, every: 2, to: page + scaleOffset + 2 * index, every: 2 * width, scales, 2)
    (values + index * numberBytes).copyMemory(from: value, byteCount: numberBytes)
    (values + scaleOffset + 2 * index * scales).copyMemory(from: value + numberBytes, byteCount: 2 * scales)
  }

  /// Copies a slot's stored bytes from one page to a place in another.
  public func copy(
    from source: UnsafeRawPointer, index: Int, to page: UnsafeMutableRawPointer, index place: Int
  ) {
    withUnsafeTemporaryAllocation(byteCount: slotBytes, alignment: 2) { bytes in
      guard let key = bytes.baseAddress else { return }
      load(page: source, index: index, key: key, value: key + vectorBytes)
      restore(key: key, value: key + vectorBytes, page: page, index: place)
    }
  }

  /// A stored key as fp32, `[D]`.
  public func loadKey(_ slot: KVSlot, to out: UnsafeMutablePointer<Float>) {
    let (width, index) = (Self.slotsPerPage, Int(slot.index))
    for channel in 0..<headDim {
      let place = channel * width + index
      if type == .q8 {
        out[channel] = eightBit(slot.base, place, slot.base + scaleOffset, channel / 32 * width + index)
      } else {
        widen(slot.base + place * size, type.element, 1, to: out + channel)
      }
    }
  }

  /// A stored value as fp32, `[D]`.
  public func loadValue(_ slot: KVSlot, to out: UnsafeMutablePointer<Float>) {
    widenValues(slot.base, from: Int(slot.index), 1, to: out)
  }

  private func copy(
    _ source: UnsafeRawPointer, every step: Int, to out: UnsafeMutableRawPointer, every outStep: Int, _ count: Int,
    _ size: Int
  ) {
    for index in 0..<count { (out + index * outStep).copyMemory(from: source + index * step, byteCount: size) }
  }

  /// The keys of a page as fp32 `[D, 16]`.
  func widenKeys(_ page: UnsafeRawPointer, to out: UnsafeMutablePointer<Float>) {
    let width = Self.slotsPerPage
    guard type == .q8 else { return widen(page, type.element, width * headDim, to: out) }
    for channel in 0..<headDim {
      let scale = page + scaleOffset + channel / 32 * width * 2
      for slot in 0..<width {
        out[channel * width + slot] = eightBit(page, channel * width + slot, scale, slot)
      }
    }
  }

  /// One slot's key to a column of such keys.
  func widenKey(_ slot: KVSlot, to out: UnsafeMutablePointer<Float>, column: Int) {
    let (width, index) = (Self.slotsPerPage, Int(slot.index))
    for channel in 0..<headDim {
      let (place, number) = (channel * width + index, out + channel * width + column)
      if type == .q8 {
        number.pointee = eightBit(slot.base, place, slot.base + scaleOffset, channel / 32 * width + index)
      } else {
        widen(slot.base + place * size, type.element, 1, to: number)
      }
    }
  }

  /// Some slots' values as fp32 `[count, D]`.
  func widenValues(_ page: UnsafeRawPointer, from slot: Int, _ count: Int, to out: UnsafeMutablePointer<Float>) {
    let values = page + valueOffset
    guard type == .q8 else {
      return widen(values + slot * numberBytes, type.element, count * headDim, to: out)
    }
    for index in 0..<count {
      for channel in 0..<headDim {
        out[index * headDim + channel] = eightBit(
          values, (slot + index) * headDim + channel, values + scaleOffset, (slot + index) * scales + channel / 32)
      }
    }
  }
}

/// Sixteen consecutive slots: where their bytes are, and which of them are elsewhere.
@frozen
public struct KVPage {
  /// The page's memory, `pageBytes` of a layout; an arena's.
  public var base: UnsafeMutableRawPointer
  /// The arena's number for the page.
  public var id: UInt32
  /// Bit j: slot j has moved to the place that the redirect table gives.
  public var redirected: UInt16

  /// A page with its memory and the arena's number for it.
  public init(base: UnsafeMutableRawPointer, id: UInt32, redirected: UInt16 = 0) {
    self.base = base
    self.id = id
    self.redirected = redirected
  }
}

/// A place for one token in some page.
@frozen
public struct KVSlot {
  /// The memory of the page that the slot lies in.
  public var base: UnsafeMutableRawPointer
  /// The arena's number for that page.
  public var id: UInt32
  /// The slot's place in the page, below 16.
  public var index: UInt32

  /// A place in a page.
  public init(base: UnsafeMutableRawPointer, id: UInt32, index: UInt32) {
    self.base = base
    self.id = id
    self.index = index
  }
}

/// The live slots of one head, lent by the cache for one call.
@frozen
public struct KVSpan {
  /// How the pages are laid out.
  public let layout: KVLayout
  /// `[⌈slots / 16⌉]`, in the order of the slots.
  public let pages: UnsafePointer<KVPage>
  /// By slot number; meaningful only where a page says that the slot has moved.
  public let redirects: UnsafePointer<KVSlot>
  /// Live slots; their numbers begin at 0.
  public let slots: Int

  /// Borrows the tables of a head.
  public init(
    layout: KVLayout, pages: UnsafePointer<KVPage>, redirects: UnsafePointer<KVSlot>, slots: Int
  ) {
    self.layout = layout
    self.pages = pages
    self.redirects = redirects
    self.slots = slots
  }

  /// The keys of page `page` as fp32 `[D, 16]`: in place if they are stored so, otherwise in `scratch`.
  @inline(__always)
  func keys(page index: Int, scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
    let page = pages[index]
    if layout.type == .f32, page.redirected == 0 { return UnsafePointer(page.base.assumingMemoryBound(to: Float.self)) }
    layout.widenKeys(page.base, to: scratch)
    forEachRedirect(of: page, index) { slot, place in layout.widenKey(slot, to: scratch, column: place) }
    return UnsafePointer(scratch)
  }

  /// The values of page `page` as fp32 `[16, D]`.
  @inline(__always)
  func values(page index: Int, scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
    let page = pages[index]
    let base = page.base + layout.valueOffset
    if layout.type == .f32, page.redirected == 0 { return UnsafePointer(base.assumingMemoryBound(to: Float.self)) }
    layout.widenValues(page.base, from: 0, KVLayout.slotsPerPage, to: scratch)
    forEachRedirect(of: page, index) { slot, place in
      layout.widenValues(slot.base, from: Int(slot.index), 1, to: scratch + place * layout.headDim)
    }
    return UnsafePointer(scratch)
  }

  func keyBytes(page index: Int) -> UnsafeRawPointer { UnsafeRawPointer(pages[index].base) }
  func valueBytes(page index: Int) -> UnsafeRawPointer { UnsafeRawPointer(pages[index].base + layout.valueOffset) }

  enum Half { case keys, values }

  /// The keys or values of some pages as the kernels can read them, run by run: in place where they can, otherwise page by
  /// page as fp32 in `scratch`.
  @inline(__always)
  func forEachRun(
    of range: Range<Int>, _ half: Half, _ kernels: PageKernels, scratch: UnsafeMutablePointer<Float>,
    _ body: (_ run: Range<Int>, UnsafeBufferPointer<UnsafeRawPointer?>, KVType) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: range.count) { pointers in
      let inPlace = kernels.reads(layout.type)
      var first = range.lowerBound
      while first < range.upperBound {
        var end = first
        while inPlace, end < range.upperBound, pages[end].redirected == 0 {
          pointers[end - first] = half == .keys ? keyBytes(page: end) : valueBytes(page: end)
          end += 1
        }
        let isRun = end > first
        if !isRun {
          pointers[0] = UnsafeRawPointer(
            half == .keys ? keys(page: first, scratch: scratch) : values(page: first, scratch: scratch))
          end = first + 1
        }
        body(first..<end, UnsafeBufferPointer(rebasing: pointers[..<(end - first)]), isRun ? layout.type : .f32)
        first = end
      }
    }
  }

  @inline(__always)
  private func forEachRedirect(of page: KVPage, _ index: Int, _ body: (KVSlot, Int) -> Void) {
    var moved = page.redirected
    while moved != 0 {
      let place = moved.trailingZeroBitCount
      body(redirects[index * KVLayout.slotsPerPage + place], place)
      moved &= moved - 1
    }
  }
}
