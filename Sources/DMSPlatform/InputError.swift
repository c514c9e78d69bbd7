// What goes wrong outside the program: files, options, prompts, hardware. One value, one line of text: what, where, what
// to do. Programmers' mistakes are preconditions and do not come here.

/// An error caused by input, told in one line.
///
/// `description` reads `where: what; remedy`, for example
/// `model.safetensors: tensor "lm_head.weight": 12 bytes expected, 8 found; the file is damaged, download it again`.
public struct InputError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What was expected and what was found.
  public var problem: String
  /// The file, key, tensor or option concerned. `nil` if the problem names it.
  public var location: String?
  /// What the user can do about it.
  public var remedy: String?

  /// A sentence without its full stop, in up to three parts.
  public init(_ problem: String, at location: String? = nil, remedy: String? = nil) {
    self.problem = problem
    self.location = location
    self.remedy = remedy
  }

  /// One line, fit for a terminal: what input has put into it is cut where it is long, and characters that would begin
  /// another line, command the terminal or turn the writing around are written out.
  public var description: String {
    (location.map { ($0.isEmpty ? "\"\"" : oneLine($0, most: 4096)) + ": " } ?? "") + oneLine(problem, most: 600)
      + (remedy.map { "; " + oneLine($0, most: 600) } ?? "")
  }
}
