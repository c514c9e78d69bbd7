// Programs that a model wrote: right ones pass, wrong ones fail, and those that mean harm do none. Published tests are unpacked as
// they come.

import DMSPlatform
import Foundation
import Testing

@testable import DMSEvaluation

private let hasSandbox = (try? Sandbox()) != nil

private func withFile(_ lines: [[String: String]], _ body: (String) throws -> Void) throws {
  let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).jsonl").path
  let data = try lines.map { try JSONSerialization.data(withJSONObject: $0) + Data([10]) }.reduce(Data(), +)
  try data.write(to: URL(filePath: path))
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}

private let reads = [
  "question_id": "echo", "question_content": "Add two numbers.", "starter_code": "", "metadata": "{}",
  "public_test_cases": #"[{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]"#,
  "private_test_cases": #"[{"input": "5 -7\n", "output": "-2", "testtype": "stdin"}]"#,
]
private let calls = [
  "question_id": "call", "question_content": "Reverse a list.", "metadata": #"{"func_name": "turned"}"#,
  "starter_code": "class Solution:\n    def turned(self, numbers: List[int], times: int) -> List[int]:\n",
  "public_test_cases": #"[{"input": "[1, 2, 3]\n1", "output": "[3, 2, 1]", "testtype": "functional"}]"#,
]

@Suite(.enabled(if: hasSandbox, "needs bubblewrap and python3"))
struct ProgramTests {
  /// A share's task with short limits.
  private func task(_ path: String) throws -> LiveCodeBench {
    var limits = Sandbox.Limits()
    (limits.seconds, limits.output) = (2, 1 << 20)
    return try LiveCodeBench(path: path, limits)
  }

  private func share(_ program: String, of id: String) throws -> Double {
    var found = -1.0
    var calls = calls
    calls["private_test_cases"] = #"[{"input": "[]\n2", "output": "[]"}]"#
    try withFile([reads, calls]) { found = try task($0).share(right: program, references: [id]) }
    return found
  }

  @Test func rightProgramsPassAndWrongOnesFail() throws {
    #expect(try share("a, b = map(int, input().split())\nprint(a + b)", of: "echo") == 1)
    #expect(try share("import sys\nprint(float(sum(map(int, sys.stdin.read().split()))))", of: "echo") == 1)
    #expect(try share("a, b = map(int, input().split())\nprint(abs(a + b))", of: "echo") == 0)
    #expect(try share("print(3)\nraise SystemExit(1)", of: "echo") == 0)
    #expect(try share("print(", of: "echo") == 0)
    #expect(try share("", of: "echo") == 0)
    let method =
      "class Solution:\n    def turned(self, numbers: List[int], times: int):\n        print('working')\n        return "
    #expect(try share(method + "tuple(numbers[::-1])", of: "call") == 1)
    #expect(try share(method + "numbers", of: "call") == 0)
    #expect(try share("def turned(numbers, times):\n    return [float(x) for x in reversed(numbers)]", of: "call") == 1)
    #expect(try share("def other(numbers):\n    return numbers", of: "call") == 0)
    #expect(throws: InputError.self) { try share("", of: "unknown") }
  }

  @Test(arguments: [
    "while True: pass", "import time\ntime.sleep(60)",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "x = []\nwhile True: x.append(bytearray(10_000_000))", "while True: print('x' * 1000)",
    "import os\nos.close(1)\nwhile True: pass", "import os\nwhile True: os.kill(os.getppid(), 9)",
    "open('/tmp/x', 'wb').write(b'x' * 200_000_000)\nprint(3)",
    "import os\nif os.fork() == 0:\n    import time\n    time.sleep(60)\nelse: print(3)",
  ])
  func harmEnds(program: String) throws {
    let begin = ContinuousClock.now
    #expect(try share(program, of: "echo") == 0)
    #expect(ContinuousClock.now - begin < .seconds(8))
  }

  @Test func nothingOutsideIsSeenOrChanged() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data("kept".utf8).write(to: URL(filePath: folder + "/file"))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // What a program says about where it is.
    func said(_ program: String) throws -> String {
      let outcome = try Sandbox().run(program, driver: "exec(open('/task/program.py').read())", [], input: [])
      guard case .ended(_, let bytes) = outcome else { return "\(outcome)" }
      return String(decoding: bytes, as: UTF8.self)
    }
    #expect(try said("import os; print(os.path.exists('\(folder)'), os.listdir('/tmp'))") == "False []\n")
    _ = try said(
      """
      import shutil, os
      for place in ["/", "/usr", "/tmp", "/task", "\(folder)", "/home", "/root", "/etc"]:
          shutil.rmtree(place, ignore_errors=True)
      """)
    #expect(try String(contentsOfFile: folder + "/file", encoding: .utf8) == "kept")
    #expect(FileManager.default.fileExists(atPath: "/usr/bin/python3"))
    for write in ["/x", "/usr/x", "/task/x", "/dev/x", "/task/program.py"] {
      #expect(try said("try: open('\(write)', 'w'); print('bad')\nexcept OSError: print('no')") == "no\n", "\(write)")
    }
    let network =
      "import socket\ntry: socket.create_connection(('1.1.1.1', 53), 1); print('bad')\nexcept OSError: print('no')"
    #expect(try said(network) == "no\n")
    #expect(
      try said(
        "import os; print(os.environ.get('USER', 'none'), sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')) <= 5)"
      ) == "none ['0', '1', '2'] True\n")
    #expect(try said("import os; print(sum(name.isdigit() for name in os.listdir('/proc')) <= 3)") == "True\n")
  }

  @Test func theProgramIsBetweenTheLastFences() throws {
    try withFile([reads]) { path in
      let task = try task(path)
      #expect(
        task.answer(in: "Try:\n```\nno\n```\nor\n```python\nprint(1)\nprint(2)\n```\nDone.") == "print(1)\nprint(2)")
      #expect(task.answer(in: "```python\nprint(1)") == nil)
      #expect(task.answer(in: "<think>```\na\n```") == nil)
      let problem = try #require(task.problems(TaskChoice()).first)
      #expect(problem.prompt.text.contains("Read the inputs from stdin") && problem.references == ["echo"])
    }
  }

  @Test func aProblemWithoutTestsIsNamedByItsLine() throws {
    for key in ["question_content", "public_test_cases"] {
      var broken = reads
      broken[key] = nil
      try withFile([reads, broken]) { path in
        let error = #expect(throws: InputError.self) { try task(path) }
        #expect(error?.description.contains("line 2") == true && error?.description.contains(key) == true)
      }
    }
    for text in ["[{\"input\": \"1\"}]", "neither", "eJw="] {
      var broken = reads
      broken["public_test_cases"] = text
      try withFile([reads, broken]) { path in
        let error = #expect(throws: InputError.self) { try task(path) }
        #expect(error?.description.contains("line 2") == true)
      }
    }
  }
}

/// 300 tests as LiveCodeBench packs them: base64 of zlib of a pickled text.
private let packed300 = """
  eJyN2z+KbmkVRnEDB3KpuJHzPO+/8zoFJyDYZt6gk2tD3xs0IjgIjcwcqbYgmCxYFVV9sLPFqW+fH/tvv/7Hv373q//+/P6f//nlD3/5+OHLj9\
  ++fvz208fz6ftvz/P5fv/l47tPH3/+9vV/n//y59fPP339+vOPn3/54Kevf/rhy8dfv/v0f8M3F8Zjxt/xwnjN+FkHxocZ32fD+DTj6y4YX2o8\
  E8a3GZ9jwPgx42MVxl8z3hMYv2Y8l6qLyi4PZqe6K2UX1d2d1F1UeO+m8KLKOy+VF5XeeSi9qPZ2qb2o+Nak+KLqm5vqi8pvvJRfVX69lF9dfs\
  HHnuovg/qr6m9RflX53UP5VeX3XsqvKr83lF9VfmdQflX57UX5VeW3DuU3VH7zpfyGym8+lN9Q+Y3iv12VXyf1N1R/2dTfcP1RfkPlR/ENFd8t\
  xTdUfO+k+IaK72yKb6r49qH4popvXYpvqvhWKL6p4psDv/Sp+Mai+KaKr4fqm6q+XOpvqv4S6m+q/gblN1V+d1F+S+X3bspvqfzOS/ktt3I8lN\
  9yO0cpv+WWjolLh8pvbspvuYffS/ktt3c8lN9yi0epv+U2j0n9bdXfovy2yu8eym+r/N5L+W23eYTy227zGJTfVvnthUuvym8dym+r/Oal/Lbb\
  PEL5bbd5DMrvuM1jUn9H9ZdN/R3XH+V33NOPpt3eUYrvyO99FN9R8Z2Nr1xUfPul+I7bOx6K77i9oxTf6/aOQfG9Kr6xKL5XxddD9b2qvlzq73\
  V7R6i/V/U3KL9X5XcX5feq/N6Dr/xUfudSfq/bPEL5Xbd5lPK7bvOYlN9V+c1N+V2V33gpv+s2j4fyu27zKPV33eYxqb/rHn+U31X53RdfObvN\
  4+F3zm71YOt43O6B2pFHFbjRO/K4F38oHnlUgxPNI4/bP1A98rgFBN0jj8qwKB95VIhB+8gjS0S8cOiG424HYf1w/PEyfzj/OOwfDkA2A4gTkM\
  0C4ghkMYE4A5lsIA5BBiOIU5CigsQxSJBB4hwk6CBxEIIOEgchFyUkjkJepJA4CzloIXEYchBD4jRko4bEcchCDonzkIkeEgciA0EkTkQGikgc\
  iRRJJM5EgiYShyJoInEoclFF4ljkPhiik5EXZSSORg7SSJyNbLSROBxZiCNxOjJRR+J4ZCKPxPnIQB+JA5IikMQJSVBI4ogEhSSSSLBDRyQXjS\
  QOSV5EkjglOagkcUyykUninGSjk8RByUIoiZOSiVISRyUDqSTOSopWEoclRSyJ05KglsRxCWpJHJdc9JI4MHkRTOLE5KCYxJHJQTKJM5ONZhKH\
  JgvRJE5NJqpJHJsMZJM4NxnoJnFwUoSTODkJykkcnaCcxNHJRTuJw5P7YIjHLSvoJ3GAchBQ4gRlo6DEEcpCQokzlIWGEocoExElTlEGKkocox\
  QZJc5Rgo4SBynoKJGQgh06SLkoKXGU8iKlxFnKQUuJw5SNmBKnKRs1JY5TFnJKnKdM9JQ4UBkIKnGiUhSVOFIpkkqcqQRNJQ5V0FTiUOWiqsSx\
  yousEucqL7pKnascdJU6V9l8ReJcZaGr1LnKRFepc5WBrlLnKgNdpc5Viq5S5ypBV6lzFWSVSlZBV6l0FbwqqZOVF2WlTlYOykqdrGyUlTpZWS\
  grdbKyUFbqZGWirNTJykBZqZOVoqzUyUr4vsTJCt+XSFjh+xK3q/CBiYOVl09MHKwcvjFxsLL5yMTByuYrEwcri89MHKxMvjNxsDIQVupgpQgr\
  dbBShJU6WAnCSh2soKvUucpFWKm8NkFYqYOVF2GlDlYOwkodrGyElTpYWQgrdbAyEVbqYGUgrNTBykBYqYOVIqzUwUoQVupgBV2l0lUQVupg5a\
  Ks1MnKi7JSJysHZaVOVjbKSp2sLJSVOllZKCt1sjJRVupkZaCs1MlKUVbqZCUoK3WyEpSVyjsUDNHBykVZqZOVF2WlTlYOykqdrGyUlTpZ2Sgr\
  dbKyUFbqZGWirNTJykBZqZOVoqzUyUpRVupkJSgrdbKCsFIHKxdlpfIoBWWlTlZelJUet62grNTJykZZqZOVhbJSJysTZaVOVibKSp2sDJSVOl\
  kpykqdrARlpU5WEFYqYQVlpU5WLtJKHa28SCt1tHKQVupoZSOt1NHKQlqpo5WFtFJHKxNppY5WBtJKHa0UaaWOVoK0UkcrQVqpPFfBEJ2sXKSV\
  Olp5kVbqaOUgrRRp5Y9//82/AWabJJo=
  """

struct PackedTestTests {
  @Test func packedTestsAreRead() throws {
    let tests = try PackedTests.read(packed300, at: "here")
    #expect(tests.count == 300)
    for (index, test) in tests.enumerated() {
      #expect(test.input == "\(index * 7919 % 1000) é\n" && test.output == "\(index)")
    }
  }

  /// Every stored, fixed and dynamic block that zlib makes, and damage of every byte.
  @Test func inflatingIsTheInverseOfDeflating() throws {
    let packed = Array(try #require(Data(base64Encoded: packed300)))
    let whole = try #require(Inflate.unpacked(packed, most: 1 << 20))
    #expect(whole.count > 10_000 && whole.first == 0x80 && whole.last == UInt8(ascii: "."))
    #expect(Inflate.unpacked(packed, most: whole.count - 1) == nil)
    var unread = 0
    for place in packed.indices {
      var damaged = packed
      damaged[place] ^= 1 << UInt8(place % 8)
      // The checksum notices, but for bits that nobody reads: how well it was packed, and what fills the last byte.
      let found = Inflate.unpacked(damaged, most: 1 << 20)
      let isWhole = found == whole
      #expect(found == nil || isWhole, "byte \(place)")
      unread += isWhole ? 1 : 0
    }
    #expect(unread <= 2)
    for count in 0..<packed.count { #expect(Inflate.unpacked(Array(packed[..<count]), most: 1 << 20) == nil) }
    let stored: [UInt8] = [0x78, 0x01, 1, 3, 0, 0xFC, 0xFF, 97, 98, 99, 0x02, 0x4D, 0x01, 0x27]
    #expect(Inflate.unpacked(stored, most: 10) == Array("abc".utf8))
    let fixed: [UInt8] = [0x78, 0x9C, 0x4B, 0x4C, 0x4A, 0x06, 0x00, 0x02, 0x4D, 0x01, 0x27]
    #expect(Inflate.unpacked(fixed, most: 10) == Array("abc".utf8))
  }
}
