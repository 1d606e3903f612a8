package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestLengths(t *testing.T) {
	for _, c := range []struct {
		text                     string
		atLeast, atMost, centred int // of 20,001 draws
	}{
		{text: "64", atLeast: 64, atMost: 64, centred: 64},
		{text: "1", atLeast: 1, atMost: 1, centred: 1},
		{text: "32-512", atLeast: 32, atMost: 512, centred: 272},
		{text: "7-7", atLeast: 7, atMost: 7, centred: 7},
		{text: "lognormal:128,0.6", atLeast: 5, atMost: 3000, centred: 128},
		{text: "lognormal:128,0.6,200", atLeast: 5, atMost: 200, centred: 128},
		{text: "lognormal:128,0", atLeast: 128, atMost: 128, centred: 128},
		{text: "exponential:100", atLeast: 1, atMost: 2000, centred: 69}, // ln 2 of the mean
		{text: "exponential:100,90", atLeast: 1, atMost: 90, centred: 69},
	} {
		var l Lengths
		if err := l.UnmarshalText([]byte(c.text)); err != nil || l.String() != c.text {
			t.Errorf("%s: reads as %s, error %v", c.text, l, err)
			continue
		}
		rng := rand.New(rand.NewPCG(1, 2))
		var all []int
		for range 20001 {
			all = append(all, l.draw(rng))
		}
		sum := 0
		for _, n := range all {
			sum += n
		}
		// Of the mean likewise; the logarithm's spread of 0.6 makes the largest part of it, 0.65 of the mean.
		if mean := float64(sum) / float64(len(all)); l.most == 0 && math.Abs(mean/l.mean()-1) > 0.03 {
			t.Errorf("%s: mean %.1f, want %.1f", c.text, mean, l.mean())
		}
		slices.Sort(all)
		// The median of n values strays by about half their spread over √n: here by less than 2 %.
		median := all[len(all)/2]
		if all[0] < c.atLeast || all[len(all)-1] > c.atMost || median < c.centred*96/100 || median > (c.centred*104+99)/100 {
			t.Errorf("%s: %d to %d, median %d; want within %d to %d, median %d", c.text, all[0], all[len(all)-1], median, c.atLeast, c.atMost, c.centred)
		}
	}
}

func TestNoLengths(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "1.5", "x", "9-3", "1-2-3", "0-3", "64,65", "lognormal", "lognormal:", "lognormal:128", "lognormal:0,1", "lognormal:128,-1",
		"lognormal:128,0.6,0", "lognormal:1,NaN", "exponential:0", "exponential:5,1.5", "exponential:5,6,7", "uniform:64", "poisson:3", "1e9", "Inf"} {
		var l Lengths
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %s", text, l)
		}
	}
}
