package load

import (
	"strconv"
	"strings"
)

// Sample is one request as it went. Times are seconds since the beginning of its round.
type Sample struct {
	Start  float64 `json:"start"`          // when it was sent or, where requests come at a rate, due
	Late   float64 `json:"late,omitempty"` // how much later it was sent than due
	End    float64 `json:"end"`
	Chunks Times   `json:"chunks"` // when each piece of the answer came

	Input  int    `json:"input"`            // tokens of the prompt
	Output int    `json:"output"`           // tokens of the answer
	Cached int    `json:"cached,omitempty"` // tokens of the prompt that the server had in a cache
	Usage  bool   `json:"usage"`            // whether these are the server's counts; else the tokens asked for, and the chunks
	Prefix int    `json:"prefix,omitempty"` // which one the prompt begins with, from 1
	Finish string `json:"finish,omitempty"`

	Error      string `json:"error,omitempty"`  // what kind it failed by; "": it was answered whole
	Detail     string `json:"detail,omitempty"` // in the server's words
	RetryAfter string `json:"retry_after,omitempty"`
	Again      bool   `json:"sent_again,omitempty"` // on a new connection: the one kept from before was closed
}

func (s *Sample) ok() bool { return s.Error == "" }

// ttft is the time to the first token; an answer without text has none.
func (s *Sample) ttft() float64 { return s.Chunks[0] - s.Start }

// Times is a list of seconds, in JSON one string of milliseconds: a number has no line of its own there.
type Times []float64

// MarshalText writes milliseconds, with three decimals.
func (t Times) MarshalText() ([]byte, error) {
	var b []byte
	for i, x := range t {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendFloat(b, x*1e3, 'f', 3, 64)
	}
	return b, nil
}

// UnmarshalText reads what MarshalText writes.
func (t *Times) UnmarshalText(text []byte) error {
	*t = nil
	for s := range strings.FieldsSeq(string(text)) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return err
		}
		*t = append(*t, x/1e3)
	}
	return nil
}
