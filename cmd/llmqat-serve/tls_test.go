package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a certificate of its own making, dated by when, and its key.
func pair(t *testing.T, cert, key, name string, when time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// A key may be older than its certificate, and come after it.
func TestCertificateBeforeItsKey(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	now := time.Now()
	pair(t, file("cert"), file("key"), "first", now)
	pair(t, file("new cert"), file("new key"), "second", now.Add(time.Hour))
	older := now.Add(time.Minute)
	if err := os.Chtimes(file("new key"), older, older); err != nil {
		t.Fatal(err)
	}
	c := &certificate{certFile: file("cert"), keyFile: file("key")}
	for _, step := range []struct{ move, want string }{{"", "first"}, {"cert", "first"}, {"key", "second"}} {
		if step.move != "" {
			if err := os.Rename(file("new "+step.move), file(step.move)); err != nil {
				t.Fatal(err)
			}
		}
		c.looked = time.Time{}
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if name := got.Leaf.Subject.CommonName; name != step.want {
			t.Fatalf("after %q: %s, want %s", step.move, name, step.want)
		}
	}
}

// The server speaks TLS, and takes a renewed certificate while it runs; half of one changes nothing.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	now := time.Now()
	pair(t, cert, key, "first", now)
	p := start(t, "--device cpu --tls-cert "+cert+" --tls-key "+key)
	if logs := p.until(t, "ready"); !strings.HasPrefix(p.url, "https://") {
		t.Fatalf("listens at %s:\n%s", p.url, logs)
	}
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	becomes := func(name string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); shown() != name; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still shows %q, want %q", shown(), name)
			}
		}
	}
	if got := shown(); got != "first" {
		t.Errorf("shows %q", got)
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(3 * certificateCheck); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := shown(); got != "first" {
			t.Fatalf("shows %q with half a pair", got)
		}
	}
	pair(t, cert, key, "second", now.Add(time.Minute))
	becomes("second")

	if _, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("takes TLS 1.1")
	}
	if err := healthcheck(p.url + "/health"); err != nil {
		t.Error(err)
	}
	if err := healthcheck(p.url + "/nowhere"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a path that is not there: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(p.url + "/v1/models")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
	resp.Body.Close()
}
