package serve

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener is what fasthttp accepts from. It outlives a shortage of file descriptors, and its connections
// carry a deadline for every write.
type listener struct {
	net.Listener
	writeTimeout time.Duration
	maxConns     int64
	open         atomic.Int64 // connections
	log          *slog.Logger
	silent       *silent // of all connections
	close        sync.Once
	closed       chan struct{}
}

// refusing is how many connections beyond the limit get an answer that says so; more are closed at once.
const refusing = 64

func newListener(ln net.Listener, writeTimeout time.Duration, maxConns int, log *slog.Logger) *listener {
	return &listener{Listener: ln, writeTimeout: writeTimeout, maxConns: int64(maxConns), log: log, silent: &silent{}, closed: make(chan struct{})}
}

// Accept waits out errors that pass: fasthttp would stop serving at the first one.
func (l *listener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			if one := l.admit(c); one != nil {
				return one, nil
			}
			continue
		}
		if !passes(err) {
			return nil, err
		}
		l.log.Warn("accept failed, trying again", "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// admit returns c as a connection to be served or refused, or closes it and returns nil.
func (l *listener) admit(c net.Conn) net.Conn {
	n := l.open.Add(1)
	if n > l.maxConns+refusing {
		l.open.Add(-1)
		c.Close()
		return nil
	}
	tuneTCP(c, l.writeTimeout)
	one := &conn{Conn: c, listener: l, writeTimeout: l.writeTimeout, silent: l.silent, excess: n > l.maxConns}
	l.silent.add(one)
	return one
}

// passes says whether err is a shortage of this moment, or the end of one connection only.
func passes(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

const (
	writeStep   = 64 << 10               // bytes that one write deadline is for
	lingerFor   = 500 * time.Millisecond // how long a refused client may go on sending
	lingerBytes = 16 << 20
)

// conn is a connection whose writes each have a deadline, so that a reader that stops cannot keep a
// goroutine, and an answer of any length may take as long as its reader keeps reading.
type conn struct {
	net.Conn
	listener     *listener // nil in tests
	writeTimeout time.Duration
	silent       *silent // until the first byte is read
	heard        bool    // it was
	secure       bool    // below TLS: bytes of a handshake are no request's
	excess       bool    // beyond the limit: the first request is refused
	closed       atomic.Bool
	linger       atomic.Bool // the client may still be sending: take it, or a reset would destroy our last answer
}

// NetConn returns the connection below, as tls.Conn's does.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Write(p []byte) (n int, err error) {
	for {
		step := p[n:min(len(p), n+writeStep)]
		if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(step)
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.secure {
		c.hear()
	}
	return n, err
}

// hear notes that a request has begun.
func (c *conn) hear() {
	if !c.heard {
		c.heard = true
		c.silent.remove(c)
	}
}

// secureListener speaks TLS on the connections of a listener. Handshakes are the workers', and take ReadTimeout at most.
type secureListener struct {
	*listener
	config *tls.Config
}

func (l secureListener) Accept() (net.Conn, error) {
	c, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	one := c.(*conn)
	one.secure = true
	return &secureConn{tls.Server(one, l.config), one}, nil
}

// secureConn is silent up to its first byte behind the handshake.
type secureConn struct {
	*tls.Conn
	under *conn
}

func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.under.hear()
	}
	return n, err
}

// ours returns our part of a connection that fasthttp serves, or nil.
func ours(c net.Conn) *conn {
	if s, ok := c.(*secureConn); ok {
		return s.under
	}
	one, _ := c.(*conn)
	return one
}

func (c *conn) Close() error {
	c.silent.remove(c)
	if !c.closed.Swap(true) && c.listener != nil {
		defer c.listener.open.Add(-1)
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
		buf := make([]byte, 16<<10)
		_ = c.SetReadDeadline(time.Now().Add(lingerFor))
		for left := lingerBytes; left > 0; {
			n, err := c.Conn.Read(buf)
			if left -= n; err != nil {
				break
			}
		}
	}
	return c.Conn.Close()
}

// silent are the connections that have sent nothing yet, as browsers and proxies open them ahead. To fasthttp each
// is a request under way: a drain would wait for its ReadTimeout.
type silent struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (s *silent) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
}

func (s *silent) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// end closes those that are silent still.
func (s *silent) end() {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}
