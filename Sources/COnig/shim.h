#include <oniguruma.h>

// What Swift cannot import of Oniguruma: macros and a variadic function.

enum { dms_onig_message_bytes = ONIG_MAX_ERROR_MESSAGE_LEN };

// Before anything else, once. Groups may be nested so deep.
static inline int dms_onig_initialize(unsigned depth) {
  OnigEncoding encoding = ONIG_ENCODING_UTF8;
  onig_set_parse_depth_limit(depth);
  return onig_initialize(&encoding, 1);
}

// A pattern in Ruby's syntax over UTF-8, without options; where it is refused, `message` says why.
static inline int dms_onig_new(OnigRegex *regex, const unsigned char *pattern, long count, char *message) {
  OnigErrorInfo info;
  int code = onig_new(regex, pattern, pattern + count, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  message[0] = 0;
  if (code != ONIG_NORMAL) message[onig_error_code_to_str((unsigned char *)message, code, &info)] = 0;
  return code;
}

// The first match that begins at byte `from` or later: where it begins; negative if there is none, or on giving up.
static inline long dms_onig_search(
    OnigRegex regex, const unsigned char *text, long count, long from, OnigRegion *region, OnigMatchParam *limits) {
  const unsigned char *end = text + count;
  return onig_search_with_param(regex, text, end, text + from, end, region, ONIG_OPTION_NONE, limits);
}
