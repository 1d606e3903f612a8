package qat

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Verify reads all of the file: every tensor's checksum, scales and other floats
// finite, scales not negative, integers in range, rows padded with zeros. It
// returns what it finds wrong first, wrapping format.ErrCorrupt. progress, if not
// nil, is called from several goroutines with bytes.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) error {
	list := f.Tensors()
	var total int64
	for _, t := range list {
		total += t.Size
	}
	// The largest first, so that none is left alone at the end.
	slices.SortStableFunc(list, func(a, b Tensor) int { return cmp.Compare(b.Size, a.Size) })
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, t := range list {
		g.Go(func() error {
			return mapped.Guard(f.Path(), func() error {
				err := f.verify(ctx, t, func(n int64) {
					if n := done.Add(n); progress != nil {
						progress(n, total)
					}
				})
				if err != nil {
					return fmt.Errorf("%s: tensor %q: %w", f.Path(), t.Name, err)
				}
				return nil
			})
		})
	}
	return g.Wait()
}

// verify reads one tensor in blocks of whole rows.
func (f *File) verify(ctx context.Context, t Tensor, progress func(n int64)) error {
	const block = 1 << 20 // bytes, or one row if that is longer
	rowBytes := t.Size / int64(t.Shape[0])
	step := max(block/rowBytes, 1) * rowBytes
	sum, wrong := sha256.New(), error(nil)
	for at := int64(0); at < t.Size; at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := f.Data(t)[at:min(at+step, t.Size)]
		sum.Write(b)
		if wrong == nil {
			if wrong = t.checkRows(b, rowBytes); wrong != nil {
				wrong = fmt.Errorf("from row %d: %w", at/rowBytes, wrong)
			}
		}
		progress(int64(len(b)))
	}
	if found := hex.EncodeToString(sum.Sum(nil)); found != t.SHA256 {
		return fmt.Errorf("SHA-256 is %s, want %s: %w", found, t.SHA256, format.ErrCorrupt)
	}
	if wrong != nil {
		return fmt.Errorf("%w: %w", wrong, format.ErrCorrupt)
	}
	return nil
}

// checkRows looks for numbers that no writer stores. b is whole rows of rowBytes.
func (t Tensor) checkRows(b []byte, rowBytes int64) error {
	tail := t.paddingMask()
	switch {
	case t.Kind() == Tokenizer:
		return nil
	case t.DType == "U8": // int4
		for ; tail != nil && len(b) > 0; b = b[rowBytes:] {
			pack := b[rowBytes-int64(len(tail)) : rowBytes]
			for i, mask := range tail {
				if pack[i]&mask != 0x88&mask {
					return errors.New("int4 padding is not 0")
				}
			}
		}
		return nil
	case t.DType == "I8":
		if bytes.IndexByte(b, 0x80) >= 0 {
			return errors.New("int8 -128, want -127 to 127")
		}
	case !finite(t.DType, b):
		return errors.New("a float is NaN or infinite")
	case t.Kind() == Scale:
		for i := 3; i < len(b); i += 4 {
			if b[i]&0x80 != 0 {
				return errors.New("a scale is negative")
			}
		}
	}
	if len(t.True) < 2 || t.True[1] == t.Shape[1] {
		return nil
	}
	used := int64(t.True[1]) * elemSize[t.DType]
	for ; len(b) > 0; b = b[rowBytes:] {
		if slices.ContainsFunc(b[used:rowBytes], func(c byte) bool { return c != 0 }) {
			return errors.New("padding is not 0")
		}
	}
	return nil
}

// paddingMask returns which bits of the last pack of an int4 row are padding; nil if none.
func (t Tensor) paddingMask() []byte {
	if t.DType != "U8" || len(t.True) < 2 || t.True[1]%quant.Int4Pack == 0 {
		return nil
	}
	const half = quant.Int4Pack / 2
	used := t.True[1] % quant.Int4Pack
	mask := make([]byte, half)
	for j := range mask {
		if j >= used {
			mask[j] |= 0x0f
		}
		if j+half >= used {
			mask[j] |= 0xf0
		}
	}
	return mask
}

// exponent32 is the exponent of a float32: all set in NaNs and infinities.
const exponent32 = 0x7f800000

// finite reports whether no float of b has all bits of its exponent set.
func finite(dtype string, b []byte) bool {
	switch dtype {
	case "F32":
		for ; len(b) >= 4; b = b[4:] {
			if binary.LittleEndian.Uint32(b)&exponent32 == exponent32 {
				return false
			}
		}
		return true
	case "F16":
		return finite16(b, 0x7c00)
	}
	return finite16(b, 0x7f80)
}

func finite16(b []byte, exponent uint16) bool {
	for ; len(b) >= 2; b = b[2:] {
		if binary.LittleEndian.Uint16(b)&exponent == exponent {
			return false
		}
	}
	return true
}
