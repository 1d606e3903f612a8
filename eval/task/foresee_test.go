package task

import "testing"

// Of items of two choices after one context, and of two contexts before one choice: a token each byte, BOS
// and the space that SentencePiece puts before a text.
func TestForesee(t *testing.T) {
	sets := load(t, Options{Tasks: []string{"all"}, Dir: "testdata/original"})
	tok := byteTokenizer(t, llama)
	got, err := Foresee(sets, both, tok, 2000)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeScorer{rule: byRequest}
	total := int64(0)
	if _, err := run(t, f, sets, RunOptions{Protocols: both, Progress: func(_, all int64) { total = all }}); err != nil {
		t.Fatal(err)
	}
	scored, items := int64(0), 0
	for _, r := range f.asked {
		scored += int64(len(r.Continuation))
	}
	for _, s := range sets {
		items += len(s.Items)
	}
	if got.Items != items || got.Requests != len(f.asked) || got.Tokens != total || got.Scored != scored {
		t.Errorf("%+v, asked were %d requests of %d items, %d tokens of which %d scored", got, len(f.asked), items, total, scored)
	}

	dir := write(t, "openbookqa.jsonl", `{"id": "1", "question": {"stem": "ab", "choices": [{"text": "c", "label": "A"}, {"text": "de", "label": "B"}]}, "answerKey": "A"}`)
	one, err := Foresee(load(t, Options{Tasks: []string{"openbookqa"}, Dir: dir}), []Protocol{LMEval}, tok, 2000)
	// BOS, space, a and b; after these 0 to 3 before, space and c after 4 and 5, space, d and e after 4 to 6.
	if want := (Takes{Items: 1, Requests: 2, Tokens: 9, Scored: 5, Longest: 7, Context: (0. + 1 + 2 + 3 + 4 + 5 + 4 + 5 + 6) / 9}); err != nil || one != want {
		t.Errorf("%+v, want %+v (%v)", one, want, err)
	}
}
