// objects: pins. A pin is an empty file in the session's private bpffs directory; the inode is the pin, so that rename, hard links and
// unlink by anybody do what they do on Linux, with nobody's help: the host watches each pin's inode and drops its reference when it goes.
// Linux: kernel/bpf/inode.c
#pragma once
#include <string>
#include <unordered_map>

#include "base/unique_fd.h"
#include "objects/objects.h"

namespace skep {

class PinStore {
 public:
  /// `root`: an existing directory that stands for /sys/fs/bpf; empty: no pins (EPERM for all).
  explicit PinStore(std::string root);

  const std::string& root() const { return root_; }
  /// Where `path` (as the caller gave it, made absolute with `cwd`) stands really; empty when it is not on this bpffs.
  std::string real_path(const std::string& path, const std::string& cwd) const;

  /// EEXIST, ENOENT, ENOTDIR, EPERM (a dot in the name, or not on this bpffs), EACCES.
  Status pin(const std::string& real, ObjectRef object, uid_t uid, gid_t gid);
  /// ENOENT, EACCES (a file that is no pin).
  Result<ObjectRef> get(const std::string& real, uid_t uid, gid_t gid, u32 mode);
  /// Drops what was unlinked. Call before serving any request.
  void drain();
  int event_fd() const { return inotify_.get(); }
  std::size_t size() const { return by_watch_.size(); }
  /// For introspection: (path at pin time, object).
  template <typename F>
  void each(F&& f) const {
    for (const auto& [wd, pin] : by_watch_) f(pin.path, pin.object);
  }

 private:
  struct Pin {
    u64 dev, ino;
    std::string path;
    ObjectRef object;
    MapUser user;
  };
  std::string root_;
  UniqueFd inotify_;
  std::unordered_map<int, Pin> by_watch_;
};

/// The process's file-system credentials set to a client's for the life of the guard; nothing when they are the same or cannot be set.
class FsCredentials {
 public:
  FsCredentials(uid_t uid, gid_t gid);
  ~FsCredentials();
  FsCredentials(const FsCredentials&) = delete;
  FsCredentials& operator=(const FsCredentials&) = delete;

 private:
  bool changed_;
};

}  // namespace skep
