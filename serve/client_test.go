package serve

import "testing"

// Who asks is the address, until there is something better.
func TestClientIsTheAddress(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{})
	s.complete(goodBody)
	if got := s.fake.last(t).Client; got != "127.0.0.1" {
		t.Errorf("client %q", got)
	}
}
