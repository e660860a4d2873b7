// What the program and its loader agree on: the values of the map `config` and the records of the ring buffer `output`.
#pragma once
#include <linux/types.h>

#define COMMAND_SIZE 16
#define MESSAGE_SIZE 12  // a message may fill it, and has no closing NUL then

struct user_msg_t {
  char message[MESSAGE_SIZE];
};

struct data_t {
  __u32 pid;
  __u32 uid;
  char command[COMMAND_SIZE];
  char message[MESSAGE_SIZE];
};
