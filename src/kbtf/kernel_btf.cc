#include "kbtf/kernel_btf.h"

namespace {
extern "C" const skep::u8 skep_kernel_btf_begin[], skep_kernel_btf_end[];  // bytes.S
}

namespace skep {

std::span<const u8> kernel_btf_bytes() noexcept { return {skep_kernel_btf_begin, skep_kernel_btf_end}; }

Result<std::unique_ptr<Btf>> load_kernel_btf() { return Btf::parse(kernel_btf_bytes(), nullptr); }

std::span<const std::string_view> kernel_structs_with_dtor() noexcept {
  static constexpr std::string_view NAMES[] = {"task_struct",         "cgroup",          "bpf_cpumask", "bpf_crypto_ctx",
                                               "prog_test_ref_kfunc", "prog_test_member"};
  return NAMES;
}

}  // namespace skep
