// The pinned bytes against the system's own header. Its macros would eat our names, so ours are taken down before it is included.
#include "uapi/perf_event.h"

#include <gtest/gtest.h>

namespace ours {
constexpr skep::u64 attr_sizes[] = {skep::PERF_ATTR_SIZE_VER0, skep::PERF_ATTR_SIZE_VER1, skep::PERF_ATTR_SIZE_VER2,
                                    skep::PERF_ATTR_SIZE_VER3, skep::PERF_ATTR_SIZE_VER4, skep::PERF_ATTR_SIZE_VER5,
                                    skep::PERF_ATTR_SIZE_VER6, skep::PERF_ATTR_SIZE_VER7};
constexpr skep::u64 flags[] = {skep::PERF_FLAG_FD_NO_GROUP, skep::PERF_FLAG_FD_OUTPUT, skep::PERF_FLAG_PID_CGROUP,
                               skep::PERF_FLAG_FD_CLOEXEC};
constexpr skep::u64 ioctls[] = {
    skep::PERF_EVENT_IOC_ENABLE,       skep::PERF_EVENT_IOC_DISABLE,   skep::PERF_EVENT_IOC_REFRESH,
    skep::PERF_EVENT_IOC_RESET,        skep::PERF_EVENT_IOC_PERIOD,    skep::PERF_EVENT_IOC_SET_OUTPUT,
    skep::PERF_EVENT_IOC_SET_FILTER,   skep::PERF_EVENT_IOC_ID,        skep::PERF_EVENT_IOC_SET_BPF,
    skep::PERF_EVENT_IOC_PAUSE_OUTPUT, skep::PERF_EVENT_IOC_QUERY_BPF, skep::PERF_EVENT_IOC_MODIFY_ATTRIBUTES};
constexpr skep::u64 misc[] = {skep::PERF_RECORD_MISC_CPUMODE_MASK, skep::PERF_RECORD_MISC_CPUMODE_UNKNOWN,
                              skep::PERF_RECORD_MISC_KERNEL,       skep::PERF_RECORD_MISC_USER,
                              skep::PERF_RECORD_MISC_HYPERVISOR,   skep::PERF_RECORD_MISC_GUEST_KERNEL,
                              skep::PERF_RECORD_MISC_GUEST_USER,   skep::PERF_RECORD_MISC_EXACT_IP};
}  // namespace ours

#include <linux/perf_event.h>
#include <sys/ioctl.h>

#include <cstring>

namespace theirs {
constexpr skep::u64 attr_sizes[] = {PERF_ATTR_SIZE_VER0, PERF_ATTR_SIZE_VER1, PERF_ATTR_SIZE_VER2, PERF_ATTR_SIZE_VER3,
                                    PERF_ATTR_SIZE_VER4, PERF_ATTR_SIZE_VER5, PERF_ATTR_SIZE_VER6, PERF_ATTR_SIZE_VER7};
constexpr skep::u64 flags[] = {PERF_FLAG_FD_NO_GROUP, PERF_FLAG_FD_OUTPUT, PERF_FLAG_PID_CGROUP, PERF_FLAG_FD_CLOEXEC};
constexpr skep::u64 ioctls[] = {PERF_EVENT_IOC_ENABLE,       PERF_EVENT_IOC_DISABLE,   PERF_EVENT_IOC_REFRESH,
                                PERF_EVENT_IOC_RESET,        PERF_EVENT_IOC_PERIOD,    PERF_EVENT_IOC_SET_OUTPUT,
                                PERF_EVENT_IOC_SET_FILTER,   PERF_EVENT_IOC_ID,        PERF_EVENT_IOC_SET_BPF,
                                PERF_EVENT_IOC_PAUSE_OUTPUT, PERF_EVENT_IOC_QUERY_BPF, PERF_EVENT_IOC_MODIFY_ATTRIBUTES};
constexpr skep::u64 misc[] = {PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_CPUMODE_UNKNOWN, PERF_RECORD_MISC_KERNEL,
                              PERF_RECORD_MISC_USER,         PERF_RECORD_MISC_HYPERVISOR,      PERF_RECORD_MISC_GUEST_KERNEL,
                              PERF_RECORD_MISC_GUEST_USER,   PERF_RECORD_MISC_EXACT_IP};
}  // namespace theirs

#define EXPECT_SAME_MEMBER(type, member)                                          \
  do {                                                                            \
    EXPECT_EQ(offsetof(skep::type, member), offsetof(::type, member)) << #member; \
    EXPECT_EQ(sizeof(skep::type::member), sizeof(::type::member)) << #member;     \
  } while (0)
#define EXPECT_SAME_BIT(type, member)                                      \
  do {                                                                     \
    skep::type a{};                                                        \
    ::type b{};                                                            \
    a.member = 1;                                                          \
    b.member = 1;                                                          \
    EXPECT_EQ(0, memcmp(&a, &b, std::min(sizeof a, sizeof b))) << #member; \
  } while (0)
#define EXPECT_SAME_VALUE(name) EXPECT_EQ(static_cast<skep::u64>(skep::name), static_cast<skep::u64>(::name)) << #name

TEST(PerfEventUapi, Macros) {
  for (size_t i = 0; i < std::size(ours::attr_sizes); ++i) EXPECT_EQ(ours::attr_sizes[i], theirs::attr_sizes[i]) << i;
  for (size_t i = 0; i < std::size(ours::flags); ++i) EXPECT_EQ(ours::flags[i], theirs::flags[i]) << i;
  for (size_t i = 0; i < std::size(ours::ioctls); ++i) EXPECT_EQ(ours::ioctls[i], theirs::ioctls[i]) << i;
  for (size_t i = 0; i < std::size(ours::misc); ++i) EXPECT_EQ(ours::misc[i], theirs::misc[i]) << i;
}

TEST(PerfEventUapi, Attr) {
  EXPECT_SAME_MEMBER(perf_event_attr, type);
  EXPECT_SAME_MEMBER(perf_event_attr, size);
  EXPECT_SAME_MEMBER(perf_event_attr, config);
  EXPECT_SAME_MEMBER(perf_event_attr, sample_period);
  EXPECT_SAME_MEMBER(perf_event_attr, sample_type);
  EXPECT_SAME_MEMBER(perf_event_attr, read_format);
  EXPECT_SAME_MEMBER(perf_event_attr, wakeup_events);
  EXPECT_SAME_MEMBER(perf_event_attr, wakeup_watermark);
  EXPECT_SAME_MEMBER(perf_event_attr, bp_type);
  EXPECT_SAME_MEMBER(perf_event_attr, config1);
  EXPECT_SAME_MEMBER(perf_event_attr, kprobe_func);
  EXPECT_SAME_MEMBER(perf_event_attr, config2);
  EXPECT_SAME_MEMBER(perf_event_attr, probe_offset);
  EXPECT_SAME_MEMBER(perf_event_attr, branch_sample_type);
  EXPECT_SAME_MEMBER(perf_event_attr, sample_stack_user);
  EXPECT_SAME_MEMBER(perf_event_attr, clockid);
  EXPECT_SAME_MEMBER(perf_event_attr, sample_max_stack);
  EXPECT_SAME_MEMBER(perf_event_attr, aux_sample_size);
  EXPECT_SAME_MEMBER(perf_event_attr, sig_data);
  EXPECT_SAME_BIT(perf_event_attr, disabled);
  EXPECT_SAME_BIT(perf_event_attr, inherit);
  EXPECT_SAME_BIT(perf_event_attr, freq);
  EXPECT_SAME_BIT(perf_event_attr, enable_on_exec);
  EXPECT_SAME_BIT(perf_event_attr, watermark);
  EXPECT_SAME_BIT(perf_event_attr, precise_ip);
  EXPECT_SAME_BIT(perf_event_attr, sample_id_all);
  EXPECT_SAME_BIT(perf_event_attr, use_clockid);
  EXPECT_SAME_BIT(perf_event_attr, write_backward);
  EXPECT_SAME_BIT(perf_event_attr, bpf_event);
  EXPECT_SAME_BIT(perf_event_attr, sigtrap);
  EXPECT_EQ(offsetof(skep::perf_event_attr, config3), 128u);
}

TEST(PerfEventUapi, MmapPage) {
  EXPECT_EQ(sizeof(skep::perf_event_mmap_page), sizeof(::perf_event_mmap_page));
  EXPECT_SAME_MEMBER(perf_event_mmap_page, version);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, index);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, offset);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, capabilities);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, pmc_width);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, time_mult);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, time_zero);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, size);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, time_mask);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, data_head);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, data_tail);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, data_size);
  EXPECT_SAME_MEMBER(perf_event_mmap_page, aux_size);
  EXPECT_SAME_BIT(perf_event_mmap_page, cap_bit0_is_deprecated);
  EXPECT_SAME_BIT(perf_event_mmap_page, cap_user_time_short);
}

TEST(PerfEventUapi, Enums) {
  EXPECT_SAME_VALUE(PERF_TYPE_MAX);
  EXPECT_SAME_VALUE(PERF_TYPE_TRACEPOINT);
  EXPECT_SAME_VALUE(PERF_COUNT_SW_DUMMY);
  EXPECT_SAME_VALUE(PERF_COUNT_SW_BPF_OUTPUT);
  EXPECT_SAME_VALUE(PERF_COUNT_SW_MAX);
  EXPECT_SAME_VALUE(PERF_SAMPLE_IP);
  EXPECT_SAME_VALUE(PERF_SAMPLE_READ);
  EXPECT_SAME_VALUE(PERF_SAMPLE_STREAM_ID);
  EXPECT_SAME_VALUE(PERF_SAMPLE_RAW);
  EXPECT_SAME_VALUE(PERF_SAMPLE_IDENTIFIER);
  EXPECT_SAME_VALUE(PERF_SAMPLE_WEIGHT_STRUCT);
  EXPECT_SAME_VALUE(PERF_SAMPLE_MAX);
  EXPECT_SAME_VALUE(PERF_FORMAT_GROUP);
  EXPECT_SAME_VALUE(PERF_FORMAT_LOST);
  EXPECT_SAME_VALUE(PERF_RECORD_LOST);
  EXPECT_SAME_VALUE(PERF_RECORD_SAMPLE);
  EXPECT_SAME_VALUE(PERF_RECORD_LOST_SAMPLES);
  EXPECT_SAME_VALUE(PERF_RECORD_TEXT_POKE);
  EXPECT_SAME_VALUE(PERF_RECORD_MAX);
}
