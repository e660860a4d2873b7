#include "objects/objects.h"

#include <algorithm>

#include "kbtf/kernel_btf.h"
#include "maps/object_maps.h"
#include "objects/attach.h"
#include "objects/map_elems.h"

namespace skep {

void Doctor::note(std::string text) {
  if (text.size() > MAX_LENGTH) text.resize(MAX_LENGTH);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (lines_.size() < MAX_LINES || lines_.contains(text)) ++lines_[std::move(text)];
}

void Refusals::add(std::string text, std::string json) {
  Entry entry{std::move(text), std::move(json), ++count_, 1};
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->text != entry.text) continue;
    entry.times += it->times;
    entries_.erase(it);
    break;
  }
  entries_.push_back(std::move(entry));
  if (entries_.size() <= MAX) return;
  forgotten_ = entries_.front().serial;
  entries_.pop_front();
}

BtfObject::~BtfObject() {
  if (kernel != nullptr && id != 0) kernel->btfs.remove(id);
}

Map::~Map() {
  if (kernel == nullptr) return;
  if (id != 0) kernel->maps.remove(id);
  if (desc == nullptr) return;
  WindowHost& w = kernel->window();
  // No program that uses the map can start any more (they hold it); a run that still ends somewhere is waited for.
  MapDesc* d = desc;
  w.forget_map(d);
  clear_inner_maps(*this);
  w.defer([&w, d] {
    if (d->fields != nullptr) w.rom_free(const_cast<MapFields*>(d->fields), sizeof *d->fields);
    if (const u64 bytes = object_map_rom_bytes(*d); bytes != 0) w.rom_free(d->elems != nullptr ? d->elems : d->buckets, bytes);
    if (d->perf_events != nullptr) w.rom_free(d->perf_events, d->max_entries * sizeof(RingDesc*));
    if (d->ring != nullptr) w.ring_unregister(d->ring);
    w.ram_free(d->ram, d->ram_bytes);
    w.rom_free(d, sizeof *d);
  });
}

Prog::~Prog() {
  if (kernel == nullptr) return;
  if (id != 0) kernel->progs.remove(id);
  WindowHost& w = kernel->window();
  w.defer([&w, i = image, bytes = image_bytes, s = stats, held = std::move(maps)] {
    if (i != nullptr && i->code != 0) w.code_withdraw(i->code);
    w.rom_free(i, bytes);
    w.stats_free(s);
  });
}

MapUser::MapUser(const ObjectRef& object) : map_(object_as<Map>(object)) {
  if (map_ != nullptr) ++map_->users;
}

MapUser::~MapUser() {
  if (map_ != nullptr && --map_->users == 0) clear_progs(*map_);
}

PerfEvent::~PerfEvent() {
  if (kernel == nullptr) return;
  detach_owner(*kernel, this);
  WindowHost& w = kernel->window();
  if (clock != nullptr) w.defer([&w, c = clock] { w.rom_free(c, sizeof *c); });
  if (ring == nullptr) return;
  w.defer([&w, r = ring, ram = ring_ram, pages = ring_pages] {
    if (ram != nullptr) w.ram_free(ram, (1 + u64{pages}) * PAGE_SIZE);
    w.ring_unregister(r);
  });
}

Link::~Link() {
  if (kernel == nullptr) return;
  if (id != 0) kernel->links.remove(id);
  if (event != nullptr && prog != nullptr) detach_owner(*kernel, event.get());
  detach_owner(*kernel, this);
}

Kernel::Kernel(std::unique_ptr<WindowHost> window) : window_(std::move(window)) {
  if (!window_->has_code()) doctor.note("this system maps no executable memory for skep: programs are interpreted");
  Result<std::unique_ptr<Btf>> btf = load_kernel_btf();
  if (!btf.ok()) return;
  vmlinux_object_ = std::make_shared<BtfObject>();
  vmlinux_object_->kernel = this;
  vmlinux_object_->btf = std::move(*btf);
  vmlinux_object_->id = btfs.add(vmlinux_object_);
  vmlinux = vmlinux_object_->btf.get();
}

KernelTypes Kernel::kernel_types() const { return {vmlinux, kernel_structs_with_dtor()}; }

Kernel::~Kernel() {
  files.clear();
  attachments.clear();
}

std::shared_ptr<File> Kernel::make_file(ObjectRef object, u32 mode) {
  auto f = std::make_shared<File>();
  f->serial = ++file_serial_;
  f->object = std::move(object);
  f->user = MapUser(f->object);
  f->mode = mode;
  return f;
}

void Kernel::file_released(u64 ino) {
  const auto it = files.find(ino);
  if (it == files.end()) return;
  const std::shared_ptr<File> file = it->second;
  files.erase(it);
  const std::shared_ptr<Map> map = object_as<Map>(file->object);
  if (map == nullptr || (map->map_flags & BPF_F_PRESERVE_ELEMS) != 0) return;
  // Linux: arraymap.c:perf_event_fd_array_release()
  std::erase_if(map->perf_slots, [&](const auto& slot) {
    if (slot.second.via_file != file->serial) return false;
    store_release(&map->desc->perf_events[slot.first], nullptr);
    return true;
  });
}

}  // namespace skep
