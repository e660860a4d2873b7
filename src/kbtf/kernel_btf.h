// kbtf: skep's own vmlinux BTF: the kernel's types, functions and tracepoints as far as skep has them.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "btf/btf.h"

namespace skep {

/// The bytes, as /sys/kernel/btf/vmlinux shows them; part of the executable.
std::span<const u8> kernel_btf_bytes() noexcept;
/// Parses them: about a millisecond. Never fails for the bytes that the build made; a test holds it to that.
Result<std::unique_ptr<Btf>> load_kernel_btf();
/// Structs of it that a map's value may own by a kptr. Linux: register_btf_id_dtor_kfuncs() of kernel/bpf/{helpers,cpumask,
/// crypto}.c, net/bpf/test_run.c
std::span<const std::string_view> kernel_structs_with_dtor() noexcept;

}  // namespace skep
