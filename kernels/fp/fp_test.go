package fp

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA rounds x·y+z once, by big arithmetic. All are finite.
func exactFMA(x, y, z float32) float32 {
	const prec = 1200 // 2^-298 to 2^256 and room
	f := func(v float32) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(float64(v)) }
	sum := f(x)
	sum.Mul(sum, f(y)).Add(sum, f(z))
	if sum.Sign() == 0 { // big.Float has one exact zero; IEEE's sign is that of the float64 sum
		return float32(float64(x)*float64(y) + float64(z))
	}
	r, _ := sum.Float32()
	return r
}

func bits(x float32) uint32 { return math.Float32bits(x) }

func checkFMA(t *testing.T, x, y, z float32) {
	t.Helper()
	if got, want := FMA(x, y, z), exactFMA(x, y, z); bits(got) != bits(want) {
		t.Errorf("FMA(%x, %x, %x) = %x (%#x), want %x (%#x)", x, y, z, got, bits(got), want, bits(want))
	}
}

// edges are values on the borders of float32's ranges, and near ties.
var edges = func() (e []float32) {
	for _, b := range []uint32{
		0, 1, 2, 3, 0x007fffff, 0x00800000, 0x00800001, 0x00ffffff, 0x01000000, 0x01000001,
		0x0c000000, 0x33800000, 0x33800001, 0x34000000, 0x3f000000, 0x3f7fffff, 0x3f800000, 0x3f800001,
		0x3f800003, 0x4b000001, 0x4b7fffff, 0x4b800000, 0x5f800001, 0x7e800000, 0x7f7fffff, 0x7f7ffffe,
	} {
		e = append(e, math.Float32frombits(b), math.Float32frombits(b|1<<31))
	}
	return e
}()

func TestFMAEdges(t *testing.T) {
	for _, x := range edges {
		for _, y := range edges {
			for _, z := range edges {
				checkFMA(t, x, y, z)
			}
		}
	}
}

// The product x·1 or x·2^k beside a tiny z puts the sum on a tie or just off it:
// the case in which rounding twice errs.
func TestFMATies(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		// x has 24 bits and y 24, whose product's low bits are chosen by trial to be a
		// lone half: x = odd·2^k, y = 2^j+1.
		x := float32(rng.IntN(1<<24)|1) * float32(math.Ldexp(1, rng.IntN(40)-20))
		y := float32(math.Ldexp(1, rng.IntN(30)-15)) * float32(1+math.Ldexp(1, -1-rng.IntN(23)))
		z := float32(math.Ldexp(float64(rng.IntN(5)-2), rng.IntN(200)-149))
		checkFMA(t, x, y, z)
		// A sum that is a tie in float64 only because z vanished there.
		base := math.Float32frombits(0x3f800000 | rng.Uint32()&0x7fffff)
		half := float32(math.Ldexp(1, -24))
		tiny := math.Float32frombits(rng.Uint32()&0x807fffff | uint32(rng.IntN(60)+1)<<23)
		checkFMA(t, base, 1, tiny)
		checkFMA(t, half, 1+2*half, base)
		checkFMA(t, base, 1+2*half, tiny)
	}
}

func TestFMASubnormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 300_000 {
		x := math.Float32frombits(rng.Uint32()&0x807fffff | uint32(rng.IntN(60)+30)<<23)
		y := math.Float32frombits(rng.Uint32()&0x807fffff | uint32(rng.IntN(60)+30)<<23)
		z := math.Float32frombits(rng.Uint32() & 0x80ffffff >> rng.IntN(24))
		checkFMA(t, x, y, z)
	}
}

func TestFMARandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 300_000 {
		v := [3]float32{}
		for i := range v {
			for v[i] = math.Float32frombits(rng.Uint32()); v[i]-v[i] != 0; {
				v[i] = math.Float32frombits(rng.Uint32())
			}
		}
		checkFMA(t, v[0], v[1], v[2])
		// Cancellation: z near -x·y.
		if z := -v[0] * v[1]; z-z == 0 {
			checkFMA(t, v[0], v[1], z)
			checkFMA(t, v[0], v[1], math.Float32frombits(bits(z)+uint32(rng.IntN(5)-2)&0x7f))
		}
	}
}

func TestFMASpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct{ x, y, z, want float32 }{
		{inf, 1, 1, inf}, {inf, -1, 1, -inf}, {1, 1, inf, inf}, {1, 1, -inf, -inf},
		{inf, 0, 1, nan}, {0, inf, 1, nan}, {inf, 1, -inf, nan}, {nan, 1, 1, nan},
		{1, nan, 1, nan}, {1, 1, nan, nan},
		{math.MaxFloat32, math.MaxFloat32, -inf, -inf}, {math.MaxFloat32, 2, 0, inf},
		{math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32},
	} {
		if got := FMA(c.x, c.y, c.z); bits(got) != bits(c.want) && !(got != got && c.want != c.want) {
			t.Errorf("FMA(%v, %v, %v) = %v, want %v", c.x, c.y, c.z, got, c.want)
		}
	}
}

func FuzzFMA(f *testing.F) {
	f.Add(uint32(0x3f800001), uint32(0x3f800001), uint32(1))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		x, y, z := math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c)
		if x-x == 0 && y-y == 0 && z-z == 0 {
			checkFMA(t, x, y, z)
		}
	})
}

// Sum8 and Dot in a second wording: the value of lane l after each block.
func TestDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 8, 64, 248, 256, 264, 512, 1000} {
		w, x := make([]float32, n), make([]float32, n)
		for i := range w {
			w[i], x[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
		}
		var total [8]float32
		for l := range 8 {
			for b := 0; b*256 < n; b++ {
				var acc float32
				for i := b*256 + l; i < n && i < (b+1)*256; i += 8 {
					acc = exactFMA(w[i], x[i], acc)
				}
				total[l] += acc
			}
		}
		a := total
		want := ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
		if got := Dot(w, x); bits(got) != bits(want) {
			t.Errorf("n=%d: %x, want %x", n, got, want)
		}
	}
}

// ulps is |got - want| in units of the last place of want.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, e-24)
}

func TestExp(t *testing.T) {
	worst, at := 0.0, float32(0)
	check := func(x float32) {
		if u := ulps(Exp(x), math.Exp(float64(x))); u > worst {
			worst, at = u, x
		}
	}
	for b := uint32(0); b <= bits(ExpHi); b += 1237 { // every magnitude up to the ends
		check(math.Float32frombits(b))
		if x := -math.Float32frombits(b); x >= ExpLo {
			check(x)
		}
	}
	// Around the borders of the reduction, x = (n+½)·ln 2.
	for n := -126; n < 127; n++ {
		x := float32((float64(n) + 0.5) * math.Ln2)
		for d := range 40 {
			if y := math.Float32frombits(bits(x) + uint32(d) - 20); y >= ExpLo && y <= ExpHi {
				check(y)
			}
		}
	}
	t.Logf("worst: %.3f ulp at %v", worst, at)
	if worst > 1.1 {
		t.Errorf("Exp(%v) = %v is off by %.3f ulp, want at most 1.1", at, Exp(at), worst)
	}
}

func TestExpEnds(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {1e-45, 1}, {-1e-45, 1},
		{-inf, 0}, {-1e30, 0}, {math.Nextafter32(ExpLo, -inf), 0},
		{inf, Exp(ExpHi)}, {89, Exp(ExpHi)}, {3e38, Exp(ExpHi)},
	} {
		if got := Exp(c.x); bits(got) != bits(c.want) {
			t.Errorf("Exp(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if e := Exp(ExpLo); !(e >= 0x1p-126) {
		t.Errorf("Exp(ExpLo) = %v is no normal number", e)
	}
	if e := Exp(ExpHi); e > math.MaxFloat32 {
		t.Errorf("Exp(ExpHi) = %v", e)
	}
}

// x/(1+e^-x): Exp's 1.1 ulp and two roundings, each half an ulp of a quotient that
// may be just above a power of two, so doubled: at most 1.1·2 + 2.
func TestSiLU(t *testing.T) {
	for b := uint32(bits(1e-20)); b < bits(80); b += 99_991 {
		for _, x := range []float32{math.Float32frombits(b), -math.Float32frombits(b)} {
			want := float64(x) / (1 + math.Exp(-float64(x)))
			if u := ulps(SiLU(x), want); u > 4.2 {
				t.Fatalf("SiLU(%v) = %v, want %v", x, SiLU(x), want)
			}
		}
	}
	if SiLU(-100) > 0 || SiLU(-100) < -1e-36 {
		t.Errorf("SiLU(-100) = %v", SiLU(-100))
	}
}

func BenchmarkFMA(b *testing.B) {
	x, z := float32(1.0001), float32(0)
	for b.Loop() {
		z = FMA(x, x, z)
	}
	sink = z
}

var sink float32
