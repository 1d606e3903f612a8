package tokenizer

import (
	"encoding/json"
	"fmt"
)

// hfStep is a normalizer, pre-tokenizer or post-processor: the union of the keys that those have which are
// understood here.
type hfStep struct {
	Type string `json:"type"`

	Normalizers   []hfStep `json:"normalizers"` // Sequence
	PreTokenizers []hfStep `json:"pretokenizers"`
	Processors    []hfStep `json:"processors"`

	Prepend string `json:"prepend"` // Prepend
	Content string `json:"content"` // Replace
	Pattern struct {
		String string
		Regex  string
	} `json:"pattern"` // Replace, Split

	Behavior string `json:"behavior"` // Split
	Invert   bool   `json:"invert"`

	AddPrefixSpace *bool `json:"add_prefix_space"` // ByteLevel, Metaspace
	UseRegex       *bool `json:"use_regex"`        // ByteLevel; absent: true

	IndividualDigits bool `json:"individual_digits"` // Digits

	Replacement   string  `json:"replacement"`    // Metaspace
	PrependScheme *string `json:"prepend_scheme"` // absent: as add_prefix_space says
	Split         *bool   `json:"split"`          // absent: true

	Single        []hfTemplatePart `json:"single"` // TemplateProcessing
	Pair          []hfTemplatePart `json:"pair"`
	SpecialTokens map[string]struct {
		IDs []int64 `json:"ids"`
	} `json:"special_tokens"`
}

// hfTemplatePart is one of its two.
type hfTemplatePart struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

// hfSteps is a normalizer, pre-tokenizer or post-processor: the steps of a Sequence, or the one step; nil
// for null.
type hfSteps []hfStep

// maxSteps bounds one in bytes: a step of three bytes, {}, takes a hundred times as many in memory.
const maxSteps = 64 << 10

func (l *hfSteps) UnmarshalJSON(data []byte) error {
	if len(data) > maxSteps {
		return fmt.Errorf("a normalizer, pre_tokenizer or post_processor of %d bytes, at most %d: %.40s: %w",
			len(data), maxSteps, data, ErrUnsupported)
	}
	var s *hfStep
	if err := json.Unmarshal(data, &s); err != nil || s == nil {
		return err
	}
	*l = s.appendTo(hfSteps{})
	return nil
}

// appendTo appends the steps within a Sequence, or the step itself.
func (s *hfStep) appendTo(all hfSteps) hfSteps {
	if s.Type != "Sequence" {
		return append(all, *s)
	}
	for _, list := range [][]hfStep{s.Normalizers, s.PreTokenizers, s.Processors} {
		for i := range list {
			all = list[i].appendTo(all)
		}
	}
	return all
}

// scheme returns Metaspace's prepend_scheme, which older files give as add_prefix_space.
func (s *hfStep) scheme() string {
	switch {
	case s.PrependScheme != nil:
		return *s.PrependScheme
	case s.AddPrefixSpace != nil && !*s.AddPrefixSpace:
		return "never"
	}
	return "always"
}

const regexLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// splitter recognises the pre-tokenizer of a byte-level model: ByteLevel's own regular expression, perhaps
// after Digits, or Llama 3's before a ByteLevel without one.
func (f *hfFile) splitter() (preTokenizer, error) {
	steps := f.PreTokenizer
	last := steps[len(steps)-1]
	if last.Type != "ByteLevel" {
		return preTokenizer{}, fmt.Errorf("pre_tokenizer %.40q after ByteLevel: %w", last.Type, ErrUnsupported)
	}
	// The default in the library is true, but every writer of the file gives the key.
	if last.AddPrefixSpace != nil && *last.AddPrefixSpace {
		return preTokenizer{}, fmt.Errorf("pre_tokenizer ByteLevel with add_prefix_space: %w", ErrUnsupported)
	}
	regex := last.UseRegex == nil || *last.UseRegex
	switch before := steps[:len(steps)-1]; {
	case len(before) == 0 && regex:
		p, _ := preTokenizerNamed("gpt-2")
		return p, nil
	case len(before) == 1 && regex && before[0].Type == "Digits" && before[0].IndividualDigits:
		p, _ := preTokenizerNamed("smollm")
		return p, nil
	case len(before) == 1 && !regex && before[0].Type == "Split":
		s := before[0]
		if s.Pattern.Regex == regexLlama3 && s.Behavior == "Isolated" && !s.Invert {
			p, _ := preTokenizerNamed("llama-bpe")
			return p, nil
		}
		return preTokenizer{}, fmt.Errorf("pre_tokenizer Split with pattern %.200q, behavior %.40q: %w",
			s.Pattern.Regex+s.Pattern.String, s.Behavior, ErrUnsupported)
	}
	return preTokenizer{}, fmt.Errorf("pre_tokenizer %s with use_regex %t: %w", typesOf(f.PreTokenizer), regex, ErrUnsupported)
}

// template reads BOS and EOS off a TemplateProcessing: the special token before the first text and the one
// after the last, in the template for one text or else in that for two. Only the former says AddBOS.
func (s *hfStep) template(t *Tokenizer) Special {
	bos, eos := s.around(t, s.Single)
	bos2, eos2 := s.around(t, s.Pair)
	found := Special{BOS: bos, EOS: eos, AddBOS: bos >= 0}
	if found.BOS < 0 {
		found.BOS = bos2
	}
	if found.EOS < 0 {
		found.EOS = eos2
	}
	// Llama's own templates have [BOS A BOS B] and leave EOS out; [BOS A B] is writeHF's for a model without it.
	if found.EOS < 0 && len(s.Pair) > 3 {
		found.EOS = t.firstNamed("</s>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>")
	}
	return found
}

func (s *hfStep) around(t *Tokenizer, parts []hfTemplatePart) (first, last int32) {
	if len(parts) == 0 {
		return -1, -1
	}
	return s.tokenID(t, parts[0]), s.tokenID(t, parts[len(parts)-1])
}

// tokenID returns the id of a special token in a template, or -1.
func (s *hfStep) tokenID(t *Tokenizer, p hfTemplatePart) int32 {
	if p.SpecialToken == nil {
		return -1
	}
	if ids := s.SpecialTokens[p.SpecialToken.ID].IDs; len(ids) == 1 && ids[0] >= 0 && ids[0] < int64(len(t.pieces)) {
		return int32(ids[0])
	}
	if id, ok := t.ids[p.SpecialToken.ID]; ok {
		return id
	}
	return -1
}
