package llama2c

import (
	"encoding/binary"
	"fmt"

	"github.com/llmqat/llmqat/format"
)

const (
	magic        = 0x616b3432 // "ak42" as a big-endian word; versions 1 and 2
	headerSize   = 256        // bytes, versions 1 and 2
	legacyHeader = 28         // bytes: seven int32 and no magic
)

// What llama2.c fixes in its source, not in its files.
const (
	rmsNormEps = 1e-5
	ropeTheta  = 10000
	bosID      = 1 // run.c begins with it and also ends there: a new story would begin
	eosID      = 2
)

// header is what the begin of a file says.
type header struct {
	version int // 0: the legacy format
	config  format.Config
	group   int // version 2: int8 numbers to a scale
	size    int // bytes
}

// parseHeader reads the header and checks its numbers, one by one and together.
func parseHeader(path string, data []byte) (header, error) {
	if len(data) < legacyHeader {
		return header{}, fmt.Errorf("%s: %d bytes, a header has at least %d: %w", path, len(data), legacyHeader, format.ErrCorrupt)
	}
	h := header{size: legacyHeader}
	ints := data
	if binary.LittleEndian.Uint32(data) == magic {
		if len(data) < headerSize {
			return header{}, fmt.Errorf("%s: %d bytes, a header has %d: %w", path, len(data), headerSize, format.ErrCorrupt)
		}
		v := int32(binary.LittleEndian.Uint32(data[4:]))
		if v != 1 && v != 2 {
			return header{}, fmt.Errorf("%s: llama2.c version %d, want 1, 2 or the legacy format: %w", path, v, format.ErrUnsupported)
		}
		h.version, h.size, ints = int(v), headerSize, data[8:]
	}
	var n [7]int
	for i := range n {
		n[i] = int(int32(binary.LittleEndian.Uint32(ints[4*i:])))
	}
	c := &h.config
	*c = format.Config{
		HiddenSize: n[0], IntermediateSize: n[1], NumHiddenLayers: n[2], NumAttentionHeads: n[3], NumKeyValueHeads: n[4],
		VocabSize: n[5], MaxPositionEmbeddings: n[6],
		RMSNormEps: rmsNormEps, RopeTheta: ropeTheta, TieWordEmbeddings: true, BOSTokenID: -1,
	}
	if h.version == 0 {
		if c.VocabSize < 0 { // the legacy format's way to say that lm_head follows
			c.VocabSize, c.TieWordEmbeddings = -c.VocabSize, false
		}
	} else {
		shared := data[36]
		if shared > 1 {
			return header{}, fmt.Errorf("%s: shared classifier is %d, want 0 or 1: %w", path, shared, format.ErrCorrupt)
		}
		c.TieWordEmbeddings = shared == 1
	}
	if c.NumAttentionHeads > 0 {
		if c.HiddenSize%c.NumAttentionHeads != 0 {
			return header{}, fmt.Errorf("%s: header: %d heads do not divide dim %d: is this a llama2.c model? %w", path, c.NumAttentionHeads, c.HiddenSize, format.ErrCorrupt)
		}
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if c.VocabSize > bosID {
		c.BOSTokenID, c.EOSTokenIDs = bosID, []int{bosID}
	}
	if c.VocabSize > eosID {
		c.EOSTokenIDs = []int{eosID, bosID}
	}
	if err := c.Check(); err != nil {
		return header{}, fmt.Errorf("%s: header: %w", path, err)
	}
	if h.version == 2 {
		h.group = int(int32(binary.LittleEndian.Uint32(data[37:])))
		if h.group < 1 || h.group > c.HiddenSize {
			return header{}, fmt.Errorf("%s: group size is %d, want 1 to dim %d: %w", path, h.group, c.HiddenSize, format.ErrCorrupt)
		}
	}
	return h, nil
}
