# kernel/kernel.c -> kernel.o (clang, for BPF) -> kernel.btf (make_kbtf) -> kbtf/bytes.S
find_program(BPF_CLANG NAMES clang-14 clang REQUIRED DOC "clang with the bpf target")
set(kbtf_dir ${CMAKE_CURRENT_BINARY_DIR}/kbtf)
file(MAKE_DIRECTORY ${kbtf_dir})

add_executable(make_kbtf kbtf/make_kbtf.cc)
target_link_libraries(make_kbtf PRIVATE skep_flags)
set_target_properties(make_kbtf PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${kbtf_dir})

add_custom_command(
  OUTPUT ${kbtf_dir}/kernel.o
  COMMAND ${BPF_CLANG} -target bpf -g -O1 -Wall -Werror -Wno-invalid-noreturn -I${CMAKE_CURRENT_SOURCE_DIR}
          -MMD -MF ${kbtf_dir}/kernel.o.d -MT ${kbtf_dir}/kernel.o
          -c ${CMAKE_CURRENT_SOURCE_DIR}/kbtf/kernel/kernel.c -o ${kbtf_dir}/kernel.o
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kbtf/kernel/kernel.c
  DEPFILE ${kbtf_dir}/kernel.o.d
  COMMENT "clang -target bpf kbtf/kernel/kernel.c"
  VERBATIM)
add_custom_command(
  OUTPUT ${kbtf_dir}/kernel.btf
  COMMAND make_kbtf ${kbtf_dir}/kernel.o ${kbtf_dir}/kernel.btf
  DEPENDS make_kbtf ${kbtf_dir}/kernel.o
  COMMENT "make_kbtf kernel.btf"
  VERBATIM)
# The assembler reads it, which no dependency scan sees.
set_source_files_properties(kbtf/bytes.S PROPERTIES
  COMPILE_DEFINITIONS "SKEP_KERNEL_BTF=\"${kbtf_dir}/kernel.btf\""
  OBJECT_DEPENDS ${kbtf_dir}/kernel.btf)

# For core_test.cc: a CO-RE program, and who relocates it.
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED DOC "bpftool, for the skeletons")
add_custom_command(
  OUTPUT ${kbtf_dir}/core_test.bpf.o
  COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Werror
          -c ${CMAKE_CURRENT_SOURCE_DIR}/kbtf/core_test.bpf.c -o ${kbtf_dir}/core_test.bpf.o
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kbtf/core_test.bpf.c
  VERBATIM)
set_source_files_properties(kbtf/core_test.cc PROPERTIES
  COMPILE_DEFINITIONS "SKEP_BPFTOOL=\"${BPFTOOL}\";SKEP_KBTF_DIR=\"${kbtf_dir}\""
  OBJECT_DEPENDS ${kbtf_dir}/core_test.bpf.o)
