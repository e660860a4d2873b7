# shellcheck shell=bash
# A real Linux 6.12 in a box: Debian's cloud kernel under qemu's own emulation (no KVM, no root file system, no network), with an
# initramfs that holds only what was copied into it, at the paths it has outside. Sourced by the scripts beside this directory.
#
#   box_need_tools                what is missing is installed by apt if we are root, and named if not
#   box_kernel DIR                fetches the kernel into DIR unless it is there; sets BOX_KERNEL to its image
#   box_root ROOT                 an empty root with busybox, users and the guest's /init
#   box_add ROOT FILE...          copies files or directories to the same paths in ROOT, and the shared libraries they need
#   box_boot ROOT WORK SECONDS    boots; console on stdout, and what the guest wrote to fd 3 in WORK/results

box_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

box_need_tools() {
  local missing=()
  command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
  command -v cpio >/dev/null || missing+=(cpio)
  box_busybox >/dev/null || missing+=(busybox-static)
  [[ ${#missing[@]} -eq 0 ]] && return
  if [[ $EUID -ne 0 ]]; then
    echo "missing: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}" >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# The guest has no loader for a dynamic busybox before /init runs.
box_busybox() {
  local path
  path=$(command -v busybox) && ! ldd "$path" >/dev/null 2>&1 && echo "$path"
}

box_kernel() {
  local dir=$1 package
  mkdir -p "$dir"
  BOX_KERNEL=$(find "$dir/" -name 'vmlinuz-6.12*' | sort -V | tail -n 1)
  [[ -n $BOX_KERNEL ]] && return
  package=$(apt-cache pkgnames linux-image-6.12. | grep -E '^linux-image-6\.12\.[0-9]+\+[a-z0-9]+-cloud-amd64$' | sort -V | tail -n 1) || true
  if [[ -z $package ]]; then
    echo "apt knows no linux-image-6.12.*-cloud-amd64 (apt-get update?)" >&2
    return 1
  fi
  echo "fetching $package" >&2
  (cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb)
  rm -rf "${dir:?}/lib" "${dir:?}/usr" # modules and documents: nothing here loads them
  BOX_KERNEL=$(find "$dir/" -name 'vmlinuz-6.12*' | sort -V | tail -n 1)
  [[ -n $BOX_KERNEL ]] || echo "no vmlinuz-6.12* in $dir" >&2
  [[ -n $BOX_KERNEL ]]
}

box_root() {
  local root=$1 dir
  rm -rf "$root"
  mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},proc,sys,dev,etc,guest,root,run}
  mkdir -m 1777 "$root/tmp"
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
  cp "$(box_busybox)" "$root/bin/busybox"
  install -m 755 "$box_lib/linux-box-init.sh" "$root/init"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh user501:x:501:501::/tmp:/bin/sh user502:x:502:502::/tmp:/bin/sh >"$root/etc/passwd"
  printf '%s\n' root:x:0: user501:x:501: user502:x:502: >"$root/etc/group"
}

box_add() {
  local root=$1 path file library
  shift
  for path in "$@"; do
    path=$(realpath -s "$path")
    while IFS= read -r file; do
      box_copy "$root" "$file"
      [[ -x $file ]] || continue
      while IFS= read -r library; do box_copy "$root" "$library"; done < <(ldd "$file" 2>/dev/null | grep -o '/[^ ]*')
    done < <(find -H "$path" -type f -not -path '*/CMakeFiles/*')
  done
}

box_copy() {
  local to=$1$2
  [[ -e $to ]] && return
  mkdir -p "$(dirname "$to")"
  cp -L "$2" "$to"
  # Debugging information is most of a test's size, and all of the image is memory of the guest. BPF objects keep theirs: BTF.
  if [[ -x $2 ]]; then strip --strip-debug "$to" 2>/dev/null || true; fi
}

box_boot() {
  local root=$1 work=$2 seconds=$3
  (cd "$root" && find . -print0 | cpio --quiet --null -o -H newc -R 0:0) >"$work/initramfs"
  : >"$work/results"
  timeout --foreground "$seconds" qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1G -no-reboot \
    -display none -vga none -nic none -monitor none -serial stdio \
    -chardev "file,id=results,path=$work/results" -device virtio-serial-pci -device virtserialport,chardev=results \
    -kernel "$BOX_KERNEL" -initrd "$work/initramfs" -append "console=ttyS0 quiet loglevel=4 panic=-1" </dev/null | tr -d '\r'
}
