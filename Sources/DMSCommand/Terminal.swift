// How wide the terminal is that people look at. What is shown there is not known here.

import Glibc

enum Terminal {
  /// What a terminal that does not know its width is taken for.
  private static let usual = 80

  /// Columns of the terminal that a descriptor leads to; `nil` where it leads to none. Asked anew each time, for windows are
  /// resized.
  static func width(of descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
    return size.ws_col > 0 ? Int(size.ws_col) : usual
  }
}
