// What goes on, as Prometheus reads it: the names that llama.cpp and vLLM have for it, so that their dashboards work, and `dms:`
// for what only a sparse cache has.

import DMSGeneration

/// A page of metrics.
struct Metrics {
  private(set) var text = ""

  init(_ status: Scheduler.Status, limit: Int?) {
    counter("llamacpp:prompt_tokens_total", "Tokens of prompts that were read.", status.promptTokens)
    counter("llamacpp:prompt_seconds_total", "Time of reading prompts.", status.readTime / .seconds(1))
    counter("llamacpp:tokens_predicted_total", "Tokens of answers.", status.answerTokens)
    counter("llamacpp:tokens_predicted_seconds_total", "Time of decode steps.", status.decodeTime / .seconds(1))
    gauge("llamacpp:requests_processing", "Requests that are read or answered.", status.running)
    gauge("llamacpp:requests_deferred", "Requests that wait.", status.waiting)
    gauge("vllm:num_requests_running", "Requests that are read or answered.", status.running)
    gauge("vllm:num_requests_waiting", "Requests that wait.", status.waiting)
    counter("vllm:num_preemptions_total", "Sequences that made room for others.", status.preempted)
    counter("vllm:prompt_tokens_total", "Tokens of prompts that were read.", status.promptTokens)
    counter("vllm:generation_tokens_total", "Tokens of answers.", status.answerTokens)
    counter("vllm:prefix_cache_hits_total", "Tokens of prompts that were in a cache.", status.cachedTokens)
    counter(
      "vllm:prefix_cache_queries_total", "Tokens of prompts.", status.promptTokens + status.cachedTokens)
    if let limit {
      gauge(
        "vllm:kv_cache_usage_perc", "Share of the caches' memory that is in use, 1 being all.",
        Double(status.bytesHeld) / Double(max(1, limit)))
      gauge("dms:cache_limit_bytes", "What all caches may take together.", limit)
    }
    counter("dms:requests_completed_total", "Answers that came to their end.", status.completed)
    counter("dms:requests_cancelled_total", "Requests that were given up.", status.cancelled)
    gauge("dms:tokens_seen", "Tokens that running sequences have seen.", status.tokensSeen)
    gauge("dms:live_tokens", "Of those the live ones, the mean over heads.", status.liveTokens)
    gauge("dms:evicted_tokens", "Of those the forgotten ones.", Double(status.tokensSeen) - status.liveTokens)
    gauge(
      "dms:compression_ratio", "Tokens seen for each live one.",
      status.liveTokens > 0 ? Double(status.tokensSeen) / status.liveTokens : 1)
    gauge("dms:bytes_held", "Bytes of pages in use.", status.bytesHeld)
    gauge("dms:bytes_reserved", "Address space taken for pages.", status.bytesReserved)
  }

  private mutating func counter(_ name: String, _ help: String, _ value: some CustomStringConvertible) {
    add(name, "counter", help, value)
  }

  private mutating func gauge(_ name: String, _ help: String, _ value: some CustomStringConvertible) {
    add(name, "gauge", help, value)
  }

  private mutating func add(_ name: String, _ kind: String, _ help: String, _ value: some CustomStringConvertible) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(value)\n"
  }
}
