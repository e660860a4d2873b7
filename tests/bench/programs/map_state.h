// What the map programs and their client both know. Included by C for BPF and by C++.
#pragma once

#define OPS_A_RUN 64         ///< operations in one run of a map program
#define NEW_KEYS (1u << 21)  ///< keys from this index on are never there from the start

/// One a thread: each has its cache lines.
struct thread_state {
  unsigned long long rng;   ///< never 0
  unsigned long long next;  ///< fill: the index to insert next
  unsigned long long sum;   ///< of all values that lookups found
  unsigned long long hits;
  unsigned long long errors;  ///< updates and deletes that answered neither 0 nor -EBUSY
  unsigned long long busy;    ///< -EBUSY: who held the lock did not run
  unsigned long long pad[10];
};

struct map_work {
  unsigned long long present;  ///< keys of indices below are there
  unsigned long long pad[15];
  struct thread_state thread[2];
};
