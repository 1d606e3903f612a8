package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// errLeft is why the context of a request is cancelled whose client is gone.
var errLeft = errors.New("the client left")

// leavePoll is how often the connections of requests under way are looked at.
const leavePoll = 40 * time.Millisecond

// leaveWatcher cancels requests whose clients close their connection, or half of it: nothing in fasthttp
// reads from a connection while its request is being answered. The zero value is ready.
type leaveWatcher struct {
	mu    sync.Mutex
	conns map[*watched]struct{} // the goroutine runs while there are any
}

type watched struct {
	raw    syscall.RawConn
	cancel context.CancelCauseFunc
}

// watch calls cancel with errLeft soon after the peer of c closes; stop ends that. On connections that
// have no socket it does nothing.
func (w *leaveWatcher) watch(c net.Conn, cancel context.CancelCauseFunc) (stop func()) {
	raw := rawConn(c)
	if raw == nil {
		return func() {}
	}
	one := &watched{raw, cancel}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = map[*watched]struct{}{}
		go w.run()
	}
	w.conns[one] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, one)
	}
}

func (w *leaveWatcher) run() {
	tick := time.NewTicker(leavePoll)
	defer tick.Stop()
	for range tick.C {
		if !w.poll() {
			return
		}
	}
}

// poll looks at every connection once, and says whether there are any.
func (w *leaveWatcher) poll() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		w.conns = nil
		return false
	}
	for one := range w.conns {
		gone := false
		if err := one.raw.Control(func(fd uintptr) { gone = peerLeft(int(fd)) }); err != nil || gone {
			one.cancel(errLeft)
			delete(w.conns, one)
		}
	}
	return true
}

// rawConn returns the socket below c, through TLS and our own wrapping, or nil.
func rawConn(c net.Conn) syscall.RawConn {
	for {
		switch under := c.(type) {
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		case syscall.Conn:
			raw, err := under.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		default:
			return nil
		}
	}
}
