// What the buffer programs and their client both know. Included by C for BPF and by C++.
#pragma once

#define RECORDS_A_RUN 32
#define RING_BYTES (4u << 20)

/// One a thread: each has its cache lines.
struct producer {
  unsigned long long number;  ///< of the next record: as many went in
  unsigned long long lost;
  unsigned long long pad[14];
  unsigned long long record[64];
};

struct buffer_work {
  struct producer producer[2];
};
