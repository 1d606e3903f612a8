package serve

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A peer that vanishes sends nothing: the kernel gives up on it as soon as we would.
func TestVanishedPeersTimeOut(t *testing.T) {
	under, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := newListener(under, 7*time.Second, 10, quiet())
	defer ln.Close()
	client, err := net.Dial("tcp", under.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var ms int
	if cerr := rawConn(c).Control(func(fd uintptr) {
		ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); cerr != nil || err != nil || ms != 7000 {
		t.Errorf("TCP_USER_TIMEOUT is %d ms (%v, %v), want 7000", ms, cerr, err)
	}
}
