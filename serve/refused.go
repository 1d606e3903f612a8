package serve

import (
	"bytes"
	"encoding/json"
	"slices"
)

// refused are fields of OpenAI, vLLM and llama-server that would change the answer and that this server has not:
// left out in silence they would be taken for obeyed. off is the value, beside false and empty ones, by which
// clients that send every field say that they do not ask for it.
var refused = []refusal{
	{"response_format", `{"type":"text"}`, noForm}, {"json_schema", "", noForm}, {"grammar", "", noForm}, {"structured_outputs", "", noForm},
	{"guided_json", "", noForm}, {"guided_regex", "", noForm}, {"guided_choice", "", noForm}, {"guided_grammar", "", noForm},
	{"tools", "", noTools}, {"tool_choice", `"none"`, noTools}, {"functions", "", noTools}, {"function_call", `"none"`, noTools},
	{"modalities", `["text"]`, noSound}, {"audio", "", noSound},
	{"prediction", "", "not supported: leave it out, the answer is the same"},
	{"web_search_options", "", "not supported: put what is to be known in the messages"},
	{"use_beam_search", "", "beam search is not supported: ask for best_of choices"},
	{"prompt_logprobs", "", "not supported: ask for logprobs with echo on /v1/completions"},
	{"min_tokens", "0", "not supported: ignore_eos goes on to max_tokens"},
	{"stop_token_ids", "", "not supported: stop takes strings, and logit_bias forbids tokens"},
	{"bad_words", "", "not supported: logit_bias forbids tokens"},
	{"allowed_token_ids", "", "not supported: logit_bias forbids tokens"},
	{"truncate_prompt_tokens", "", "not supported: shorten the prompt"},
}

type refusal struct{ name, off, why string }

const (
	noForm  = "answers of a given form are not supported: ask for it in the prompt, and check the answer"
	noSound = "this model reads and writes text only"
	noTools = "tools are not supported: describe them in the prompt, and read the calls from the answer"
)

func (f *fields) refuse() {
	for _, r := range refused {
		if v := f.raw(r.name); v != nil && !r.isOff(v) {
			f.fail(r.name, "%s: %s", r.name, r.why)
		}
	}
}

func (r refusal) isOff(v json.RawMessage) bool {
	if len(v) > 100 {
		return false // not worth reading on
	}
	var b bytes.Buffer
	_ = json.Compact(&b, v) // it is JSON
	return slices.Contains([]string{"false", `""`, "[]", "{}", r.off}, b.String())
}
