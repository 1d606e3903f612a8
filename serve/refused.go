package serve

import (
	"bytes"
	"encoding/json"
)

// refused are fields of OpenAI, vLLM and llama-server that would change the answer and that this server has not:
// left out in silence they would be taken for obeyed. off is the value, beside false and empty ones, by which
// clients that send every field say that they do not ask for it.
var refused = []struct{ name, off, why string }{
	{"response_format", `{"type":"text"}`, noForm}, {"json_schema", "", noForm}, {"grammar", "", noForm}, {"structured_outputs", "", noForm},
	{"guided_json", "", noForm}, {"guided_regex", "", noForm}, {"guided_choice", "", noForm}, {"guided_grammar", "", noForm},
	{"tools", "", noTools}, {"tool_choice", `"none"`, noTools}, {"functions", "", noTools}, {"function_call", `"none"`, noTools},
	{"use_beam_search", "", "beam search is not supported: ask for best_of choices"},
	{"prompt_logprobs", "", "not supported: ask for logprobs with echo on /v1/completions"},
	{"min_tokens", "0", "not supported: ignore_eos goes on to max_tokens"},
	{"stop_token_ids", "", "not supported: stop takes strings, and logit_bias forbids tokens"},
	{"bad_words", "", "not supported: logit_bias forbids tokens"},
	{"allowed_token_ids", "", "not supported: logit_bias forbids tokens"},
	{"truncate_prompt_tokens", "", "not supported: shorten the prompt"},
}

const (
	noForm  = "answers of a given form are not supported: ask for it in the prompt, and check the answer"
	noTools = "tools are not supported: describe them in the prompt, and read the calls from the answer"
)

func (f *fields) refuse() {
	for _, r := range refused {
		v := f.raw(r.name)
		if v == nil {
			continue
		}
		switch compact(v[:min(len(v), 100)]) {
		case "false", `""`, "[]", "{}", r.off:
		default:
			f.fail(r.name, "%s: %s", r.name, r.why)
		}
	}
}

// compact is v without spaces, "" where it is no JSON.
func compact(v json.RawMessage) string {
	var b bytes.Buffer
	_ = json.Compact(&b, v)
	return b.String()
}
