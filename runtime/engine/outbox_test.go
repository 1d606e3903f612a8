package engine

import "testing"

// A reader that comes late gets everything, in order; one that never comes keeps nothing
// running (TestMain looks).
func TestOutbox(t *testing.T) {
	for _, n := range []int{0, 1, roomEvents, roomEvents + 1, 10 * roomEvents} {
		o := newOutbox(1 << 30)
		for i := range n {
			o.send(Event{Cached: i})
			if i == 2*roomEvents { // it reads some of them
				for j := range roomEvents / 2 {
					if e := <-o.events; e.Cached != j {
						t.Fatalf("event %d came as number %d", e.Cached, j)
					}
				}
			}
		}
		o.close(nil)
		next := 0
		if n > 2*roomEvents {
			next = roomEvents / 2
		}
		for e := range o.events {
			if e.Cached != next {
				t.Fatalf("event %d came as number %d", e.Cached, next)
			}
			next++
		}
		if next != n {
			t.Errorf("%d of %d events came", next, n)
		}
	}

	o := newOutbox(1 << 30)
	for range 2 * roomEvents {
		o.send(Event{})
	}
	gone := make(chan struct{})
	o.close(gone)
	close(gone)
}
