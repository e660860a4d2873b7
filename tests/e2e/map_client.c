/* map_client COMMAND: a client that works on a map's elements, by libbpf's functions or libc's syscall().
 *
 *   batch     libbpf's four batch functions on a hash and on an array
 *   outlive   makes a map, uses it and prints "ready"; for each line it reads: one of each element command, then their errnos
 *   last      as outlive, but first makes a map on each line: what needs the host
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1000 };

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void expect(int good, const char *what) {
  if (!good) fail(what);
}

static void batch_of(enum bpf_map_type type) {
  static __u32 keys[N], seen[N], token;
  static __u64 values[N], got[N];
  static char met[N];
  const int map = bpf_map_create(type, "batch", sizeof keys[0], sizeof values[0], N, NULL);
  LIBBPF_OPTS(bpf_map_batch_opts, opts);
  __u32 count = N, total = 0, i;
  expect(map >= 0, "bpf_map_create");
  for (i = 0; i < N; i++) keys[i] = i, values[i] = 3 * i + 1, met[i] = 0;
  expect(bpf_map_update_batch(map, keys, values, &count, &opts) == 0 && count == N, "bpf_map_update_batch");
  for (int first = 1, done = 0; !done; first = 0) {
    count = 64;
    if (bpf_map_lookup_batch(map, first ? NULL : &token, &token, seen, got, &count, &opts) != 0) {
      expect(errno == ENOENT, "bpf_map_lookup_batch");
      done = 1;
    }
    for (i = 0; i < count; i++, total++) {
      expect(seen[i] < N && !met[seen[i]] && got[i] == 3 * (__u64)seen[i] + 1, "an element");
      met[seen[i]] = 1;
    }
  }
  expect(total == N, "all elements");
  if (type == BPF_MAP_TYPE_ARRAY) return;
  count = N / 2;
  expect(bpf_map_delete_batch(map, keys, &count, &opts) == 0 && count == N / 2, "bpf_map_delete_batch");
  count = N;
  expect(bpf_map_lookup_and_delete_batch(map, NULL, &token, seen, got, &count, &opts) != 0 && errno == ENOENT && count == N / 2,
         "bpf_map_lookup_and_delete_batch");
  expect(bpf_map_get_next_key(map, NULL, keys) != 0 && errno == ENOENT, "nothing left");
}

static const char *name_of(int rc) { return rc == 0 ? "ok" : strerrorname_np(errno); }

static void serve_lines(int makes_maps) {
  const int map = bpf_map_create(BPF_MAP_TYPE_HASH, "elems", 4, 8, 16, NULL);
  __u32 key = 1, next;
  __u64 value = 5;
  char line[64];
  expect(map >= 0 && bpf_map_update_elem(map, &key, &value, BPF_ANY) == 0 && bpf_map_lookup_elem(map, &key, &value) == 0, "a map");
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (makes_maps) printf("create %s ", name_of(bpf_map_create(BPF_MAP_TYPE_HASH, "more", 4, 8, 16, NULL) < 0));
    printf("update %s ", name_of(bpf_map_update_elem(map, &key, &value, BPF_ANY)));
    printf("lookup %s ", name_of(bpf_map_lookup_elem(map, &key, &value)));
    printf("next %s ", name_of(bpf_map_get_next_key(map, NULL, &next)));
    printf("delete %s\n", name_of(bpf_map_delete_elem(map, &key)));
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
  if (argc == 2 && strcmp(argv[1], "batch") == 0) {
    batch_of(BPF_MAP_TYPE_HASH);
    batch_of(BPF_MAP_TYPE_ARRAY);
  } else if (argc == 2 && (strcmp(argv[1], "outlive") == 0 || strcmp(argv[1], "last") == 0)) {
    serve_lines(argv[1][0] == 'l');
  } else {
    fprintf(stderr, "map_client batch | outlive | last\n");
    return 2;
  }
  return 0;
}
