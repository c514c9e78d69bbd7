// How keys and values lie in a page, and how they are read: the one place that knows. A page belongs to one head and has 16
// slots. Keys lie transposed, so that sixteen scores come from one pass over the channels without horizontal sums; values
// lie in rows.
//
//   page = keys [D, 16] · values [16, D], both in the stored type
//
// A slot has a number in its head, and attention sums in the order of the numbers, wherever the bytes are. So a forked
// sequence can keep a slot's number and move its bytes to a page of its own, and still compute what an unforked one does.

import DMSPlatform
import DMSTensor

/// Sizes of a page for one head dimension and stored type.
@frozen
public struct KVLayout: Sendable, Equatable {
  public static let slotsPerPage = 16

  public let headDim: Int
  /// F32, BF16 or F16.
  public let type: ElementType

  public init(headDim: Int, type: ElementType) {
    self.headDim = headDim
    self.type = type
  }

  /// Bytes of one token's key and value in one head.
  public var slotBytes: Int { 2 * headDim * type.size }
  public var pageBytes: Int { Self.slotsPerPage * slotBytes }
  var valueOffset: Int { Self.slotsPerPage * headDim * type.size }

  /// Stores a key and a value, `[D]` each, rounding to the stored type.
  public func store(key: UnsafePointer<Float>, value: UnsafePointer<Float>, page: UnsafeMutableRawPointer, index: Int) {
    narrow(key, headDim, to: page + index * type.size, type, stride: Self.slotsPerPage)
    narrow(value, headDim, to: page + valueOffset + index * headDim * type.size, type)
  }

  /// Copies a slot's stored bytes out: key `[D]` and value `[D]` in the stored type.
  public func load(
    page: UnsafeRawPointer, index: Int, key: UnsafeMutableRawPointer, value: UnsafeMutableRawPointer
  ) {
    let size = type.size
    for channel in 0..<headDim {
      (key + channel * size).copyMemory(from: page + (channel * Self.slotsPerPage + index) * size, byteCount: size)
    }
    value.copyMemory(from: page + valueOffset + index * headDim * size, byteCount: headDim * size)
  }

  /// Copies stored bytes into a slot: the inverse of `load`.
  public func restore(key: UnsafeRawPointer, value: UnsafeRawPointer, page: UnsafeMutableRawPointer, index: Int) {
    let size = type.size
    for channel in 0..<headDim {
      (page + (channel * Self.slotsPerPage + index) * size).copyMemory(from: key + channel * size, byteCount: size)
    }
    (page + valueOffset + index * headDim * size).copyMemory(from: value, byteCount: headDim * size)
  }

  /// Copies a slot's stored bytes from one page to a place in another.
  public func copy(
    from source: UnsafeRawPointer, index: Int, to page: UnsafeMutableRawPointer, index place: Int
  ) {
    let size = type.size
    for channel in 0..<headDim {
      let row = channel * Self.slotsPerPage
      (page + (row + place) * size).copyMemory(from: source + (row + index) * size, byteCount: size)
    }
    (page + valueOffset + place * headDim * size)
      .copyMemory(from: source + valueOffset + index * headDim * size, byteCount: headDim * size)
  }
}

/// Sixteen consecutive slots: where their bytes are, and which of them are elsewhere.
@frozen
public struct KVPage {
  public var base: UnsafeMutableRawPointer
  /// The arena's number for the page.
  public var id: UInt32
  /// Bit j: slot j has moved to the place that the redirect table gives.
  public var redirected: UInt16

  public init(base: UnsafeMutableRawPointer, id: UInt32, redirected: UInt16 = 0) {
    self.base = base
    self.id = id
    self.redirected = redirected
  }
}

/// A place for one token in some page.
@frozen
public struct KVSlot {
  public var base: UnsafeMutableRawPointer
  public var id: UInt32
  public var index: UInt32

  public init(base: UnsafeMutableRawPointer, id: UInt32, index: UInt32) {
    self.base = base
    self.id = id
    self.index = index
  }
}

/// The live slots of one head, lent by the cache for one call.
@frozen
public struct KVSpan {
  public let layout: KVLayout
  public let pages: UnsafePointer<KVPage>
  /// By slot number; meaningful only where a page says that the slot has moved.
  public let redirects: UnsafePointer<KVSlot>
  public let slots: Int

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
    let width = KVLayout.slotsPerPage
    widen(page.base, layout.type, width * layout.headDim, to: scratch)
    forEachRedirect(of: page, index) { slot, place in
      for channel in 0..<layout.headDim {
        let source = slot.base + (channel * width + Int(slot.index)) * layout.type.size
        widen(source, layout.type, 1, to: scratch + channel * width + place)
      }
    }
    return UnsafePointer(scratch)
  }

  /// The values of page `page` as fp32 `[16, D]`.
  @inline(__always)
  func values(page index: Int, scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
    let page = pages[index]
    let base = page.base + layout.valueOffset
    if layout.type == .f32, page.redirected == 0 { return UnsafePointer(base.assumingMemoryBound(to: Float.self)) }
    let dim = layout.headDim
    widen(base, layout.type, KVLayout.slotsPerPage * dim, to: scratch)
    forEachRedirect(of: page, index) { slot, place in
      let source = slot.base + layout.valueOffset + Int(slot.index) * dim * layout.type.size
      widen(source, layout.type, dim, to: scratch + place * dim)
    }
    return UnsafePointer(scratch)
  }

  func keyBytes(page index: Int) -> UnsafeRawPointer { UnsafeRawPointer(pages[index].base) }
  func valueBytes(page index: Int) -> UnsafeRawPointer { UnsafeRawPointer(pages[index].base + layout.valueOffset) }

  /// The keys of a page as the kernels can read them: in place where they can, otherwise as fp32 in `scratch`.
  @inline(__always)
  func keys(
    page index: Int, for kernels: PageKernels, scratch: UnsafeMutablePointer<Float>
  ) -> (UnsafeRawPointer, ElementType) {
    let page = pages[index]
    if page.redirected == 0, kernels.reads(layout.type) { return (UnsafeRawPointer(page.base), layout.type) }
    return (UnsafeRawPointer(keys(page: index, scratch: scratch)), .f32)
  }

  /// The values of a page, likewise.
  @inline(__always)
  func values(
    page index: Int, for kernels: PageKernels, scratch: UnsafeMutablePointer<Float>
  ) -> (UnsafeRawPointer, ElementType) {
    let page = pages[index]
    if page.redirected == 0, kernels.reads(layout.type) {
      return (UnsafeRawPointer(page.base + layout.valueOffset), layout.type)
    }
    return (UnsafeRawPointer(values(page: index, scratch: scratch)), .f32)
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
