package load

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// drive sends the plan's requests to one server and returns what came of each, in the
// order of their starts, all times from epoch. It returns when the last has ended.
type drive struct {
	client *client
	plan   *plan
	level  level
	told   *progress

	mu      sync.Mutex
	samples []Sample
}

func (d *drive) run(ctx context.Context) []Sample {
	epoch := time.Now()
	if d.level.rate > 0 {
		d.open(ctx, epoch)
	} else {
		d.closed(ctx, epoch)
	}
	slices.SortStableFunc(d.samples, func(a, b Sample) int { return cmp.Compare(a.Start, b.Start) })
	return d.samples
}

// pause is what a client waits after a failure in a closed loop: nobody who is refused
// comes back within the same millisecond.
const pause = 100 * time.Millisecond

// closed keeps as many requests under way as the level says: one that ends makes room for the next.
func (d *drive) closed(ctx context.Context, epoch time.Time) {
	var wait sync.WaitGroup
	for range d.level.concurrency {
		wait.Go(func() {
			for ctx.Err() == nil {
				d.mu.Lock()
				r, ok := d.plan.next()
				d.mu.Unlock()
				if !ok || d.over(time.Since(epoch)) {
					return
				}
				if !d.send(ctx, &r, epoch) {
					sleep(ctx, pause)
				}
			}
		})
	}
	wait.Wait()
}

// open sends every request when it is due, however many are under way.
func (d *drive) open(ctx context.Context, epoch time.Time) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		r, ok := d.plan.next()
		if !ok || d.over(r.due) {
			return
		}
		if sleep(ctx, r.due-time.Since(epoch)); ctx.Err() != nil {
			return
		}
		wait.Go(func() { d.send(ctx, &r, epoch) })
	}
}

// over reports whether no more requests begin.
func (d *drive) over(at time.Duration) bool {
	return d.client.o.Duration > 0 && at >= d.client.o.Duration
}

// send reports whether the request was answered.
func (d *drive) send(ctx context.Context, r *request, epoch time.Time) bool {
	s := d.client.complete(ctx, r, epoch, d.told.token)
	if ctx.Err() != nil {
		return false // what an interrupt cut off says nothing
	}
	d.told.request()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.samples = append(d.samples, s)
	return s.ok()
}

// sleep returns after t, or when ctx ends.
func sleep(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
