package kernels

// TrainDevice is a device with the operators of training, all on float32: each has
// its gradient beside it. Inference does not reach them. As with Device, operators
// are queued, shape mismatches panic, and Sync returns the first failure.
//
// The order of float operations depends on shapes alone, not on the number of
// threads, so that a training run can be repeated and resumed bit for bit.
type TrainDevice interface {
	Device

	// MatMul sets c [M, N] to op(a) · op(b), or adds that to c. Sums go over blocks of
	// fp.Block: within one a chain of FMA from 0, in order; block after block is added.
	MatMul(c, a, b Floats, op MatMulOp, add bool)
}

// MatMulOp says which operand of MatMul is transposed.
type MatMulOp uint8

const (
	MatMulNN MatMulOp = iota // a [M, K], b [K, N]: gradients of a linear layer's input
	MatMulNT                 // a [M, K], b [N, K]: a linear layer
	MatMulTN                 // a [K, M], b [K, N]: gradients of its weights
)
