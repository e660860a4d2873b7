// progtypes: the words in which the tables of protos are written. Internal to the room.
//
// The tables name each proto as Linux names its own. Protos of one helper that differ in the kernel's function only are one here,
// under the plain name; what a helper does for which program is the business of helpers/.
#pragma once
#include "progtypes/func_ids.h"
#include "progtypes/func_proto.h"

namespace skep {

constexpr u32 RDONLY_MEM = u32{ARG_PTR_TO_MEM} | MEM_RDONLY;
constexpr u32 RDONLY_MEM_OR_NULL = u32{ARG_PTR_TO_MEM_OR_NULL} | MEM_RDONLY;
constexpr u32 WRITTEN_MEM = u32{ARG_PTR_TO_MEM} | MEM_WRITE;
constexpr u32 UNINIT_FIXED_SIZE_MEM = u32{ARG_PTR_TO_FIXED_SIZE_MEM} | MEM_UNINIT | MEM_WRITE | MEM_ALIGNED;
constexpr u32 WRITTEN_FIXED_SIZE_MEM = u32{ARG_PTR_TO_FIXED_SIZE_MEM} | MEM_WRITE | MEM_ALIGNED;
constexpr u32 UNINIT_MAP_VALUE = u32{ARG_PTR_TO_MAP_VALUE} | MEM_UNINIT | MEM_WRITE;
constexpr u32 RELEASED_RINGBUF_MEM = u32{ARG_PTR_TO_RINGBUF_MEM} | OBJ_RELEASE;
constexpr u32 RELEASED_SOCK_COMMON = u32{ARG_PTR_TO_BTF_ID_SOCK_COMMON} | OBJ_RELEASE;
constexpr u32 SOCK_COMMON_OR_NULL = u32{ARG_PTR_TO_BTF_ID_SOCK_COMMON} | PTR_MAYBE_NULL;
constexpr u32 RELEASED_BTF_ID_OR_NULL = u32{ARG_PTR_TO_BTF_ID_OR_NULL} | OBJ_RELEASE;
constexpr u32 RDONLY_DYNPTR = u32{ARG_PTR_TO_DYNPTR} | MEM_RDONLY;
constexpr u32 UNINIT_LOCAL_DYNPTR = u32{ARG_PTR_TO_DYNPTR} | DYNPTR_TYPE_LOCAL | MEM_UNINIT | MEM_WRITE;
constexpr u32 UNINIT_RINGBUF_DYNPTR = u32{ARG_PTR_TO_DYNPTR} | DYNPTR_TYPE_RINGBUF | MEM_UNINIT | MEM_WRITE;
constexpr u32 RELEASED_RINGBUF_DYNPTR = u32{ARG_PTR_TO_DYNPTR} | DYNPTR_TYPE_RINGBUF | OBJ_RELEASE;
constexpr u32 RET_RDONLY_MEM_OR_BTF_ID = u32{RET_PTR_TO_MEM_OR_BTF_ID} | MEM_RDONLY;
constexpr u32 RET_RDONLY_MEM_OR_BTF_ID_OR_NULL = RET_RDONLY_MEM_OR_BTF_ID | PTR_MAYBE_NULL;

}  // namespace skep
