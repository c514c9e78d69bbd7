// The server as a program embeds it: it listens at once, loads its model meanwhile, and on a signal lets what runs come to its
// end. Which endpoints there are: Routes.swift.

import DMSGeneration
import DMSPlatform
import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

/// Where and for whom a server is there.
public struct ServerOptions: Sendable {
  /// The address to listen at; nobody but this machine reaches the default one.
  public var host = "127.0.0.1"
  /// 0 takes a free one.
  public var port = 8080
  /// Keys of which every request must bring one; none: everybody may.
  public var apiKeys: [String] = []
  /// Whether unknown fields are passed over, with a header that says so, instead of refused.
  public var isLenient = false
  /// The largest body of a request.
  public var mostBodyBytes = 32 << 20
  /// How long running requests may go on after the signal to stop.
  public var grace = Duration.seconds(30)
  /// Connections that are open at once; others wait to be accepted.
  public var mostConnections = 4096
  /// Receives what the server has to say about itself; nothing of what clients say.
  public var logger = Logger(label: "dms")

  /// This machine, port 8080, no keys.
  public init() {}
}

/// An OpenAI-compatible HTTP server over one model.
public struct Server: Sendable {
  private let options: ServerOptions
  private let load: @Sendable () throws -> ServedModel

  /// - Parameter load: makes the model. It may take its time: until then requests are told to come back.
  public init(_ options: ServerOptions, load: @escaping @Sendable () throws -> ServedModel) {
    self.options = options
    self.load = load
  }

  /// Serves until it is told to stop: then no new request is taken, and those that run end, or are cut after `grace`.
  ///
  /// - Parameters:
  ///   - signals: those that tell it to stop.
  ///   - onListening: gets the port once connections are accepted.
  ///   - onReady: is called once the model is there.
  /// - Throws: `InputError` where the address cannot be had; what loading throws.
  public func run(
    until signals: [UnixSignal] = [.sigterm, .sigint], onListening: @escaping @Sendable (_ port: Int) -> Void,
    onReady: @escaping @Sendable (ServedModel) -> Void = { _ in }
  ) async throws {
    let slot = ModelSlot()
    var quiet = Logger(label: "dms.http")
    quiet.logLevel = .critical
    let application = Application(
      router: Routes(slot: slot, options: options).router(),
      configuration: ApplicationConfiguration(
        address: .hostname(options.host, port: options.port), serverName: nil, backlog: 1024,
        availableConnectionsDelegate: MaximumAvailableConnections(options.mostConnections)),
      onServerRunning: { onListening($0.localAddress?.port ?? 0) }, logger: quiet)
    let model = ModelService(slot: slot, load: load, grace: options.grace, onReady: onReady)
    var configuration = ServiceGroupConfiguration(
      services: [.init(service: application), .init(service: model)], gracefulShutdownSignals: signals, logger: quiet)
    // Connections that never end must not keep the program alive.
    configuration.maximumGracefulShutdownDuration = options.grace + .seconds(5)
    do { try await ServiceGroup(configuration: configuration).run() } catch let error as IOError {
      throw InputError(
        "cannot listen: \(systemMessage(error.errnoCode))", at: "\(options.host):\(options.port)",
        remedy: "use another --host or --port")
    }
  }
}

/// Loads the model, then waits for the end, then lets the requests come to theirs.
private struct ModelService: Service {
  let slot: ModelSlot
  let load: @Sendable () throws -> ServedModel
  let grace: Duration
  let onReady: @Sendable (ServedModel) -> Void

  func run() async throws {
    let served = try await loaded()
    slot.set(served)
    onReady(served)
    try? await gracefulShutdown()
    slot.close()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        if (try? await Task.sleep(for: grace)) != nil { served.scheduler.close() }
      }
      group.addTask { await served.scheduler.drain() }
      // Either all have ended, or time is over and they are about to.
      await group.next()
      group.cancelAll()
    }
  }

  /// Off the threads that answer.
  private func loaded() async throws -> ServedModel {
    try await withCheckedThrowingContinuation { continuation in
      do {
        let load = load
        _ = try BackgroundThread { continuation.resume(with: Result(catching: load)) }
      } catch { continuation.resume(throwing: error) }
    }
  }
}

/// The clock that clients have.
func secondsSince1970() -> Int { time(nil) }
