package load

import (
	"bytes"
	"testing"
	"time"
)

// Half of the second of four measurements is three eighths of all; the rest takes as long again as its share.
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var b bytes.Buffer
		p := newProgress(&b, 4)
		o := Options{Requests: 10, Output: fixed(4)}
		p.begin("first", 0, o.part(time.Now()))
		p.request()
		p.token()
		time.Sleep(20 * time.Second)
		p.begin("second", 1, o.part(time.Now()))
		for range 5 {
			p.request()
			p.token()
			p.token()
		}
		time.Sleep(10 * time.Second)
		if got, want := p.text(time.Now()), "second: 5 requests, 1.0 tokens/s; 38 %, 50s left"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		for range 18 { // with the 10 before these are 28 of 40 tokens
			p.token()
		}
		if got, want := p.text(time.Now()), "second: 5 requests, 2.8 tokens/s; 42 %, 41s left"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		p.begin("third", 4, func(int64, int64) float64 { return 7 })
		if got, want := p.text(time.Now()), "third: 0 requests, 0.0 tokens/s"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		p.end()
		if n := bytes.Count(b.Bytes(), []byte("\n")); n != 2 && n != 3 { // one each ten seconds
			t.Errorf("told %q", b.String())
		}
	})
}
