// btf: where the text of a check goes. The wording is the kernel's (tools parse it).
#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace skep {

/// A text sink. By default it keeps all text; a subclass may send it elsewhere (a user's buffer, for one).
class BtfLog {
 public:
  virtual ~BtfLog() = default;

  /// Formats and appends. Linux: kernel/bpf/log.c:bpf_verifier_vlog() cuts each message at MAX_MESSAGE
  /// bytes; so does this.
  template <typename... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    vappend(format, fmt::make_format_args(args...));
  }
  void vappend(fmt::string_view format, fmt::format_args args);
  static constexpr std::size_t MAX_MESSAGE = 1023;
  const std::string& text() const noexcept { return text_; }

 protected:
  virtual void write(std::string_view message) { text_.append(message); }

 private:
  std::string text_;
};

}  // namespace skep
