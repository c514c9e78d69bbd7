// What goes wrong for a client, in OpenAI's form: a status, and an object that says what, of which parameter, under which code.

import DMSGeneration
import DMSPlatform
import DMSText
import HTTPTypes
import Hummingbird

/// An answer that is an error.
struct APIError: Error {
  var status: HTTPResponse.Status
  var message: String
  /// Of whose making: the client's, or the server's.
  var type = "invalid_request_error"
  /// The field concerned.
  var parameter: String?
  /// For programs.
  var code: String?
  /// Seconds after which another try makes sense.
  var retryAfter: Int?

  /// The request is not understood.
  static func invalid(_ message: String, _ parameter: String? = nil, code: String? = nil) -> APIError {
    APIError(status: .badRequest, message: message, parameter: parameter, code: code)
  }

  /// OpenAI's error object.
  var json: JSON {
    .members([
      "error": .members([
        "message": .string(message), "type": .string(type), "param": parameter.map { .string($0) } ?? .null,
        "code": code.map { .string($0) } ?? .null,
      ])
    ])
  }

  /// The error as a whole response.
  var response: Response {
    var response = Response.json(json, status: status)
    if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
    if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
    return response
  }

  /// Any error as one for clients.
  init(_ error: any Error) {
    switch error {
    case let error as APIError: self = error
    case let error as Scheduler.Refusal: self = APIError(refusal: error)
    case let error as InputError: self = .invalid("\(error)")
    case let error as HTTPError:
      self = APIError(status: error.status, message: error.body ?? error.status.reasonPhrase)
    case is CancellationError:
      self = APIError(status: .serviceUnavailable, message: "the request was given up", type: "server_error")
    default:
      self = APIError(status: .internalServerError, message: "something went wrong", type: "server_error")
    }
  }

  private init(refusal: Scheduler.Refusal) {
    switch refusal {
    case .queueIsFull:
      self = APIError(
        status: .tooManyRequests, message: "\(refusal)", type: "server_error", code: "queue_is_full", retryAfter: 1)
    case .isClosing:
      self = APIError(
        status: .serviceUnavailable, message: "\(refusal)", type: "server_error", code: "closing", retryAfter: 5)
    case .promptTooLong(let tokens, let context):
      self = .invalid(
        "This model's maximum context length is \(context) tokens. However, your prompt has \(tokens) tokens.",
        code: "context_length_exceeded")
    case .neverFits:
      self = .invalid("\(refusal)", code: "cache_memory_exceeded")
    }
  }

  init(
    status: HTTPResponse.Status, message: String, type: String = "invalid_request_error", parameter: String? = nil,
    code: String? = nil, retryAfter: Int? = nil
  ) {
    self.status = status
    self.message = message
    self.type = type
    self.parameter = parameter
    self.code = code
    self.retryAfter = retryAfter
  }
}

extension Response {
  /// A value as the whole body.
  static func json(_ json: JSON, status: HTTPResponse.Status = .ok) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: json.line)))
  }
}
