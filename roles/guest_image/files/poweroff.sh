#!/bin/sh
# What the kernel runs when the host asks for a clean shutdown.
sync
exec busybox poweroff -f
