package cpu

import "github.com/llmqat/llmqat/kernels/fp"

const (
	// panelSize is the panel's elements, 16 KiB: half of a first-level cache.
	panelSize = 4096
	// bandTokens and bandRows bound the sums that wait for their next panel. Widening
	// a panel is shared by as many tokens.
	bandTokens = 128
	bandRows   = 32
	// bandInputs bounds the tokens' part of a panel's depth, 256 KiB, which stays in the
	// second-level cache for all rows.
	bandInputs = 64 << 10
	// tileTokens is the number of tokens from which on tiles beat one dot a token.
	tileTokens = 3
)

// panels multiplies at least two tokens, band by band.
func (b *floatProduct) panels(s *floatScratch, row0, row1, tokens int) {
	most := min(bandTokens, bandInputs/(panelSize/b.isa.panelRows))
	for r := row0; r < row1; r += bandRows {
		for t := 0; t < tokens; {
			n := min(most, tokens-t)
			if tokens-t-n == 1 { // a tile takes two tokens at least
				n--
			}
			b.band(s, r, min(r+bandRows, row1), t, t+n)
			t += n
		}
	}
}

// band multiplies rows row0..row1-1, at most bandRows, with tokens t0..t1-1, 2 to
// bandTokens.
func (b *floatProduct) band(s *floatScratch, row0, row1, t0, t1 int) {
	rows, tokens := b.isa.panelRows, t1-t0
	panels := (row1 - row0 + rows - 1) / rows
	perPanel := tokens * rows * fp.Lanes
	clear(s.total[:panels*perPanel])
	depth := panelSize / rows
	for k := 0; k < b.depth; k += depth {
		n := min(depth, b.depth-k)
		for p := range panels {
			b.fill(s, row0+p*rows, row1, k, n)
			ahead := b.following(row0, row1, row0+p*rows, k)
			total := s.total[p*perPanel:][:perPanel]
			for t := 0; t < tokens; {
				tile, step := b.isa.tile3, 3
				if left := tokens - t; left == 2 || left == 4 {
					tile, step = b.isa.tile2, 2
				}
				x := b.x[(t0+t)*b.xStride+k:]
				tile(&total[t*rows*fp.Lanes], &s.panel[0], &x[0], b.xStride, n)
				t += step
				ahead.until(b, t*ahead.all/tokens)
			}
		}
	}
	for p := range panels {
		r := row0 + p*rows
		b.sums(s.total[p*perPanel:], r, min(rows, row1-r), t0, tokens)
	}
}

// fill widens inputs k..k+n-1 of the panelRows rows from row on. Past the last row
// it repeats that one: its sums are not used.
func (b *floatProduct) fill(s *floatScratch, row, last, k, n int) {
	rows := b.isa.panelRows
	offset := b.typ.RowBytes(k)
	for i := range rows {
		r := min(row+i, last-1)
		src := b.data[r*b.rowBytes+offset : (r+1)*b.rowBytes]
		b.isa.widen[b.typ](s.panel[i*fp.Lanes:], rows*fp.Lanes, src, n)
	}
}

// panelAhead are the weights of the next panel, which are asked for row by row between
// the tiles of this one: memory would answer all at once no faster, but hold up what
// else is loaded.
type panelAhead struct {
	offset, bytes int // of the next row's part
	done, all     int // rows
}

// following returns what comes behind the panel of rows r.. and inputs k.. of the
// band row0..row1-1: the next rows' same inputs, behind the last rows the first ones'
// next inputs, and behind those the next band.
func (b *floatProduct) following(row0, row1, r, k int) panelAhead {
	rows := b.isa.panelRows
	depth := panelSize / rows
	r += rows
	if r >= row1 && k+depth < b.depth {
		r, k = row0, k+depth
	} else if r >= row1 {
		r, k = row1, 0
	}
	return panelAhead{
		offset: r*b.rowBytes + b.typ.RowBytes(k),
		bytes:  b.typ.RowBytes(min(depth, b.depth-k)),
		all:    max(0, min(rows, b.rows-r)),
	}
}

// until asks for the rows up to the given one.
func (a *panelAhead) until(b *floatProduct, row int) {
	for ; a.done < row; a.done++ {
		b.prefetch(b.data[a.offset:][:a.bytes])
		a.offset += b.rowBytes
	}
}
