//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package serve

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// peerLeft says whether the other side of fd has closed: whether reading would give the end of the stream. It
// sees nothing behind bytes that were sent before, as by a client that pipelines.
func peerLeft(fd int) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EINTR {
		return false
	}
	return err != nil || n == 0
}

func tuneTCP(net.Conn, time.Duration) {}
