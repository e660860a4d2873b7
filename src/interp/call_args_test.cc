// A helper call's arguments held against protos of every kind that can be checked, whether a helper of ours has it or not.
#include "interp/call_args.h"

#include "helpers/run_fixture_test.h"

namespace skep::test {
namespace {

class CallArgs : public RunFixture {
 protected:
  /// The first argument that does not fit, or 0.
  u32 check(const FuncProto& proto, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0, u64 a4 = 0, u64 a5 = 0) {
    const u64 args[5] = {a1, a2, a3, a4, a5};
    return check_call_args(*run_, proto, args);
  }
  u64 stack_end() const { return reinterpret_cast<u64>(run_->stack[0]) + RUN_FRAME_BYTES; }
  u64 ctx() const { return reinterpret_cast<u64>(ctx_.data()); }
};

TEST_F(CallArgs, FixedSizeMemory) {
  prepare({exit_()});
  const FuncProto out = {.args = {ARG_PTR_TO_FIXED_SIZE_MEM | MEM_UNINIT | MEM_WRITE | MEM_ALIGNED}, .arg_size = {8}};
  EXPECT_EQ(check(out, stack_end() - 8), 0u);
  EXPECT_EQ(check(out, stack_end() - 4), 1u);   // runs off
  EXPECT_EQ(check(out, stack_end() - 12), 1u);  // not aligned
  EXPECT_EQ(check(out, ctx()), 1u);             // not writable
  const FuncProto in = {.args = {ARG_ANYTHING, ARG_PTR_TO_FIXED_SIZE_MEM}, .arg_size = {0, 20}};
  EXPECT_EQ(check(in, 0, stack_end() - 20), 0u);
  EXPECT_EQ(check(in, 0, stack_end() - 21), 0u);  // any alignment
  EXPECT_EQ(check(in, 0, stack_end() - 19), 2u);
  EXPECT_EQ(check(in, 0, ctx()), 0u);
}

TEST_F(CallArgs, MemoryAndItsSize) {
  prepare({exit_()});
  const u32 rdonly = u32{ARG_PTR_TO_MEM} | MEM_RDONLY;
  const FuncProto in = {.args = {rdonly, ARG_CONST_SIZE}};
  EXPECT_EQ(check(in, ctx(), 64), 0u);
  EXPECT_EQ(check(in, ctx(), 65), 1u);
  EXPECT_EQ(check(in, ctx(), 0), 1u);  // ARG_CONST_SIZE is at least 1
  EXPECT_EQ(check(in, 0, 1), 1u);
  const FuncProto out = {.args = {ARG_PTR_TO_UNINIT_MEM, ARG_CONST_SIZE_OR_ZERO}};
  EXPECT_EQ(check(out, ctx(), 1), 1u);
  EXPECT_EQ(check(out, ctx(), 0), 0u);
  EXPECT_EQ(check(out, stack_end() - 16, 16), 0u);
  EXPECT_EQ(check(out, stack_end() - 16, BPF_MAX_VAR_SIZ), 1u);
  EXPECT_EQ(check(out, stack_end() - 16, ~u64{0}), 1u);
  const FuncProto inout = {.args = {u32{ARG_PTR_TO_MEM} | MEM_WRITE, ARG_CONST_SIZE}};
  EXPECT_EQ(check(inout, ctx(), 4), 1u);
  EXPECT_EQ(check(inout, stack_end() - 4, 4), 0u);
  const FuncProto lone = {.args = {rdonly}};  // nothing says how long
  EXPECT_EQ(check(lone, ctx()), 1u);
}

TEST_F(CallArgs, Null) {
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 4, 8, 4);
  prepare({exit_()});
  const FuncProto in = {.args = {u32{ARG_PTR_TO_MEM_OR_NULL} | MEM_RDONLY, ARG_CONST_SIZE_OR_ZERO, ARG_PTR_TO_CTX_OR_NULL}};
  EXPECT_EQ(check(in, 0, 0, 0), 0u);
  EXPECT_EQ(check(in, 0, 8, 0), 1u);
  EXPECT_EQ(check(in, ctx(), 8, ctx()), 0u);
  EXPECT_EQ(check(in, 0, 0, ctx() + 1), 3u);
  const FuncProto ctx_only = {.args = {ARG_PTR_TO_CTX}};
  EXPECT_EQ(check(ctx_only, 0), 1u);
  const FuncProto value = {.args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_VALUE_OR_NULL}};
  EXPECT_EQ(check(value, reinterpret_cast<u64>(hash), 0), 0u);
  EXPECT_EQ(check(value, reinterpret_cast<u64>(hash), stack_end() - 8), 0u);
  EXPECT_EQ(check(value, reinterpret_cast<u64>(hash), stack_end() - 7), 2u);
}

TEST_F(CallArgs, MapValuesThatAreFilled) {
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 4, 8, 4);
  prepare({exit_()});
  const u64 m = reinterpret_cast<u64>(hash);
  const FuncProto read = {.args = {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_PTR_TO_MAP_VALUE}};
  EXPECT_EQ(check(read, m, ctx(), ctx()), 0u);
  const FuncProto fill = {.args = {ARG_CONST_MAP_PTR, u32{ARG_PTR_TO_MAP_VALUE} | MEM_UNINIT | MEM_WRITE}};
  EXPECT_EQ(check(fill, m, ctx()), 2u);
  EXPECT_EQ(check(fill, m, stack_end() - 8), 0u);
  const FuncProto without_map = {.args = {ARG_PTR_TO_MAP_KEY}};
  EXPECT_EQ(check(without_map, ctx()), 1u);
}

TEST_F(CallArgs, FunctionsStackLocksAndStrings) {
  MapDesc* text = map(BPF_MAP_TYPE_ARRAY, 4, 8, 2, BPF_F_RDONLY_PROG);
  MapDesc* open = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  std::memcpy(text->elems, "abcdefg\0abcdefgh", 16);
  prepare({exit_()});
  const FuncProto func = {.args = {ARG_PTR_TO_FUNC}}, stack = {.args = {ARG_PTR_TO_STACK_OR_NULL}};
  const FuncProto lock = {.args = {ARG_PTR_TO_SPIN_LOCK}}, string = {.args = {ARG_PTR_TO_CONST_STR}};
  EXPECT_EQ(check(func, RUN_FUNC_TAG), 0u);
  EXPECT_EQ(check(func, RUN_FUNC_TAG | 1), 0u) << "just behind the program: one that is gone";
  EXPECT_EQ(check(func, RUN_FUNC_TAG | 2), 1u);
  EXPECT_EQ(check(func, 0), 1u);
  EXPECT_EQ(check(stack, 0), 0u);
  EXPECT_EQ(check(stack, stack_end()), 0u);
  EXPECT_EQ(check(stack, ctx()), 1u);
  EXPECT_EQ(check(lock, reinterpret_cast<u64>(open->elems)), 1u);
  const u64 strings = reinterpret_cast<u64>(text->elems);
  EXPECT_EQ(check(string, strings + 3), 0u);
  EXPECT_EQ(check(string, strings + 8), 1u) << "does not end in its value";
  EXPECT_EQ(check(string, reinterpret_cast<u64>(open->elems)), 1u) << "may change";
}

TEST_F(CallArgs, PointersToKernelTypesAreTheKernels) {
  prepare({exit_()});
  const FuncProto proto = {.args = {ARG_PTR_TO_BTF_ID}};
  const u64 task[4] = {};
  EXPECT_EQ(check(proto, reinterpret_cast<u64>(task)), 1u) << "the process's";
  EXPECT_EQ(check(proto, 0), 1u);
  run_->extra = {reinterpret_cast<u64>(task), sizeof task};
  EXPECT_EQ(check(proto, reinterpret_cast<u64>(task)), 0u);
}

TEST_F(CallArgs, WhatCannotBeCheckedFitsNothing) {
  prepare({exit_()});
  for (const u32 type : {u32{ARG_PTR_TO_SOCK_COMMON}, u32{ARG_PTR_TO_SOCKET_OR_NULL}, u32{ARG_PTR_TO_TIMER},
                         u32{ARG_KPTR_XCHG_DEST}, u32{ARG_PTR_TO_DYNPTR}, u32{ARG_PTR_TO_PERCPU_BTF_ID},
                         u32{ARG_PTR_TO_ARENA}}) {
    const FuncProto proto = {.args = {type}};
    EXPECT_EQ(check(proto, stack_end() - 16), 1u) << type;
  }
}

}  // namespace
}  // namespace skep::test
