#!/bin/busybox sh
# The init of the virtual board: it starts lockgate as a device at once, before there is a network, a host name or a right
# clock, and then runs the lines that come over the serial line (tests/board/machine.rs). tests/board/make.sh puts it into the
# initramfs.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs devices /dev
mount -t sysfs system /sys
for module in $(cat /modules/order); do
    insmod "/modules/$module"
done
# Without this, the kernel holds back 8 MiB and more once its memory is fragmented, which is too much of 64.
echo 0 >/proc/sys/vm/watermark_boost_factor
# What the kernel leaves for programs.
awk '/^MemTotal|^MemAvailable/ { print "board: kernel " $1 " " $2 " KiB" }' /proc/meminfo
mount -t ext4 /dev/vda /state || echo 'board: the state is not mounted'
mount -o remount,ro /
exec </dev/console >/dev/console 2>&1
stty -echo

# Starts lockgate; further arguments are for it.
device() {
    RUST_LOG=info,lockgate::access=off lockgate serve --config /etc/lockgate.toml "$@" >/dev/console 2>&1 &
}

# Ends lockgate, and waits for its end.
no_device() {
    kill "$(pidof lockgate)"
    while pidof lockgate >/dev/null; do sleep 0.1; done
}

network() {
    ifconfig lo 127.0.0.1 up && ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
}

echo "board: lockgate starts $(cut -d ' ' -f 1 /proc/uptime) s after the kernel"
device
echo 'board: ready'
while read -r line; do
    eval "$line"
done
