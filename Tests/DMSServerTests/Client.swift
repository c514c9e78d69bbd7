// A server in the test's own process, and the least of HTTP clients: a socket, what goes out, what comes back. It can hang up
// at any byte, which real clients do.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Glibc
import Synchronization
import Testing

@testable import DMSServer

let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path

/// The model that answers in these tests, loaded once: it knows facts that it is told, and forgets.
enum Tiny {
  static let model = Result { try LanguageModel(path: repository + "/Models/tiny-cr8", on: Machine(threads: 1)) }

  static func served(
    batch: Int = 8, limit: Int? = nil, context: Int = 1000, _ scheduling: Scheduler.Options = Scheduler.Options()
  ) throws -> ServedModel {
    let model = try model.get()
    var options = Engine.Options()
    (options.batch, options.cacheLimit, options.chunk, options.context) = (batch, limit, 64, context)
    return try ServedModel("tiny", model, on: Engine(model.decoder, on: Machine(threads: 1), options), scheduling)
  }
}

/// What a server answered.
struct Reply {
  var status = 0
  var headers: [String: String] = [:]
  var body = ""

  var json: JSON { (try? JSON(parsing: body)) ?? .null }
  /// The data of its events, in order.
  var events: [String] {
    body.components(separatedBy: "\n\n").filter { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
  }
  /// Those that are objects.
  var chunks: [JSON] { events.compactMap { $0 == "[DONE]" ? nil : try? JSON(parsing: $0) } }
}

/// Runs a server on a free port for as long as `body` takes.
func withServer(
  _ options: ServerOptions = ServerOptions(), _ served: ServedModel? = nil,
  _ body: @escaping @Sendable (Client) async throws -> Void
) async throws {
  var options = options
  options.port = 0
  let served = try served ?? Tiny.served()
  let server = Server(options) { served }
  let (ports, port) = AsyncStream.makeStream(of: Int.self)
  let (readies, ready) = AsyncStream.makeStream(of: Void.self)
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      try? await server.run(until: []) {
        port.yield($0)
      } onReady: { _ in
        ready.yield()
      }
      port.finish()
      ready.finish()
    }
    var listening = ports.makeAsyncIterator()
    var loaded = readies.makeAsyncIterator()
    let client = Client(port: try #require(await listening.next()), served: served)
    try #require(await loaded.next() != nil)
    try await body(client)
    group.cancelAll()
  }
}

/// Talks to a server on this machine.
struct Client: Sendable {
  let port: Int
  let served: ServedModel

  func get(_ path: String, _ headers: [String] = []) async throws -> Reply { try await send("GET", path, "", headers) }

  func post(_ path: String, _ body: String, _ headers: [String] = []) async throws -> Reply {
    try await send("POST", path, body, headers)
  }

  func post(_ path: String, _ body: JSONObject, _ headers: [String] = []) async throws -> Reply {
    try await post(path, JSON.object(body).line, headers)
  }

  /// A chat with one message and these fields beside.
  func chat(_ text: String, _ fields: JSONObject = [:]) async throws -> Reply {
    var body = fields
    body["messages"] = .array([.object(["role": "user", "content": .string(text)])])
    return try await post("/v1/chat/completions", body)
  }

  func send(_ method: String, _ path: String, _ body: String, _ headers: [String]) async throws -> Reply {
    let request =
      (["\(method) \(path) HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: \(body.utf8.count)"]
      + headers).joined(separator: "\r\n") + "\r\n\r\n" + body
    return try await raw(request)
  }

  /// Sends bytes and reads until the other side closes, off Swift's own threads.
  func raw(_ request: String) async throws -> Reply {
    let connection = try Connection(port)
    return try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        connection.write(request)
        continuation.resume(returning: parse(connection.readAll()))
      }
    }
  }
}

/// A socket to this machine.
final class Connection: Sendable {
  private let socket: Int32

  init(_ port: Int) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
    }
    try #require(code == 0)
    var patience = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(socket) }

  func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// What has come, up to `count` bytes; nothing at the end.
  func read(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = recv(socket, &bytes, count, 0)
    return Array(bytes.prefix(max(0, got)))
  }

  func readAll() -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let some = read(1 << 16)
      if some.isEmpty { return all }
      all += some
    }
  }
}

/// A whole response, chunked or not.
private func parse(_ bytes: [UInt8]) -> Reply {
  var reply = Reply()
  guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) }) else { return reply }
  let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
  reply.status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
  for line in lines.dropFirst() {
    guard let colon = line.firstIndex(of: ":") else { continue }
    reply.headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
  }
  var rest = bytes[(end + 4)...]
  guard reply.headers["transfer-encoding"] == "chunked" else {
    reply.body = String(decoding: rest, as: UTF8.self)
    return reply
  }
  var body: [UInt8] = []
  while let line = rest.firstIndex(of: 13),
    let size = Int(String(decoding: rest[rest.startIndex..<line], as: UTF8.self), radix: 16),
    size > 0, rest.endIndex >= line + 2 + size
  {
    body += rest[(line + 2)..<(line + 2 + size)]
    rest = rest[min(rest.endIndex, line + 4 + size)...]
  }
  reply.body = String(decoding: body, as: UTF8.self)
  return reply
}
