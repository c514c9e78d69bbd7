// The endpoints: which path does what. Everything that an endpoint throws becomes an error object here.

import DMSGeneration
import DMSText
import HTTPTypes
import Hummingbird
import NIOCore

/// The endpoints over one model.
struct Routes: Sendable {
  let slot: ModelSlot
  let options: ServerOptions

  func router() -> Router<ServerContext> {
    let router = Router(context: ServerContext.self)
    router.add(middleware: ErrorMiddleware())
    router.add(middleware: KeyMiddleware(keys: options.apiKeys))
    router.get("health") { _, _ in
      _ = try slot.model()
      return Response.json(.members(["status": "ok"]))
    }
    for path in ["v1/models", "models"] {
      router.get(RouterPath(path)) { _, _ in Response.json(models(try slot.model())) }
    }
    router.get("v1/models/**") { _, context in
      let served = try slot.model()
      let name = context.parameters.getCatchAll().joined(separator: "/")
      guard name == served.name else {
        throw APIError(
          status: .notFound, message: "there is no model \"\(name)\"", parameter: "model", code: "model_not_found")
      }
      return Response.json(model(served))
    }
    for path in ["v1/chat/completions", "chat/completions"] { router.post(RouterPath(path), use: chat) }
    for path in ["v1/completions", "completions"] { router.post(RouterPath(path), use: completion) }
    router.post("v1/messages", use: message)
    router.post("v1/messages/count_tokens") { request, _ in
      var request = request
      let json = try await body(&request)
      let wish = try MessagesRequest(json, try slot.model(), isLenient: options.isLenient, counts: true)
      return Response.json(.object(["input_tokens": .integer(wish.prompt.prompt.ids.count)]))
    }
    addTokenRoutes(router)
    addStatusRoutes(router)
    return router
  }

  private func addStatusRoutes(_ router: Router<ServerContext>) {
    router.get("metrics") { _, _ in
      let served = try slot.model()
      return Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(
          byteBuffer: ByteBuffer(string: Metrics(served.scheduler.status, limit: served.cacheLimit).text)))
    }
    router.get("slots") { _, _ in Response.json(StatusPage.slots(try slot.model())) }
    router.get("props") { _, _ in Response.json(StatusPage.properties(try slot.model())) }
  }

  private func addTokenRoutes(_ router: Router<ServerContext>) {
    func add(_ name: String, _ answer: @escaping @Sendable (TokenRoutes, JSON) throws -> JSON) {
      router.post(RouterPath(name)) { request, _ in
        let routes = TokenRoutes(served: try slot.model(), isLenient: options.isLenient)
        var request = request
        return Response.json(try answer(routes, try await body(&request)))
      }
    }
    add("tokenize") { try $0.tokenize($1) }
    add("detokenize") { try $0.detokenize($1) }
    add("apply-template") { try $0.applyTemplate($1) }
    router.get("tokenizer_info") { _, _ in
      Response.json(TokenRoutes(served: try slot.model(), isLenient: options.isLenient).info())
    }
  }

  private func models(_ served: ServedModel) -> JSON {
    .members(["object": "list", "data": .array([model(served)])])
  }

  private func model(_ served: ServedModel) -> JSON {
    .members([
      "id": .string(served.name), "object": "model", "created": .integer(served.created), "owned_by": "swift-dms",
      "max_model_len": .integer(served.context),
    ])
  }

  // MARK: Answers

  @Sendable
  private func chat(_ request: Request, _ context: ServerContext) async throws -> Response {
    let served = try slot.model()
    var request = request
    let wish = try ChatRequest(try await body(&request), served, isLenient: options.isLenient)
    return try await deliver(
      ChatCompletion(wish, served), of: wish.requests, served, streams: wish.delivery.streams, request,
      passedOver: wish.passedOver)
  }

  @Sendable
  private func completion(_ request: Request, _ context: ServerContext) async throws -> Response {
    let served = try slot.model()
    var request = request
    let wish = try CompletionRequest(try await body(&request), served, isLenient: options.isLenient)
    return try await deliver(
      Completion(wish, served), of: wish.requests, served, streams: wish.delivery.streams, request,
      passedOver: wish.passedOver)
  }

  @Sendable
  private func message(_ request: Request, _ context: ServerContext) async throws -> Response {
    let served = try slot.model()
    var request = request
    let wish = try MessagesRequest(try await body(&request), served, isLenient: options.isLenient)
    return try await deliver(
      Message(wish, served), of: [wish.request], served, streams: wish.streams, request, passedOver: wish.passedOver)
  }

  /// The body as JSON.
  func body(_ request: inout Request) async throws -> JSON {
    let bytes: ByteBuffer
    do { bytes = try await request.collectBody(upTo: options.mostBodyBytes) } catch is NIOTooManyBytesError {
      throw APIError(
        status: .contentTooLarge, message: "the body has more than \(options.mostBodyBytes) bytes",
        code: "body_too_large")
    }
    guard let text = bytes.getString(at: bytes.readerIndex, length: bytes.readableBytes, encoding: .utf8) else {
      throw APIError.invalid("the body is not UTF-8")
    }
    return try JSON(parsing: text, source: "the body")
  }

  /// Submits requests, and answers whole or as events. A client that hangs up ends what it asked for.
  private func deliver(
    _ answer: some WireAnswer, of requests: [Scheduler.Request], _ served: ServedModel, streams: Bool,
    _ request: Request, passedOver: [String]
  ) async throws -> Response {
    guard requests.count <= served.queue else {
      throw APIError.invalid("\(requests.count) choices are more than the \(served.queue) that may wait", "prompt")
    }
    let answers = try requests.map { try served.scheduler.submit($0) }
    // Who waits for the client's end cannot wait for its next request.
    var headers: HTTPFields = [.connection: "close"]
    if !passedOver.isEmpty, let name = HTTPField.Name("X-DMS-Warning") {
      headers[name] = "unknown fields passed over: " + passedOver.map(\.inHeader).joined(separator: ", ")
    }
    guard streams else {
      let json = try await request.body.consumeWithInboundCloseHandler { _ in
        var answer = answer
        return try await answer.whole(answers)
      } onInboundClosed: {
        for answer in answers { answer.cancel() }
      }
      var response = Response.json(json)
      response.headers.append(contentsOf: headers)
      return response
    }
    headers[.contentType] = "text/event-stream"
    headers[.cacheControl] = "no-cache"
    let body = ResponseBody { writer in
      let events = EventWriter(writer)
      try await request.body.consumeWithInboundCloseHandler { _ in
        var answer = answer
        do { try await answer.stream(answers, to: events) } catch {
          try await answer.sendFailure(APIError(error), to: events)
        }
      } onInboundClosed: {
        for answer in answers { answer.cancel() }
      }
      try await events.finish()
    }
    return Response(status: .ok, headers: headers, body: body)
  }
}

/// An answer in the making, in the form of an endpoint.
protocol WireAnswer: Sendable {
  /// Waits for all of it.
  mutating func whole(_ answers: [ScheduledAnswer]) async throws -> JSON
  /// Sends it while it comes.
  mutating func stream(_ answers: [ScheduledAnswer], to events: EventWriter) async throws
  /// Says among the events what went wrong: the status is sent.
  func sendFailure(_ error: APIError, to events: EventWriter) async throws
}

extension WireAnswer {
  func sendFailure(_ error: APIError, to events: EventWriter) async throws { try await events.send(error.json) }
}

/// What is known of a request beside itself.
struct ServerContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// The connection.
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }
}

extension Response {
  /// Says nothing more on this connection: whoever sends more than is read learns it now, and not at the end.
  func closing(_ channel: any Channel) -> Response {
    var response = self
    response.headers[.connection] = "close"
    let body = response.body
    response.body = ResponseBody(contentLength: body.contentLength) { writer in
      try await body.write(writer)
      try await channel.close(mode: .output)
    }
    return response
  }
}

extension String {
  /// Without what a header cannot have.
  fileprivate var inHeader: String { String(unicodeScalars.filter { (33..<127).contains($0.value) }.prefix(64)) }
}

/// Errors as objects, whatever threw them.
struct ErrorMiddleware: RouterMiddleware {
  func handle(
    _ request: Request, context: ServerContext,
    next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    do { return try await next(request, context) } catch let error as APIError where error.status == .contentTooLarge {
      return error.response.closing(context.channel)
    } catch let error as HTTPError where error.status == .notFound {
      return APIError(
        status: .notFound, message: "there is no \(request.method) \(request.uri.path)", code: "not_found"
      )
      .response
    } catch {
      var response = APIError(error).response
      if request.uri.path.hasPrefix("/v1/messages") {
        response.body = ResponseBody(byteBuffer: ByteBuffer(string: APIError(error).anthropic.line))
      }
      return response
    }
  }
}

/// Lets in who has a key, where keys are asked for. Whether the server is well may be asked without.
struct KeyMiddleware: RouterMiddleware {
  let keys: [String]

  func handle(
    _ request: Request, context: ServerContext,
    next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    guard !keys.isEmpty, request.uri.path != "/health" else { return try await next(request, context) }
    var given = HTTPField.Name("x-api-key").flatMap { request.headers[$0] }
    if let authorization = request.headers[.authorization], authorization.lowercased().hasPrefix("bearer ") {
      given = String(authorization.dropFirst("bearer ".count))
    }
    guard let given, keys.contains(where: { equalInConstantTime($0, given) }) else {
      throw APIError(
        status: .unauthorized, message: given == nil ? "an API key is needed" : "the API key is not known",
        code: "invalid_api_key")
    }
    return try await next(request, context)
  }
}

/// Takes the same time wherever the two differ, so that a key cannot be guessed byte by byte.
private func equalInConstantTime(_ known: String, _ given: String) -> Bool {
  let (known, given) = (Array(known.utf8), Array(given.utf8))
  var difference = known.count ^ given.count
  for index in known.indices { difference |= Int(known[index] ^ (index < given.count ? given[index] : 0)) }
  return difference == 0
}
