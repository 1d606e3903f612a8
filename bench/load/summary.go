package load

import (
	"cmp"
	"math"
	"slices"
)

// Summary is what a number of requests came to.
type Summary struct {
	Requests   int            `json:"requests"`
	Done       int            `json:"done"`              // answered whole; only their tokens and times count below
	Limited    int            `json:"http_429"`          // refused for now
	RetryAfter int            `json:"with_retry_after"`  // of those
	Again      int            `json:"sent_again"`        // because a kept connection was closed
	Errors     map[string]int `json:"errors,omitempty"`  // of other kinds
	Usage      int            `json:"counted_by_usage"`  // requests whose tokens the server counted; of others chunks are
	Input      int            `json:"input_tokens"`      // prompts, with what was cached
	Cached     int            `json:"cached_tokens"`     // as the server says
	Output     int            `json:"output_tokens"`     //
	Chunks     int            `json:"chunks"`            // in which these came
	Seconds    float64        `json:"seconds"`           // from the first start to the last end, in each round
	InFlight   float64        `json:"in_flight"`         // requests under way, mean over that time
	MaxFlight  int            `json:"most_in_flight"`    //
	Full       Full           `json:"while_most_decode"` //
	TTFT       Spread         `json:"ttft"`              // seconds from the start to the first token
	Between    Spread         `json:"between"`           // seconds from a chunk to the next, of all
	Whole      Spread         `json:"whole"`             // seconds from the start to the end
	Late       Spread         `json:"late"`              // seconds that requests were sent late at: the load generator's fault
	FirstTTFT  Spread         `json:"ttft_prefix_new"`   // of requests whose prefix nobody had an answer to yet
	AgainTTFT  Spread         `json:"ttft_prefix_known"` // of the others
}

// Full is the time in which as many answers as ever came at once.
type Full struct {
	Streams int     `json:"streams"`
	Seconds float64 `json:"seconds"`
	Tokens  float64 `json:"tokens"`
}

func (f Full) perSec() float64 { return ratio(f.Tokens, f.Seconds) }

func (s *Summary) outputPerSec() float64   { return ratio(float64(s.Output), s.Seconds) }
func (s *Summary) totalPerSec() float64    { return ratio(float64(s.Input+s.Output), s.Seconds) }
func (s *Summary) requestsPerSec() float64 { return ratio(float64(s.Done), s.Seconds) }

// ratio is a/b, and 0 where there is no b.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Spread describes a number of values. Percentiles between two values are between them, in
// proportion, as numpy.percentile has them.
type Spread struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

func spread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	v = slices.Sorted(slices.Values(v))
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return Spread{len(v), sum / float64(len(v)), percentile(v, 50), percentile(v, 95), percentile(v, 99), v[len(v)-1]}
}

// percentile returns percentile p of sorted v.
func percentile(v []float64, p float64) float64 {
	at := p / 100 * float64(len(v)-1)
	low := int(at)
	if low+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[low] + (at-float64(low))*(v[low+1]-v[low])
}

// summarize describes the samples of some rounds.
func summarize(rounds ...[]Sample) Summary {
	var s Summary
	var ttft, between, whole, late, first, again []float64
	busy := 0.0
	for _, samples := range rounds {
		begin, end := math.Inf(1), 0.0
		answered := map[int]float64{} // prefix: when its first token came
		for i := range samples {
			v := &samples[i]
			begin, end = min(begin, v.Start), max(end, v.End)
			busy += v.End - v.Start
			late = append(late, v.Late)
			s.count(v)
			if !v.ok() {
				continue
			}
			whole = append(whole, v.End-v.Start)
			for j, t := range v.Chunks {
				if j > 0 {
					between = append(between, t-v.Chunks[j-1])
				}
			}
			if len(v.Chunks) == 0 {
				continue
			}
			ttft = append(ttft, v.ttft())
			if v.Prefix == 0 {
				continue
			}
			if t, ok := answered[v.Prefix]; ok && t <= v.Start {
				again = append(again, v.ttft())
			} else {
				first = append(first, v.ttft())
			}
			if t, ok := answered[v.Prefix]; !ok || v.Chunks[0] < t {
				answered[v.Prefix] = v.Chunks[0]
			}
		}
		if len(samples) > 0 {
			s.Seconds += end - begin
		}
		s.MaxFlight = max(s.MaxFlight, most(flights(samples)))
		s.Full.add(samples)
	}
	s.InFlight = ratio(busy, s.Seconds)
	s.TTFT, s.Between, s.Whole, s.Late = spread(ttft), spread(between), spread(whole), spread(late)
	s.FirstTTFT, s.AgainTTFT = spread(first), spread(again)
	return s
}

func (s *Summary) count(v *Sample) {
	s.Requests++
	if v.Again {
		s.Again++
	}
	switch {
	case v.ok():
		s.Done++
		s.Input, s.Cached, s.Output, s.Chunks = s.Input+v.Input, s.Cached+v.Cached, s.Output+v.Output, s.Chunks+len(v.Chunks)
		if v.Usage {
			s.Usage++
		}
	case v.Error == "HTTP 429":
		s.Limited++
		if v.RetryAfter != "" {
			s.RetryAfter++
		}
	default:
		if s.Errors == nil {
			s.Errors = map[string]int{}
		}
		s.Errors[v.Error]++
	}
}

// turn is a moment at which one more, or one fewer, is under way.
type turn struct {
	at   float64
	step int
}

// flights are the starts and ends of requests in order of time, ends first.
func flights(samples []Sample) (list []turn) {
	for _, v := range samples {
		list = append(list, turn{v.Start, 1}, turn{v.End, -1})
	}
	return ordered(list)
}

// decodes are the first and last chunks of answers, likewise.
func decodes(samples []Sample) (list []turn) {
	for _, v := range samples {
		if n := len(v.Chunks); v.ok() && n > 1 {
			list = append(list, turn{v.Chunks[0], 1}, turn{v.Chunks[n-1], -1})
		}
	}
	return ordered(list)
}

func ordered(list []turn) []turn {
	slices.SortFunc(list, func(a, b turn) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step)) })
	return list
}

// most is how many are under way at most.
func most(list []turn) (n int) {
	under := 0
	for _, t := range list {
		under += t.step
		n = max(n, under)
	}
	return n
}

// add adds what came while most answers came at once, in a round.
func (f *Full) add(samples []Sample) {
	turns := decodes(samples)
	streams := most(turns)
	if streams < f.Streams || streams == 0 {
		return
	}
	if streams > f.Streams {
		*f = Full{Streams: streams}
	}
	under := 0
	for i, t := range turns {
		if under += t.step; under < streams {
			continue
		}
		from, to := t.at, turns[i+1].at // an end follows: all have one
		f.Seconds += to - from
		for _, v := range samples {
			if v.ok() {
				f.Tokens += v.tokens(from, to)
			}
		}
	}
}

// tokens returns how many came after from and until to, all chunks taken as equal.
func (s *Sample) tokens(from, to float64) float64 {
	n := 0
	for _, t := range s.Chunks {
		if t > from && t <= to {
			n++
		}
	}
	return ratio(float64(n)*float64(s.Output), float64(len(s.Chunks)))
}
