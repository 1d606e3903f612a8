package tokenizer

import (
	"math"
	"slices"
)

// writeSentencePiece returns the ModelProto that ParseSentencePiece reads back to t.
func writeSentencePiece(t *Tokenizer, m *spaceBPE) []byte {
	var file, msg []byte
	for _, p := range t.pieces {
		msg = appendBytes(msg[:0], pieceText, p.Text)
		msg = appendFloat(msg, pieceScore, math.Float32bits(p.Score))
		if p.Kind != Normal {
			msg = appendInt(msg, pieceType, int64(p.Kind))
		}
		file = appendBytes(file, modelPieces, msg)
	}
	msg = appendInt(msg[:0], trainerModelType, modelTypeBPE)
	msg = appendInt(msg, trainerVocabSize, int64(len(t.pieces)))
	msg = appendBool(msg, trainerFallback, firstOf(t.pieces, Byte) >= 0)
	msg = appendInt(msg, trainerUnkID, int64(t.unk))
	msg = appendBytes(msg, trainerUnkSurface, m.unkSurface)
	file = appendBytes(file, modelTrainer, msg)

	msg = appendBytes(msg[:0], normalizerName, "identity")
	msg = appendBool(msg, normalizerDummy, m.normalizer.DummyPrefix)
	msg = appendBool(msg, normalizerRemoveExtra, m.normalizer.RemoveExtra)
	msg = appendBool(msg, normalizerEscape, m.normalizer.space == spaceSymbol)
	file = appendBytes(file, modelNormalizer, msg)
	return appendSpecial(file, t.special)
}

// appendSpecial returns a ModelProto with s in place of its own. Messages that come twice are merged, so
// the later values can stand at the end.
func appendSpecial(file []byte, s Special) []byte {
	msg := appendInt(nil, trainerBOSID, int64(s.BOS))
	msg = appendInt(msg, trainerEOSID, int64(s.EOS))
	file = appendBytes(slices.Clip(file), modelTrainer, msg)
	return appendBool(file, addBOSField, s.AddBOS)
}
