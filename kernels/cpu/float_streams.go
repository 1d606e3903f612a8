package cpu

import "github.com/llmqat/llmqat/kernels/fp"

const (
	// streamTokens is the number of tokens that stream together, and maxStreams the
	// number up to which streams beat panels.
	streamTokens = 8
	maxStreams   = 16
	// streamRows is what a stream's rows are a multiple of.
	streamRows = 4
	// streamBytes is the size of a chunk's weights: the tokens are copied once a chunk.
	streamBytes = 1 << 20
)

// streams multiplies up to streamTokens tokens at a time, evenly: one alone has a
// stream only where it beats a dot.
func (b *floatProduct) streams(s *floatScratch, row0, row1, tokens int) {
	for t := 0; t < tokens; {
		passes := (tokens - t + streamTokens - 1) / streamTokens
		n := (tokens - t + passes - 1) / passes
		b.stream(s, row0, row1, t, t+n)
		t += n
	}
}

// stream multiplies tokens t0..t1-1, panelRows rows at a time. While these come from
// the second-level cache, block of inputs by block, as the first-level cache wants the
// tokens, the next ones are brought there in the order of their addresses, as memory
// wants it.
func (b *floatProduct) stream(s *floatScratch, row0, row1, t0, t1 int) {
	slots := t1 - t0 // tokens, and a copy of the last where no kernel has their number
	if slots > 1 {
		slots += slots % 2
	}
	kernel := b.isa.stream[b.typ][slots/2]
	x := s.inputs(b, t0, t1, slots)
	total := s.total[:slots*b.isa.panelRows*fp.Lanes]
	whole := row1 - (row1-row0)%streamRows
	for r := row0; r < whole; r += b.isa.panelRows {
		rows := min(b.isa.panelRows, whole-r)
		next := r + rows // past row1, this worker's next chunk
		if next >= b.rows {
			next = r // that is here
		}
		ahead := b.data[next*b.rowBytes:]
		clear(total)
		for k := 0; k < b.depth; k += fp.Block {
			n := min(fp.Block, b.depth-k)
			kernel(total, b.data[r*b.rowBytes+b.typ.RowBytes(k):], b.rowBytes, x[k*slots:], n, rows, &ahead[0])
			ahead = ahead[min(rows*b.typ.RowBytes(n), len(ahead)-1):]
		}
		b.sums(total, r, rows, t0, t1-t0)
	}
	b.dots(whole, row1, t0, t1)
}

// inputs returns tokens t0..t1-1 by blocks: [blocks, slots, fp.Block]. Rows of x that
// lie a power of two apart would meet in one set of the first-level cache.
func (s *floatScratch) inputs(b *floatProduct, t0, t1, slots int) []float32 {
	size := (b.depth + fp.Block - 1) / fp.Block * fp.Block * slots
	if len(s.x) < size {
		s.x = make([]float32, size)
	}
	for k := 0; k < b.depth; k += fp.Block {
		for t := range slots {
			x := b.x[min(t0+t, t1-1)*b.xStride:][:b.depth]
			copy(s.x[k*slots+t*fp.Block:][:fp.Block], x[k:])
		}
	}
	return s.x
}

// streamsGeneric returns the streams of a weight type for generic panels.
func streamsGeneric(at func(w []byte, i int) float32) (streams []streamFunc) {
	for _, tokens := range []int{1, 2, 4, 6, 8} {
		streams = append(streams, streamGeneric(at, tokens, genericPanelRows))
	}
	return streams
}

func streamGeneric(at func(w []byte, i int) float32, tokens, panelRows int) streamFunc {
	return func(total []float32, w []byte, rowBytes int, x []float32, n, rows int, _ *byte) {
		for t := range tokens {
			for r := range rows {
				var acc [fp.Lanes]float32
				for i := range n {
					acc[i%fp.Lanes] = fp.FMA(at(w[r*rowBytes:], i), x[t*fp.Block+i], acc[i%fp.Lanes])
				}
				for l := range acc {
					total[(t*panelRows+r)*fp.Lanes+l] += acc[l]
				}
			}
		}
	}
}
