// Numbers and names for people.

/// A number with a fixed count of decimals, rounded; "inf" and "nan" as they are.
package func decimals(_ value: Double, _ places: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  var scale = 1
  for _ in 0..<places { scale *= 10 }
  let scaled = (abs(value) * Double(scale)).rounded()
  guard scaled < 9e18 else { return "\(value)" }
  let whole = Int(scaled)
  let sign = value < 0 && whole != 0 ? "-" : ""
  guard places > 0 else { return "\(sign)\(whole)" }
  let fraction = String(whole % scale)
  return "\(sign)\(whole / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
}

/// Bytes in binary units, as "17.3 MiB".
package func byteCount(_ bytes: Int) -> String {
  let units = ["B", "KiB", "MiB", "GiB", "TiB"]
  var value = Double(bytes)
  var unit = 0
  while value >= 1024, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return unit == 0 ? "\(bytes) B" : "\(decimals(value, value < 10 ? 2 : 1)) \(units[unit])"
}

/// Three significant digits with an exponent where needed: 1.23e-05.
package func scientific(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  var (mantissa, exponent) = (abs(value), 0)
  while mantissa >= 9.995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
  while mantissa < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
  let digits = abs(exponent) < 10 ? "0\(abs(exponent))" : "\(abs(exponent))"
  return "\(value < 0 ? "-" : "")\(decimals(mantissa, 2))e\(exponent < 0 ? "-" : "+")\(digits)"
}

/// A text as one line that a terminal only shows: names of files, and what files say, may hold line ends, and controls that
/// terminals obey.
///
/// - Parameter most: UTF-8 bytes of the line, after which the rest is cut.
package func oneLine(_ text: String, most: Int = .max) -> String {
  var line = ""
  for scalar in text.unicodeScalars {
    guard line.utf8.count < most else { return line + "…" }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
    default: line.unicodeScalars.append(scalar)
    }
  }
  return line
}
