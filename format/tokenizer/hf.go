package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// hfFile is the part of Hugging Face's tokenizer.json that decides ids and text.
type hfFile struct {
	AddedTokens   []hfAdded `json:"added_tokens"`
	Normalizer    hfSteps   `json:"normalizer"`
	PreTokenizer  hfSteps   `json:"pre_tokenizer"`
	PostProcessor hfSteps   `json:"post_processor"`
	Model         hfModel   `json:"model"`
}

type hfAdded struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Special    bool   `json:"special"`
}

type hfModel struct {
	Type                    string           `json:"type"`
	Dropout                 float64          `json:"dropout"`
	UnkToken                *string          `json:"unk_token"`
	ContinuingSubwordPrefix string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string           `json:"end_of_word_suffix"`
	FuseUnk                 bool             `json:"fuse_unk"`
	ByteFallback            bool             `json:"byte_fallback"`
	IgnoreMerges            bool             `json:"ignore_merges"`
	Vocab                   map[string]int64 `json:"vocab"`
	Merges                  hfMerges         `json:"merges"`
}

// hfMerges is a list of "a b" or, in newer files, of ["a", "b"]; kept as the former.
type hfMerges []string

func (m *hfMerges) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*[]string)(m)) == nil {
		return nil
	}
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	*m = make(hfMerges, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 {
			return fmt.Errorf("merge %d has %d parts, want 2", i, len(p))
		}
		(*m)[i] = p[0] + " " + p[1]
	}
	return nil
}

// ParseHF reads a tokenizer.json whose model is BPE: byte-level, or of SentencePiece's kind as Llama 2's.
// data is kept. BOS, EOS and AddBOS come from its post-processor; without one, BOS and EOS are the tokens
// that usually carry those names, and AddBOS is true if there is a BOS.
func ParseHF(data []byte) (*Tokenizer, error) {
	if err := checkSize(jsonName, data); err != nil {
		return nil, err
	}
	var f hfFile
	if err := json.Unmarshal(data, &f); err != nil {
		if !errors.Is(err, ErrUnsupported) {
			err = fmt.Errorf("%w: %w", err, ErrCorrupt)
		}
		return nil, fmt.Errorf("%s: %w", jsonName, err)
	}
	t, err := f.tokenizer()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jsonName, err)
	}
	t.special = t.checked(f.special(t))
	t.fileName, t.file = jsonName, data
	return t, nil
}

func (f *hfFile) tokenizer() (*Tokenizer, error) {
	if err := f.Model.check(); err != nil {
		return nil, err
	}
	pieces, err := f.pieces()
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	if slices.ContainsFunc(f.PreTokenizer, func(s hfStep) bool { return s.Type == "ByteLevel" }) {
		t, err = f.byteLevel(pieces)
	} else {
		t, err = f.spaceBPE(pieces)
	}
	if err != nil {
		return nil, err
	}
	var always, all []entry
	for _, a := range f.AddedTokens {
		e := entry{text: a.Content, id: int32(a.ID), lstrip: a.LStrip, rstrip: a.RStrip, singleWord: a.SingleWord}
		all = append(all, e)
		if !a.Special {
			always = append(always, e)
		}
	}
	t.always, t.onRequest = newMatcher(always), newMatcher(all)
	return t, nil
}

func (m *hfModel) check() error {
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("model type %.40q, want BPE: %w", m.Type, ErrUnsupported)
	case m.Dropout != 0:
		return fmt.Errorf("model with dropout %g: %w", m.Dropout, ErrUnsupported)
	case m.ContinuingSubwordPrefix != "" || m.EndOfWordSuffix != "":
		return fmt.Errorf("model with continuing_subword_prefix %.40q, end_of_word_suffix %.40q: %w",
			m.ContinuingSubwordPrefix, m.EndOfWordSuffix, ErrUnsupported)
	case len(m.Vocab) == 0:
		return fmt.Errorf("model has no vocab: %w", ErrCorrupt)
	}
	return nil
}

// maxHoles bounds the ids that no token has, so that a small file cannot ask for a large vocabulary.
const maxHoles = 64 << 10

// pieces lays vocab and added tokens out by id. An id without a token has the spelling "".
func (f *hfFile) pieces() ([]Piece, error) {
	tokens := len(f.Model.Vocab) + len(f.AddedTokens)
	limit := int64(min(tokens+maxHoles, maxVocab))
	top := int64(-1)
	see := func(text string, id int64) error {
		if id < 0 || id >= limit {
			return fmt.Errorf("token %.40q has id %d, want 0 to %d for %d tokens: %w", text, id, limit-1, tokens, ErrCorrupt)
		}
		top = max(top, id)
		return nil
	}
	for text, id := range f.Model.Vocab {
		if err := see(text, id); err != nil {
			return nil, err
		}
	}
	for _, a := range f.AddedTokens {
		if err := see(a.Content, a.ID); err != nil {
			return nil, err
		}
	}
	pieces := make([]Piece, top+1)
	for text, id := range f.Model.Vocab {
		if p := &pieces[id]; p.Kind != 0 {
			return nil, fmt.Errorf("tokens %.40q and %.40q both have id %d: %w", min(p.Text, text), max(p.Text, text), id, ErrCorrupt)
		}
		pieces[id] = Piece{Text: text, Kind: Normal}
		if _, ok := byteOf(text); ok && f.Model.ByteFallback {
			pieces[id].Kind = Byte
		}
	}
	for _, a := range f.AddedTokens {
		p := &pieces[a.ID]
		if p.Kind != 0 && p.Text != a.Content {
			return nil, fmt.Errorf("tokens %.40q and %.40q both have id %d: %w", p.Text, a.Content, a.ID, ErrCorrupt)
		}
		*p = Piece{Text: a.Content, Kind: UserDefined}
		if a.Special {
			p.Kind = Control
		}
	}
	for id := range pieces {
		if pieces[id].Kind == 0 {
			pieces[id].Kind = Unused
		}
	}
	return pieces, nil
}

func (f *hfFile) byteLevel(pieces []Piece) (*Tokenizer, error) {
	if len(f.Normalizer) > 0 {
		return nil, fmt.Errorf("normalizer %.40q before ByteLevel: %w", f.Normalizer[0].Type, ErrUnsupported)
	}
	pre, err := f.splitter()
	if err != nil {
		return nil, err
	}
	t, err := newByteLevel("model", pieces, f.Model.Merges, pre, f.Model.IgnoreMerges, Special{BOS: -1, EOS: -1})
	if err != nil {
		return nil, err
	}
	t.unk = f.unk(t)
	t.model.(*byteLevel).unk = t.unk
	return t, nil
}

func (f *hfFile) unk(t *Tokenizer) int32 {
	if f.Model.UnkToken == nil {
		return -1
	}
	if id, ok := t.ids[*f.Model.UnkToken]; ok {
		return id
	}
	return -1
}

func (f *hfFile) spaceBPE(pieces []Piece) (*Tokenizer, error) {
	n, err := f.spaceNormalizer()
	if err != nil {
		return nil, err
	}
	if err := checkPieces("model", pieces); err != nil {
		return nil, err
	}
	m := &spaceBPE{normalizer: n, fuseUnk: f.Model.FuseUnk}
	m.ids = index(pieces)
	if m.pairs, err = mergeTable("model", m.ids, f.Model.Merges); err != nil {
		return nil, err
	}
	// A character may be any token of the vocab but a special or a byte token. Ranks are the merges'.
	m.rank = make([]uint32, len(pieces))
	for id, p := range pieces {
		if p.Kind != Normal {
			m.rank[id] = noRank
		}
	}
	t := newSpaceTokenizer(pieces, m, Special{BOS: -1, EOS: -1})
	t.unk = f.unk(t)
	m.unk = t.unk
	if m.pairsCrossWords(pieces) {
		m.byWord = false
	}
	return t, nil
}

// pairsCrossWords says whether a merge makes a token that crosses words. Merges may make tokens that text
// does not otherwise become.
func (m *spaceBPE) pairsCrossWords(pieces []Piece) bool {
	for _, p := range m.pairs {
		if crossesWords(pieces[p.id].Text) {
			return true
		}
	}
	return false
}

// special finds the ids around a text.
func (f *hfFile) special(t *Tokenizer) Special {
	steps := f.PostProcessor
	if i := slices.IndexFunc(steps, func(s hfStep) bool { return s.Type == "TemplateProcessing" }); i >= 0 {
		return steps[i].template(t)
	}
	s := Special{
		BOS: t.firstNamed("<s>", "<|begin_of_text|>", "<|startoftext|>", "<|im_start|>", "<|endoftext|>"),
		EOS: t.firstNamed("</s>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>"),
	}
	// A post-processor without a template adds nothing; a file without one leaves it to the custom of its family.
	s.AddBOS = f.PostProcessor == nil && (t.Token(s.BOS) == "<s>" || t.Token(s.BOS) == "<|begin_of_text|>")
	return s
}

func (t *Tokenizer) firstNamed(names ...string) int32 {
	for _, name := range names {
		if id, ok := t.ids[name]; ok && t.IsSpecial(id) {
			return id
		}
	}
	return -1
}

// spaceNormalizer recognises the two ways in which Hugging Face writes SentencePiece's treatment of spaces.
func (f *hfFile) spaceNormalizer() (normalizer, error) {
	n := normalizer{space: " "}
	for _, s := range f.Normalizer {
		switch {
		case s.Type == "Prepend" && s.Prepend == spaceSymbol:
			n.DummyPrefix = true
		case s.Type == "Replace" && s.Pattern.String == " " && s.Content == spaceSymbol:
			n.space = spaceSymbol
		default:
			return n, fmt.Errorf("normalizer %.40q: %w", s.Type, ErrUnsupported)
		}
	}
	for _, s := range f.PreTokenizer {
		if s.Type != "Metaspace" || s.Replacement != spaceSymbol {
			return n, fmt.Errorf("pre_tokenizer %.40q: %w", s.Type, ErrUnsupported)
		}
		if s.Split == nil || *s.Split {
			return n, fmt.Errorf("pre_tokenizer Metaspace with split: %w", ErrUnsupported)
		}
		n.space = spaceSymbol
		switch scheme := s.scheme(); scheme {
		case "always", "first":
			n.DummyPrefix, n.onlyFirst = true, scheme == "first"
		case "never":
		default:
			return n, fmt.Errorf("pre_tokenizer Metaspace with prepend_scheme %.40q: %w", scheme, ErrUnsupported)
		}
	}
	if n.space != spaceSymbol {
		return n, fmt.Errorf("neither normalizer nor pre_tokenizer says what becomes of spaces (normalizer %s, pre_tokenizer %s): %w",
			typesOf(f.Normalizer), typesOf(f.PreTokenizer), ErrUnsupported)
	}
	return n, nil
}

func typesOf(steps hfSteps) string {
	var types []string
	for _, s := range steps {
		types = append(types, fmt.Sprintf("%.40q", s.Type))
	}
	if types == nil {
		return "null"
	}
	return strings.Join(types[:min(len(types), 4)], ", ")
}
