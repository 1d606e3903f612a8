package bench

// MicroReport is one run over single operators.
type MicroReport struct {
	About
	Sections []Section `json:"sections"`
}

// Section is operators of one kind in one format.
type Section struct {
	Kind      string     `json:"kind"`              // linear layers, attention, rows or other
	Format    string     `json:"format,omitempty"`  // as W4A8, or KV4 head-zp, Q8: the bits of queries
	Threads   int        `json:"threads,omitempty"` // 0: a GPU's
	Operators []Operator `json:"operators"`
}

// Operator is what one reached. Bytes are those of every operand, read or written
// once; MACs are of the model's arithmetic, padding not counted.
type Operator struct {
	Name      string    `json:"name"`
	Tokens    int       `json:"tokens,omitempty"`
	Context   int       `json:"context,omitempty"`
	Bytes     int64     `json:"bytes"`
	IntMACs   int64     `json:"int_macs"`   // held against the int8 peak
	FloatMACs int64     `json:"float_macs"` // held against the float peak
	Seconds   float64   `json:"seconds"`    // median
	All       []float64 `json:"samples"`
	ByteRate  float64   `json:"bytes_per_second"`
	MACRate   float64   `json:"macs_per_second"`
	// Share is the larger of the two: of the read bandwidth, of the peaks; the median
	// over samples, each with the ceilings beside it. Bound names it.
	Share float64 `json:"share"`
	Bound string  `json:"bound,omitempty"`
}

// boundRead is the ceiling that binds what reads more than it multiplies.
const boundRead = "read bandwidth"

// bounds names the ceilings that may bind an operator.
func (c *Ceilings) bounds() []string {
	return []string{boundRead, c.intName() + " peak", c.floatName() + " peak"}
}

// least returns the seconds that the ceilings allow n times op, the larger of its two
// rooflines, and adds them to by under the ceiling that binds. Of a sum each part is
// bound by its own.
func (op *operator) least(n int, c Ceilings, by map[string]float64) (seconds float64) {
	if op.sum != nil {
		for _, p := range op.sum {
			seconds += p.least(n*p.n, c, by)
		}
		return seconds
	}
	read := float64(n) * float64(op.Bytes) / c.ReadBandwidth
	ints := float64(n) * float64(op.IntMACs) / c.int8(op.weightBits)
	floats := float64(n) * float64(op.FloatMACs) / c.float()
	bounds := c.bounds()
	bound := bounds[0]
	switch {
	case read >= ints+floats:
	case ints >= floats:
		bound = bounds[1]
	default:
		bound = bounds[2]
	}
	seconds = max(read, ints+floats)
	by[bound] += seconds
	return seconds
}

// finish turns samples into medians and shares.
func (s *section) finish() Section {
	for _, op := range s.operators {
		for _, p := range op.sum {
			op.Bytes += int64(p.n) * p.Bytes
			op.IntMACs += int64(p.n) * p.IntMACs
			op.FloatMACs += int64(p.n) * p.FloatMACs
		}
		var shares []float64
		by := map[string]float64{}
		for i, took := range op.All {
			shares = append(shares, op.least(1, s.ceilings[i], by)/took)
		}
		for _, b := range s.ceilings[0].bounds() {
			if by[b] > by[op.Bound] {
				op.Bound = b
			}
		}
		op.Seconds, op.Share = median(op.All), median(shares)
		op.ByteRate = float64(op.Bytes) / op.Seconds
		op.MACRate = float64(op.IntMACs+op.FloatMACs) / op.Seconds
		s.Operators = append(s.Operators, op.Operator)
	}
	return s.Section
}
