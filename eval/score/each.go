package score

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// check wants requests that a scorer of up to most tokens can be asked.
func check(requests []Request, most int) error {
	for i, r := range requests {
		switch n := len(r.Context) + len(r.Continuation); {
		case len(r.Context) == 0:
			return fmt.Errorf("request %d: no context: begin with BOS or EOS where the text is empty", i)
		case len(r.Continuation) == 0:
			return fmt.Errorf("request %d: no token to score", i)
		case n > most:
			return fmt.Errorf("request %d: context of %d tokens and continuation of %d: the model takes %d together: cut the context from the left",
				i, len(r.Context), len(r.Continuation), most)
		}
	}
	return nil
}

// group is requests that are equal, by their indices.
type group []int

// groups sorts requests by the tokens that they are asked with, so that those which begin alike follow each other:
// what they share is in the cache when its turn comes, and may be forgotten after.
func groups(requests []Request) (list []group) {
	order := make([]int, len(requests))
	for i := range order {
		order[i] = i
	}
	with := func(i int) []int32 {
		if requests[i].With != nil {
			return requests[i].With
		}
		return requests[i].Context
	}
	compare := func(a, b int) int {
		return cmp.Or(slices.Compare(with(a), with(b)),
			slices.Compare(requests[a].Context, requests[b].Context), slices.Compare(requests[a].Continuation, requests[b].Continuation))
	}
	slices.SortStableFunc(order, compare)
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && compare(order[from], order[to]) == 0 {
			to++
		}
		list = append(list, order[from:to:to])
		from = to
	}
	return list
}

// each asks for the distinct ones of requests, so many of them at a time by each of so many
// goroutines, and hands what comes of them to done.
func each(ctx context.Context, requests []Request, batch, goroutines int, ask func(context.Context, []Request) ([]Score, error), done func(int, Score) error) error {
	type result struct {
		group group
		score Score
	}
	g, calls := errgroup.WithContext(ctx)
	calls, cancel := context.WithCancel(calls)
	defer cancel()
	g.SetLimit(goroutines)
	results := make(chan result)
	ended := make(chan error, 1)
	go func() {
		for some := range slices.Chunk(groups(requests), batch) {
			if calls.Err() != nil {
				break
			}
			g.Go(func() error {
				list := make([]Request, len(some))
				for i, one := range some {
					list[i] = requests[one[0]]
				}
				scores, err := ask(calls, list)
				for i, s := range scores {
					results <- result{some[i], s}
				}
				return err
			})
		}
		ended <- g.Wait()
		close(results)
	}()
	var failed error // done
	left := len(requests)
	for r := range results {
		for _, i := range r.group {
			left--
			if failed == nil {
				if failed = done(i, r.score); failed != nil {
					cancel()
				}
			}
		}
	}
	if err := <-ended; failed == nil {
		failed = err
	}
	if failed == nil && left > 0 { // left between two calls, none of which failed
		failed = ctx.Err()
	}
	return failed
}
