package cpu

import "math"

func weighGeneric(p []uint8, s, unit []float32, n int) {
	for r := range unit {
		p, s := p[r*2*splitTokens:], s[r*splitTokens:][:n]
		var top float32
		for _, w := range s {
			top = max(top, w)
		}
		inv := weightMax / top
		if unit[r] = float32(top * (1.0 / weightMax)); top < weightTiny {
			inv, unit[r] = 0, 0
		}
		for t, w := range s {
			x := int(math.RoundToEven(float64(float32(w * inv))))
			p[t], p[splitTokens+t] = uint8(x>>7), uint8(x&127)
		}
	}
}

func quads4Generic(v []int8, src []uint8, dim int, off int8) {
	for i := range v {
		t, j := i/(4*dim)*4+i%4, i/4%dim
		v[i] = int8(nibbleAt(src[t*dim/2:], j, dim)) - off
	}
}

func quads8Generic(v []int8, src []uint8, dim int) {
	for i := range v {
		v[i] = int8(src[(i/(4*dim)*4+i%4)*dim+i/4%dim])
	}
}

func addIntsGeneric(o []int32, p []uint8, v []int8, n, dim int) {
	for i := range o {
		p := p[i/dim*2*splitTokens:]
		for t := range n {
			o[i] += (int32(p[t])<<7 + int32(p[splitTokens+t])) * int32(v[t/4*4*dim+i%dim*4+t%4])
		}
	}
}

func scaleIntsGeneric(o []float32, sums []int32, unit float32) {
	for i := range o {
		o[i] = float32(sums[i]) * unit
	}
}
