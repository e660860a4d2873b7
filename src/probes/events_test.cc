#include "probes/events.h"

#include <gtest/gtest.h>

#include <set>

#include "probes/syscalls.h"

namespace skep {
namespace {

TEST(Events, IdsAreOfOneEventEach) {
  std::set<u32> ids;
  for (const SyscallInfo& s : syscall_table()) {
    EXPECT_TRUE(ids.insert(s.enter_id).second) << s.name;
    EXPECT_TRUE(ids.insert(s.exit_id).second) << s.name;
  }
  for (const EventInfo& e : event_table()) {
    EXPECT_TRUE(ids.insert(e.id).second) << e.name;
    EXPECT_EQ(event_by_id(e.id), &e);
    EXPECT_EQ(event_by_name(e.system, e.name), &e);
    EXPECT_EQ(event_by_raw_name(e.name), &e);
    EXPECT_EQ(event_by_place(e.place), &e);
  }
  EXPECT_EQ(event_by_id(1), nullptr);
  EXPECT_EQ(event_by_name("sched", "sys_enter"), nullptr);
}

TEST(Events, EveryPlaceButTheClockHasOne) {
  for (u32 p = 0; p < static_cast<u32>(EventPlace::Count); ++p)
    EXPECT_EQ(event_by_place(static_cast<EventPlace>(p)) != nullptr, static_cast<EventPlace>(p) != EventPlace::Clock) << p;
}

TEST(Events, FieldsDoNotOverlapAndLieAligned) {
  for (const EventInfo& e : event_table()) {
    u32 end = 8;
    for (const EventField& f : e.fields) {
      EXPECT_GE(f.offset, end) << e.name << ": " << f.declaration;
      EXPECT_EQ(f.offset % std::min(f.size, 4u), 0u) << e.name << ": " << f.declaration;
      end = f.offset + f.size;
    }
    EXPECT_EQ(e.record_size(), end);
  }
}

TEST(Events, FormatOfOne) {
  EXPECT_EQ(event_file("sched", "sched_process_exec", "format"),
            "name: sched_process_exec\nID: 303\nformat:\n"
            "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
            "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
            "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
            "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
            "\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n"
            "\tfield:pid_t pid;\toffset:12;\tsize:4;\tsigned:1;\n"
            "\tfield:pid_t old_pid;\toffset:16;\tsize:4;\tsigned:1;\n\n"
            "print fmt: \"filename=%s pid=%d old_pid=%d\", __get_str(filename), REC->pid, REC->old_pid\n");
  EXPECT_EQ(event_file("signal", "signal_generate", "id"), "193\n");
  EXPECT_EQ(event_file("signal", "signal_generate", "enable"), "");
  EXPECT_EQ(event_file("signal", "nothing", "id"), "");
}

TEST(Events, SystemCallsHaveTheirOwn) {
  EXPECT_EQ(event_file("syscalls", "sys_enter_read", "id"), tracepoint_file("sys_enter_read", "id"));
  EXPECT_NE(event_file("syscalls", "sys_enter_read", "format"), "");
  EXPECT_EQ(event_file("syscalls", "sys_enter", "id"), "");
}

}  // namespace
}  // namespace skep
