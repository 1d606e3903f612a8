//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package serve

import (
	"net"
	"time"
)

// peerLeft cannot tell here: a client that left is noticed when a write to it fails.
func peerLeft(int) bool { return false }

func tuneTCP(net.Conn, time.Duration) {}
