#include "btf/log.h"

#include <algorithm>
#include <iterator>

namespace skep {

void BtfLog::vappend(fmt::string_view format, fmt::format_args args) {
  fmt::memory_buffer out;
  fmt::vformat_to(std::back_inserter(out), format, args);
  write(std::string_view(out.data(), std::min(out.size(), MAX_MESSAGE)));
}

}  // namespace skep
