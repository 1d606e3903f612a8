package load

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func planned(o Options, round, index int, l level) (list []request) {
	if o.Servers == nil {
		o.Servers = []Server{{Name: "x"}}
	}
	if err := o.fill(); err != nil {
		panic(err)
	}
	for p := o.newPlan(round, index, l, 0.5); ; {
		r, ok := p.next()
		if !ok {
			return list
		}
		list = append(list, r)
	}
}

// Arrivals at a rate are a Poisson process: gaps have its mean, and a standard deviation as
// large; the same seed gives the same ones.
func TestPoissonArrivals(t *testing.T) {
	o := Options{Requests: 10000, Seed: 7, Input: fixed(1)}
	list := planned(o, 0, 0, level{rate: 4})
	var sum, squares, last float64
	for _, r := range list {
		gap := r.due.Seconds() - last
		last = r.due.Seconds()
		sum, squares = sum+gap, squares+gap*gap
	}
	n := float64(len(list))
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	// Each is 0.25, and strays by 1/√n of that (deviation: √2/√n): four times this is 4 and 6 %.
	if math.Abs(mean-0.25) > 0.01 || math.Abs(deviation-0.25) > 0.015 {
		t.Errorf("%v gaps of mean %.4f, deviation %.4f; want 0.25", n, mean, deviation)
	}
	if again := planned(o, 0, 0, level{rate: 4}); !reflect.DeepEqual(list, again) {
		t.Error("the same seed gives other requests")
	}
	if o.Seed = 8; planned(o, 0, 0, level{rate: 4})[0].due == list[0].due {
		t.Error("another seed gives the same arrivals")
	}
	first := []time.Duration{list[0].due, list[1].due, list[2].due}
	if want := []time.Duration{26035562, 177221458, 636199174}; !slices.Equal(first, want) {
		t.Errorf("the first arrivals of seed 7 are %d, want %d: reports of before can't be repeated", first, want)
	}
}

// What a level or a round sends, no cache of prefixes has seen in another; the lengths of a
// round do not depend on how requests arrive.
func TestPlansDiffer(t *testing.T) {
	o := Options{Requests: 20, Seed: 1, Input: Lengths{kind: "uniform", a: 5, b: 50}, Prefix: 4}
	base := planned(o, 0, 0, level{concurrency: 3})
	for name, other := range map[string][]request{
		"another round": planned(o, 1, 0, level{concurrency: 3}), "another level": planned(o, 0, 1, level{concurrency: 3}), "the warm-up": planned(o, -1, -1, level{concurrency: 3}),
	} {
		if reflect.DeepEqual(base[0].prompt.([]int)[:4], other[0].prompt.([]int)[:4]) {
			t.Errorf("%s has the same prefix", name)
		}
	}
	for i, r := range planned(o, 0, 0, level{rate: 3}) {
		if r.input != base[i].input || r.output != base[i].output || !reflect.DeepEqual(r.prompt, base[i].prompt) {
			t.Errorf("request %d at a rate: %+v, want %+v", i, r, base[i])
		}
	}
}

func TestPrompts(t *testing.T) {
	o := Options{Requests: 200, Seed: 1, Input: fixed(10), Output: fixed(3), Vocab: 100, Prefix: 6, Prefixes: 3}
	prefixes := map[int][]int{}
	for _, r := range planned(o, 0, 0, level{concurrency: 1}) {
		ids := r.prompt.([]int)
		if len(ids) != 16 || r.input != 16 || r.output != 3 || slices.Min(ids) < 50 || slices.Max(ids) > 99 {
			t.Fatalf("%+v: want 16 ids of 50 to 99, 3 out", r)
		}
		if p := prefixes[r.prefix]; p != nil && !slices.Equal(p, ids[:6]) {
			t.Fatalf("prefix %d is %v and %v", r.prefix, p, ids[:6])
		}
		prefixes[r.prefix] = ids[:6]
	}
	if len(prefixes) != 3 || prefixes[1] == nil || prefixes[3] == nil {
		t.Errorf("prefixes %v", prefixes)
	}

	o.Text, o.Words = true, []string{"tick", "tock"}
	for _, r := range planned(o, 0, 0, level{concurrency: 1}) {
		words := strings.Fields(r.prompt.(string))
		if len(words) != 3+5 || slices.ContainsFunc(words, func(s string) bool { return s != "tick" && s != "tock" }) {
			t.Fatalf("%q: want 8 words, half a word for each of 16 tokens", r.prompt)
		}
	}
}
