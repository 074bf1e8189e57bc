#!/bin/sh
# enter.sh run|boot BASE CHANGES [COMMAND...], in a mount and a process namespace of its own (unshare).
# Mounts BASE with what differs from it in CHANGES (overlayfs), and runs a command in it, or systemd.
# All mounts end with the namespace.
set -e
mode=$1 base=$2 changes=$3
shift 3
mount --make-rprivate /
root=$changes/root
mount -t overlay overlay -o "lowerdir=$base,upperdir=$changes/upper,workdir=$changes/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

# A /dev as udev has it: the TUN device is for everybody, and the kernel asks for CAP_NET_ADMIN.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t devpts devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
    name=${device%%:*} numbers=${device#*:}
    mknod -m 666 "$root/dev/$name" c "${numbers%:*}" "${numbers#*:}"
done

if [ "$mode" = boot ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    cd "$root"
    mkdir -p run/before
    pivot_root . run/before
    umount -l /run/before
    rmdir /run/before
    exec env -i container=other /lib/systemd/systemd --log-target=journal --unit=multi-user.target
fi

# How this host reaches package archives is the root's way, too.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates; do
    [ -e "$file" ] || continue
    if [ -d "$file" ]; then mkdir -p "$root$file"; else mkdir -p "$root${file%/*}" && touch "$root$file"; fi
    mount --bind "$file" "$root$file"
done
exec chroot "$root" "$@"
