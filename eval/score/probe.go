package score

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// probe finds the first form in which the server scores: the cheapest are tried first. Servers
// differ in whether they take several prompts, and max_tokens 0.
func (s *Server) probe(ctx context.Context) error {
	ids := s.o.Tokenizer.Encode("The quick brown fox jumps over the lazy dog.")
	if len(ids) < 2 {
		return fmt.Errorf("the tokenizer makes %d tokens of a sentence", len(ids))
	}
	var refused error // what it answered first, for that says more than what it refused
	for _, f := range []form{{s.o.Prompts, 0}, {s.o.Prompts, 1}, {1, 0}, {1, 1}} {
		prompts := [][]int32{ids, ids[:len(ids)/2+1]}
		if f.prompts == 1 {
			prompts = prompts[:1]
		}
		choices, err := s.complete(ctx, f, prompts)
		for i := 0; i < len(prompts) && err == nil; i++ {
			_, err = choices[i].score(Request{Context: prompts[i][:1], Continuation: prompts[i][1:]}, f.more)
		}
		if err == nil {
			s.form = f
			return s.sameTokens(ids, choices[0].Logprobs.Tokens)
		}
		var answer, before *answerError
		var status *statusError
		switch {
		case errors.As(err, &answer):
			if !errors.As(refused, &before) {
				refused = err
			}
		case !errors.As(err, &status) || !status.refused():
			return err
		case refused == nil:
			refused = err
		}
	}
	return fmt.Errorf("this server scores no texts: asked for a completion with echo, logprobs 1 and max_tokens 0 or 1, of token ids: %w; "+
		"llmqat-serve and vLLM do, llama-server takes no echo; and is --tokenizer the served model's?", refused)
}

// refused says that the server does not take what it was asked for.
func (e *statusError) refused() bool {
	return e.code == http.StatusBadRequest || e.code == http.StatusUnprocessableEntity || e.code == http.StatusNotImplemented || e.code == http.StatusInternalServerError
}

// sameTokens compares what ids are to the server with what they are to the tokenizer. How they
// are spelled, and spaces, are the server's affair.
func (s *Server) sameTokens(ids []int32, tokens []string) error {
	text := strings.Join(tokens[:len(ids)], "")
	if strings.HasPrefix(text, idPrefix) { // vLLM's --return-tokens-as-token-ids
		for i, id := range ids {
			if tokens[i] != idPrefix+strconv.Itoa(int(id)) {
				return fmt.Errorf("token %d came back as %q", id, tokens[i])
			}
		}
		return nil
	}
	if want := s.o.Tokenizer.Decode(ids); bare(text) != bare(want) {
		return fmt.Errorf("the ids %v are %q to the tokenizer and %q to the server: give the server's own tokenizer", ids, want, text)
	}
	return nil
}

const idPrefix = "token_id:"

// bare is text without spaces, in any spelling of SentencePiece or byte-level BPE.
func bare(text string) string { return strings.NewReplacer(" ", "", "▁", "", "Ġ", "").Replace(text) }
