package serve

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A handshake that does not go on is ended, and meanwhile others are answered.
func TestSlowHandshake(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{TLS: testTLS(), ReadTimeout: 300 * time.Millisecond})
	var slow []net.Conn
	for _, sent := range []string{"", "\x16\x03\x01", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, sent)
		slow = append(slow, c)
	}
	s.complete(goodBody)
	for i, c := range slow {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("%d: still open", i)
		}
	}
}

// Plain HTTP at a TLS port is no request, and does no harm.
func TestPlainTextAtTLS(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{TLS: testTLS()})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
	if data, err := io.ReadAll(c); isTimeout(err) || strings.Contains(string(data), "200") {
		t.Errorf("%q, %v", data, err)
	}
	s.complete(goodBody)
}

// A client that asks and asks and never reads is cut, with TLS as without.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, secure := range []*tls.Config{nil, testTLS()} {
		s := newTCPSite(t, &fake{}, Options{TLS: secure, WriteTimeout: 200 * time.Millisecond})
		c := s.dial()
		request := strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: t\r\n\r\n", 100)
		for { // until the buffers between are full, and the server gives up
			if _, err := io.WriteString(c, request); err != nil {
				if isTimeout(err) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("tls %v: not cut: %v", secure != nil, err)
				}
				break
			}
		}
		soon(t, "the connection is closed", func() bool { return s.server.http.GetOpenConnectionsCount() == 0 })
		s.complete(goodBody)
	}
}
