package cpu

func rotateGeneric(y, x, cos, sin []float32) {
	half := len(cos)
	for i, c := range cos {
		a, b, s := x[i], x[i+half], sin[i]
		y[i] = float32(a*c) - float32(b*s)
		y[i+half] = float32(b*c) + float32(a*s)
	}
}
