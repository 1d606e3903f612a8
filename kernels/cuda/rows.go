package cuda

import "github.com/llmqat/llmqat/kernels"

// launchRows queues a kernel with a CTA for each of n rows of cols columns.
func (d *Device) launchRows(kernel string, n, cols int, params ...uint64) {
	if n == 0 {
		return
	}
	d.launch(kernel, shape{ctas: [3]uint32{uint32(n), 1, 1}, threads: threadsFor(cols)}, params...)
}

// threadsFor is the number of threads that share a row: whole warps, some columns
// to each.
func threadsFor(cols int) uint32 { return uint32(min(max((cols+3)/4, 32), 1024)+31) / 32 * 32 }

// rowParams are rows as kernels take them.
type rowParams struct{ bits, cols, stride, q, scale, sum, f uint64 }

func paramsOf(r kernels.Rows) rowParams {
	return rowParams{uint64(r.Bits), uint64(r.Cols), uint64(r.Stride), at(r.Q), at(r.Scale), at(r.Sum), at(r.F.Buf)}
}
