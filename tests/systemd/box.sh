#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A machine in a box: a real systemd as process 1 of namespaces of its own, over a copy-on-write view of this machine.
#
#   box.sh FOLDER      prints the process id of the box's systemd; the box lasts until standard input is closed
#
# Whatever happens in the box is gone with it, also if whoever started it was killed. FOLDER is empty and is again
# afterwards. Nothing of this machine is changed, which takes some care:
# - the whole of / is an overlay: systemd's tmpfiles would clean the real /tmp;
# - /proc/sys is read-only: systemd-sysctl would change the real kernel's settings;
# - a control group for the box: systemd takes over the one it is started in, and all below it.
set -eu

inside() {
  local root=$1/root
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$1"
  mkdir "$1"/{up,work,root}
  mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$root"
  cd "$root"
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/pts dev/shm
  for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "dev/${stream#*:}"; done
  # Only what the distribution itself always starts: none of the services that this machine happens to have.
  rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires etc/rc?.d/S*
  # Where this is there, package scripts neither start nor stop a service.
  rm -f usr/sbin/policy-rc.d
  head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' > etc/machine-id
  echo render-node > etc/hostname
  ip link set lo up
  mkdir old
  pivot_root . old
  umount -l /old
  rmdir /old
  # Told that this is a container, systemd leaves clocks, kernel modules and the like alone.
  exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no </dev/null >&2
}

if [[ $1 == inside ]]; then
  inside "$2"
fi

folder=$1
group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/flamenco-box-$$
mkdir "$group"
gone() {
  kill -9 "$keeper" 2>/dev/null || true
  wait "$keeper" 2>/dev/null || true
  until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; [[ ! -d $group ]]; do sleep 0.02; done
}
trap gone EXIT
(
  echo "$BASHPID" >"$group/cgroup.procs"
  exec unshare --fork --kill-child --pid --mount --cgroup --uts --ipc --net bash "$0" inside "$folder" </dev/null >&2
) &
keeper=$!
while kill -0 "$keeper"; do
  read -r init _ <"/proc/$keeper/task/$keeper/children" || true
  # Before, it is the script above.
  if [[ -n ${init-} && $(cat "/proc/$init/comm") == systemd ]]; then
    echo "$init"
    read -r _ || true
    exit
  fi
  sleep 0.02
done
