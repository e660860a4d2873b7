// Helpers of packets: offsets at their edges, checksums against sums made anew, room at both ends of an XDP frame.
#include "helpers/packet.h"

#include "helpers/helper.h"
#include "helpers/memory.h"
#include "helpers/run_fixture_test.h"
#include "progtypes/func_ids.h"

namespace skep::test {
namespace {

template <typename... Args>
s64 call(RunCtx& run, u64 id, Args... args) {
  const u64 all[5] = {static_cast<u64>(args)...};
  return static_cast<s64>(helper_fn(id)(run, all[0], all[1], all[2], all[3], all[4]));
}
u64 addr(const void* p) { return reinterpret_cast<u64>(p); }

class Skb : public RunFixture {
 protected:
  static constexpr u32 HEADROOM = 64, LEN = 60;
  void SetUp() override {
    RunFixture::SetUp();
    prepare({exit_()}, BPF_PROG_TYPE_SCHED_CLS);
    for (u32 i = 0; i < LEN; ++i) page_[HEADROOM + i] = static_cast<u8>(i + 1);
    skb_.head = page_;
    skb_.data = page_ + HEADROOM;
    skb_.len = LEN;
    skb_.tail = HEADROOM + LEN;
    skb_.end = sizeof page_ - SKB_SHARED_INFO_ROOM;
    skb_.mac_header = HEADROOM;
    skb_.network_header = HEADROOM + ETH_HLEN;
    run_->ctx = reinterpret_cast<u8*>(&skb_);
    run_->ctx_size = sizeof skb_;
    run_->packet = PacketKind::Skb;
  }
  u32 sum_of_packet() const { return csum_partial(skb_.data, skb_.len, 0); }

  alignas(8) u8 page_[1024] = {};
  PacketSkb skb_{};
};

TEST_F(Skb, LoadBytes) {
  u8 out[8];
  EXPECT_EQ(call(*run_, func::skb_load_bytes, 0, 56, addr(out), 4), 0);
  EXPECT_EQ(out[0], 57);
  EXPECT_EQ(call(*run_, func::skb_load_bytes, 0, 57, addr(out), 4), -EFAULT);
  EXPECT_EQ(out[0], 0) << "zeroed on failure";
  EXPECT_EQ(call(*run_, func::skb_load_bytes, 0, 0x80000000u, addr(out), 4), -EFAULT);
  EXPECT_EQ(call(*run_, func::skb_load_bytes_relative, 0, 2, addr(out), 2, 1), 0);
  EXPECT_EQ(out[0], 17) << "from the network header";
  EXPECT_EQ(call(*run_, func::skb_load_bytes_relative, 0, 0, addr(out), 2, 0), 0);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(call(*run_, func::skb_load_bytes_relative, 0, 45, addr(out), 2, 1), -EFAULT);
  EXPECT_EQ(call(*run_, func::skb_load_bytes_relative, 0, 0, addr(out), 2, 2), -EFAULT);
}

TEST_F(Skb, AbsoluteLoads) {
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS, 0, 3), 4);
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS + 1, 0, 0), 0x0102);
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS + 2, 0, 56), 0x393a3b3c);
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS + 2, 0, 57), -EFAULT);
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS, 0, -0x100000), 15) << "SKF_NET_OFF";
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS, 0, -0x200000 + 1), 2) << "SKF_LL_OFF";
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS, 0, -0x200001), -EFAULT);
  skb_.mac_header = 0xffff;
  EXPECT_EQ(call(*run_, SKB_LOAD_HELPERS, 0, -0x200000), -EFAULT);
}

TEST_F(Skb, StoreKeepsTheSumWhenAsked) {
  skb_.ip_summed = CHECKSUM_COMPLETE;
  skb_.csum = sum_of_packet();
  const u8 bytes[3] = {0xde, 0xad, 0xbe};
  EXPECT_EQ(call(*run_, func::skb_store_bytes, 0, 13, addr(bytes), 3, 1), 0);
  EXPECT_EQ(skb_.data[13], 0xde);
  EXPECT_EQ(csum_fold(skb_.csum), csum_fold(sum_of_packet()));
  skb_.hash = 5;
  skb_.hash_is_set = true;
  EXPECT_EQ(call(*run_, func::skb_store_bytes, 0, 57, addr(bytes), 3, 2), 0);
  EXPECT_EQ(skb_.hash, 0u);
  EXPECT_NE(csum_fold(skb_.csum), csum_fold(sum_of_packet())) << "not asked for";
  EXPECT_EQ(call(*run_, func::skb_store_bytes, 0, 58, addr(bytes), 3, 0), -EFAULT);
  EXPECT_EQ(call(*run_, func::skb_store_bytes, 0, 0, addr(bytes), 3, 4), -EINVAL);
}

TEST_F(Skb, ChecksumsInPackets) {
  // A header with its own sum in it folds to zero before and after a field changes.
  const auto set_sum = [this] {
    skb_.data[10] = skb_.data[11] = 0;
    const u16 sum = csum_fold(csum_partial(skb_.data, 20, 0));
    copy_bytes(skb_.data + 10, &sum, 2);
  };
  set_sum();
  const auto good = [this] { return csum_fold(csum_partial(skb_.data, 20, 0)) == 0; };
  ASSERT_TRUE(good());
  u32 from, to = 0xc0a80102;
  copy_bytes(&from, skb_.data + 16, 4);
  copy_bytes(skb_.data + 16, &to, 4);
  EXPECT_FALSE(good());
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 10, from, to, 4), 0);
  EXPECT_TRUE(good());
  u16 from2, to2 = 0x1234;
  copy_bytes(&from2, skb_.data + 4, 2);
  copy_bytes(skb_.data + 4, &to2, 2);
  EXPECT_EQ(call(*run_, func::l4_csum_replace, 0, 10, from2, to2, 2), 0);
  EXPECT_TRUE(good());
  const s64 diff = call(*run_, func::csum_diff, addr(&to), 4, addr(&from), 4, 0);
  copy_bytes(skb_.data + 16, &from, 4);
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 10, 0, diff, 0), 0);
  EXPECT_TRUE(good());
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 11, 0, 0, 0), -EFAULT);
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 10, 0, 0, 3), -EINVAL);
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 10, 1, 0, 0), -EINVAL);
  EXPECT_EQ(call(*run_, func::l3_csum_replace, 0, 60, 0, 0, 2), -EFAULT);
  EXPECT_EQ(call(*run_, func::csum_diff, addr(&to), 3, addr(&from), 4, 0), -EINVAL);
  EXPECT_EQ(call(*run_, func::csum_update, 0, 1), -524) << "no sum is kept";
}

TEST_F(Skb, PullDataAndTheHash) {
  EXPECT_EQ(call(*run_, func::skb_pull_data, 0, 60), 0);
  EXPECT_EQ(reinterpret_cast<BpfSkbDataEnd*>(skb_.cb)->data_end, skb_.data + 60);
  EXPECT_EQ(call(*run_, func::skb_pull_data, 0, 0), 0);
  EXPECT_EQ(call(*run_, func::skb_pull_data, 0, 61), -ENOMEM);
  const s64 hash = call(*run_, func::get_hash_recalc, 0);
  EXPECT_NE(hash, 0);
  EXPECT_EQ(call(*run_, func::get_hash_recalc, 0), hash);
  EXPECT_EQ(call(*run_, func::set_hash, 0, 9), 0);
  EXPECT_EQ(call(*run_, func::get_hash_recalc, 0), 9);
  EXPECT_EQ(call(*run_, func::set_hash_invalid, 0), 0);
  EXPECT_EQ(call(*run_, func::get_hash_recalc, 0), hash);
}

TEST_F(Skb, OnlyThePacketIsInReach) {
  EXPECT_TRUE(run_may_write(*run_, addr(skb_.data), LEN));
  EXPECT_FALSE(run_may_read(*run_, addr(skb_.data) - 1, 1));
  EXPECT_FALSE(run_may_read(*run_, addr(skb_.data), LEN + 1));
}

class Xdp : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    prepare({exit_()}, BPF_PROG_TYPE_XDP);
    xdp_.data_hard_start = page_;
    xdp_.frame_sz = sizeof page_;
    xdp_.data = xdp_.data_meta = page_ + 256;
    xdp_.data_end = xdp_.data + 64;
    xdp_.frags = frags_;
    for (u32 i = 0; i < 64; ++i) xdp_.data[i] = static_cast<u8>(i);
    run_->ctx = reinterpret_cast<u8*>(&xdp_);
    run_->ctx_size = sizeof xdp_;
    run_->packet = PacketKind::Xdp;
  }
  void set_frags(u32 size) {
    xdp_.flags |= XDP_FLAGS_HAS_FRAGS;
    xdp_shared_info(xdp_).xdp_frags_size = size;
    xdp_shared_info(xdp_).nr_frags = static_cast<u8>((size + 4095) / 4096);
    for (u32 i = 0; i < size; ++i) frags_[i] = static_cast<u8>(100 + i);
  }
  alignas(8) u8 page_[4096] = {};
  u8 frags_[3 * 4096] = {};
  PacketXdp xdp_{};
};

TEST_F(Xdp, HeadAndMetadata) {
  EXPECT_EQ(call(*run_, func::xdp_adjust_meta, 0, -8), 0);
  xdp_.data_meta[0] = 0xaa;
  EXPECT_EQ(call(*run_, func::xdp_adjust_meta, 0, -6), -EACCES) << "not a multiple of four";
  EXPECT_EQ(call(*run_, func::xdp_adjust_meta, 0, 12), -EINVAL);
  EXPECT_EQ(call(*run_, func::xdp_adjust_head, 0, -20), 0);
  EXPECT_EQ(xdp_.data, page_ + 236);
  EXPECT_EQ(xdp_.data_meta, page_ + 228);
  EXPECT_EQ(xdp_.data_meta[0], 0xaa) << "moves along";
  EXPECT_EQ(call(*run_, func::xdp_adjust_head, 0, -(236 - 8 - 40) - 1), -EINVAL);
  EXPECT_EQ(call(*run_, func::xdp_adjust_head, 0, -(236 - 8 - 40)), 0);
  EXPECT_EQ(call(*run_, func::xdp_adjust_head, 0, (256 + 64 - 14) - 48 + 1), -EINVAL);
  EXPECT_EQ(call(*run_, func::xdp_adjust_head, 0, (256 + 64 - 14) - 48), 0);
}

TEST_F(Xdp, Tail) {
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, -50), 0);
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, -1), -EINVAL) << "an Ethernet header stays";
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, 50), 0);
  EXPECT_EQ(xdp_.data[14], 0) << "what was cut does not come back";
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, 4096 - 320 - 256 - 64 + 1), -EINVAL);
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, 4096 - 320 - 256 - 64), 0);
}

TEST_F(Xdp, Frags) {
  set_frags(4096 + 100);
  EXPECT_EQ(call(*run_, func::xdp_get_buff_len, 0), 64 + 4096 + 100);
  u8 out[16];
  EXPECT_EQ(call(*run_, func::xdp_load_bytes, 0, 60, addr(out), 8), 0) << "across the edge";
  EXPECT_EQ(out[3], 63);
  EXPECT_EQ(out[4], 100);
  EXPECT_EQ(call(*run_, func::xdp_load_bytes, 0, 4260 - 7, addr(out), 8), -EINVAL);
  EXPECT_EQ(call(*run_, func::xdp_load_bytes, 0, 0x10000, addr(out), 8), -EFAULT);
  out[4] = 1;
  EXPECT_EQ(call(*run_, func::xdp_store_bytes, 0, 60, addr(out), 8), 0);
  EXPECT_EQ(frags_[0], 1);
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, 4096 - 100 + 1), -EINVAL) << "the last page's room";
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, 50), 0);
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, -151), 0);
  EXPECT_EQ(xdp_shared_info(xdp_).nr_frags, 1) << "an empty page goes";
  EXPECT_EQ(call(*run_, func::xdp_adjust_tail, 0, -4095 - 10), 0);
  EXPECT_FALSE(xdp_has_frags(xdp_));
  EXPECT_EQ(xdp_.data_end - xdp_.data, 54);
}

}  // namespace
}  // namespace skep::test
