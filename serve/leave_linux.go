package serve

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// peerLeft says whether the other side of fd has closed, at least for writing, or is lost.
func peerLeft(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// tuneTCP makes the kernel give up on a peer that acknowledges nothing for timeout: one that lost its power
// sends no FIN, and poll would never tell.
func tuneTCP(c net.Conn, timeout time.Duration) {
	raw := rawConn(c)
	if raw == nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
}
