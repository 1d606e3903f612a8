package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Lengths is a distribution of numbers of tokens.
type Lengths struct {
	kind string // fixed, uniform, lognormal or exponential
	a, b float64
	most int // 0: none
}

func fixed(n int) Lengths { return Lengths{kind: "fixed", a: float64(n)} }

// most is the longest length: longer ones are typing mistakes.
const maxLength = 1 << 24

// UnmarshalText reads
//
//	64                        always 64
//	32-512                    each from 32 to 512 as likely
//	lognormal:128,0.6[,2048]  median 128, standard deviation of the logarithm 0.6, at most 2048
//	exponential:128[,2048]    mean 128, at most 2048
func (l *Lengths) UnmarshalText(text []byte) error {
	kind, rest, ok := strings.Cut(string(text), ":")
	if !ok {
		kind, rest = "fixed", string(text)
		if strings.Contains(rest, "-") {
			kind = "uniform"
		}
	}
	split := ","
	if kind == "uniform" {
		split = "-"
	}
	var v []float64
	for s := range strings.SplitSeq(rest, split) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x >= 0 && x <= maxLength) {
			return badLengths(text)
		}
		v = append(v, x)
	}
	whole := func(i int) bool { return v[i] >= 1 && v[i] == math.Trunc(v[i]) }
	switch {
	case kind == "fixed" && len(v) == 1 && whole(0):
		*l = Lengths{kind: kind, a: v[0]}
	case kind == "uniform" && len(v) == 2 && whole(0) && whole(1) && v[0] <= v[1]:
		*l = Lengths{kind: kind, a: v[0], b: v[1]}
	case kind == "lognormal" && (len(v) == 2 || len(v) == 3 && whole(2)) && v[0] >= 1:
		*l = Lengths{kind: kind, a: v[0], b: v[1]}
		if len(v) == 3 {
			l.most = int(v[2])
		}
	case kind == "exponential" && (len(v) == 1 || len(v) == 2 && whole(1)) && v[0] >= 1:
		*l = Lengths{kind: kind, a: v[0]}
		if len(v) == 2 {
			l.most = int(v[1])
		}
	default:
		return badLengths(text)
	}
	return nil
}

func badLengths(text []byte) error {
	return fmt.Errorf("%q is no length: want 64, 32-512, lognormal:128,0.6 (median, sigma) or exponential:128 (mean), the last two also with a most, as exponential:128,2048; at least 1 token, at most %d", text, maxLength)
}

// draw returns a length of at least 1.
func (l Lengths) draw(r *rand.Rand) int {
	x := l.a
	switch l.kind {
	case "uniform":
		return int(l.a) + r.IntN(int(l.b-l.a)+1)
	case "lognormal":
		x *= math.Exp(l.b * r.NormFloat64())
	case "exponential":
		x *= r.ExpFloat64()
	}
	most := maxLength
	if l.most > 0 {
		most = l.most
	}
	return int(max(1, min(math.Round(x), float64(most))))
}

// mean is the mean of lengths, before a most cuts them.
func (l Lengths) mean() float64 {
	switch l.kind {
	case "uniform":
		return (l.a + l.b) / 2
	case "lognormal":
		return l.a * math.Exp(l.b*l.b/2)
	}
	return l.a
}

// String is what UnmarshalText reads.
func (l Lengths) String() string {
	n := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	s := n(l.a)
	switch l.kind {
	case "uniform":
		return s + "-" + n(l.b)
	case "lognormal":
		s = l.kind + ":" + s + "," + n(l.b)
	case "exponential":
		s = l.kind + ":" + s
	}
	if l.most > 0 {
		s += "," + strconv.Itoa(l.most)
	}
	return s
}
