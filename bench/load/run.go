package load

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// Run puts every load on every server and returns the report. Within a round and a level
// the servers take turns, and begin at another one each round.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	clients := make([]*client, len(o.Servers))
	for i := range o.Servers {
		clients[i] = o.newClient(&o.Servers[i])
		defer clients[i].close()
		if err := clients[i].connect(ctx); err != nil {
			return nil, err
		}
	}
	r := &Report{Date: time.Now().UTC().Truncate(time.Second), Command: strings.Join(o.Command, " "), Version: o.Version,
		Machine: describeMachine(), Load: o.what(), Servers: o.Servers}
	perToken := wordsPerToken
	if o.Text {
		var known bool
		if perToken, known = calibrate(ctx, &o, clients); !known {
			r.Notes = append(r.Notes, fmt.Sprintf("no server has /tokenize: a token is taken for %g words", perToken))
		}
	}
	levels := o.levels()
	told := newProgress(o.Log, o.Rounds*len(levels)*len(clients))
	defer told.end()
	for _, c := range clients {
		told.begin("warming up "+c.server.Name, 0, nothing)
		if err := o.warm(ctx, c, perToken, told); err != nil {
			return nil, err
		}
	}
	rows := make([]Row, len(levels)*len(clients))
	for round := range o.Rounds {
		for l, level := range levels {
			for turn := range clients {
				i := (turn + round) % len(clients)
				row := &rows[l*len(clients)+i]
				row.Server, row.Level, row.Concurrency, row.Rate = o.Servers[i].Name, level.String(), level.concurrency, level.rate
				what := fmt.Sprintf("%s, %s", row.Server, level)
				if o.Rounds > 1 {
					what = fmt.Sprintf("round %d of %d, %s", round+1, o.Rounds, what)
				}
				told.begin(what, (round*len(levels)+l)*len(clients)+turn, o.part(time.Now()))
				one, err := o.measure(ctx, &drive{client: clients[i], plan: o.newPlan(round, l, level, perToken), level: level, told: told})
				if err != nil {
					return nil, err
				}
				row.Rounds = append(row.Rounds, one)
			}
		}
	}
	r.finish(rows)
	return r, nil
}

// part returns how much of a measurement, begun at start, is done. Where requests end
// together, their tokens tell sooner.
func (o *Options) part(start time.Time) func(requests, tokens int64) float64 {
	return func(requests, tokens int64) float64 {
		if o.Duration > 0 {
			return float64(time.Since(start)) / float64(o.Duration)
		}
		return max(float64(requests), float64(tokens)/o.Output.mean()) / float64(o.Requests)
	}
}

// warm sends requests that are not measured, and says what fails before much time is spent.
func (o *Options) warm(ctx context.Context, c *client, perToken float64, told *progress) error {
	if o.Warmup == 0 {
		return nil
	}
	warm := *o
	warm.Requests, warm.Duration = o.Warmup, 0
	l := level{concurrency: o.Warmup}
	d := &drive{client: c, plan: warm.newPlan(-1, -1, l, perToken), level: l, told: told}
	for _, s := range d.run(ctx) {
		if !s.ok() {
			return fmt.Errorf("%s: the first requests, to warm up: %s: %s", c.server.Name, s.Error, s.Detail)
		}
	}
	return ctx.Err()
}

// measure runs d beside watches on both processes.
func (o *Options) measure(ctx context.Context, d *drive) (r Round, err error) {
	stop := func() Process { return Process{} }
	if pid := d.client.server.PID; pid > 0 {
		if stop, err = watch(pid); err != nil {
			return r, fmt.Errorf("%s: its process: %w: name one of this machine by --pid, which has to be Linux", d.client.server.Name, err)
		}
	}
	d.client.close() // connections of a round ago, which the server may be closing
	before := ownCPU()
	r.Samples = d.run(ctx)
	r.Process, r.OwnCPU = stop(), ownCPU()-before
	r.Summary = summarize(r.Samples)
	return r, ctx.Err()
}

// ownCPU is the processor time that this process has taken; 0 where /proc does not tell.
func ownCPU() float64 {
	p, _ := readProcess(os.Getpid())
	return p.CPU
}
