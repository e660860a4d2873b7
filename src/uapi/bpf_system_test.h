// Numbers of the system's <linux/bpf.h> for uapi_test.cc.
#pragma once

namespace skep {

struct SystemConstant {
  const char* name;
  unsigned long value;
};
extern const SystemConstant SYSTEM_CONSTANTS[];
extern const unsigned long SYSTEM_CONSTANT_COUNT;

}  // namespace skep
