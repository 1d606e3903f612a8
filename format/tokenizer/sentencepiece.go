package tokenizer

import (
	"fmt"
	"math"
)

// Field numbers of sentencepiece_model.proto. addBOSField lies in ModelProto's range for extensions, which
// other readers skip: the format has no place of its own for it.
const (
	modelPieces     = 1
	modelTrainer    = 2
	modelNormalizer = 3
	addBOSField     = 200

	pieceText  = 1
	pieceScore = 2
	pieceType  = 3

	trainerModelType  = 3
	trainerVocabSize  = 4
	trainerWSSuffix   = 24
	trainerFallback   = 35
	trainerUnkID      = 40
	trainerBOSID      = 41
	trainerEOSID      = 42
	trainerUnkSurface = 44

	normalizerName        = 1
	normalizerCharsmap    = 2
	normalizerDummy       = 3
	normalizerRemoveExtra = 4
	normalizerEscape      = 5

	modelTypeUnigram = 1
	modelTypeBPE     = 2
)

// spModel is what a ModelProto says, with the defaults of its .proto.
type spModel struct {
	pieces     []Piece
	modelType  uint64
	wsSuffix   bool
	bos, eos   int64
	unkSurface string
	addBOS     bool

	normalizer           string
	charsmap             int // bytes
	dummy, extra, escape bool
}

// ParseSentencePiece reads a SentencePiece ModelProto of type BPE (tokenizer.model). data is kept.
// AddBOS is true if the file has a BOS and does not say otherwise.
func ParseSentencePiece(data []byte) (*Tokenizer, error) {
	if err := checkSize(modelName, data); err != nil {
		return nil, err
	}
	p := spModel{modelType: modelTypeUnigram, bos: 1, eos: 2, unkSurface: defaultUnkSurface, addBOS: true,
		dummy: true, extra: true, escape: true}
	if err := eachField(data, p.field); err != nil {
		return nil, fmt.Errorf("%s: %w", modelName, err)
	}
	switch {
	case len(p.pieces) == 0:
		return nil, fmt.Errorf("%s: no pieces: %w", modelName, ErrCorrupt)
	case p.modelType != modelTypeBPE:
		return nil, fmt.Errorf("%s: model type is %s, want BPE: %w", modelName, modelTypeName(p.modelType), ErrUnsupported)
	case p.wsSuffix:
		return nil, fmt.Errorf("%s: treat_whitespace_as_suffix: %w", modelName, ErrUnsupported)
	case p.charsmap > 0:
		return nil, fmt.Errorf("%s: normalizer %.40q has a character map of %d bytes, want identity: %w",
			modelName, p.normalizer, p.charsmap, ErrUnsupported)
	}
	s := Special{BOS: p.id(p.bos), EOS: p.id(p.eos), AddBOS: p.addBOS}
	n := normalizer{Normalizer: Normalizer{DummyPrefix: p.dummy, RemoveExtra: p.extra}, space: " "}
	if p.escape {
		n.space = spaceSymbol
	}
	t, err := newSentencePiece(modelName, p.pieces, n, s, p.unkSurface)
	if err != nil {
		return nil, err
	}
	t.fileName, t.file = modelName, data
	return t, nil
}

// id returns v if it is an id, else -1.
func (p *spModel) id(v int64) int32 {
	if v < 0 || v >= int64(len(p.pieces)) {
		return -1
	}
	return int32(v)
}

func modelTypeName(v uint64) string {
	names := [...]string{1: "unigram", 2: "BPE", 3: "word", 4: "char"}
	if v > 0 && v < uint64(len(names)) {
		return names[v]
	}
	return fmt.Sprint(v)
}

// field takes one field of the ModelProto. A message that comes twice is merged, the later value wins.
func (p *spModel) field(f field) error {
	switch f.num {
	case modelPieces:
		if err := f.want(wireBytes); err != nil {
			return err
		}
		if len(p.pieces) == maxVocab {
			return fmt.Errorf("more than %d pieces: %w", maxVocab, ErrCorrupt)
		}
		return p.piece(f.bytes)
	case modelTrainer:
		if err := f.want(wireBytes); err != nil {
			return err
		}
		return eachField(f.bytes, p.trainerField)
	case modelNormalizer:
		if err := f.want(wireBytes); err != nil {
			return err
		}
		return eachField(f.bytes, p.normalizerField)
	case addBOSField:
		p.addBOS = f.value != 0
		return f.want(wireVarint)
	}
	return nil
}

func (p *spModel) piece(msg []byte) error {
	piece := Piece{Kind: Normal}
	err := eachField(msg, func(f field) error {
		switch f.num {
		case pieceText:
			if len(f.bytes) > maxPieceLen {
				return fmt.Errorf("%d bytes, at most %d: %w", len(f.bytes), maxPieceLen, ErrCorrupt)
			}
			piece.Text = string(f.bytes)
			return f.want(wireBytes)
		case pieceScore:
			piece.Score = math.Float32frombits(uint32(f.value))
			return f.want(wireFixed32)
		case pieceType:
			if f.value < uint64(Normal) || f.value > uint64(Byte) {
				return fmt.Errorf("type is %d, want 1 to 6: %w", f.value, ErrCorrupt)
			}
			piece.Kind = Kind(f.value)
			return f.want(wireVarint)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("piece %d: %w", len(p.pieces), err)
	}
	p.pieces = append(p.pieces, piece)
	return nil
}

func (p *spModel) trainerField(f field) error {
	switch f.num {
	case trainerModelType:
		p.modelType = f.value
	case trainerWSSuffix:
		p.wsSuffix = f.value != 0
	case trainerBOSID:
		p.bos = int64(int32(f.value))
	case trainerEOSID:
		p.eos = int64(int32(f.value))
	case trainerUnkSurface:
		if len(f.bytes) > maxPieceLen {
			return fmt.Errorf("unk_surface has %d bytes, at most %d: %w", len(f.bytes), maxPieceLen, ErrCorrupt)
		}
		p.unkSurface = string(f.bytes)
		return f.want(wireBytes)
	default:
		return nil
	}
	return f.want(wireVarint)
}

func (p *spModel) normalizerField(f field) error {
	switch f.num {
	case normalizerName:
		p.normalizer = string(f.bytes)
		return f.want(wireBytes)
	case normalizerCharsmap:
		p.charsmap = len(f.bytes)
		return f.want(wireBytes)
	case normalizerDummy:
		p.dummy = f.value != 0
	case normalizerRemoveExtra:
		p.extra = f.value != 0
	case normalizerEscape:
		p.escape = f.value != 0
	default:
		return nil
	}
	return f.want(wireVarint)
}
