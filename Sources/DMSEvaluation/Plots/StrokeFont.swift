// Letters as lines, for pictures of pixels: what is printable in ASCII, and the few signs beside that charts use. All are equally
// wide. A letter is drawn in a field of 8 units by 12, with 4 below the baseline for tails; its lines are written as pairs of
// digits in base 36, each in half units from one unit left of the field and one above it.

/// Letters that are drawn with a pen.
enum StrokeFont {
  /// From a letter to the next.
  static let advance = 7.0
  /// Of a field's unit: a capital is 8.4 high.
  private static let unit = 0.7
  private static let baseline = 12.0

  /// The lines of a letter, from its beginning on the baseline; a box for a sign that there is no letter for.
  static func lines(of character: Character) -> [[Place]] {
    let found = letters.first { $0.0 == character }?.1 ?? "22i2iq2q22"
    return found.split(separator: " ").map { line in
      let numbers = line.map { Double($0.digit36) / 2 - 1 }
      return stride(from: 0, to: numbers.count - 1, by: 2).map { index in
        Place((numbers[index] + 0.8) * unit, (numbers[index + 1] - baseline) * unit)
      }
    }
  }

  // swift-format-ignore
  private static let letters: [(Character, String)] = [
    (" ", ""), ("!", "a2ai aqaq"), ("\"", "7278 d2d8"), ("#", "846o e4co 2aia 2iii"),
    ("$", "h8e6b575473aeegghjgmdo9p6o3l a1as"), ("%", "98846334283c6d8c98 ikhgefcgbkcoephoik g34p"),
    ("&", "iq6a59567392b3d6d96f4f2i2m4p8qbpenif"), ("'", "a2a8"), ("(", "b295898e8j9nbq"), (")", "92b5c9cecjbn9q"),
    ("*", "a4ag 57fd f75d"), ("+", "a8am 3fhf"), (",", "aoar8v"), ("-", "5gfg"), (".", "aqaq"), ("/", "g14s"),
    ("0", "a27346392e3j4m7paqdpgmhjieh9g6d3a2"), ("1", "47a2aq 4qgq"), ("2", "38456392d2f4h7iahc3qiq"),
    ("3", "365392c2f4h7hafcce8e 8eceffhiikhnepbq7q4o2m"), ("4", "eqe22jij"), ("5", "g2424d5d9bdbheiihmepaq6p3m"),
    ("6", "f37356392d2i iihfecab6c3f2i3m6paqephmii"), ("7", "22i28q"),
    ("8", "aeddgbh8g5d3a27345384b7dae ae6f3h2k3n6paqephnikhhefae"), ("9", "iah6e3a263362a3d6gaheghdia iaifhjfmdpaq5p"),
    (":", "acac aqaq"), (";", "acac aoar8v"), ("<", "g74ggp"), ("=", "3chc 3khk"), (">", "47gg4p"),
    ("?", "375482b2e3g6hafdagaj aqaq"), ("@", "egdcab7c6g7kaldkeg ebejijieh9e6b475472b2g3l6o9qdp"), ("A", "2qa2iq 5ifi"),
    ("B", "3q32a2d3g5g8gbddae3e aebeeehhikhnepbq3q"), ("C", "g5d29255392e3j5n9qdqgn"),
    ("D", "3q3282a2d4g6haiehigmdoaq8q3q"), ("E", "h2323qhq 3eee"), ("F", "h2323q 3eee"),
    ("G", "g5d29254382d3j5n8qcqfoikigcg"), ("H", "323q h2hq 3ehe"), ("I", "a2aq 62e2 6qeq"), ("J", "f2fjencpaq7p4n3l"),
    ("K", "323q i23h 8ciq"), ("L", "424qhq"), ("M", "2q22agi2iq"), ("N", "3q32hqh2"),
    ("O", "a27346392e3j4m7paqdpgmhjieh9g6d3a2"), ("P", "3q32b2e3h5i9hceebf3f"),
    ("Q", "a27346392e3j4m7paqdpgmhjieh9g6d3a2 ckis"), ("R", "3q32b2e3h5h8hbeebe3e aeiq"),
    ("S", "g5d3a27344373a5c8edegghihlgodq9q6p3n"), ("T", "22i2 a2aq"), ("U", "323i4l6o8qcqeoglhih2"), ("V", "22aqi2"),
    ("W", "226qaaeqi2"), ("X", "32hq h23q"), ("Y", "22aei2 aeaq"), ("Z", "32h23qhq"), ("[", "e0808ueu"), ("\\", "41gs"),
    ("]", "60c0cu6u"), ("^", "5aa2fa"), ("_", "2uiu"), ("`", "82c7"), ("a", "higfdcab6c3f2i3m6paqdpgmhi hbhq"),
    ("b", "323q iihfecab7c4f3i4m7paqephmii"), ("c", "gddb9b5d3g3k5o9qdqgo"), ("d", "h2hq higfdcab6c3f2i3m6paqdpgmhi"),
    ("e", "3ihigedcab6c3f3j4n7pbqfo"), ("f", "g3e2c3a4979q 4bfb"), ("g", "higedcab6c3e2i3m6oapdogmhi hbhsgvexcy9y6x4v"),
    ("h", "424q 4h4e7cabecgehhhq"), ("i", "7babaq 6qfq a5a5"), ("j", "8bcbcsbvax8y5x c5c5"), ("k", "424q gb4k 8hhq"),
    ("l", "72a2aq 6qfq"), ("m", "3b3q 3f3d5b8b9dafaq afbddbfbhdifiq"), ("n", "4b4q 4h4e7cabecgehhhq"),
    ("o", "iihfecab6c3f2i3m6paqephmii"), ("p", "3b3y iihfecab7c4f3i4m7paqephmii"), ("q", "hbhy higfdcab6c3f2i3m6paqdpgmhi"),
    ("r", "5b5q 5i6f7dabdbgc"), ("s", "fddbab7b5d4f5g7ibifjhlgnepbq7q4o"), ("t", "858m8l9obqdqgq 4bgb"),
    ("u", "4b4k4n7paqepgnhk hbhq"), ("v", "3baqhb"), ("w", "2b6qafeqib"), ("x", "3bhq hb3q"), ("y", "3baq hb9v5y4y"),
    ("z", "4bgb4qgq"), ("{", "e0b1a4ac7faiaqbteu"), ("|", "a0au"), ("}", "6091a4acdfaiaq9t6u"), ("~", "3i6fagehhe"),
    ("–", "3ghg"), ("×", "4agm ga4m"), ("…", "4q4q aqaq gqgq"), ("·", "agag"),
  ]
}

extension Character {
  /// The value of a digit in base 36.
  fileprivate var digit36: Int { Int(String(self), radix: 36) ?? 0 }
}
