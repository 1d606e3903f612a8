package serve

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// cutAtStop is what a stopMatcher does, told in one go: the text is cut where the first stop string ends.
func cutAtStop(text string, stops []string) (string, bool) {
	for end := range len(text) + 1 {
		cut := -1
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) && (cut < 0 || end-len(s) < cut) {
				cut = end - len(s)
			}
		}
		if cut >= 0 {
			return text[:cut], true
		}
	}
	return text, false
}

func checkStops(t *testing.T, text string, stops []string, split func(i int) bool) {
	t.Helper()
	want, wantStopped := cutAtStop(text, stops)
	m := stopMatcher{stops: stops}
	got, stopped, begin := "", false, 0
	for i := 1; i <= len(text) && !stopped; i++ {
		if i < len(text) && !split(i) {
			continue
		}
		var show string
		show, stopped = m.push(text[begin:i])
		got += show
		begin = i
		if !strings.HasPrefix(want, got) {
			t.Fatalf("%q with stops %q: %q was shown, which is not of %q", text, stops, got, want)
		}
	}
	if !stopped {
		got += m.flush()
	}
	if got != want || stopped != wantStopped {
		t.Fatalf("%q with stops %q: got %q (stopped %v), want %q (%v)", text, stops, got, stopped, want, wantStopped)
	}
}

func TestStopMatcher(t *testing.T) {
	for _, c := range []struct {
		text  string
		stops []string
		want  string
	}{
		{"hello world", nil, "hello world"},
		{"hello world", []string{"wor"}, "hello "},
		{"hello world", []string{"x", "hello world!"}, "hello world"},
		{"xabcdy", []string{"abcd", "bc"}, "xa"}, // bc ends first
		{"xabcdy", []string{"bc", "abc"}, "x"},   // they end together: the longest
		{"aaab", []string{"aab"}, "a"},
		{"abababc", []string{"ababc"}, "ab"},
		{"stop", []string{"stop"}, ""},
		{"preis 5€ und", []string{"€"}, "preis 5"},
		{"a\n\nb", []string{"\n\n"}, "a"},
		{"a" + strings.Repeat("b", 300), []string{strings.Repeat("b", 256)}, "a"},
	} {
		if got, _ := cutAtStop(c.text, c.stops); got != c.want {
			t.Errorf("the definition itself: %q with %q gives %q, want %q", c.text, c.stops, got, c.want)
		}
		for _, width := range []int{1, 2, 3, 7, 1000} {
			checkStops(t, c.text, c.stops, func(i int) bool { return i%width == 0 })
		}
	}
}

func TestStopMatcherHoldsNoMoreThanItMust(t *testing.T) {
	m := stopMatcher{stops: []string{"</end>"}}
	for _, c := range []struct{ push, show string }{
		{"a <b", "a <b"}, {" <", " "}, {"/e", ""}, {"x", "</ex"}, {"</end", ""},
	} {
		if show, stopped := m.push(c.push); show != c.show || stopped {
			t.Errorf("push(%q) = %q, %v, want %q", c.push, show, stopped, c.show)
		}
	}
	if got := m.flush(); got != "</end" {
		t.Errorf("flush() = %q", got)
	}
}

func FuzzStopMatcher(f *testing.F) {
	f.Add("abcabcabd", "abd", "ca", uint64(0b1011))
	f.Add("aaaaaaab", "aab", "b", uint64(0))
	f.Add("€€", "€", "x", ^uint64(0))
	f.Fuzz(func(t *testing.T, text, a, b string, cuts uint64) {
		text = text[:min(len(text), 1000)] // cutAtStop is slow
		var stops []string
		for _, s := range []string{a, b} {
			if s != "" && len(s) <= maxStopBytes && utf8.ValidString(s) {
				stops = append(stops, s)
			}
		}
		checkStops(t, text, stops, func(i int) bool { return cuts>>(i%64)&1 == 1 })
	})
}
