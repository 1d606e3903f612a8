package ptq

import (
	"context"
	"math"
	"testing"

	"github.com/llmqat/llmqat/kernels/quant"
)

// The step found is the best of the 80, by the plainest sum.
func TestClip(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	row := m.of(0, "mlp.up_proj.weight").row(4)
	clear(row)
	for _, bits := range []int{4, 8} {
		steps, err := m.Clip(context.Background(), bits)
		if err != nil {
			t.Fatal(err)
		}
		l, h := quant.WeightRange(bits)
		narrower := 0
		for name, got := range steps {
			w := m.tensor(name)
			q := make([]int8, w.cols)
			for i, g := range got {
				full, err := quant.WeightScale(w.row(i), bits)
				if err != nil {
					t.Fatal(err)
				}
				cost := func(step float32) (sum float64) {
					quant.WeightRowScaled(q, w.row(i), step, l, h)
					for j, x := range w.row(i) {
						sum += math.Pow(math.Abs(float64(q[j])*float64(step)-float64(x)), 2.4)
					}
					return sum
				}
				least := math.Inf(1)
				for k := range 80 {
					least = min(least, cost(float32(float64(full)*(1-float64(k)/100))))
				}
				if c := cost(g); c > least*(1+1e-7) {
					t.Errorf("%d bits: %s row %d: step %v costs %v, the best costs %v", bits, name, i, g, c, least)
				}
				if g < full {
					narrower++
				}
			}
		}
		if zero := steps["model.layers.0.mlp.up_proj.weight"][4]; zero != 0 || bits == 4 && narrower == 0 {
			t.Errorf("%d bits: a row of zeros has step %v; %d rows are narrower than MinMax", bits, zero, narrower)
		}
		minmax, err := m.MinMax(context.Background(), bits)
		if full, _ := quant.WeightScale(m.of(1, "mlp.up_proj.weight").row(1), bits); err != nil || minmax.Of("model.layers.1.mlp.up_proj.weight")[1] != full {
			t.Errorf("MinMax: %v", err)
		}
	}
}

// The search goes down to 0.21 of MinMax, which long rows with an outlier come close to.
func TestClipOfALongRow(t *testing.T) {
	row := make([]float32, 6000)
	for i := range row {
		row[i] = float32(i%61-30) / 300
	}
	row[7] = 1
	cost := func(k int) float64 {
		return roundingError(row, float32(float64(float32(1)/7)*(1-float64(k)/100)), -8, 7, math.Inf(1))
	}
	best := 0
	for k := range 80 {
		if cost(k) < cost(best) {
			best = k
		}
	}
	if got, want := clip(row, float32(1)/7, -8, 7), float32(float64(float32(1)/7)*(1-float64(best)/100)); got != want || best < 65 {
		t.Errorf("step %v, want %v: the shrink factor is 1 - %d/100", got, want, best)
	}
}

func TestFifthRoot(t *testing.T) {
	for x := 1e-290; x < 1e290; x *= 1.37 {
		if got, want := fifthRoot(x), math.Pow(x, 0.2); math.Abs(got-want) > 1e-7*want {
			t.Fatalf("%v: %v, want %v", x, got, want)
		}
	}
	if fifthRoot(0) != 0 {
		t.Errorf("0: %v", fifthRoot(0))
	}
}
